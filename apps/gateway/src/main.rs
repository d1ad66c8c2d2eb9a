//! `heimdell`: one program for the API, the workers and the tools.
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use gateway::{
    config::{Listening, LogFormat, Logging, Storage, Watching},
    document,
};

mod commands;

use commands::{Failure, backing_up, examining, house::House, importing, keys, people, restoring, serving};

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
    /// Answer requests, and do jobs.
    Serve {
        #[command(flatten)]
        storage: Storage,
        #[command(flatten)]
        listening: Listening,
        #[command(flatten)]
        watching: Watching,
    },
    /// Do jobs, and answer nobody.
    Worker {
        #[command(flatten)]
        storage: Storage,
        #[command(flatten)]
        watching: Watching,
    },
    /// Bring the schema up to date.
    Migrate {
        #[command(flatten)]
        storage: Storage,
    },
    /// Serve made-up data of two brands, to look around in.
    Demo {
        #[command(flatten)]
        storage: Storage,
        #[command(flatten)]
        listening: Listening,
        #[command(flatten)]
        watching: Watching,
    },
    /// Print the OpenAPI document.
    Openapi,
    /// People who sign in.
    #[command(subcommand)]
    User(UserCommand),
    /// Import a CSV file, with a progress bar.
    Import(importing::FileToImport),
    /// The keys that seal secrets.
    #[command(subcommand)]
    Keys(keys::Order),
    /// Back the database up, with what proves the backup; or verify one.
    Backup(backing_up::Order),
    /// Put a backup in the place of a database; nothing is lost where that fails.
    Restore(restoring::Order),
    /// Let what was held back after a restore go on: messages to webhooks.
    Resume(restoring::Resumption),
    /// Examine the installation: say what is wrong and what to do. Ends with 1 where something is.
    Doctor(examining::Order),
}

#[derive(Subcommand)]
enum UserCommand {
    /// Add somebody; the organization is made where it is new.
    Create(people::NewUser),
}

fn main() -> ExitCode {
    let program = Program::parse();
    log(&program.logging);
    match run(program.command) {
        Ok(code) => code,
        Err(failure) => {
            eprintln!("heimdell: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn log(logging: &Logging) {
    use std::io::IsTerminal;
    use tracing_subscriber::{EnvFilter, fmt};
    let filter = EnvFilter::try_new(&logging.log).unwrap_or_else(|_| EnvFilter::new("info"));
    let lines = fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(std::io::stderr().is_terminal());
    match logging.log_format {
        LogFormat::Text => lines.compact().with_target(false).init(),
        LogFormat::Json => lines.json().flatten_event(true).init(),
    }
}

fn run(command: Command) -> Result<ExitCode, Failure> {
    let done = match command {
        Command::Serve { storage, listening, watching } => serving::serve(&storage, &listening, &watching),
        Command::Worker { storage, watching } => serving::work(&storage, &watching),
        Command::Migrate { storage } => {
            let house = House::open(&Storage { no_migrate: false, ..storage })?;
            println!("The schema is current.");
            house.close()
        }
        Command::Demo { storage, listening, watching } => serving::demonstrate(&storage, &listening, &watching),
        Command::Openapi => {
            print!("{}", document::text());
            Ok(())
        }
        Command::User(UserCommand::Create(new)) => people::create(new),
        Command::Import(file) => importing::run(&file),
        Command::Keys(order) => keys::run(&order),
        Command::Backup(order) => backing_up::run(&order),
        Command::Restore(order) => restoring::run(&order),
        Command::Resume(order) => restoring::resume(&order),
        // What the doctor finds is a result, and no failure of the command.
        Command::Doctor(order) => return Ok(examining::run(&order)?.into()),
    };
    done.map(|()| ExitCode::SUCCESS)
}
