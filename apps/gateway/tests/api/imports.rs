//! Imports over HTTP: preview, dry run, the real run, twice, refusals, taking back.
use std::{sync::Arc, time::Duration};

use crm_core::gate::Roles;
use crm_ops::runner::Running;
use gateway::worker;
use serde_json::{Value, json};

use crate::client::{Client, Reply, Server};

const COMPANIES: &str = "Name;Umsatz;Land\r\nAcme;1.234,50;GB\r\nGlobex;7;DE\r\nAcme;1;GB\r\nNowhere;many;XX\r\n";

pub(crate) fn work(server: &Server) -> Running {
    worker::start(server.door.database().clone(), Arc::new(Roles)).unwrap()
}

pub(crate) fn send(client: Client<'_>, path: &str, parts: &[(&str, &str)], file: &str) -> Reply {
    let mut body = String::new();
    for (name, text) in parts {
        body += &format!("--x\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{text}\r\n");
    }
    body += &format!(
        "--x\r\nContent-Disposition: form-data; name=\"file\"; filename=\"companies.csv\"\r\n\r\n{file}\r\n--x--\r\n"
    );
    client.send_bytes("POST", path, &[("content-type", "multipart/form-data; boundary=x")], body.into_bytes())
}

fn start(client: Client<'_>, options: &Value) -> Reply {
    let mapping = json!({"Name": "name", "Umsatz": "annualRevenue", "Land": "country"}).to_string();
    let parts = [("entityType", "company"), ("mapping", &mapping), ("options", &options.to_string())];
    send(client, "/api/imports", &parts, COMPANIES)
}

/// The import once it has come to rest.
#[track_caller]
pub(crate) fn ended(client: Client<'_>, started: Reply) -> Value {
    let location = started.header("location").to_owned();
    assert_eq!(started.expect(202)["import"]["status"], "queued");
    at_rest(client, &location)
}

#[track_caller]
fn at_rest(client: Client<'_>, location: &str) -> Value {
    for _ in 0..300 {
        let import = client.get(location).expect(200)["import"].clone();
        if !matches!(import["status"].as_str().unwrap(), "queued" | "running" | "reverting") {
            return import;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    panic!("the import does not end");
}

fn counts(import: &Value) -> [i64; 5] {
    ["rowsTotal", "created", "updated", "skipped", "failed"].map(|name| import[name].as_i64().unwrap())
}

#[test]
fn a_file_is_looked_at_tried_and_read_in_once() {
    let server = Server::start();
    let worker = work(&server);
    let manager = server.manager();
    let seen = send(
        manager,
        "/api/imports/preview",
        &[("entityType", "company"), ("options", "{\"delimiter\":\";\"}")],
        COMPANIES,
    );
    let preview = seen.expect(200)["preview"].clone();
    assert_eq!(preview["columns"][0]["field"], "name", "{preview}");
    assert_eq!(preview["rows"][0]["cells"][0], "Acme");

    let options = |more: Value| {
        let mut options = json!({"delimiter": ";", "decimalComma": true});
        options.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        options
    };
    let tried = ended(manager, start(manager, &options(json!({"dryRun": true}))));
    assert_eq!((&tried["status"], counts(&tried)), (&json!("completed"), [4, 2, 0, 1, 1]));
    assert_eq!(manager.get("/api/companies?count=true").expect(200)["total"], 0, "a dry run keeps nothing");

    let first = ended(manager, start(manager, &options(json!({}))));
    assert_eq!(counts(&first), [4, 2, 0, 1, 1]);
    let acme = manager.get("/api/companies?name=Acme").expect(200)["companies"][0].clone();
    assert_eq!(acme["annualRevenue"].to_string(), "1234.5");

    let errors = format!("/api/imports/{}/errors", first["id"].as_str().unwrap());
    let refused = manager.get(&errors).expect(200).as_str().unwrap().to_owned();
    assert!(refused.contains("Name,Umsatz,Land,row,field,code,message"), "{refused}");
    assert!(refused.contains("Nowhere,many,XX,5,annualRevenue"), "{refused}");

    let second = ended(manager, start(manager, &options(json!({"dedupe": "skip"}))));
    assert_eq!(counts(&second), [4, 0, 0, 3, 1], "nothing comes in twice");

    let revert = format!("/api/imports/{}/revert", first["id"].as_str().unwrap());
    manager.send("POST", &revert, &[], None).expect(202);
    let reverted = at_rest(manager, &format!("/api/imports/{}", first["id"].as_str().unwrap()));
    assert_eq!((&reverted["status"], &reverted["reverted"]), (&json!("reverted"), &json!(2)));
    assert_eq!(manager.get("/api/companies?count=true").expect(200)["total"], 0);
    worker.stop();
}

#[test]
fn what_would_be_refused_and_what_wants_a_look_is_told() {
    let server = Server::start();
    let worker = work(&server);
    let manager = server.manager();
    let mapping = json!({"Deal": "title", "Account": "company", "Value": "value"}).to_string();
    let file = "Deal,Account,Value\nOne,,1\nTwo,Nowhere,2\nThree,,much\n";
    let parts = [("entityType", "deal"), ("mapping", mapping.as_str())];
    let preview = send(manager, "/api/imports/preview", &parts, file).expect(200)["preview"].clone();
    let refused: Vec<_> = (0..3).map(|column| &preview["columns"][column]["refused"]["count"]).collect();
    assert_eq!(refused, [&json!(null), &json!(1), &json!(1)]);
    assert_eq!(preview["columns"][2]["refused"]["example"], "much");
    assert_eq!(preview["columns"][2]["refused"]["problem"]["code"], "invalid_number");
    assert_eq!(preview["notices"][0]["code"], "pipeline", "{preview}");

    let pipeline = manager.get("/api/pipelines").expect(200)["pipelines"][0]["id"].clone();
    let options = json!({"pipelineId": pipeline, "ownerId": server.house.rep.id, "unknownReferences": "blank"});
    let parts = [parts[0], parts[1], ("options", &options.to_string())];
    let import = ended(manager, send(manager, "/api/imports", &parts, file));
    assert_eq!((counts(&import), &import["warnings"]), ([3, 2, 0, 0, 1], &json!(2)));
    let path = format!("/api/imports/{}/warnings", import["id"].as_str().unwrap());
    let told = manager.get(&path).expect(200).as_str().unwrap().to_owned();
    assert!(told.contains("Deal,Account,Value,row,field,code,message"), "{told}");
    assert!(
        told.contains("One,,1,2,company,blank_reference") && told.contains("Two,Nowhere,2,3,company,unknown_reference")
    );
    let deals = manager.get("/api/deals").expect(200)["deals"].clone();
    assert!(deals.as_array().unwrap().iter().all(|deal| deal["ownerId"] == json!(server.house.rep.id)));
    let stranger = server.with(&server.house.stranger.token);
    assert_eq!(stranger.get(&path).refused(404), "not_found");
    let unknown = json!({"pipelineId": server.house.rep.id, "ownerId": pipeline, "reasonCode": "none"});
    let parts = [parts[0], parts[1], ("options", &unknown.to_string())];
    let fields = send(manager, "/api/imports", &parts, file).bad_fields();
    assert_eq!(fields, ["options.ownerId", "options.pipelineId", "options.reasonCode"]);
    assert_eq!(send(manager, "/api/imports/preview", &parts, file).bad_fields(), fields[..2]);
    worker.stop();
}

#[test]
fn what_is_wrong_with_an_upload_is_told_at_once() {
    let server = Server::start();
    let manager = server.manager();
    let mapping = json!({"Name": "nmae", "Nix": "country"}).to_string();
    let parts = [
        ("entityType", "company"),
        ("mapping", mapping.as_str()),
        ("options", "{\"delimiter\":\";\",\"dedup\":\"x\"}"),
    ];
    let fields = send(manager, "/api/imports", &parts, COMPANIES).bad_fields();
    for field in ["mapping.Name", "mapping.Nix", "options.dedup"] {
        assert!(fields.contains(&field.to_owned()), "{fields:?}");
    }
    assert_eq!(send(manager, "/api/imports", &[("entityType", "company")], COMPANIES).bad_fields(), ["mapping"]);
    assert_eq!(send(manager, "/api/imports", &[("entitytype", "company")], COMPANIES).refused(400), "unknown_member");
    assert_eq!(send(server.nobody(), "/api/imports", &parts, COMPANIES).refused(401), "missing_token");
    assert_eq!(manager.post("/api/imports", &json!({})).refused(415), "unsupported_media_type");
    let history = json!({"asHistory": true, "delimiter": ";"});
    assert_eq!(start(manager, &history).refused(403), "role_required");
    let stranger = server.with(&server.house.stranger.token);
    let theirs = start(manager, &json!({"delimiter": ";", "decimalComma": true})).expect(202);
    let id = theirs["import"]["id"].as_str().unwrap();
    for path in [format!("/api/imports/{id}"), format!("/api/imports/{id}/errors")] {
        assert_eq!(stranger.get(&path).refused(404), "not_found");
    }
}
