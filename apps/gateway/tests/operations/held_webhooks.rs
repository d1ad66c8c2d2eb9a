//! What a restored database would tell others once more waits until somebody sends it or discards it.
use std::{thread, time::Duration};

use serde_json::{Value, json};

use super::{
    backups::Ground,
    kit::{Client, Process, eventually, said},
    receiver::Receiver,
};

const HOOK: &str = "/hook";

fn serve(ground: &Ground, does_jobs: bool) -> Process {
    let mut command = super::kit::program(&ground.database.url());
    command.env("HEIMDELL_ALLOW_PRIVATE_ADDRESSES", "1").env("HEIMDELL_DRAIN_SECONDS", "0");
    if !does_jobs {
        command.env("HEIMDELL_NO_WORKERS", "true");
    }
    Process::start(command)
}

fn end(mut server: Process) {
    server.terminate();
    assert!(server.wait().success());
}

fn lead(client: &Client, name: &str) {
    assert_eq!(client.post("/api/leads", &json!({"lastName": name})).unwrap().status, 201);
}

fn told(receiver: &Receiver) -> Vec<Value> {
    receiver.seen(HOOK).into_iter().map(|it| it.body["data"]["lastName"].clone()).collect()
}

fn count(client: &Client, status: &str) -> usize {
    let list = client.get(&format!("/api/system/webhook-events?status={status}")).unwrap().body;
    list["webhookEvents"].as_array().unwrap().len()
}

fn webhook(client: &Client) -> Value {
    client.get("/api/webhooks").unwrap().body["webhooks"][0].clone()
}

fn alert(client: &Client) -> Value {
    client.get("/api/system/alerts?source=webhooks").unwrap().body["alerts"][0].clone()
}

#[test]
fn a_restored_database_sends_nothing_twice_until_somebody_says_so() {
    let (ground, receiver) = (Ground::founded(), Receiver::start());
    let server = serve(&ground, false);
    let client = server.client(&ground.database.url());
    let body = json!({"url": format!("http://{}{HOOK}", receiver.address), "events": ["lead.created"]});
    assert_eq!(client.post("/api/webhooks", &body).unwrap().status, 201);
    lead(&client, "Ann");
    lead(&client, "Bob");
    let dump = ground.back_up();
    end(server);
    // After the backup, both are told.
    let server = serve(&ground, true);
    eventually("both are told", || told(&receiver).len() == 2);
    end(server);

    let words = said(&mut ground.restore(&dump, &["--replace", "--yes"]));
    assert!(words.contains("1 webhooks are held back") && words.contains("heimdell resume"), "{words}");
    let server = serve(&ground, true);
    let client = client.at(&server.address);
    assert!(webhook(&client)["heldAt"].is_string());
    let held = alert(&client);
    assert_eq!((&held["title"], &held["severity"]), (&json!("Webhooks are held back"), &json!("warning")));
    lead(&client, "Cleo");
    eventually("what happens now waits too", || count(&client, "pending") == 3);
    thread::sleep(Duration::from_secs(2));
    assert_eq!(told(&receiver).len(), 2, "nothing was sent");

    let words = said(&mut ground.command(&["resume", "--discard"]));
    assert!(words.contains("1 webhooks are told of what happens since the restore"), "{words}");
    eventually("what has happened since is told", || told(&receiver).len() == 3);
    assert_eq!(told(&receiver)[2], "Cleo");
    assert_eq!((count(&client, "cancelled"), webhook(&client)["heldAt"].clone()), (2, Value::Null));
    assert!(alert(&client)["resolvedAt"].is_string());
    assert!(said(&mut ground.command(&["resume"])).contains("Nothing was held back"));
    end(server);

    // Whoever wants to, sends all of it again, over the API too; and it stands in the history.
    said(&mut ground.restore(&dump, &["--replace", "--yes"]));
    let server = serve(&ground, true);
    let client = client.at(&server.address);
    let id = webhook(&client)["id"].as_str().unwrap().to_owned();
    let why = json!({"discard": false, "note": "The receiver was restored too"});
    let released = client.post(&format!("/api/webhooks/{id}/release"), &why).unwrap();
    assert_eq!((released.status, &released.body["webhook"]["heldAt"]), (200, &Value::Null));
    eventually("all is told again", || told(&receiver).len() == 5);
    let history = client.get(&format!("/api/field-history/webhook/{id}/heldAt")).unwrap().body["fieldHistory"].clone();
    assert_eq!((&history[0]["note"], &history[0]["newValue"]), (&why["note"], &Value::Null));
    assert!(history[0]["changedBy"]["name"].is_string() && history[1]["actor"] == "system", "{history}");
    end(server);
    ground.forget_what_was_replaced();
}
