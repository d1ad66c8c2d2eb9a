//! Imports of deals: references, closed ones, and the past.
use serde_json::{Value, json};

use crate::house::{House, counters};

fn mapping() -> Value {
    json!({"id": "externalId", "deal": "title", "account": "company", "agent": "owner", "stage": "stage",
        "engaged": "createdAt", "closed": "closedAt", "amount": "value"})
}

/// The first open stage, the won and the lost one of the organization's pipeline.
fn stages(house: &House) -> [String; 3] {
    ["open", "won", "lost"]
        .map(|kind| house.text(&format!("SELECT name FROM stages WHERE kind = '{kind}' ORDER BY position LIMIT 1")))
}

#[test]
fn a_migration_tells_the_past_of_deals() {
    let house = House::new();
    house.company(&json!({"name": "Cancity"}));
    let [open, won, lost] = stages(&house);
    let csv = format!(
        "id,deal,account,agent,stage,engaged,closed,amount\n\
         1,One,cancity,ada lovelace,{won},10/20/2016,3/1/2017,1054\n\
         2,Two,,Rob Rep,{lost},10/25/2016,3/11/2017,0\n\
         3,Three,CANCITY,rob@x.example,{open},10/26/2016,,\n\
         4,Four,Nowhere,Rob Rep,{won},10/20/2016,3/1/2017,1\n\
         5,Five,,Nobody,Nowhere,10/20/2016,2/30/2017,x\n\
         6,Six,,,{won},3/2/2017,3/1/2017,1\n\
         7,Seven,,,{open},3/2/2017,3/3/2017,1\n\
         8,Eight,,,{won},,3/3/2017,1\n\
         9,Nine,,,{won},1/1/2999,,1\n"
    );
    let options = json!({"asHistory": true, "dateFormat": "%m/%d/%Y"});
    let import = house.import("deal", &csv, &mapping(), &options);
    assert_eq!(counters(&import), [4, 0, 0, 5]);
    let row = "SELECT concat_ws(' ', title, status, value, created_at::date, closed_at::date, company_id IS NOT NULL) \
               FROM deals WHERE external_id = ";
    assert_eq!(house.text(&format!("{row}'1'")), "One won 1054.0000 2016-10-20 2017-03-01 t");
    assert_eq!(house.text(&format!("{row}'2'")), "Two lost 0.0000 2016-10-25 2017-03-11 f");
    assert_eq!(house.text(&format!("{row}'3'")), "Three open 2016-10-26 t");
    assert_eq!(house.text(&format!("{row}'8'")), "Eight won 1.0000 2017-03-03 2017-03-03 f");
    assert_eq!(house.text("SELECT count(*) FROM win_loss_reviews"), "0");
    let visits = "SELECT string_agg(v.entered_at::date || ' ' || s.kind, ', ' ORDER BY v.visit) FROM deal_stage_visits v \
                  JOIN deals d ON d.id = v.deal_id JOIN stages s ON s.id = v.stage_id WHERE d.external_id = ";
    assert_eq!(house.text(&format!("{visits}'1'")), "2016-10-20 open, 2017-03-01 won");
    assert_eq!(house.text(&format!("{visits}'3'")), "2016-10-26 open");
    assert_eq!(house.text(&format!("{visits}'8'")), "2017-03-03 won", "open for no time");
    let report = house.errors(import.id);
    for told in [
        "5,company,unknown_reference,There is no company named “Nowhere”.",
        "6,owner,unknown_reference,There is no active user with the name or email “Nobody”.",
        "6,closedAt,invalid_date_time",
        "6,value,invalid_number",
        "7,closedAt,before_creation",
        "8,closedAt,not_closed",
        "10,createdAt,in_future",
    ] {
        assert!(report.contains(told), "{told} is not in {report}");
    }
    let names = format!("has no stage “Nowhere”. There are: {open}, ");
    assert!(report.contains(&names), "{names} is not in {report}");
    assert_eq!(counters(&house.import("deal", &csv, &mapping(), &options)), [0, 0, 4, 5]);
}

#[test]
fn closed_deals_need_a_review_where_no_past_is_told() {
    let house = House::new();
    let [open, won, _] = stages(&house);
    let csv = format!("t,s\nOpen,{open}\nWon,{won}\n");
    let import = house.import("deal", &csv, &json!({"t": "title", "s": "stage"}), &json!({}));
    assert_eq!(counters(&import), [1, 0, 0, 1]);
    assert!(house.errors(import.id).contains("3,winLossReview,win_loss_review_required"));
    let refused = house.take_in("deal", "t,c\nA,2016-01-01\n", &json!({"t": "title", "c": "createdAt"}), &json!({}));
    assert!(refused.is_err_and(|error| error.code() == "unknown_field"));
}

#[test]
fn rows_without_a_key_are_known_by_having_been_imported() {
    let house = House::new();
    let (mapping, csv) = (json!({"t": "title", "v": "value"}), "t,v\nA,1\nA,1\nB,2\n");
    let first = house.import("deal", csv, &mapping, &json!({}));
    assert_eq!(counters(&first), [3, 0, 0, 0], "equal rows of one file are different deals");
    assert_eq!(
        counters(&house.import("deal", "v,t\n1,A\n1,A\n3,A\n", &json!({"t": "title", "v": "value"}), &json!({}))),
        [1, 0, 2, 0]
    );
    house.run("DELETE FROM deal_stage_visits; DELETE FROM deals WHERE title = 'B'");
    assert_eq!(counters(&house.import("deal", csv, &mapping, &json!({}))), [1, 0, 2, 0]);
    assert_eq!(counters(&house.import("deal", csv, &mapping, &json!({"dedupe": "create"}))), [3, 0, 0, 0]);
}

#[test]
fn pipelines_and_units_are_named_too() {
    let house = House::new();
    let one = house.organization;
    house.run(&format!(
        "INSERT INTO pipelines (organization_id, id, name, created_at, updated_at) \
         VALUES ('{one}', '{one}', 'Renewals', now(), now()); \
         INSERT INTO stages (organization_id, id, pipeline_id, name, position, probability, kind, created_at, updated_at) \
         VALUES ('{one}', '{one}', '{one}', 'Asked', 1, 0.5, 'open', now(), now()); \
         INSERT INTO business_units (organization_id, id, name, slug, default_pipeline_id, created_at, updated_at) \
         VALUES ('{one}', '{one}', 'Brand Beta', 'beta', '{one}', now(), now())"
    ));
    let mapping = json!({"t": "title", "p": "pipeline", "s": "stage", "u": "businessUnit"});
    let csv = "t,s,p,u\nA,asked,renewals,\nB,asked,,BETA\nC,asked,,\nD,,Renewals,beta\nE,,Sales 2,gamma\n";
    let import = house.import("deal", csv, &mapping, &json!({}));
    assert_eq!(counters(&import), [3, 0, 0, 2]);
    assert_eq!(house.text("SELECT count(DISTINCT stage_id) FROM deals"), "1");
    assert_eq!(
        house.text("SELECT string_agg(title, '' ORDER BY title) FROM deals WHERE business_unit_id IS NOT NULL"),
        "BD"
    );
    let report = house.errors(import.id);
    assert!(report.contains("6,pipeline,unknown_reference") && report.contains("6,businessUnit,unknown_reference"));
    let unit =
        house.import("deal", "t,s\nF,asked\n", &json!({"t": "title", "s": "stage"}), &json!({"businessUnitId": one}));
    assert_eq!(counters(&unit), [1, 0, 0, 0]);
}
