//! Traces of the real program, told to a collector on loopback that answers, refuses or hangs.
use std::{net::TcpListener, process::Command};

use chrono::TimeDelta;
use crm_core::{clock, testing::TestDatabase};
use diesel::RunQueryDsl;
use serde_json::{Value, json};

use super::{
    kit::{Process, eventually, program},
    receiver::Receiver,
};

/// A span, as far as the tests look at it.
#[derive(Debug, Clone)]
struct Span(Value);

impl Span {
    fn text(&self, member: &str) -> &str {
        self.0[member].as_str().unwrap_or_default()
    }

    fn attribute(&self, name: &str) -> Value {
        let attributes = self.0["attributes"].as_array().unwrap();
        let found = attributes.iter().find(|it| it["key"] == name).map(|it| it["value"].clone()).unwrap_or_default();
        found.as_object().and_then(|value| value.values().next().cloned()).unwrap_or_default()
    }
}

/// What the program has told a collector, by the name of the span.
fn named(collector: &Receiver, name: &str) -> Vec<Span> {
    let seen = collector.seen("/v1/traces");
    let spans = seen.iter().flat_map(|it| it.body["resourceSpans"][0]["scopeSpans"][0]["spans"].as_array().unwrap());
    spans.cloned().map(Span).filter(|span| span.text("name") == name).collect()
}

fn traced(database: &TestDatabase, endpoint: &str) -> Command {
    let mut command = program(&database.url());
    command.env("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint).env("HEIMDELL_ALLOW_PRIVATE_ADDRESSES", "1");
    command.env("HEIMDELL_DRAIN_SECONDS", "0");
    command
}

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";

#[test]
fn requests_jobs_and_webhooks_are_told_with_who_asked_whom() {
    let (database, collector) = (TestDatabase::new(), Receiver::start());
    let mut command = traced(&database, &format!("http://{}", collector.address));
    command.env("OTEL_EXPORTER_OTLP_HEADERS", "x-api-key=s3cret%20one").env("OTEL_SERVICE_NAME", "crm");
    let mut server = Process::start(command);
    let client = server.client(&database.url());
    let webhook = json!({"url": format!("http://{}/hook/s3cretpath", collector.address), "events": ["lead.*"]});
    assert_eq!(client.post("/api/webhooks", &webhook).unwrap().status, 201);
    let asked = client.within(&format!("00-{TRACE}-b7ad6b7169203331-01"));
    let made = asked.post("/api/leads", &json!({"lastName": "Zebrowski", "email": "z@zebra.example"})).unwrap();
    let lead = made.body["lead"]["id"].as_str().unwrap().to_owned();
    assert_eq!(asked.get("/api/leads?q=zebrowski").unwrap().status, 200);
    let alert = json!({"severity": "error", "title": "Look at this"});
    assert_eq!(asked.post("/api/system/alerts", &alert).unwrap().status, 201);
    assert_eq!(client.get("/nobody/zebrowski@zebra.example").unwrap().status, 404);
    let unkept = client.within(&format!("00-{TRACE}-b7ad6b7169203331-00"));
    assert_eq!(unkept.get(&format!("/api/leads/{lead}")).unwrap().status, 200);
    let done = "SELECT count(*) FROM queue_jobs WHERE kind = 'alert_notification' AND status = 'completed'";
    let done = diesel::dsl::sql::<diesel::sql_types::BigInt>(done);
    eventually("the job is done", || done.clone().get_result::<i64>(&mut database.connect()).unwrap() == 1);
    eventually("the webhook is sent", || collector.seen("/hook/s3cretpath").len() == 1);

    // The last request is told although the process ends at once.
    assert_eq!(client.get("/api/companies").unwrap().status, 200);
    server.terminate();
    assert!(server.wait().success());

    let [created] = named(&collector, "POST /api/leads").try_into().unwrap();
    assert_eq!((created.text("traceId"), created.text("parentSpanId")), (TRACE, "b7ad6b7169203331"));
    assert_eq!(created.0["kind"], 2);
    let told = ["http.request.method", "http.route", "http.response.status_code"].map(|name| created.attribute(name));
    assert_eq!(told, [json!("POST"), json!("/api/leads"), json!("201")]);
    assert!(created.text("startTimeUnixNano") < created.text("endTimeUnixNano"));
    let [listed] = named(&collector, "GET /api/leads").try_into().unwrap();
    assert_eq!(listed.text("traceId"), TRACE);
    assert_ne!(listed.text("spanId"), created.text("spanId"));
    assert_eq!(named(&collector, "GET unknown").len(), 1);
    assert_eq!(named(&collector, "GET /api/leads/{id}").len(), 0, "who asked does not keep that trace");
    let [last] = named(&collector, "GET /api/companies").try_into().unwrap();
    assert_eq!((last.0.get("parentSpanId"), last.text("traceId").len()), (None, 32));

    // What a request puts into the queue goes on with its trace, and so does what that puts there.
    let [raised] = named(&collector, "POST /api/system/alerts").try_into().unwrap();
    let [notified] = named(&collector, "process alert_notification").try_into().unwrap();
    assert_eq!((notified.text("traceId"), notified.text("parentSpanId")), (TRACE, raised.text("spanId")));
    let dispatched = named(&collector, "process dispatch_events");
    let of_lead = dispatched.iter().find(|job| job.text("parentSpanId") == created.text("spanId")).unwrap();

    let [sent] = named(&collector, "POST").try_into().unwrap();
    let jobs = named(&collector, "process deliver_webhook");
    let job = jobs.iter().find(|job| job.text("spanId") == sent.text("parentSpanId")).unwrap();
    assert_eq!((sent.text("traceId"), &sent.0["kind"]), (TRACE, &json!(3)));
    assert_eq!((job.text("traceId"), job.text("parentSpanId")), (TRACE, of_lead.text("spanId")));
    assert_eq!((&job.0["kind"], job.attribute("messaging.destination.name")), (&json!(5), json!("webhooks")));
    assert_eq!(job.attribute("heimdell.job.outcome"), "completed");
    assert_eq!(
        (sent.attribute("server.address"), sent.attribute("http.response.status_code")),
        (json!("127.0.0.1"), json!("200"))
    );
    let [hook] = collector.seen("/hook/s3cretpath").try_into().unwrap();
    let passed_on = format!("traceparent: 00-{}-{}-01", sent.text("traceId"), sent.text("spanId"));
    assert!(hook.headers.contains(&passed_on), "{}", hook.headers);

    for it in collector.seen("/v1/traces") {
        assert!(it.headers.contains("x-api-key: s3cret one"), "{}", it.headers);
        let resource = &it.body["resourceSpans"][0]["resource"]["attributes"][0];
        assert_eq!(resource, &json!({"key": "service.name", "value": {"stringValue": "crm"}}));
        let text = it.body.to_string().to_lowercase();
        for personal in ["zebr", "ada@", "acme", "s3cret", lead.as_str()] {
            assert!(!text.contains(personal), "{personal} in {text}");
        }
    }
}

#[test]
fn a_message_that_is_redirected_or_refused_has_failed_and_says_how() {
    let (database, collector) = (TestDatabase::new(), Receiver::start());
    let mut server = Process::start(traced(&database, &format!("http://{}", collector.address)));
    let client = server.client(&database.url());
    for status in [302, 404, 503] {
        let url = format!("http://{}/answers/{status}", collector.address);
        assert_eq!(client.post("/api/webhooks", &json!({"url": url, "events": ["lead.*"]})).unwrap().status, 201);
    }
    assert_eq!(client.post("/api/leads", &json!({"lastName": "Ann"})).unwrap().status, 201);
    eventually("all are sent", || [302, 404, 503].iter().all(|s| !collector.seen(&format!("/answers/{s}")).is_empty()));
    server.terminate();
    assert!(server.wait().success());
    let mut told: Vec<_> = named(&collector, "POST")
        .iter()
        .map(|sent| (sent.attribute("error.type"), sent.0["status"]["code"].clone()))
        .collect();
    told.sort_by_key(|(kind, _)| kind.to_string());
    told.dedup();
    assert_eq!(told, ["302", "404", "503"].map(|status| (json!(status), json!(2))));
}

#[test]
fn a_collector_that_is_away_or_hangs_costs_spans_and_nothing_else() {
    let hanging = TcpListener::bind("127.0.0.1:0").unwrap();
    let away = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for endpoint in [hanging.local_addr().unwrap(), away] {
        let database = TestDatabase::new();
        let mut server = Process::start(traced(&database, &format!("http://{endpoint}")));
        let client = server.client(&database.url());
        let slowest = (0..100).map(|_| {
            let began = clock::now();
            assert_eq!(client.get("/api/organization").unwrap().status, 200);
            clock::now() - began
        });
        let slowest = slowest.max().unwrap();
        assert!(slowest < TimeDelta::seconds(2), "{slowest}, where the collector takes five seconds to be given up");
        let lost = || {
            let metrics = client.text("/metrics");
            let line =
                metrics.lines().find(|line| line.starts_with("heimdell_spans_dropped_total{reason=\"not_sent\"}"));
            line.unwrap().rsplit(' ').next().unwrap().parse::<u64>().unwrap()
        };
        eventually("the spans are counted as lost", || lost() >= 100);
        let began = clock::now();
        server.terminate();
        assert!(server.wait().success());
        let took = clock::now() - began;
        assert!(took < TimeDelta::seconds(15), "{took}");
    }
}

#[test]
fn settings_that_name_no_collector_are_refused_without_their_secrets() {
    let database = TestDatabase::new();
    for (endpoint, headers, words) in [
        ("localhost:4317", "", "OTEL_EXPORTER_OTLP_ENDPOINT"),
        ("http://localhost:4318", "s3cret", "OTEL_EXPORTER_OTLP_HEADERS"),
    ] {
        let mut command = traced(&database, endpoint);
        command.args(["serve", "--port", "0"]).env("OTEL_EXPORTER_OTLP_HEADERS", headers);
        let complaint = super::kit::refused(&mut command);
        assert!(complaint.contains(words) && !complaint.contains("s3cret"), "{complaint}");
    }
}
