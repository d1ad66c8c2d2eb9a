//! Whoever is sent something by the program: a listener on loopback that notes it, until the test ends.
use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
};

use serde_json::Value;

/// What somebody was sent: the path, the headers as they stood, and the body.
#[derive(Debug, Clone)]
pub(crate) struct Received {
    pub(crate) path: String,
    pub(crate) headers: String,
    pub(crate) body: Value,
}

/// A receiver that takes everything, unless its path says otherwise.
pub(crate) struct Receiver {
    pub(crate) address: String,
    seen: Arc<Mutex<Vec<Received>>>,
}

impl Receiver {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let seen = Arc::<Mutex<Vec<Received>>>::default();
        let theirs = Arc::clone(&seen);
        thread::spawn(move || listener.incoming().for_each(|stream| receive(stream.unwrap(), &theirs)));
        Self { address, seen }
    }

    /// What came to this path.
    pub(crate) fn seen(&self, path: &str) -> Vec<Received> {
        self.seen.lock().unwrap().iter().filter(|it| it.path == path).cloned().collect()
    }
}

fn receive(mut stream: TcpStream, seen: &Mutex<Vec<Received>>) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).unwrap() == 0 {
            return;
        }
        match line.trim_end() {
            "" => break,
            text => lines.push(text.to_owned()),
        }
    }
    let headers = lines.join("\n").to_lowercase();
    let length = headers.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap().parse().unwrap();
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    let path = lines[0].split(' ').nth(1).unwrap().to_owned();
    seen.lock().unwrap().push(Received { path, headers, body: serde_json::from_slice(&body).unwrap() });
    // `/answers/404` is answered with 404, everything else with 200.
    let status = lines[0].split(['/', ' ']).skip_while(|part| *part != "answers").nth(1).unwrap_or("200");
    write!(stream, "HTTP/1.1 {status} X\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{{}}").unwrap();
}
