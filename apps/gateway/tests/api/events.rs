//! What happens is told as it happens, to those who may see it, at whatever gateway they listen.
use std::{
    io::{BufRead, Read, Write},
    net::TcpStream,
    thread,
    time::Duration,
};

use chrono::TimeDelta;
use crm_core::{clock, events};
use diesel::RunQueryDsl;
use serde_json::{Value, json};

use crate::{
    client::{Client, Server},
    receiver::until,
};

/// One event of a stream.
#[derive(Debug, Default)]
struct Event {
    id: String,
    name: String,
    data: Value,
}

/// An open stream.
struct Stream(Box<dyn BufRead>);

impl Stream {
    /// Opens a stream, and waits until it stands.
    fn open(client: Client<'_>, last: Option<&str>) -> (Self, Event) {
        let headers: Vec<_> = last.map(|id| ("last-event-id", id)).into_iter().collect();
        let (status, reader) = client.listen("/api/events", &headers);
        assert_eq!(status, 200);
        let mut stream = Self(Box::new(reader));
        let first = stream.block();
        (stream, first)
    }

    /// The next block, be it an event or only a number.
    fn block(&mut self) -> Event {
        let mut event = Event::default();
        loop {
            let mut line = String::new();
            assert!(self.0.read_line(&mut line).unwrap() > 0, "the stream has ended");
            match line.trim_end().split_once(": ") {
                Some(("id", id)) => event.id = id.to_owned(),
                Some(("event", name)) => event.name = name.to_owned(),
                Some(("data", data)) => event.data = serde_json::from_str(data).unwrap(),
                _ if line == "\n" => return event,
                _ => {}
            }
        }
    }

    fn next(&mut self) -> Event {
        loop {
            let event = self.block();
            if !event.name.is_empty() {
                return event;
            }
        }
    }
}

fn company(client: Client<'_>, name: &str) -> String {
    let made = client.post("/api/companies", &json!({"name": name})).expect(201);
    made["company"]["id"].as_str().unwrap().to_owned()
}

#[test]
fn what_happens_at_one_gateway_is_heard_at_another() {
    let server = Server::start();
    let second = server.beside();
    let (mut here, _) = Stream::open(server.manager(), None);
    let (mut there, _) = Stream::open(server.manager().at(&second), None);
    let id = company(server.rep(), "Acme");
    server.rep().patch(&format!("/api/companies/{id}"), &json!({"name": "Globex", "city": "Rome"})).expect(200);
    for stream in [&mut here, &mut there] {
        let (made, changed) = (stream.next(), stream.next());
        assert_eq!((made.name.as_str(), made.data["type"].as_str()), ("company.created", Some("company.created")));
        assert_eq!((&made.data["entityType"], &made.data["entityId"]), (&json!("company"), &json!(id)));
        assert_eq!((&made.data["version"], &made.data["actorId"]), (&json!(1), &json!(server.house.rep.id)));
        assert_eq!((changed.name.as_str(), &changed.data["version"]), ("company.updated", &json!(2)));
        assert_eq!(changed.data["changedFields"], json!(["name", "city"]));
        assert!(!changed.data.to_string().contains("Rome"), "no values: {}", changed.data);
    }
}

#[test]
fn a_client_goes_on_where_it_stopped() {
    let server = Server::start();
    let second = server.beside();
    let (mut stream, first) = Stream::open(server.rep(), None);
    let ids: Vec<_> = ["A", "B", "C"].map(|name| company(server.rep(), name)).into();
    let seen = stream.next();
    assert_eq!(seen.data["entityId"], json!(ids[0]));
    drop(stream);
    let (mut stream, _) = Stream::open(server.rep().at(&second), Some(&seen.id));
    assert_eq!(
        [stream.next(), stream.next()].map(|event| event.data["entityId"].clone()),
        [json!(ids[1]), json!(ids[2])]
    );
    let (mut all, _) = Stream::open(server.rep(), Some(&first.id));
    assert_eq!(all.next().id, seen.id);
}

#[test]
fn what_is_no_longer_kept_is_told_by_a_reset() {
    let server = Server::start();
    for name in ["A", "B"] {
        company(server.rep(), name);
    }
    drop(Stream::open(server.rep(), None));
    let organization = server.door.read(&caller(&server), |tx| Ok(tx.ctx.organization)).unwrap();
    let tomorrow = clock::now() + TimeDelta::days(1);
    server.door.system_write(organization, clock::now(), |tx| events::prune(tx, tomorrow)).unwrap();
    for last in ["0", "1000000"] {
        let (mut stream, first) = Stream::open(server.rep(), Some(last));
        assert_eq!(first.name, "reset", "{last}");
        let id = company(server.rep(), "C");
        assert_eq!(stream.next().data["entityId"], json!(id));
    }
}

fn caller(server: &Server) -> crm_core::Caller {
    crm_core::testing::with_token(&server.house.rep.token, clock::now())
}

#[test]
fn nobody_hears_of_what_they_may_not_see() {
    let server = Server::governed();
    let policy =
        json!({"name": "Blind", "role": "SALES_REP", "action": "view_field", "resource": "deal", "field": "value"});
    server.admin().post("/api/policies", &policy).expect(201);
    let (mut rep, _) = Stream::open(server.rep(), None);
    let (mut stranger, _) = Stream::open(server.with(&server.house.stranger.token), None);
    let deal = |unit: Value| {
        let made = server.manager().post("/api/deals", &json!({"title": "D", "businessUnitId": unit})).expect(201);
        made["deal"]["id"].as_str().unwrap().to_owned()
    };
    deal(json!(server.house.other_unit));
    let own = deal(json!(server.house.unit));
    let path = format!("/api/deals/{own}");
    server.manager().patch(&path, &json!({"value": 7, "title": "E", "expectedCloseDate": "2030-01-01"})).expect(200);
    let (made, changed) = (rep.next(), rep.next());
    assert_eq!(
        (&made.data["entityId"], &changed.data["entityId"]),
        (&json!(own), &json!(own)),
        "of the own unit alone"
    );
    let mut fields: Vec<_> = changed.data["changedFields"].as_array().unwrap().clone();
    fields.sort_by_key(ToString::to_string);
    assert_eq!(fields, [json!("expectedCloseDate"), json!("title")]);
    let theirs = company(server.with(&server.house.stranger.token), "Theirs");
    assert_eq!(stranger.next().data["entityId"], json!(theirs), "of the own organization alone");
}

#[test]
fn a_notification_is_heard_by_its_user_alone() {
    let server = Server::start();
    let (mut rep, _) = Stream::open(server.rep(), None);
    let (mut admin, _) = Stream::open(server.admin(), None);
    let task = json!({"title": "T", "assigneeId": server.house.rep.id});
    let task = server.manager().post("/api/tasks", &task).expect(201)["task"]["id"].clone();
    let heard = [rep.next(), rep.next()];
    let told = server.rep().get("/api/notifications").expect(200)["notifications"][0].clone();
    let notification = heard.iter().find(|event| event.name == "notification.created").unwrap();
    assert_eq!(
        (&notification.data["entityType"], &notification.data["entityId"]),
        (&json!("notification"), &told["id"])
    );
    assert!(heard.iter().any(|event| event.name == "task.created" && event.data["entityId"] == task));
    let next = company(server.rep(), "Acme");
    assert_eq!([admin.next(), admin.next()].map(|event| event.data["entityId"].clone()), [task, json!(next)]);
}

#[test]
fn a_stream_ends_with_its_session() {
    let server = Server::start();
    let (mut stream, _) = Stream::open(server.rep(), None);
    server.rep().send("POST", "/api/auth/logout", &[], None).expect(204);
    company(server.manager(), "Acme");
    assert_eq!(stream.next().name, "end");
    let mut rest = Vec::new();
    stream.0.read_to_end(&mut rest).unwrap();
    assert!(rest.is_empty(), "{}", String::from_utf8_lossy(&rest));
}

#[test]
fn somebody_has_so_many_streams_and_no_more() {
    let server = Server::start();
    let mut open: Vec<_> = (0..gateway::live::MOST_STREAMS).map(|_| Stream::open(server.rep(), None)).collect();
    let refused = server.rep().get("/api/events");
    assert_eq!(refused.header("retry-after"), "10");
    assert_eq!(refused.refused(429), "rate_limited");
    drop(Stream::open(server.manager(), None));
    open.pop();
    while server.rep().listen("/api/events", &[]).0 == 429 {
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
}

#[test]
fn bad_requests_open_no_stream() {
    let server = Server::start();
    for last in ["x", "-1", "1.5", "99999999999999999999"] {
        let reply = server.rep().send("GET", "/api/events", &[("last-event-id", last)], None);
        assert_eq!(reply.refused(400), "invalid_last_event_id", "{last}");
    }
    assert_eq!(server.rep().get("/api/events?since=1").refused(400), "unknown_parameter");
    assert_eq!(server.nobody().get("/api/events").refused(401), "missing_token");
}

#[test]
fn a_stream_gives_signs_of_life_and_holds_no_connection() {
    let server = Server::start();
    let mut streams: Vec<_> = (0..8).map(|_| Stream::open(server.rep(), None)).collect();
    let quiet = streams.pop().unwrap();
    let (mut stream, first) = quiet;
    // Eight streams are open over a pool of three, and everybody else is answered.
    for _ in 0..20 {
        server.manager().get("/api/companies").expect(200);
    }
    holds_no_connection(&server);
    let mut lines = Vec::new();
    while lines.last().map(String::as_str) != Some("\n") {
        let mut line = String::new();
        assert!(stream.0.read_line(&mut line).unwrap() > 0, "the stream has ended");
        lines.push(line);
    }
    assert_eq!(lines, [": alive\n".to_owned(), format!("id: {}\n", first.id), "\n".to_owned()]);
}

/// Streams come and go at the database; between that, none of its connections is lent.
fn holds_no_connection(server: &Server) {
    until(|| {
        let usage = server.door.database().usage();
        usage.open > 0 && usage.idle == usage.open
    });
}

/// What somebody sends who asks for a stream and then takes nothing of it.
fn silent(server: &Server) -> TcpStream {
    let address = server.base.trim_start_matches("http://");
    let mut stream = TcpStream::connect(address).unwrap();
    let token = &server.house.rep.token;
    let head = format!("host: {address}\r\nauthorization: Bearer {token}\r\nconnection: close");
    write!(stream, "GET /api/events HTTP/1.1\r\n{head}\r\n\r\n").unwrap();
    stream
}

#[test]
fn a_client_that_takes_nothing_is_let_go_and_can_go_on() {
    const EVENTS: i64 = 6_000;
    let server = Server::start();
    let [mut late, never] = [silent(&server), silent(&server)];
    for stream in [&late, &never] {
        // The first block has arrived: the stream stands.
        until(|| stream.peek(&mut [0; 512]).is_ok_and(|count| count > 0));
    }
    // Long names of fields make events of three kilobytes, and so some twenty megabytes to each client.
    let flood = format!(
        "INSERT INTO domain_events (organization_id, id, kind, entity_type, entity_id, entity_version, changed_fields, actor, \
         change_set_id, occurred_at) SELECT u.organization_id, gen_random_uuid(), 'company.updated', 'company', gen_random_uuid(), \
         n, (SELECT array_agg('field' || repeat(f::text, 30)) FROM generate_series(10, 59) f), 'system', \
         gen_random_uuid(), now() FROM users u, generate_series(1, {EVENTS}) n WHERE u.id = '{}'",
        server.house.rep.id
    );
    diesel::sql_query(flood).execute(&mut server.database.connect()).unwrap();
    let unnumbered = "SELECT 1 FROM domain_events WHERE seq IS NULL";
    until(|| diesel::sql_query(unnumbered).execute(&mut server.database.connect()).unwrap() == 0);
    // A stream reads page by page until sixteen pieces wait for its client. Then it is let go, and nothing more is read.
    let mut quiet = 0;
    until(|| {
        let usage = server.door.database().usage();
        quiet = if usage.idle == usage.open { quiet + 1 } else { 0 };
        quiet > 60
    });
    server.manager().get("/api/companies").expect(200);

    // Whoever takes what is there after all finds an end before all has come, and goes on from there.
    late.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let mut text = Vec::new();
    late.read_to_end(&mut text).unwrap_or_else(|error| panic!("not ended: {error}, after {} bytes", text.len()));
    let text = String::from_utf8_lossy(&text);
    let last = text.lines().filter_map(|line| line.strip_prefix("id: ")?.parse::<i64>().ok()).max().unwrap();
    assert!(last < EVENTS, "{last} of {EVENTS} came, in {} bytes", text.len());
    let (mut again, first) = Stream::open(server.rep(), Some(&(EVENTS - 900).to_string()));
    assert_eq!((first.name.as_str(), again.next().id), ("", (EVENTS - 899).to_string()));
    let (_, reset) = Stream::open(server.rep(), Some(&last.to_string()));
    assert_eq!(reset.name == "reset", EVENTS - last > 1_000, "{last}");

    // Whoever never takes anything is disconnected by the kernel, and with that what waits for them is gone.
    thread::sleep(Duration::from_secs(32));
    until(|| matches!(never.take_error(), Ok(Some(_))) || is_reset(&never));
}

/// Has the other side ended the connection? Looks without taking anything that has arrived.
fn is_reset(stream: &TcpStream) -> bool {
    stream.set_nonblocking(true).unwrap();
    let mut stream = stream;
    stream.write(b"x").is_err()
}
