//! A server to be measured, and requests to it on open connections.
#![allow(dead_code, reason = "each benchmark takes what it needs")]
use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    process::Command,
    sync::{Arc, atomic::AtomicBool, mpsc},
    time::Instant,
};

use crm_core::{door::Door, testing::TestDatabase};
use gateway::{app::App, server};

#[allow(clippy::disallowed_methods)] // a benchmark reads the clock
pub(crate) fn instant() -> Instant {
    Instant::now()
}

pub(crate) fn psql(database: &TestDatabase, sql: &str) {
    let done =
        Command::new("psql").args(["-q", "-v", "ON_ERROR_STOP=1", "-d", &database.url(), "-c", sql]).status().unwrap();
    assert!(done.success());
}

pub(crate) fn serve(door: &Door) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let app = App::new(door.clone(), door.database().usage().max as usize, Arc::new(AtomicBool::new(false))).unwrap();
    let (tell, told) = mpsc::channel();
    std::thread::spawn(move || {
        actix_web::rt::System::new().block_on(async move {
            let server = server::build(app, listener, 2).unwrap();
            tell.send(()).unwrap();
            server.await.unwrap();
        });
    });
    told.recv().unwrap();
    address
}

pub(crate) fn between<'t>(text: &'t str, from: &str, to: &str) -> &'t str {
    let rest = &text[text.find(from).unwrap() + from.len()..];
    &rest[..rest.find(to).unwrap()]
}

pub(crate) fn request(address: &str, token: &str, path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {token}\r\n\r\n").into_bytes()
}

/// Sends a request on an open connection and reads the answer whole.
pub(crate) fn exchange(stream: &mut BufReader<TcpStream>, request: &[u8], body: &mut Vec<u8>) {
    stream.get_mut().write_all(request).unwrap();
    let (mut line, mut length) = (String::new(), 0);
    stream.read_line(&mut line).unwrap();
    assert!(line.contains(" 200 "), "{line}");
    loop {
        line.clear();
        stream.read_line(&mut line).unwrap();
        if let Some(value) = line.strip_prefix("content-length: ") {
            length = value.trim().parse().unwrap();
        }
        if line == "\r\n" {
            break;
        }
    }
    body.resize(length, 0);
    stream.read_exact(body).unwrap();
}

pub(crate) fn get(address: &str, token: &str, path: &str) -> String {
    let mut stream = BufReader::new(TcpStream::connect(address).unwrap());
    let mut body = Vec::new();
    exchange(&mut stream, &request(address, token, path), &mut body);
    String::from_utf8(body).unwrap()
}
