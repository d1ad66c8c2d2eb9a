//! Importing a file from the shell, with a bar that shows how far it has got.
use std::{
    fs::File,
    path::{Path, PathBuf},
    sync::Arc,
    thread,
    time::Duration,
};

use clap::Args;
use crm_core::{
    Actor, Id, Result as Done, Tx, clock,
    imports::{self, Import, NewImport},
    organizations::Organization,
    users,
};
use gateway::{config::Storage, worker};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Map, Value};

use super::{Failure, house::House};

/// A file to import, and in whose name.
#[derive(Args)]
pub(crate) struct FileToImport {
    #[command(flatten)]
    storage: Storage,
    /// The CSV file.
    file: PathBuf,
    /// lead, company, contact or deal.
    #[arg(long)]
    entity_type: String,
    /// In whose name: the address of a user.
    #[arg(long = "as", value_name = "EMAIL")]
    user: String,
    /// A column and its field, as COLUMN=FIELD; once for each column that is read.
    #[arg(long = "map", value_name = "COLUMN=FIELD", required = true)]
    mapping: Vec<String>,
    /// The pipeline of new deals whose row names none: its id.
    #[arg(long, value_name = "ID")]
    pipeline: Option<String>,
    /// The business unit of new records whose row names none: its id.
    #[arg(long, value_name = "ID")]
    business_unit: Option<String>,
    /// The owner of new records whose row names none: the id of a user.
    #[arg(long, value_name = "ID")]
    owner: Option<String>,
    /// Why records are changed: a code of the organization's list.
    #[arg(long, value_name = "CODE")]
    reason_code: Option<String>,
    /// Why records are changed, in words.
    #[arg(long)]
    note: Option<String>,
    /// An option as NAME=VALUE: dedupe, dryRun, delimiter, encoding, dateFormat, decimalComma, asHistory, timezone,
    /// unknownReferences.
    #[arg(long = "option", value_name = "NAME=VALUE")]
    options: Vec<String>,
    /// Where the refused rows are written, as CSV.
    #[arg(long, default_value = "import-errors.csv")]
    errors: PathBuf,
    /// Where the rows that landed but want a look are written, as CSV.
    #[arg(long, default_value = "import-warnings.csv")]
    warnings: PathBuf,
}

impl FileToImport {
    /// The options as the API has them. `true` and `false` are words of JSON; everything else is text.
    fn options(&self) -> Result<Map<String, Value>, Failure> {
        let mut options =
            pairs(&self.options, |text| serde_json::from_str(text).unwrap_or_else(|_| Value::from(text)))?;
        let own = [
            ("pipelineId", &self.pipeline),
            ("businessUnitId", &self.business_unit),
            ("ownerId", &self.owner),
            ("reasonCode", &self.reason_code),
            ("note", &self.note),
        ];
        options.extend(own.into_iter().filter_map(|(name, text)| Some((name.to_owned(), text.clone()?.into()))));
        Ok(options)
    }
}

/// Imports the file and says what became of its rows.
pub(crate) fn run(asked: &FileToImport) -> Result<(), Failure> {
    let content = std::fs::read(&asked.file).map_err(|e| format!("{} cannot be read: {e}", asked.file.display()))?;
    let new = NewImport {
        entity_type: asked.entity_type.clone(),
        file_name: asked.file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default(),
        content,
        mapping: pairs(&asked.mapping, |text| Value::from(text))?,
        options: asked.options()?,
    };
    let house = House::open(&asked.storage)?;
    let found = users::find_account(&house.door, &asked.user)?;
    let Some((organization, user)) = found else {
        return Err(format!("Nobody signs in as {}. `heimdell user create` adds people.", asked.user).into());
    };
    let acting = Acting { house: &house, organization, actor: Actor::User(user) };
    let import = acting.write(|tx| imports::create(tx, new))?;
    let worker = worker::start_for_imports(house.door.database().clone(), Arc::clone(&house.gates))?;
    let import = follow(&acting, import)?;
    worker.stop();
    conclude(&acting, &import, asked)?;
    house.close()
}

/// The caller of this command, in the database.
struct Acting<'h> {
    house: &'h House,
    organization: Id<Organization>,
    actor: Actor,
}

impl Acting<'_> {
    fn write<T>(&self, work: impl FnOnce(&mut Tx<'_>) -> Done<T>) -> Done<T> {
        self.house.door.acting(self.organization, &self.actor, clock::now(), work)
    }
}

fn pairs(given: &[String], read: impl Fn(&str) -> Value) -> Result<Map<String, Value>, Failure> {
    let pair = |text: &String| {
        let (name, value) = text.split_once('=').ok_or_else(|| format!("`{text}` is not NAME=VALUE"))?;
        Ok((name.to_owned(), read(value)))
    };
    given.iter().map(pair).collect::<Result<_, String>>().map_err(Failure::from)
}

/// Shows how far the import has got until it ends.
fn follow(acting: &Acting<'_>, mut import: Import) -> Result<Import, Failure> {
    let bar = ProgressBar::new(u64::try_from(import.fields.rows_total)?);
    let style = "{bar:40} {pos}/{len} rows  {per_sec}  {msg}";
    bar.set_style(ProgressStyle::with_template(style)?);
    while matches!(import.fields.status.as_str(), "queued" | "running") {
        thread::sleep(Duration::from_millis(200));
        import = acting.write(|tx| imports::read(tx, import.id))?;
        let fields = &import.fields;
        bar.set_position(u64::try_from(fields.rows_done)?);
        bar.set_message(format!("{} created, {} refused", fields.created, fields.failed));
    }
    bar.finish();
    Ok(import)
}

fn conclude(acting: &Acting<'_>, import: &Import, asked: &FileToImport) -> Result<(), Failure> {
    let fields = &import.fields;
    let tried = if fields.dry_run { " (dry run: nothing is kept)" } else { "" };
    println!(
        "{}{tried}: {} rows, {} created, {} updated, {} skipped, {} refused; {} with a warning.",
        fields.status,
        fields.rows_total,
        fields.created,
        fields.updated,
        fields.skipped,
        fields.failed,
        fields.warnings
    );
    if fields.failed > 0 {
        let file = file_at(&asked.errors)?;
        acting.write(|tx| imports::errors(tx, import.id, file).map(drop))?;
        println!("The refused rows are in {}: mend them there and import that file.", asked.errors.display());
    }
    if fields.warnings > 0 {
        let file = file_at(&asked.warnings)?;
        acting.write(|tx| imports::warnings(tx, import.id, file).map(drop))?;
        println!("The rows that landed but want a look are in {}.", asked.warnings.display());
    }
    match &fields.error {
        Some(error) => Err(error.clone().into()),
        None => Ok(()),
    }
}

fn file_at(path: &Path) -> Result<File, Failure> {
    Ok(File::create(path).map_err(|e| format!("{}: {e}", path.display()))?)
}
