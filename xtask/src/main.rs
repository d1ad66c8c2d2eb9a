//! `cargo xtask`: what people and the continuous integration call to try, test and measure Heimdell CRM.

use std::fs;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use counts::Counts;
use steps::Step;

mod counts;
mod prerequisites;
mod steps;

const USAGE: &str = "\
Usage: cargo xtask COMMAND

  demo      builds the program and runs it with demo data; what follows is passed on to `heimdell demo`
  test      format, lints, all tests, documentation; ends with the line `N passed, N failed, N skipped`
  openapi   writes openapi/heimdell.json anew from the program
  bench     runs the benchmarks";

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let command = arguments.next().unwrap_or_default();
    let rest: Vec<String> = arguments.collect();
    let result = match (command.as_str(), rest.as_slice()) {
        ("demo", rest) => demo(rest),
        ("test", []) => test(),
        ("openapi", []) => openapi(),
        ("bench", rest) => bench(rest),
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    result.unwrap_or_else(|error| {
        eprintln!("error: {error}");
        ExitCode::FAILURE
    })
}

/// Builds the gateway in the profile that compiles quickly, and becomes it: `cargo run` replaces itself by the
/// program, as this process does by `cargo run`. Ctrl-C and SIGTERM so reach the program itself, which stops its
/// database before it ends.
fn demo(arguments: &[String]) -> io::Result<ExitCode> {
    if !prerequisites_met() {
        return Ok(ExitCode::FAILURE);
    }
    println!("Building the program. The first time this takes minutes; after that only what changed is built.");
    Err(cargo(&["run", "--profile", "demo", "--package", "heimdell", "--", "demo"]).args(arguments).exec())
}

fn test() -> io::Result<ExitCode> {
    if !prerequisites_met() {
        return Ok(ExitCode::FAILURE);
    }
    let outcomes = steps::run_all(test_steps())?;
    println!();
    for outcome in &outcomes {
        let verdict = if outcome.is_ok() { "ok" } else { "FAILED" };
        println!("{:<14} {verdict:<6} {:>7.1} s", outcome.name, outcome.elapsed.as_secs_f64());
    }
    let total: Counts = outcomes.iter().map(|outcome| outcome.counts).sum();
    println!("{total}");
    Ok(if total.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What `cargo xtask test` runs, in this order.
fn test_steps() -> Vec<Step> {
    let mut documentation = cargo(&["doc", "--no-deps", "--workspace"]);
    documentation.env("RUSTDOCFLAGS", "-D warnings");
    vec![
        Step { name: "Format", command: cargo(&["fmt", "--check"]), counter: None },
        Step {
            name: "Lints",
            command: cargo(&["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]),
            counter: None,
        },
        Step {
            name: "Tests",
            command: cargo(&["test", "--workspace", "--no-fail-fast"]),
            counter: Some(counts::libtest),
        },
        Step { name: "Documentation", command: documentation, counter: None },
    ]
}

fn openapi() -> io::Result<ExitCode> {
    let file = root().join("openapi/heimdell.json");
    let output = cargo(&["run", "--package", "heimdell", "--", "openapi"]).stderr(Stdio::inherit()).output()?;
    if !output.status.success() {
        return Err(io::Error::other("`heimdell openapi` failed, the document is as it was"));
    }
    if fs::read(&file).is_ok_and(|committed| committed == output.stdout) {
        println!("openapi/heimdell.json is up to date.");
        return Ok(ExitCode::SUCCESS);
    }
    if let Some(folder) = file.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::write(&file, output.stdout)?;
    println!("openapi/heimdell.json is written anew.");
    Ok(ExitCode::SUCCESS)
}

fn bench(arguments: &[String]) -> io::Result<ExitCode> {
    Err(cargo(&["bench", "--workspace"]).args(arguments).exec())
}

/// Says what is missing, a line each; true where nothing is.
fn prerequisites_met() -> bool {
    let missing = prerequisites::missing();
    for line in &missing {
        eprintln!("{line}");
    }
    missing.is_empty()
}

/// `cargo`, in the repository's folder wherever this was called from.
fn cargo(arguments: &[&str]) -> Command {
    let mut command = Command::new("cargo");
    command.args(arguments).current_dir(root());
    command
}

/// The repository's folder.
fn root() -> PathBuf {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package.parent().unwrap_or(package).to_path_buf()
}
