//! `pg_dump` and `pg_restore`, run so that nobody sees the password.
use std::{
    path::Path,
    process::{Command, Output, Stdio},
};

use super::{Error, Place};
use crate::database::{addresses::Address, binaries};

/// How much of a program's complaints is kept, in characters.
const LONGEST: usize = 2_000;

/// The programs for a server.
pub(super) struct Programs(binaries::ClientPrograms);

impl Programs {
    /// Those that know a server of this major version.
    pub(super) fn find(place: &Place, server: u32) -> Result<Self, Error> {
        binaries::find_client(place.pg_bin.as_deref(), place.path.as_deref(), server)
            .map(Self)
            .map_err(Error::NoPrograms)
    }

    /// Dumps a database as a snapshot sees it, into a file that exists.
    pub(super) fn dump(&self, address: &Address, snapshot: &str, file: &Path) -> Command {
        let mut command = self.command("pg_dump", Some(address));
        command.args(["--format=custom", "--no-password", "--lock-wait-timeout=60s"]);
        command.arg(format!("--snapshot={snapshot}")).arg("--file").arg(file);
        command
    }

    /// Restores a dump into a database that holds nothing, as its user's own.
    pub(super) fn restore(&self, address: &Address, file: &Path) -> Result<(), Error> {
        let list = output("pg_restore", self.command("pg_restore", None).arg("--list").arg(file))?;
        let mut command = self.command("pg_restore", Some(address));
        command.args(["--no-password", "--no-owner", "--no-privileges", "--exit-on-error", "--use-list=/dev/stdin"]);
        command.arg(file).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(Error::at(&self.0.folder))?;
        if let Some(mut stdin) = child.stdin.take() {
            use std::io::Write;
            let list = restorable(&String::from_utf8_lossy(&list));
            stdin.write_all(list.as_bytes()).map_err(Error::at("pg_restore"))?;
        }
        checked("pg_restore", child.wait_with_output().map_err(Error::at(&self.0.folder))?).map(drop)
    }

    /// The password goes by the environment; what stands on the command line is for everybody to read.
    fn command(&self, program: &str, address: Option<&Address>) -> Command {
        let mut command = Command::new(self.0.folder.join(program));
        command.stdin(Stdio::null()).env("LC_MESSAGES", "C");
        if let Some(address) = address {
            command.arg("--dbname").arg(address.public_text());
            if let Some(password) = address.password() {
                command.env("PGPASSWORD", password);
            }
        }
        command
    }
}

/// What a program wrote, once it has ended well.
pub(super) fn checked(program: &'static str, output: Output) -> Result<Vec<u8>, Error> {
    if output.status.success() {
        return Ok(output.stdout);
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let said: Vec<char> = said.trim().chars().map(|c| if c == '\n' { ' ' } else { c }).collect();
    Err(Error::Program { program, said: said[said.len().saturating_sub(LONGEST)..].iter().collect() })
}

fn output(program: &'static str, command: &mut Command) -> Result<Vec<u8>, Error> {
    checked(program, command.output().map_err(Error::at(program))?)
}

/// A list of what is to be restored, without what only a superuser may: comments on extensions.
fn restorable(list: &str) -> String {
    list.lines().filter(|line| !line.contains(" COMMENT - EXTENSION ")).map(|line| format!("{line}\n")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_on_extensions_are_left_out() {
        let list = "; head\n2; 3079 16386 EXTENSION - pg_trgm \n3500; 0 0 COMMENT - EXTENSION pg_trgm \n215; 1259 1 TABLE public users x\n";
        assert_eq!(restorable(list), "; head\n2; 3079 16386 EXTENSION - pg_trgm \n215; 1259 1 TABLE public users x\n");
    }

    #[test]
    fn nobody_sees_the_password() {
        let programs = Programs(binaries::ClientPrograms { folder: "/nowhere".into(), major: 15 });
        let address = Address::parse("postgres://a:s3cret@h/d").unwrap();
        let command = programs.dump(&address, "1-1", Path::new("/x"));
        let arguments: Vec<_> = command.get_args().map(|argument| argument.to_string_lossy().into_owned()).collect();
        assert!(!arguments.join(" ").contains("s3cret"), "{arguments:?}");
        assert!(arguments.iter().any(|argument| argument == "dbname='d' host='h' user='a'"), "{arguments:?}");
    }
}
