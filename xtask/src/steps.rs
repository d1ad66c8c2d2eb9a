//! Steps of the test run: each is a command that is announced, timed, streamed and, where it runs tests, counted.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

use crate::counts::Counts;

/// Reads one line of a command's output as a test runner's count, or not.
pub(crate) type LineCounter = fn(&str) -> Option<Counts>;

/// A command of the test run.
pub(crate) struct Step {
    /// What the step looks at, as the announcement names it.
    pub(crate) name: &'static str,
    /// What it runs.
    pub(crate) command: Command,
    /// How its standard output is counted; `None` for a command that runs no tests.
    pub(crate) counter: Option<LineCounter>,
}

/// How a step ended.
pub(crate) struct Outcome {
    /// The step's name.
    pub(crate) name: &'static str,
    /// Its tests; at least one failure where the command failed.
    pub(crate) counts: Counts,
    /// How long it took.
    pub(crate) elapsed: Duration,
}

impl Outcome {
    /// Whether the command ended well and none of its tests failed.
    pub(crate) fn is_ok(&self) -> bool {
        self.counts.failed == 0
    }
}

/// What a closed output is waited for once its command has ended: a server that a test left running may hold the
/// pipe open for as long as it lives, while all that the command itself wrote is already in it.
const DRAIN: Duration = Duration::from_secs(2);

/// Runs the steps one after the other, all of them whatever the earlier ones found, and says how each ended.
///
/// # Errors
/// When a command can't be started or its output can't be passed on.
pub(crate) fn run_all(steps: Vec<Step>) -> io::Result<Vec<Outcome>> {
    let total = steps.len();
    steps.into_iter().enumerate().map(|(index, step)| run(step, index + 1, total)).collect()
}

fn run(mut step: Step, number: usize, total: usize) -> io::Result<Outcome> {
    println!("==> {number}/{total} {}: {}", step.name, command_line(&step.command));
    step.command.stdin(Stdio::null());
    let (finished, elapsed) = timed(|| match step.counter {
        Some(counter) => run_counted(&mut step.command, counter),
        None => start(&mut step.command)?.wait().map(|status| (status, Counts::default())),
    });
    let (status, counts) = finished?;
    let outcome = Outcome { name: step.name, counts: settle(status, counts), elapsed };
    let verdict = if outcome.is_ok() { "ok" } else { "FAILED" };
    println!("<== {}: {verdict} in {:.1} s", outcome.name, outcome.elapsed.as_secs_f64());
    Ok(outcome)
}

/// Passes the command's standard output on as it comes and adds up what it counts.
fn run_counted(command: &mut Command, counter: LineCounter) -> io::Result<(ExitStatus, Counts)> {
    let mut child = start(command.stdout(Stdio::piped()))?;
    let found = child.stdout.take().map(|output| count_lines(output, counter));
    let status = child.wait()?;
    let counts = found.as_ref().map(drain).transpose()?.unwrap_or_default();
    Ok((status, counts))
}

fn start(command: &mut Command) -> io::Result<Child> {
    command.spawn().map_err(|error| io::Error::other(format!("`{}` can't be started: {error}", command_line(command))))
}

/// Copies `output` to standard output line by line on a thread of its own, and sends what it counts.
fn count_lines(output: impl Read + Send + 'static, counter: LineCounter) -> Receiver<io::Result<Counts>> {
    let (sender, found) = mpsc::channel();
    thread::spawn(move || {
        let mut reader = BufReader::new(output);
        let mut line = Vec::new();
        loop {
            line.clear();
            let message = match reader.read_until(b'\n', &mut line) {
                Ok(0) => return,
                Ok(_) => {
                    pass_on(&line).map(|()| counter(String::from_utf8_lossy(&line).trim_end()).unwrap_or_default())
                }
                Err(error) => Err(error),
            };
            let broken = message.is_err();
            if sender.send(message).is_err() || broken {
                return;
            }
        }
    });
    found
}

/// Writes the line and its end, also where the command left that out: the next line must start on its own.
fn pass_on(line: &[u8]) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(line.strip_suffix(b"\n").unwrap_or(line))?;
    stdout.write_all(b"\n")?;
    stdout.flush()
}

/// Adds up what was found, until the output is closed or nothing more comes.
fn drain(found: &Receiver<io::Result<Counts>>) -> io::Result<Counts> {
    let mut counts = Counts::default();
    while let Ok(message) = found.recv_timeout(DRAIN) {
        counts = counts + message?;
    }
    Ok(counts)
}

/// A command that failed without a failed test, say because it did not compile, counts as one failure.
fn settle(status: ExitStatus, counts: Counts) -> Counts {
    if status.success() || counts.failed > 0 { counts } else { counts + Counts::ONE_FAILURE }
}

/// The command as a person would type it, its own environment in front.
fn command_line(command: &Command) -> String {
    let settings = command.get_envs().filter_map(|(name, value)| {
        value.map(|value| format!("{}={:?}", name.to_string_lossy(), value.to_string_lossy()))
    });
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    settings.chain(words.map(|word| word.to_string_lossy().into_owned())).collect::<Vec<_>>().join(" ")
}

/// What `work` gives, and how long it took.
#[allow(clippy::disallowed_methods)] // the one place of this program that measures elapsed time
fn timed<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let started = Instant::now();
    let result = work();
    (result, started.elapsed())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads `count PASSED FAILED SKIPPED`. A format of its own, because what these steps print goes to the standard
    /// output of the tests too, where a line of libtest's would be counted by the run that this test is part of.
    fn count(line: &str) -> Option<Counts> {
        let mut numbers = line.strip_prefix("count ")?.split(' ').map(str::parse);
        let mut next = || numbers.next()?.ok();
        Some(Counts { passed: next()?, failed: next()?, skipped: next()? })
    }

    fn shell(script: &str) -> Step {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        Step { name: "shell", command, counter: Some(count) }
    }

    fn counts_of(step: Step) -> Counts {
        run(step, 1, 1).unwrap().counts
    }

    #[test]
    fn every_count_that_a_step_prints_is_added_up() {
        let script =
            "echo 'count 2 0 1'; echo noise; printf '\\377\\n'; echo 'count 3 0 1' >&2; printf 'count 2 0 1'; echo";
        assert_eq!(counts_of(shell(script)), Counts { passed: 4, failed: 0, skipped: 2 });
        assert_eq!(counts_of(shell("printf 'count 1 0 0'")), Counts { passed: 1, failed: 0, skipped: 0 });
    }

    #[test]
    fn a_step_that_fails_without_a_failed_test_counts_as_one_failure() {
        let cases = [
            ("echo count 2 0 1; exit 101", Counts { passed: 2, failed: 1, skipped: 1 }),
            ("echo count 0 3 0; exit 101", Counts { passed: 0, failed: 3, skipped: 0 }),
            ("kill -9 $$", Counts::ONE_FAILURE),
            ("exit 0", Counts::default()),
        ];
        for (script, expected) in cases {
            assert_eq!(counts_of(shell(script)), expected, "{script}");
        }
        assert_eq!(counts_of(Step { counter: None, ..shell("echo count 1 0 0; exit 1") }), Counts::ONE_FAILURE);
    }

    #[test]
    fn a_process_left_behind_does_not_hold_the_step_up() {
        let process = counts_of(shell("sleep 60 & echo count $! 0 0")).passed;
        let killed = Command::new("kill").arg(process.to_string()).status().unwrap();
        assert!(killed.success(), "the process was still running when the step ended");
    }

    #[test]
    fn later_steps_run_whatever_the_earlier_ones_found() {
        let outcomes = run_all(vec![shell("exit 1"), shell("exit 0")]).unwrap();
        assert_eq!(outcomes.iter().map(Outcome::is_ok).collect::<Vec<_>>(), [false, true]);
    }

    #[test]
    fn a_program_that_is_not_there_is_named() {
        let step = Step { name: "absent", command: Command::new("heimdell-no-such-program"), counter: None };
        let error = run_all(vec![step]).err().unwrap().to_string();
        assert!(error.contains("heimdell-no-such-program"), "{error}");
    }

    #[test]
    fn a_command_reads_as_a_person_would_type_it() {
        let mut command = Command::new("cargo");
        command.args(["doc", "--no-deps"]).env("RUSTDOCFLAGS", "-D warnings");
        assert_eq!(command_line(&command), "RUSTDOCFLAGS=\"-D warnings\" cargo doc --no-deps");
    }
}
