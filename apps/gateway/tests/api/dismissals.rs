//! What somebody takes off their daily focus, and what waits for their decision, over HTTP.
use chrono::TimeDelta;
use serde_json::{Value, json};

use crate::{
    approvals::{approve, asked, deal, require, waits},
    client::{Client, Server},
    copilot::codes,
    forecasting::Past,
};

const DISMISSALS: &str = "/api/copilot/daily-focus/dismissals";

fn items(client: Client<'_>) -> Vec<Value> {
    client.get("/api/copilot/daily-focus").expect(200)["dailyFocus"]["items"].as_array().unwrap().clone()
}

fn dismissals(client: Client<'_>) -> Vec<Value> {
    client.get(DISMISSALS).expect(200)["dismissals"].as_array().unwrap().clone()
}

#[test]
fn what_is_dismissed_stays_off_until_something_of_it_changes() {
    let server = Server::start();
    let (rep, manager) = (server.rep(), server.manager());
    let past = Past::of(&server, &server.house.rep);
    let soon = (past.now + TimeDelta::days(3)).date_naive();
    let acme = past.deal(2.0, &json!({"title": "Acme", "expectedCloseDate": soon}));
    let address = format!("/api/deals/{acme}");
    assert_eq!(items(rep)[0]["dealId"], json!(acme));
    let body = json!({"dealId": acme, "reason": " They decide after the trade fair "});
    let reply = rep.post(DISMISSALS, &body);
    let location = reply.header("location").to_owned();
    let made = reply.expect(201)["dismissal"].clone();
    assert_eq!(location, format!("{DISMISSALS}/{}", made["id"].as_str().unwrap()));
    assert_eq!((&made["kind"], &made["dealId"], &made["title"]), (&json!("deal"), &json!(acme), &json!("Acme")));
    assert_eq!((&made["reason"], &made["isHolding"]), (&json!("They decide after the trade fair"), &json!(true)));
    assert_eq!(made["dismissedReasons"], json!(["closing_soon"]));
    assert_eq!(items(rep), Vec::<Value>::new());
    assert_eq!(rep.get(&location).expect(200)["dismissal"], made);
    assert_eq!(dismissals(rep), std::slice::from_ref(&made));
    assert_eq!(rep.post(DISMISSALS, &body).refused(409), "already_dismissed");

    rep.patch(&address, &json!({"title": "Acme Corp"})).expect(200);
    assert_eq!(items(rep)[0]["title"], json!("Acme Corp"), "it was changed");
    assert_eq!(rep.get(&location).expect(200)["dismissal"]["isHolding"], json!(false));
    rep.post(DISMISSALS, &body).expect(201);
    assert_eq!((items(rep).len(), dismissals(rep).len()), (0, 1), "what no longer held is forgotten");

    rep.post("/api/activities", &json!({"type": "call", "dealId": acme})).expect(201);
    assert_eq!(items(rep).len(), 1, "it was touched");
    rep.post(DISMISSALS, &body).expect(201);
    let task = json!({"title": "Call back", "dealId": acme, "dueAt": past.now, "assigneeId": server.house.rep.id});
    let task = rep.post("/api/tasks", &task).expect(201)["task"]["id"].clone();
    assert_eq!(codes(&items(rep)[0]), ["task_due_today", "closing_soon"], "something else presses");
    let again = rep.post(DISMISSALS, &body).expect(201)["dismissal"].clone();
    assert_eq!(again["dismissedReasons"], json!(["task_due_today", "closing_soon"]));
    rep.patch(&format!("/api/tasks/{}", task.as_str().unwrap()), &json!({"status": "cancelled"})).expect(200);
    assert_eq!(items(rep), Vec::<Value>::new(), "what presses less is no news");

    let own = format!("{DISMISSALS}/{}", again["id"].as_str().unwrap());
    for other in [manager, server.with(&server.house.stranger.token)] {
        assert_eq!(dismissals(other), Vec::<Value>::new(), "they are a person's own");
        assert_eq!((other.get(&own).status, other.delete(&own).status), (404, 404));
    }
    rep.delete(&own).expect(204);
    assert_eq!(codes(&items(rep)[0]), ["closing_soon"], "taken back");
    assert_eq!((rep.delete(&own).status, rep.get(&own).status), (404, 404));
}

#[test]
fn a_dismissal_names_one_thing_of_the_own_focus_and_says_why() {
    let server = Server::start();
    let past = Past::of(&server, &server.house.rep);
    let soon = (past.now + TimeDelta::days(3)).date_naive();
    let calm = past.deal(1.0, &json!({"title": "Calm"}));
    let pressing = past.deal(1.0, &json!({"title": "Pressing", "expectedCloseDate": soon}));
    let of_manager = Past::of(&server, &server.house.manager)
        .deal(1.0, &json!({"title": "Theirs", "expectedCloseDate": soon, "businessUnitId": server.house.other_unit}));
    let unknown = "01890000-0000-7000-8000-000000000000";
    for (body, errors) in [
        (json!({"reason": "x"}), vec!["dealId"]),
        (json!({"dealId": pressing, "leadId": unknown, "reason": "x"}), vec!["dealId"]),
        (json!({"dealId": pressing}), vec!["reason"]),
        (json!({"dealId": pressing, "reason": " \t"}), vec!["reason"]),
        (json!({"dealId": pressing, "reason": "x".repeat(501)}), vec!["reason"]),
        (json!({"dealId": calm, "reason": ""}), vec!["dealId", "reason"]),
        (json!({"dealId": of_manager, "reason": "x"}), vec!["dealId"]),
        (json!({"taskId": unknown, "reason": "x"}), vec!["taskId"]),
        (json!({"approvalId": unknown, "reason": "x"}), vec!["approvalId"]),
        (json!({"dealId": "soon", "reason": 1}), vec!["dealId", "reason"]),
    ] {
        let mut fields = server.rep().post(DISMISSALS, &body).bad_fields();
        fields.sort_unstable();
        assert_eq!(fields, errors, "{body}");
    }
    let more = json!({"dealId": pressing, "reason": "x", "until": "2027-01-01"});
    assert_eq!(server.rep().post(DISMISSALS, &more).refused(400), "unknown_member");
    assert_eq!(server.rep().get(&format!("{DISMISSALS}?limit=0")).status, 400);
    assert_eq!(server.rep().get(&format!("{DISMISSALS}?cursor=x")).refused(400), "invalid_cursor");
    assert_eq!(items(server.rep()).len(), 1, "refused, but dismissed");
    for title in ["A", "B", "C"] {
        let deal = past.deal(1.0, &json!({"title": title, "expectedCloseDate": soon}));
        server.rep().post(DISMISSALS, &json!({"dealId": deal, "reason": title})).expect(201);
    }
    let page = server.rep().get(&format!("{DISMISSALS}?limit=2")).expect(200);
    let titles = |page: &Value| -> Vec<_> {
        page["dismissals"].as_array().unwrap().iter().map(|it| it["title"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(titles(&page), ["C", "B"]);
    let next = format!("{DISMISSALS}?limit=2&cursor={}", page["nextCursor"].as_str().unwrap());
    let rest = server.rep().get(&next).expect(200);
    assert_eq!((titles(&rest), &rest["nextCursor"]), (vec!["A".to_owned()], &Value::Null));
    assert_eq!(server.manager().get(&next).refused(400), "invalid_cursor", "a cursor is a person's own too");
}

#[test]
fn a_snoozed_deal_is_off_the_focus_until_the_snooze_is_over() {
    let server = Server::start();
    let past = Past::of(&server, &server.house.rep);
    let soon = (past.now + TimeDelta::days(3)).date_naive();
    let deal = past.deal(30.0, &json!({"title": "Acme", "expectedCloseDate": soon}));
    let snooze = format!("/api/forecasting/stale-deals/{deal}/snooze");
    let body = json!({"until": past.now + TimeDelta::days(7), "reason": "On holiday"});
    server.rep().post(&snooze, &body).expect(200);
    assert_eq!(items(server.rep()), Vec::<Value>::new());
    server.rep().delete(&snooze).expect(204);
    assert_eq!(codes(&items(server.rep())[0]), ["closing_soon", "untouched"]);
}

#[test]
fn what_waits_for_a_decision_is_told_to_who_may_decide_it() {
    let (server, deal_path, approval) = asked();
    let id = approval.strip_prefix("/api/approvals/").unwrap();
    let item = items(server.manager())[0].clone();
    assert_eq!((&item["kind"], &item["approvalId"], &item["score"]), (&json!("approval"), &json!(id), &json!(30)));
    assert_eq!((codes(&item), &item["suggestedAction"]), (vec!["decision_awaited"], &json!("decide")));
    assert_eq!(item["title"], json!("Approve: change of a deal"), "what it would change is not told");
    assert_eq!((&item["dealId"], &item["taskId"]), (&Value::Null, &Value::Null));
    assert_eq!(items(server.admin())[0]["approvalId"], json!(id));
    assert_eq!(items(server.rep()), Vec::<Value>::new(), "nobody decides a request of their own");

    let body = json!({"approvalId": id, "reason": "The admin decides"});
    server.manager().post(DISMISSALS, &body).expect(201);
    assert_eq!(items(server.manager()), Vec::<Value>::new());
    assert_eq!(items(server.admin()).len(), 1, "dismissed by one, not by others");
    server.admin().patch(&deal_path, &json!({"title": "Renamed"})).expect(200);
    assert_eq!(items(server.admin()).len(), 1, "a field that the request does not name");
    server.admin().patch(&deal_path, &json!({"value": 5})).expect(200);
    assert_eq!(items(server.admin()), Vec::<Value>::new(), "approving would only say that it is stale");
}

#[test]
fn what_somebody_may_not_decide_does_not_wait_for_them() {
    let server = Server::governed();
    require(&server, "SALES_REP", "edit", "deal");
    let (mine, theirs) = (deal(&server), deal(&server));
    let asked = |client: Client<'_>, path: &str| waits(client.patch(path, &json!({"value": 7})));
    let of_rep = asked(server.rep(), &theirs);
    let awaited = |client: Client<'_>| -> Vec<String> {
        items(client)
            .iter()
            .filter_map(|item| Some(format!("/api/approvals/{}", item["approvalId"].as_str()?)))
            .collect()
    };
    assert_eq!(awaited(server.manager()), std::slice::from_ref(&of_rep));
    require(&server, "MANAGER", "edit", "deal");
    let of_manager = asked(server.manager(), &mine);
    assert_eq!(awaited(server.manager()), Vec::<String>::new(), "who would need an approval gives none");
    assert_eq!(awaited(server.admin()), [of_rep.clone(), of_manager.clone()]);
    approve(server.admin(), &of_manager).expect(200);
    assert_eq!(awaited(server.admin()), std::slice::from_ref(&of_rep));
    let denied = json!({"name": "No edits", "role": "MANAGER", "action": "edit", "resource": "deal", "effect": "deny"});
    server.admin().post("/api/policies", &denied).expect(201);
    assert_eq!(awaited(server.manager()), Vec::<String>::new());
    assert_eq!(approve(server.manager(), &of_rep).status, 403);
    assert_eq!(awaited(server.rep()), Vec::<String>::new());
}
