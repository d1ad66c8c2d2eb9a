//! The end of a process under load: whoever was let in is answered, whoever comes later is refused.
use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use crm_core::testing::TestDatabase;

use super::kit::{Process, program};

/// As many clients at once, each with a connection of its own to every request.
const CLIENTS: usize = 64;

/// What became of the requests of one round.
#[derive(Debug, Default)]
struct Tally {
    answered: usize,
    told_to_come_again: usize,
    refused: usize,
    lost: Vec<String>,
}

impl Tally {
    fn add(mut self, other: Self) -> Self {
        self.answered += other.answered;
        self.told_to_come_again += other.told_to_come_again;
        self.refused += other.refused;
        self.lost.extend(other.lost);
        self
    }

    /// Sends a request on a new connection.
    fn request(&mut self, address: SocketAddr) {
        let Ok(mut stream) = TcpStream::connect_timeout(&address, Duration::from_secs(5)) else {
            self.refused += 1;
            return;
        };
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let sent = write!(stream, "GET /api/leads HTTP/1.1\r\nHost: {address}\r\n\r\n");
        let mut text = Vec::new();
        let mut part = [0; 4096];
        let read = sent.and_then(|()| {
            // The head says all; a connection that is kept does not end.
            while !text.windows(4).any(|four| four == b"\r\n\r\n") {
                match stream.read(&mut part)? {
                    0 => break,
                    count => text.extend(&part[..count]),
                }
            }
            Ok(())
        });
        let text = String::from_utf8_lossy(&text);
        match (read, text.split(' ').nth(1)) {
            (Ok(()), Some("401")) => self.answered += 1,
            (Ok(()), Some("503")) if text.to_lowercase().contains("retry-after: ") => self.told_to_come_again += 1,
            (read, _) => self.lost.push(format!("{read:?} after {text:?}")),
        }
    }
}

/// Hammers a process, ends it, and goes on until it is gone.
fn round(database: &TestDatabase) -> Tally {
    let mut server = Process::start(program(&database.url()));
    let (address, over) = (server.address.parse().unwrap(), AtomicBool::new(false));
    std::thread::scope(|scope| {
        let client = || {
            let mut tally = Tally::default();
            while !over.load(Ordering::Relaxed) {
                tally.request(address);
            }
            tally
        };
        let clients: Vec<_> = (0..CLIENTS).map(|_| scope.spawn(client)).collect();
        std::thread::sleep(Duration::from_millis(300));
        server.terminate();
        let status = server.wait();
        over.store(true, Ordering::Relaxed);
        assert!(status.success(), "{status}");
        clients.into_iter().map(|client| client.join().unwrap()).fold(Tally::default(), Tally::add)
    })
}

/// How many processes are ended.
#[allow(clippy::disallowed_methods, reason = "a test has no caller that could read the settings for it")]
fn rounds() -> usize {
    std::env::var("HEIMDELL_TEST_ROUNDS").map_or(2, |rounds| rounds.parse().unwrap())
}

#[test]
fn a_process_that_ends_under_load_answers_every_request_that_it_let_in() {
    let database = TestDatabase::new();
    let mut all = Tally::default();
    for number in 1..=rounds() {
        let tally = round(&database);
        println!(
            "round {number}: {} answered, {} told to come again, {} refused, {} lost",
            tally.answered,
            tally.told_to_come_again,
            tally.refused,
            tally.lost.len()
        );
        all = all.add(tally);
    }
    println!("in all: {} answered, {} refused, {} lost", all.answered, all.refused, all.lost.len());
    assert!(all.answered > 100 && all.refused > 0, "{all:?}");
    assert_eq!(all.lost, Vec::<String>::new());
}
