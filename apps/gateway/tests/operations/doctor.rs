//! The doctor on installations that are in order, and on others.
use std::net::TcpListener;

use crm_core::testing::{TestDatabase, TestOrganization};
use diesel::connection::SimpleConnection;
use serde_json::Value;

use super::kit::{Process, program};

/// What depends on the machine that tests run on: their servers do without fsync, and its disk may be full.
const OF_THE_MACHINE: [&str; 2] = ["durability", "disk_of_backups"];

/// What the doctor says of each thing, and whether nothing is wrong.
fn examine(url: &str, port: u16) -> (Vec<(String, String)>, bool) {
    let home = super::kit::home();
    let mut command = program(url);
    let output = command
        .args(["doctor", "--json", "--port", &port.to_string()])
        .env("HEIMDELL_HOME", home.path())
        .output()
        .unwrap();
    let found: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
    let text = |checkup: &Value, name: &str| checkup[name].as_str().unwrap().to_owned();
    let wrong = found.iter().filter(|checkup| checkup["state"] != "ok");
    let wrong = wrong.inspect(|checkup| assert!(checkup["remedy"].is_string(), "{checkup}"));
    let wrong = wrong.map(|checkup| (text(checkup, "check"), text(checkup, "finding")));
    (wrong.filter(|(check, _)| !OF_THE_MACHINE.contains(&check.as_str())).collect(), output.status.success())
}

fn free() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

#[test]
fn each_fault_is_found() {
    let database = TestDatabase::new();
    let acme = TestOrganization::new(&database, "acme");
    let mut connection = database.connect();
    let checks = |found: &[(String, String)]| found.iter().map(|(check, _)| check.clone()).collect::<Vec<_>>();
    assert_eq!(checks(&examine(&database.url(), free()).0), ["workers", "backup"], "nobody does jobs yet");
    let worker = "insert into workers (id, host, pid, program_version, queues, started_at, heartbeat_at) \
                  values (gen_random_uuid(), 'here', 1, '0', '[]', now(), now() + interval '1 hour')";
    connection.batch_execute(worker).unwrap();
    assert_eq!(checks(&examine(&database.url(), free()).0), ["backup"]);
    let verified =
        "insert into backups (id, file_name, started_at, verified_at) values (gen_random_uuid(), 'x', now(), now())";
    connection.batch_execute(verified).unwrap();
    assert_eq!(examine(&database.url(), free()), (Vec::new(), false), "a server without fsync is no good one");

    let server = Process::start(program(&database.url()));
    let port: u16 = server.address.rsplit(':').next().unwrap().parse().unwrap();
    assert_eq!(examine(&database.url(), port).0, Vec::new(), "a gateway of ours may have the port");
    drop(server);

    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let organization = acme.id;
    connection
        .batch_execute(&format!(
            "update organizations set timezone = 'Mars/Base'; \
             insert into queue_jobs (organization_id, id, queue, kind, payload, status, run_at, lease_until, created_at, \
             updated_at) select '{organization}', gen_random_uuid(), 'default', 'none', '{{}}', status, \
             now() - interval '1 hour', now() - interval '1 hour', now(), now() \
             from unnest(array['waiting', 'active', 'failed']) as status; \
             insert into queue_jobs (organization_id, id, queue, kind, payload, status, run_at, created_at, updated_at) \
             values ('{organization}', gen_random_uuid(), 'default', 'none', '{{}}', 'active', now(), now(), now()); \
             insert into webhook_sources (organization_id, id, name, is_active, secret, created_at, updated_at) \
             values ('{organization}', gen_random_uuid(), 'mail', true, 'v1.k9.x.y', now(), now()); \
             update workers set heartbeat_at = now() - interval '2 minutes'; \
             delete from __diesel_schema_migrations where version = (select max(version) from __diesel_schema_migrations)"
        ))
        .unwrap();
    let (found, all_is_well) = examine(&database.url(), taken.local_addr().unwrap().port());
    let wrong =
        ["migrations", "time_zones", "workers", "job_backlog", "abandoned_jobs", "failed_jobs", "sealing_keys", "port"];
    assert_eq!(checks(&found), wrong, "{found:?}");
    assert!(found.iter().any(|(_, finding)| finding.starts_with("2 active jobs")), "one has no lease: {found:?}");
    assert!(!all_is_well);
}

#[test]
fn without_a_worker_all_is_not_well() {
    let database = TestDatabase::new();
    TestOrganization::new(&database, "acme");
    let mut command = program(&database.url());
    let output = command.args(["doctor", "--port", &free().to_string()]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<_> = said.lines().skip_while(|line| !line.contains("workers: ")).take(2).collect();
    assert!(lines[0].starts_with("ERROR") && lines[1].contains("heimdell worker"), "{said}");
}

#[test]
fn a_database_that_is_not_there_is_a_finding() {
    let (found, all_is_well) = examine("postgres://nobody:s3cret@127.0.0.1:1/none", free());
    assert!(!all_is_well);
    let [(check, finding)] = found.try_into().unwrap();
    assert_eq!(check, "connection");
    assert!(!finding.contains("s3cret"), "{finding}");
}
