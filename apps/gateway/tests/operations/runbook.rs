//! Every command of the runbook, in its order, in an installation of its own.
use std::{
    fs,
    net::TcpListener,
    path::Path,
    process::{Command, Stdio},
};

use super::kit::{PROGRAM, home};

const RUNBOOK: &str = include_str!("../../../../docs/RUNBOOK.md");

/// The job that the runbook retries.
const JOB: &str = "01980000-0000-7000-8000-000000000001";

/// A block of commands: the line that it begins at, its language, and its text.
struct Block {
    line: usize,
    language: String,
    text: String,
}

fn blocks(page: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut lines = page.lines().zip(1..);
    while let Some((line, number)) = lines.next() {
        let Some(language) = line.strip_prefix("```") else { continue };
        let text: Vec<_> = lines.by_ref().map(|(line, _)| line).take_while(|line| *line != "```").collect();
        blocks.push(Block { line: number, language: language.to_owned(), text: text.join("\n") });
    }
    blocks
}

#[test]
fn every_block_says_what_it_is() {
    for Block { line, language, text } in blocks(RUNBOOK) {
        match language.as_str() {
            "sh" | "sql" => assert!(!text.contains("docker"), "line {line}"),
            "console" => assert!(text.contains("docker"), "line {line}: what is no Docker is run"),
            other => panic!("line {line}: the language `{other}` is not run"),
        }
    }
}

/// What opens the private database.
const PSQL: &str =
    r#"psql --host="$PWD/.heimdell/postgres/s" --username=heimdell --set=ON_ERROR_STOP=1 --no-psqlrc heimdell_crm"#;

/// The blocks as one script that stops at the first failure.
fn script(port: u16) -> String {
    let mut script = "set -euo pipefail\ntrap 'kill \"${SERVER:-}\" 2>/dev/null || true' EXIT\n".to_owned();
    let mut is_seeded = false;
    for Block { line, language, text } in blocks(RUNBOOK) {
        script.push_str(&format!("echo '## line {line}'\n"));
        match language.as_str() {
            "sh" => script.push_str(&text),
            "sql" => {
                if !is_seeded {
                    script.push_str(&seed());
                    is_seeded = true;
                }
                script.push_str(&format!("{PSQL} <<'SQL'\n{text}\nSQL\n"));
                if text.contains(JOB) {
                    script.push_str(&taken());
                }
            }
            _ => {}
        }
        script.push('\n');
    }
    script.replace("localhost:3001", &format!("localhost:{port}"))
}

/// A job that was given up.
fn seed() -> String {
    format!(
        "{PSQL} --command=\"insert into queue_jobs (organization_id, id, queue, kind, payload, status, attempts, run_at, \
         created_at, updated_at) select id, '{JOB}', 'imports', 'import', '{{}}', 'failed', 12, now(), now(), now() \
         from organizations\"\n"
    )
}

/// Waits until a worker has taken it once more.
fn taken() -> String {
    let attempts =
        format!("$({PSQL} --no-align --tuples-only --command=\"select attempts from queue_jobs where id = '{JOB}'\")");
    format!("for look in $(seq 120); do [ \"{attempts}\" = 1 ] && break; sleep 0.5; done; [ \"{attempts}\" = 1 ]\n")
}

#[test]
fn every_command_works() {
    let home = home();
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    fs::write(home.path().join("password.txt"), "a long enough one\n").unwrap();
    fs::write(home.path().join("script"), script(port)).unwrap();
    let programs = Path::new(PROGRAM).parent().unwrap().display().to_string();
    let rehearsal = format!("postgres://heimdell@/rehearsal?host={}/.heimdell/postgres/s", home.path().display());
    let output = Command::new("bash")
        .args(["-c", "PATH=\"$PROGRAMS:$PATH\" exec bash script 2>&1"])
        .env("PROGRAMS", programs)
        .env("PORT", port.to_string())
        .env("REHEARSAL_URL", rehearsal)
        .env_remove("DATABASE_URL")
        .env_remove("HEIMDELL_HOME")
        .current_dir(home.path())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}");
    let log = fs::read_to_string(home.path().join("heimdell.log")).unwrap();
    assert!(log.contains("listening on"), "{log}");
    for words in ["is good: restored", "heimdell_crm is restored", "rehearsal is restored"] {
        assert!(said.contains(words), "{words}: {said}");
    }
}
