//! Health, metrics, alerts, jobs and figures over HTTP.
use std::sync::Arc;

use crm_core::{clock, gate::Roles, vital_signs::Disk};
use crm_ops::watch;
use diesel::connection::SimpleConnection;
use gateway::{metrics::METRICS, worker};
use serde_json::{Value, json};

use crate::client::{Client, Server};

fn names(checks: &Value, status: &str) -> Vec<String> {
    let checks = checks.as_array().unwrap().iter().filter(|check| check["status"] == status);
    checks.map(|check| check["name"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn health_tells_everybody_little_and_administrators_all() {
    let server = Server::start();
    for path in ["/health", "/health/live"] {
        let body = server.nobody().get(path).expect(200);
        assert!(body["status"].is_string() && body["checks"].is_null(), "{body}");
    }
    for path in ["/health/detailed", "/health/workers"] {
        server.nobody().get(path).refused(401);
        server.rep().get(path).refused(403);
        server.manager().get(path).refused(403);
        assert_eq!(server.admin().get(&format!("{path}?x=1")).refused(400), "unknown_parameter");
    }
    let found = server.admin().get("/health/detailed").expect(200);
    assert_eq!(found["status"], "unhealthy", "nobody does jobs: {found}");
    // How full the disk is that the tests run on is none of the program's faults.
    let failing = names(&found["checks"], "failing").into_iter().filter(|name| name != "disk");
    assert_eq!(failing.collect::<Vec<_>>(), ["workers"]);
    assert!(names(&found["checks"], "warning").contains(&"backup".to_owned()), "{found}");

    let running = worker::start(server.door.database().clone(), Arc::new(Roles)).unwrap();
    let alive = |client: Client<'_>| client.get("/health/workers").expect(200)["workers"].clone();
    for _ in 0..200 {
        if alive(server.admin()) != json!([]) {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    let workers = alive(server.admin());
    assert_eq!((workers.as_array().unwrap().len(), &workers[0]["isAlive"]), (1, &json!(true)), "{workers}");
    assert_eq!(workers[0]["pid"], std::process::id());
    server
        .database
        .connect()
        .batch_execute(
            "INSERT INTO backups (id, file_name, started_at, finished_at, verified_at) \
         VALUES (gen_random_uuid(), 'heimdell.dump', now(), now(), now())",
        )
        .unwrap();
    let found = server.admin().get("/health/detailed").expect(200);
    assert_eq!(names(&found["checks"], "failing"), Vec::<String>::new(), "{found}");
    assert!(names(&found["checks"], "ok").contains(&"backup".to_owned()), "{found}");
    running.stop();
    assert_eq!(alive(server.admin()), json!([]), "one that has stopped in order is not missed");
}

#[test]
fn readiness_tells_everybody_each_part_and_its_remedy() {
    let server = Server::start();
    let ready = || {
        let reply = server.nobody().get("/health/ready");
        (reply.status, reply.body)
    };
    let (status, body) = ready();
    assert_eq!(
        (status, &body["status"]),
        (200, &json!("ready")),
        "what it does not depend on turns nobody away: {body}"
    );
    let checks = body["checks"].as_array().unwrap();
    let named: Vec<_> = checks.iter().map(|check| check["name"].as_str().unwrap()).collect();
    assert_eq!(named, ["accepting", "database", "migrations", "workers", "backlog", "backup", "disk"]);
    for check in checks {
        let is_required = ["accepting", "database", "migrations"].contains(&check["name"].as_str().unwrap());
        assert_eq!(check["isRequired"], is_required, "{check}");
        assert_eq!(check["remedy"].is_string(), check["status"] != "ok", "{check}");
        let members: Vec<_> = check.as_object().unwrap().keys().map(String::as_str).collect();
        assert!(members.iter().all(|name| ["name", "status", "isRequired", "remedy"].contains(name)), "{members:?}");
    }
    let [workers, backup] = [3, 5].map(|at| &checks[at]);
    assert_eq!((&workers["status"], &backup["status"]), (&json!("failing"), &json!("warning")));
    assert!(workers["remedy"].as_str().unwrap().contains("heimdell worker"), "{workers}");
    assert!(backup["remedy"].as_str().unwrap().contains("heimdell backup --verify"), "{backup}");

    let last = "(select max(version) from __diesel_schema_migrations)";
    let undo = format!("delete from __diesel_schema_migrations where version = {last}");
    server.database.connect().batch_execute(&undo).unwrap();
    let (status, body) = ready();
    assert_eq!((status, &body["status"]), (503, &json!("not_ready")), "{body}");
    assert_eq!(names(&body["checks"], "failing").first().map(String::as_str), Some("migrations"), "{body}");
    assert_eq!(body["checks"][2]["remedy"], "heimdell migrate");
}

#[test]
fn another_organization_sees_its_own_queues_and_no_machines() {
    let server = Server::start();
    let stranger = || server.with(&server.house.stranger.token).get("/health/workers").expect(200);
    let worker = "insert into workers (id, host, pid, program_version, queues, started_at, heartbeat_at) \
                  values (gen_random_uuid(), 'secret-host', 4711, '9.9', '[]', now(), now())";
    server.database.connect().batch_execute(worker).unwrap();
    server.admin().post("/api/system/alerts", &json!({"severity": "error", "title": "x"})).expect(201);
    let (operator, guest) = (server.admin().get("/health/workers").expect(200), stranger());
    assert_eq!(
        (&operator["workers"][0]["host"], &operator["workers"][0]["pid"]),
        (&json!("secret-host"), &json!(4711))
    );
    assert_eq!((&operator["queues"][0]["waiting"], &guest["queues"]), (&json!(1), &json!([])), "{guest}");
    let worker = guest["workers"][0].as_object().unwrap();
    assert_eq!((guest["workers"].as_array().unwrap().len(), &worker["isAlive"]), (1, &json!(true)));
    for hidden in ["host", "pid", "programVersion"] {
        assert!(!worker.contains_key(hidden), "{worker:?}");
    }
}

#[test]
fn queues_are_told_with_what_lies_in_them() {
    let server = Server::start();
    server.admin().post("/api/system/alerts", &json!({"severity": "error", "title": "x"})).expect(201);
    let queues = server.admin().get("/health/workers").expect(200)["queues"].clone();
    assert_eq!(
        (&queues[0]["name"], &queues[0]["waiting"], &queues[0]["failed"]),
        (&json!("default"), &json!(1), &json!(0))
    );
    assert!(queues[0]["oldestWaitingSeconds"].is_number() && queues[0]["completed24h"] == 0, "{queues}");
}

#[test]
fn an_alert_is_created_counted_filtered_and_acknowledged() {
    let server = Server::start();
    let admin = server.admin();
    let body = json!({"severity": "error", "title": "The provider is down", "source": "mail"});
    let made = admin.post("/api/system/alerts", &body);
    let path = made.header("location").to_owned();
    let made = made.expect(201)["alert"].clone();
    assert_eq!(
        (&made["status"], &made["occurrences"], &made["acknowledgedAt"]),
        (&json!("open"), &json!(1), &Value::Null)
    );
    let again = admin.post("/api/system/alerts", &body).expect(200)["alert"].clone();
    assert_eq!((&again["id"], &again["occurrences"]), (&made["id"], &json!(2)));
    admin.post("/api/system/alerts", &json!({"severity": "info", "title": "Hello"})).expect(201);
    let found =
        |query: &str| admin.get(&format!("/api/system/alerts?{query}")).expect(200)["alerts"].as_array().unwrap().len();
    let table = [
        ("", 2),
        ("acknowledged=false&severity=error", 1),
        ("severity=warning,critical", 0),
        ("source=mail", 1),
        ("status=open", 2),
        ("limit=1", 1),
    ];
    for (query, count) in table {
        assert_eq!(found(query), count, "{query}");
    }
    let acknowledge = format!("{path}/acknowledge");
    let seen = admin.post(&acknowledge, &json!({})).expect(200)["alert"].clone();
    assert_eq!((&seen["status"], &seen["acknowledgedBy"]), (&json!("acknowledged"), &json!(server.house.admin.id)));
    assert_eq!(admin.post(&acknowledge, &json!({})).expect(200)["alert"], seen, "a second time changes nothing");
    assert_eq!((found("acknowledged=false"), found("status=acknowledged")), (1, 1));
    assert_eq!(admin.get(&path).expect(200)["alert"], seen);

    server.rep().get("/api/system/alerts").refused(403);
    server.manager().post("/api/system/alerts", &body).refused(403);
    server.with(&server.house.stranger.token).post(&acknowledge, &json!({})).refused(404);
    server.with(&server.house.stranger.token).get(&path).refused(404);
    let odd = [
        (json!({"severity": "bad", "title": "x"}), "severity"),
        (json!({"severity": "info", "title": " "}), "title"),
        (json!({"severity": "info", "title": "x".repeat(201)}), "title"),
        (json!({"severity": "info", "title": "x", "message": "\u{0}"}), "message"),
        (json!({"severity": "info"}), "title"),
    ];
    for (body, field) in odd {
        assert_eq!(admin.post("/api/system/alerts", &body).bad_fields(), [field], "{body}");
    }
    assert_eq!(admin.get("/api/system/alerts?severity=bad").status, 400);
}

#[test]
fn every_bad_member_of_an_alert_is_told_at_once() {
    let server = Server::start();
    let bad = |body: Value| server.admin().post("/api/system/alerts", &body).bad_fields();
    let all = ["fingerprint", "message", "severity", "source", "title"];
    let [title, message, fingerprint] = [201, 2_001, 201].map(|length| "x".repeat(length));
    let rules =
        json!({"severity": "bad", "title": title, "message": message, "source": " ", "fingerprint": fingerprint});
    assert_eq!(bad(rules), all);
    assert_eq!(bad(json!({"severity": 1, "title": 2, "message": 3, "source": [], "fingerprint": {}})), all);
    assert_eq!(bad(json!({})), ["severity", "title"]);
    assert_eq!(bad(json!({"severity": null, "title": null, "source": ""})), ["severity", "source", "title"]);
    for title in ["x".repeat(400), "a\u{1}".into()] {
        let body = json!({"severity": "info", "title": title});
        assert_eq!(bad(body), ["title"], "what was not sent is not bad");
    }
}

#[test]
fn a_fingerprint_is_read_as_it_was_sent_and_is_never_that_of_the_system() {
    let server = Server::start();
    watch::look(&server.door, Some(Disk { free_bytes: 1, total_bytes: 100 })).unwrap();
    let body = json!({"severity": "info", "title": "Mine", "fingerprint": "disk"});
    let made = server.admin().post("/api/system/alerts", &body).expect(201)["alert"].clone();
    assert_eq!(made["fingerprint"], "disk");
    let again = server.admin().post("/api/system/alerts", &body).expect(200)["alert"].clone();
    assert_eq!((&again["id"], &again["occurrences"]), (&made["id"], &json!(2)));
    let found = server.admin().get("/api/system/alerts?fingerprint=disk").expect(200)["alerts"].clone();
    let mut told: Vec<_> =
        found.as_array().unwrap().iter().map(|alert| (&alert["isManual"], &alert["severity"])).collect();
    told.sort_by_key(|(is_manual, _)| is_manual.as_bool());
    assert_eq!(told, [(&json!(false), &json!("critical")), (&json!(true), &json!("info"))]);
    let usual = server.admin().post("/api/system/alerts", &json!({"severity": "info", "title": "Hello"}));
    assert_eq!(usual.expect(201)["alert"]["fingerprint"], "manual: Hello", "the source and the title");
}

#[test]
fn the_watch_tells_the_operator_and_takes_back_what_has_gone() {
    let server = Server::start();
    let full = Disk { free_bytes: 1, total_bytes: 100 };
    let look = |disk| watch::look(&server.door, Some(disk)).unwrap();
    look(full);
    look(full);
    let alerts = server.admin().get("/api/system/alerts?source=system").expect(200);
    let alerts = alerts["alerts"].as_array().unwrap();
    let mut told: Vec<_> =
        alerts.iter().map(|a| (a["fingerprint"].as_str().unwrap(), a["severity"].as_str().unwrap())).collect();
    told.sort_unstable();
    assert_eq!(told, [("disk", "critical"), ("workers", "critical")]);
    assert!(alerts.iter().all(|alert| alert["occurrences"] == 1), "a state that lasts is no second event: {alerts:?}");
    let others = server.with(&server.house.stranger.token).get("/api/system/alerts").expect(200);
    assert_eq!(others["alerts"], json!([]), "the installation's state is the operator's");
    look(Disk { free_bytes: 50, total_bytes: 100 });
    let disk = server.admin().get("/api/system/alerts?fingerprint=disk").expect(200)["alerts"][0].clone();
    assert_eq!(disk["status"], "resolved");
    assert!(disk["resolvedAt"].is_string() && clock::now().to_rfc3339().as_str() > disk["createdAt"].as_str().unwrap());
}

#[test]
fn a_job_is_listed_cancelled_and_run_again() {
    let server = Server::start();
    let admin = server.admin();
    for n in 0..3 {
        let body = json!({"severity": "error", "title": format!("x{n}")});
        admin.post("/api/system/alerts", &body).expect(201);
    }
    let first = admin.get("/api/system/jobs?status=waiting&limit=2").expect(200);
    let cursor = first["nextCursor"].as_str().unwrap();
    let second = admin.get(&format!("/api/system/jobs?status=waiting&limit=2&cursor={cursor}")).expect(200);
    assert_eq!((first["jobs"].as_array().unwrap().len(), second["jobs"].as_array().unwrap().len()), (2, 1));
    let path = format!("/api/system/jobs/{}", first["jobs"][0]["id"].as_str().unwrap());
    assert!(first["jobs"][0].get("payload").is_none(), "what it carries stays inside");
    assert_eq!(admin.post(&format!("{path}/retry"), &json!({})).refused(409), "not_failed");
    assert_eq!(admin.post(&format!("{path}/cancel"), &json!({})).expect(200)["job"]["status"], "cancelled");
    assert_eq!(admin.post(&format!("{path}/cancel"), &json!({})).refused(409), "not_waiting");
    assert_eq!(admin.post(&format!("{path}/retry"), &json!({})).expect(200)["job"]["status"], "waiting");
    assert_eq!(admin.get(&path).expect(200)["job"]["kind"], "alert_notification");
    let stranger = server.with(&server.house.stranger.token);
    for client in [server.rep(), server.manager()] {
        client.get("/api/system/jobs").refused(403);
        client.post(&format!("{path}/retry"), &json!({})).refused(403);
    }
    stranger.post(&format!("{path}/cancel"), &json!({})).refused(404);
    assert_eq!(admin.get("/api/system/jobs?status=lost").status, 400);
}

#[test]
fn figures_are_of_what_the_caller_sees() {
    let server = Server::start();
    let admin = server.admin();
    let lead = |unit: &Value| json!({"lastName": "Lead", "businessUnitId": unit});
    for unit in [json!(server.house.unit), json!(server.house.other_unit), Value::Null] {
        admin.post("/api/leads", &lead(&unit)).expect(201);
    }
    admin.post("/api/deals", &json!({"title": "Deal"})).expect(201);
    admin.post("/api/system/alerts", &json!({"severity": "error", "title": "x"})).expect(201);
    let stats = |client: Client<'_>| client.get("/api/system/stats").expect(200)["stats"].clone();
    let all = stats(admin);
    assert_eq!(all["leadsCount"], 3);
    assert_eq!((&all["dealsCount"], &all["openDealsCount"]), (&json!(1), &json!(1)));
    assert_eq!(
        (&all["queueDepth"], &all["unacknowledgedAlerts"], &all["failedJobs"]),
        (&json!(1), &json!(1), &json!(0))
    );
    assert_eq!(stats(server.rep())["leadsCount"], 2, "not that of the other unit");
    assert_eq!(stats(server.with(&server.house.stranger.token))["leadsCount"], 0);
    server.nobody().get("/api/system/stats").refused(401);
    assert_eq!(admin.get("/api/system/stats?x=1").refused(400), "unknown_parameter");
}

#[test]
fn metrics_are_for_this_machine_and_administrators() {
    let server = Server::governed();
    server.admin().get("/api/leads").expect(200);
    let text = server.nobody().get("/metrics").expect(200);
    let text = text.as_str().unwrap();
    let request = "http_server_request_duration_seconds_count{http_request_method=\"GET\",http_route=\"/api/leads\",\
                   http_response_status_code=\"200\"}";
    assert!(text.contains(request), "{text}");
    for (name, ..) in METRICS {
        let is_elsewhere = [
            "heimdell_jobs_total",
            "heimdell_jobs_waiting",
            "heimdell_jobs_active",
            "heimdell_jobs_failed",
            "heimdell_jobs_oldest_ready_seconds",
        ];
        assert!(is_elsewhere.contains(&name) || text.contains(name), "{name} is not printed:\n{text}");
    }
    let own = server.house.admin.email.split('@').nth(1).unwrap();
    assert!(!text.contains(own) && !text.contains("organization="), "{text}");
    let forwarded = [("x-forwarded-for", "203.0.113.9")];
    assert_eq!(server.nobody().send("GET", "/metrics", &forwarded, None).status, 401);
    assert_eq!(server.rep().send("GET", "/metrics", &forwarded, None).status, 403);
    assert_eq!(server.admin().send("GET", "/metrics", &forwarded, None).status, 200);
}

#[test]
fn the_dashboard_and_the_rules_name_metrics_that_are_there() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/monitoring");
    for file in ["dashboard.json", "alerts.yaml"] {
        let text = std::fs::read_to_string(root.join(file)).unwrap();
        let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        let ours = ["heimdell_", "http_server_", "db_client_", "process_start_"];
        let named: Vec<_> = words.filter(|word| ours.iter().any(|prefix| word.starts_with(prefix))).collect();
        assert!(named.len() > 8, "{file} names {named:?}");
        for name in named {
            let stem =
                ["_bucket", "_count", "_sum"].iter().find_map(|suffix| name.strip_suffix(suffix)).unwrap_or(name);
            let is_known = METRICS.iter().any(|(known, ..)| *known == name || *known == stem);
            assert!(is_known, "{file} names {name}, which is not printed");
        }
    }
}

#[test]
fn an_alert_that_grows_worse_wants_another_look() {
    let server = Server::start();
    let report = |severity: &str| {
        let body = json!({"severity": severity, "title": "Slow", "message": "m", "fingerprint": "slow"});
        server.admin().post("/api/system/alerts", &body)
    };
    let made = report("warning").expect(201)["alert"].clone();
    let acknowledge = format!("/api/system/alerts/{}/acknowledge", made["id"].as_str().unwrap());
    server.admin().post(&acknowledge, &json!({})).expect(200);
    let status = |reply: crate::client::Reply| reply.body["alert"]["status"].clone();
    assert_eq!(status(report("info")), "acknowledged");
    assert_eq!(status(report("critical")), "open");
}
