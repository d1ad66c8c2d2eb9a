//! Somebody who receives webhooks: a listener on loopback that notes what it is sent.
use std::{
    collections::VecDeque,
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle, sleep},
    time::Duration,
};

use crm_ops::webhooks::signature::{self, Message, Secret, SignatureError};
use serde_json::Value;

/// What was sent.
#[derive(Debug, Clone)]
pub(crate) struct Received {
    headers: Vec<(String, String)>,
    pub(crate) raw: String,
    pub(crate) body: Value,
}

/// A receiver; it ends with this value.
pub(crate) struct Receiver {
    pub(crate) url: String,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    seen: Mutex<Vec<Received>>,
    answers: Mutex<VecDeque<(String, String)>>,
    ended: AtomicBool,
}

impl Received {
    pub(crate) fn header(&self, name: &str) -> String {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone()).unwrap_or_default()
    }

    pub(crate) fn text(&self, member: &str) -> String {
        self.body[member].as_str().unwrap_or_default().to_owned()
    }

    /// Verifies it as a receiver that knows one of these secrets.
    pub(crate) fn verify(&self, secrets: &[&Secret]) -> Result<(), SignatureError> {
        let secrets: Vec<_> = secrets.iter().map(|secret| Secret::parse(&secret.reveal()).unwrap()).collect();
        let sent_at = signature::timestamp(&self.header("webhook-timestamp")).unwrap();
        let id = self.header("webhook-id");
        let message = Message { id: &id, sent_at, body: self.raw.as_bytes() };
        signature::verify(&secrets, &message, &self.header("webhook-signature"), crm_core::clock::now())
    }
}

impl Receiver {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/hook", listener.local_addr().unwrap());
        let shared = Arc::new(Shared::default());
        let theirs = Arc::clone(&shared);
        let thread = thread::spawn(move || {
            for stream in listener.incoming() {
                if theirs.ended.load(Ordering::Relaxed) {
                    return;
                }
                receive(stream.unwrap(), &theirs);
            }
        });
        Self { url, shared, thread: Some(thread) }
    }

    /// Answers the next message so, and what comes after it with 200 again.
    pub(crate) fn answer_next(&self, status: &str, headers: &str) {
        self.shared.answers.lock().unwrap().push_back((status.into(), headers.into()));
    }

    pub(crate) fn seen(&self) -> Vec<Received> {
        self.shared.seen.lock().unwrap().clone()
    }

    /// What was sent, once it is so many messages.
    pub(crate) fn wait_for(&self, count: usize) -> Vec<Received> {
        until(|| self.seen().len() >= count);
        let seen = self.seen();
        assert_eq!(seen.len(), count, "{seen:#?}");
        seen
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::Relaxed);
        let address = self.url.trim_start_matches("http://").trim_end_matches("/hook");
        drop(TcpStream::connect(address));
        drop(self.thread.take().map(JoinHandle::join));
    }
}

fn receive(mut stream: TcpStream, shared: &Shared) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).unwrap() == 0 {
            return;
        }
        match line.trim_end().split_once(": ") {
            Some((name, value)) => headers.push((name.to_ascii_lowercase(), value.to_owned())),
            None if line.trim_end().is_empty() => break,
            None => {}
        }
    }
    let length = headers.iter().find(|(name, _)| name == "content-length").map_or(0, |(_, n)| n.parse().unwrap());
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    let raw = String::from_utf8(body).unwrap();
    let body = serde_json::from_str(&raw).unwrap();
    shared.seen.lock().unwrap().push(Received { headers, raw, body });
    let (status, more) = shared.answers.lock().unwrap().pop_front().unwrap_or(("200 OK".into(), String::new()));
    let answer = format!("HTTP/1.1 {status}\r\n{more}content-length: 4\r\nconnection: close\r\n\r\nseen");
    stream.write_all(answer.as_bytes()).unwrap();
}

/// Waits until something is so.
#[track_caller]
pub(crate) fn until(mut is_so: impl FnMut() -> bool) {
    for _ in 0..600 {
        if is_so() {
            return;
        }
        sleep(Duration::from_millis(50));
    }
    panic!("it never was so");
}
