//! A Discord webhook against a receiver of this machine: what goes over the wire, and how its answers are heeded.
use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpListener,
    sync::Arc,
    thread::JoinHandle,
};

use crm_core::{
    alerts::{self, AlertNotification, Cause, Channel, Severity},
    sessions::tokens::Secret,
};
use crm_ops::discord::DiscordWebhook;
use serde_json::Value;

use crate::{house::House, stop};

/// Answers as many requests as there are answers, and tells what was sent.
fn receiver(answers: [&'static str; 3]) -> (String, JoinHandle<Vec<Value>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/api/webhooks/1/secret", listener.local_addr().unwrap());
    let thread = std::thread::spawn(move || {
        let answer = |answer: &str| {
            let (stream, _) = listener.accept().unwrap();
            let mut reader = BufReader::new(stream);
            let head: Vec<String> = reader.by_ref().lines().map(Result::unwrap).take_while(|l| !l.is_empty()).collect();
            let length =
                head.iter().find_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.parse().ok());
            let mut body = vec![0; length.unwrap()];
            reader.read_exact(&mut body).unwrap();
            let text = format!("HTTP/1.1 {answer}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
            reader.into_inner().write_all(text.as_bytes()).unwrap();
            serde_json::from_slice(&body).unwrap()
        };
        answers.into_iter().map(answer).collect()
    });
    (url, thread)
}

#[test]
fn an_alert_arrives_after_the_channel_has_asked_to_wait() {
    let house = House::new(1);
    let (url, received) = receiver(["429 Too Many Requests\r\nRetry-After: 1", "503 Unavailable", "204 No Content"]);
    let channel: Arc<dyn Channel> = Arc::new(DiscordWebhook::new(&Secret::new(url.as_str()), true).unwrap());
    let cause = Cause {
        fingerprint: "disk",
        severity: Severity::Critical,
        source: "disk",
        title: "The disk is nearly full",
        message: "a word that stays inside".into(),
    };
    house.write(house.organizations[0], |tx| alerts::raise(tx, &cause)).unwrap();
    let worker = house.idle_worker().plug(channel).register::<AlertNotification>().start().unwrap();
    // The first answer costs no attempt, the second one does and is waited for longer than a test should take.
    house.until(
        "SELECT status || attempts || coalesce(last_error, '') FROM queue_jobs",
        "waiting1the channel did not take the notice: it answered with a fault of its own",
    );
    house.run("UPDATE queue_jobs SET run_at = now()");
    house.until("SELECT status FROM queue_jobs", "completed");
    stop(vec![worker]);
    let bodies = received.join().unwrap();
    for body in bodies {
        let content = body["content"].as_str().unwrap();
        assert!(content.starts_with("**CRITICAL** (disk): The disk is nearly full\nSeen once."), "{content}");
        assert!(!content.contains("stays inside"), "{content}");
        assert_eq!(body["allowed_mentions"]["parse"], serde_json::json!([]));
    }
    let told = house.text("SELECT string_agg(to_jsonb(j)::text, '') FROM queue_jobs j");
    assert!(!told.contains("secret") && !told.contains("webhooks"), "{told}");
}
