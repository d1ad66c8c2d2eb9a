//! Deciding requests for approval over HTTP: who may, once, in time, and while they still hold.
use std::{sync::Arc, time::Duration};

use crm_policy::PolicyGates;
use diesel::connection::SimpleConnection;
use gateway::worker;
use serde_json::{Value, json};

use crate::{
    approvals::{approve, asked, deal, require, stage, status, waits},
    client::Server,
};

fn deny(server: &Server, role: &str, action: &str, resource: &str) {
    let policy = json!({"name": "No", "role": role, "action": action, "resource": resource, "effect": "deny"});
    server.admin().post("/api/policies", &policy).expect(201);
}

/// The token of an administrator beside the one of the house.
fn second_admin(server: &Server) -> String {
    let (email, password) = ("second@house.example", "correct horse battery");
    let user = json!({"email": email, "name": "second", "role": "ADMIN", "password": password});
    server.admin().post("/api/users", &user).expect(201);
    let signed = server.nobody().post("/api/auth/login", &json!({"email": email, "password": password})).expect(200);
    signed["accessToken"].as_str().unwrap().to_owned()
}

#[test]
fn nobody_decides_a_request_of_their_own() {
    let server = Server::governed();
    require(&server, "ANY", "edit", "deal");
    let deal = deal(&server);
    for (client, other) in [(server.manager(), server.admin()), (server.admin(), server.manager())] {
        let approval =
            waits(client.patch(&deal, &json!({"title": client.get("/api/auth/me").expect(200)["user"]["name"]})));
        for verdict in ["approve", "reject"] {
            assert_eq!(client.post(&format!("{approval}/{verdict}"), &json!({})).refused(403), "own_request");
        }
        assert_eq!(server.rep().get(&approval).refused(404), "not_found", "a representative sees the own ones");
        assert_eq!(approve(server.rep(), &approval).refused(404), "not_found");
        assert_eq!(server.rep().get("/api/approvals").expect(200)["approvals"], json!([]));
        if other.get("/api/auth/me").expect(200)["user"]["role"] == "ADMIN" {
            approve(other, &approval).expect(200);
            continue;
        }
        for verdict in ["approve", "reject"] {
            let refused = other.post(&format!("{approval}/{verdict}"), &json!({})).expect(403);
            assert_eq!(refused["code"], "approver_needs_approval", "{refused}");
            assert!(refused["detail"].as_str().unwrap().contains("Policy “Four eyes on edit”"), "{refused}");
        }
        approve(server.with(&second_admin(&server)), &approval).expect(200);
    }
}

#[test]
fn no_program_decides() {
    let (server, _, approval) = asked();
    let key = json!({"name": "k", "scopes": ["admin"]});
    let key = server.admin().post("/api/api-keys", &key).expect(201)["apiKey"]["key"].as_str().unwrap().to_owned();
    assert_eq!(approve(server.with(&key), &approval).refused(403), "person_required");
    assert_eq!(status(&server, &approval), "pending");
}

#[test]
fn approvals_themselves_need_none() {
    let server = Server::governed();
    for action in ["create", "edit"] {
        require(&server, "MANAGER", action, "*");
    }
    let deal = deal(&server);
    let approval = waits(server.manager().patch(&deal, &json!({"title": "New"})));
    server.manager().post(&format!("{approval}/cancel"), &json!({})).expect(200);
    let approval = waits(server.manager().patch(&deal, &json!({"title": "Newer"})));
    approve(server.admin(), &approval).expect(200);
}

#[test]
fn who_may_not_do_it_may_not_approve_it() {
    let (server, deal, approval) = asked();
    require(&server, "SALES_REP", "change_stage", "deal");
    let both = waits(server.rep().patch(&deal, &json!({"title": "Both", "stageId": stage(&server, 1)})));
    deny(&server, "MANAGER", "change_stage", "deal");
    assert_eq!(approve(server.manager(), &both).refused(403), "approver_not_allowed", "all of it has to be allowed");
    deny(&server, "MANAGER", "edit", "deal");
    assert_eq!(approve(server.manager(), &approval).refused(403), "policy_denied");
    assert_eq!(server.manager().post(&format!("{approval}/reject"), &json!({})).refused(403), "policy_denied");
    assert_eq!((status(&server, &approval), status(&server, &both)), (json!("pending"), json!("pending")));
    approve(server.admin(), &both).expect(200);
    approve(server.admin(), &approval).expect(200);
    let done = server.admin().get(&deal).expect(200)["deal"].clone();
    assert_eq!((&done["title"], &done["value"], &done["stageId"]), (&json!("Both"), &json!(7), &stage(&server, 1)));
}

#[test]
fn a_request_whose_fields_have_changed_meanwhile_is_void() {
    let (server, deal, approval) = asked();
    let title = waits(server.rep().patch(&deal, &json!({"title": "Asked"})));
    server.admin().patch(&deal, &json!({"title": "Changed"})).expect(200);
    assert_eq!(status(&server, &title), "stale", "at once, without anybody's decision");
    assert_eq!(status(&server, &approval), "pending", "it is about another field");
    let told = server.rep().get("/api/notifications").expect(200)["notifications"][0].clone();
    assert_eq!((&told["kind"], &told["entityType"]), (&json!("approval_decided"), &json!("approval")), "{told}");
    let listed = server.rep().get("/api/approvals?status=stale").expect(200)["approvals"].clone();
    assert_eq!(listed.as_array().unwrap().len(), 1);
    let history = title.replace("/api/approvals", "/api/field-history/approval");
    let rows = server.admin().get(&history).expect(200)["fieldHistory"].clone();
    let row = rows.as_array().unwrap().iter().find(|row| row["fieldName"] == "status").unwrap().clone();
    assert_eq!((&row["newValue"], &row["actor"]), (&json!("stale"), &json!("system")), "{row}");
    assert_eq!(approve(server.manager(), &title).refused(409), "stale");
    approve(server.manager(), &approval).expect(200);
    let now = server.admin().get(&deal).expect(200)["deal"].clone();
    assert_eq!((&now["title"], &now["value"]), (&json!("Changed"), &json!(7)), "what else has changed does not matter");
    let gone = waits(server.rep().patch(&deal, &json!({"title": "Too late"})));
    server.admin().delete(&deal).expect(204);
    assert_eq!(server.rep().get(&gone).expect(200)["approval"]["status"], "stale");
    assert_eq!(approve(server.manager(), &gone).refused(409), "stale");
}

#[test]
fn a_request_that_a_rule_stands_against_has_failed() {
    let server = Server::governed();
    require(&server, "SALES_REP", "change_stage", "deal");
    let deal = deal(&server);
    let target = stage(&server, 1);
    let approval = waits(server.rep().patch(&deal, &json!({"stageId": target})));
    let pipeline = server.admin().get(&deal).expect(200)["deal"]["pipelineId"].clone();
    let address = format!("/api/pipelines/{}/stages/{}", pipeline.as_str().unwrap(), target.as_str().unwrap());
    server.admin().delete(&address).expect(204);
    assert_eq!(approve(server.manager(), &approval).refused(409), "failed");
    let over = server.rep().get(&approval).expect(200)["approval"].clone();
    assert_eq!(over["status"], "failed");
    assert!(over["failure"].as_str().unwrap().contains("stageId"), "{over}");
}

#[test]
fn a_request_is_over_at_its_time_and_a_job_notes_it() {
    let (server, deal, approval) = asked();
    let sql = "UPDATE approvals SET expires_at = now() - interval '1 second'; \
        UPDATE queue_jobs SET run_at = now() - interval '1 second' WHERE kind = 'approval_expiry'";
    server.database.connect().batch_execute(sql).unwrap();
    let listed = |status: &str| {
        let list = server.manager().get(&format!("/api/approvals?status={status}")).expect(200);
        list["approvals"].as_array().unwrap().len()
    };
    assert_eq!((status(&server, &approval), listed("pending"), listed("expired")), (json!("expired"), 0, 1));
    let worker = worker::start(server.door.database().clone(), Arc::new(PolicyGates::new())).unwrap();
    let noted = || server.admin().get(&approval).expect(200)["approval"]["decidedAt"].is_string();
    for _ in 0..300 {
        if noted() {
            break;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    worker.stop();
    assert!(noted(), "the job has not run");
    assert_eq!((status(&server, &approval), listed("pending"), listed("expired")), (json!("expired"), 0, 1));
    assert_eq!(approve(server.manager(), &approval).refused(410), "expired", "noted or not");
    let late = waits(server.rep().patch(&deal, &json!({"value": 8})));
    server.database.connect().batch_execute("UPDATE approvals SET expires_at = now()").unwrap();
    assert_eq!(approve(server.manager(), &late).refused(410), "expired");
    assert_eq!(server.admin().get(&deal).expect(200)["deal"]["value"], 1);
}

#[test]
fn who_lost_the_right_meanwhile_does_not_get_it_done() {
    let (server, deal, approval) = asked();
    require(&server, "MANAGER", "delete", "deal");
    let deletion = waits(server.manager().delete(&deal));
    let person = |id: String| format!("/api/users/{id}");
    let admin = server.admin();
    admin.patch(&person(server.house.rep.id.to_string()), &json!({"isActive": false})).expect(200);
    assert_eq!(status(&server, &approval), "cancelled", "at once: nobody is left who asks");
    admin.patch(&person(server.house.manager.id.to_string()), &json!({"role": "SALES_REP"})).expect(200);
    for approval in [approval, deletion] {
        assert_eq!(approve(admin, &approval).refused(409), "cancelled");
        assert_eq!(status(&server, &approval), "cancelled");
    }
    assert_eq!(admin.get(&deal).expect(200)["deal"]["value"], 1);
}

#[test]
fn ten_approvals_at_once_do_it_once() {
    let (server, deal, approval) = asked();
    let statuses: Vec<u16> = std::thread::scope(|scope| {
        let ask = |turn: usize| {
            let client = if turn.is_multiple_of(2) { server.manager() } else { server.admin() };
            approve(client, &approval).status
        };
        let asked: Vec<_> = (0..10).map(|turn| scope.spawn(move || ask(turn))).collect();
        asked.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 1, "{statuses:?}");
    assert!(statuses.iter().all(|status| [200, 409].contains(status)), "{statuses:?}");
    let history = deal.replace("/api/deals", "/api/field-history/deal");
    assert_eq!(server.admin().get(&history).expect(200)["fieldHistory"].as_array().unwrap().len(), 1);
    assert_eq!(server.admin().get(&deal).expect(200)["deal"]["version"], 2);
}

#[test]
fn a_request_is_taken_back_by_who_asked_and_rejected_by_others() {
    let (server, deal, approval) = asked();
    let cancel = format!("{approval}/cancel");
    assert_eq!(server.manager().post(&cancel, &json!({})).refused(403), "not_own_request");
    let cancelled = server.rep().post(&cancel, &json!({})).expect(200)["approval"].clone();
    assert_eq!((&cancelled["status"], &cancelled["decidedBy"]), (&json!("cancelled"), &Value::Null));
    assert_eq!(approve(server.manager(), &approval).refused(409), "already_decided");
    let again = waits(server.rep().patch(&deal, &json!({"value": 7})));
    assert_ne!(again, approval);
    let reject = format!("{again}/reject");
    let rejected = server.manager().post(&reject, &json!({"note": "Too much"})).expect(200)["approval"].clone();
    assert_eq!((&rejected["status"], &rejected["decidedBy"]), (&json!("rejected"), &json!(server.house.manager.id)));
    assert_eq!(server.rep().post(&format!("{again}/cancel"), &json!({})).refused(409), "already_decided");
    assert_eq!(server.admin().get(&deal).expect(200)["deal"]["version"], 1);
}

#[test]
fn a_request_tells_nothing_that_is_hidden_from_who_reads_it() {
    let (server, deal, _) = asked();
    let approval = waits(server.rep().patch(&deal, &json!({"value": 4711, "title": "Larger"})));
    let hides = json!({"name": "Blind managers", "role": "MANAGER", "action": "view_field", "resource": "deal",
        "field": "value"});
    server.admin().post("/api/policies", &hides).expect(201);
    for path in [approval.clone(), "/api/approvals".into(), "/api/field-history/recent".into()] {
        let seen = server.manager().get(&path).expect(200).to_string();
        assert!(!seen.contains("4711"), "{path}: {seen}");
        assert_eq!(seen.contains("Larger"), !path.ends_with("recent"), "{path}: {seen}");
    }
    assert_eq!(approve(server.manager(), &approval).refused(403), "field_not_viewable");
    approve(server.admin(), &approval).expect(200);
}
