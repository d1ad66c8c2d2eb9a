//! `heimdell`: one program for the API, the workers and the tools.
use std::{
    io::Read,
    process::ExitCode,
    sync::{Arc, atomic::AtomicBool},
};

use clap::{Args, Parser, Subcommand};
use crm_core::{
    clock,
    database::{self, Database, Settings, migrations, private},
    door::Door,
    sessions::tokens::Secret,
    users::{self, FirstUser, Role},
};
use crm_policy::PolicyGates;
use gateway::{
    config::{Listening, LogFormat, Logging, Storage},
    document, server,
};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The CRM for revenue teams of several brands that must account for what they do.
#[derive(Parser)]
#[command(name = "heimdell", version)]
struct Program {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    logging: Logging,
}

#[derive(Subcommand)]
enum Command {
    /// Answer requests, and handle jobs.
    Serve {
        #[command(flatten)]
        storage: Storage,
        #[command(flatten)]
        listening: Listening,
    },
    /// Bring the schema up to date.
    Migrate {
        #[command(flatten)]
        storage: Storage,
    },
    /// Print the OpenAPI document.
    Openapi,
    /// People who sign in.
    #[command(subcommand)]
    User(UserCommand),
}

#[derive(Subcommand)]
enum UserCommand {
    /// Add somebody; the organization is made where it is new.
    Create(NewUser),
}

#[derive(Args)]
struct NewUser {
    #[command(flatten)]
    storage: Storage,
    /// The name of the organization.
    #[arg(long)]
    organization: String,
    /// What they sign in with.
    #[arg(long)]
    email: String,
    /// What people call them.
    #[arg(long)]
    name: String,
    /// ADMIN, MANAGER or SALES_REP.
    #[arg(long, default_value = "ADMIN")]
    role: Role,
    /// The password. Others on this machine can see it in the list of processes; prefer --password-stdin.
    #[arg(long, conflicts_with = "password_stdin", required_unless_present = "password_stdin")]
    password: Option<String>,
    /// Read the password from the first line of standard input.
    #[arg(long)]
    password_stdin: bool,
}

/// A failure, in words for whoever started the program.
type Failure = Box<dyn std::error::Error>;

fn main() -> ExitCode {
    let program = Program::parse();
    log(&program.logging);
    match run(program.command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("heimdell: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn log(logging: &Logging) {
    use tracing_subscriber::{EnvFilter, fmt};
    let filter = EnvFilter::try_new(&logging.log).unwrap_or_else(|_| EnvFilter::new("info"));
    let lines = fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match logging.log_format {
        LogFormat::Text => lines.compact().with_target(false).init(),
        LogFormat::Json => lines.json().flatten_event(true).init(),
    }
}

fn run(command: Command) -> Result<(), Failure> {
    match command {
        Command::Serve { storage, listening } => {
            let house = House::open(&storage)?;
            let stopping = Arc::new(AtomicBool::new(false));
            actix_web::rt::System::new().block_on(server::serve(
                house.door.clone(),
                storage.connections,
                &listening,
                stopping,
            ))?;
            house.close()
        }
        Command::Migrate { storage } => {
            let house = House::open(&Storage { no_migrate: false, ..storage })?;
            println!("The schema is current.");
            house.close()
        }
        Command::Openapi => {
            print!("{}", document::text());
            Ok(())
        }
        Command::User(UserCommand::Create(new)) => create_user(new),
    }
}

/// The data of this process: its own PostgreSQL, where it runs one, and the door to it.
struct House {
    postgres: Option<private::PrivatePostgres>,
    door: Door,
}

impl House {
    fn open(storage: &Storage) -> Result<Self, Failure> {
        let (postgres, url) = match &storage.database_url {
            Some(url) => (None, url.clone()),
            None => {
                let options = private::Options {
                    pg_bin: storage.pg_bin.clone(),
                    path: storage.path.clone(),
                    ..private::Options::new(&storage.home)
                };
                let postgres = private::PrivatePostgres::start(options)?;
                let url = postgres.url(private::DATABASE);
                (Some(postgres), url)
            }
        };
        let database = Database::open(&url, Settings { max_size: storage.connections, ..Settings::default() })?;
        database.with(|conn| database::check_server(conn))?;
        if storage.no_migrate {
            let left = database
                .with(|conn| migrations::pending(conn).map_err(|e| database::Error::Unsuitable(e.to_string())))?;
            if !left.is_empty() {
                return Err(format!(
                    "The schema is not current: {} migrations are due. Run `heimdell migrate`.",
                    left.len()
                )
                .into());
            }
        } else {
            for name in migrations::migrate(&url)? {
                tracing::info!(name, "migrated");
            }
        }
        Ok(Self { postgres, door: Door::new(database, Arc::new(PolicyGates::new())) })
    }

    fn close(self) -> Result<(), Failure> {
        drop(self.door);
        self.postgres.map_or(Ok(()), |postgres| postgres.stop().map_err(Failure::from))
    }
}

fn create_user(new: NewUser) -> Result<(), Failure> {
    let password = match new.password {
        Some(password) => password,
        None => {
            let mut text = String::new();
            std::io::stdin().read_to_string(&mut text)?;
            text.lines().next().unwrap_or_default().to_owned()
        }
    };
    let house = House::open(&new.storage)?;
    let first = FirstUser {
        organization: new.organization,
        email: new.email,
        name: new.name,
        role: new.role,
        password: Secret::new(password),
    };
    let made = users::create_first(&house.door, &first, clock::now())?;
    let what = if made.is_new { "is added" } else { "was there already; nothing is changed" };
    println!("{} {what} (organization {}).", made.user.fields.email, made.organization);
    house.close()
}
