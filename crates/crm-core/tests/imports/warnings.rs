//! What an import takes for granted, reads with a warning and gives as its reason; what a preview tells beforehand.
use crm_core::{
    Error, Id, change,
    imports::{self, Import, Preview, PreviewOptions},
    reason_codes::{ReasonCode, ReasonRule},
};
use serde_json::{Value, json};

use crate::house::{House, NOBODY, counters, patch};

fn deals() -> Value {
    json!({"id": "externalId", "deal": "title", "account": "company", "who": "owner", "tier": "customFields.tier"})
}

fn tiers(house: &House) {
    let tier = json!({"entityType": "deal", "key": "tier", "label": "Tier", "type": "select",
        "options": ["GTX Pro", "GTX Basic"]});
    let own = |tx: &mut crm_core::Tx<'_>| change::create::<crm_core::custom_fields::CustomField>(tx, patch(&tier));
    house.system(own).unwrap();
}

fn warnings(house: &House, id: Id<Import>) -> String {
    let report = house.acting(house.admin, |tx| imports::warnings(tx, id, Vec::new())).unwrap();
    String::from_utf8(report).unwrap()
}

fn preview(
    house: &House,
    kind: &str,
    csv: &str,
    options: &PreviewOptions,
    mapping: &Value,
) -> crm_core::Result<Preview> {
    let mapping = mapping.as_object().unwrap();
    house.acting(house.admin, |tx| imports::preview_file(tx, kind, csv.as_bytes(), options, mapping))
}

const DIRTY: &str = "id,deal,account,who,tier\n\
                     1,One,Cancity,Rob Rep,GTX Pro\n\
                     2,Two,,Rob Rep,GTXPro\n\
                     3,Three,Nowhere,,gtx basic\n\
                     4,Four,Cancity,Rob Rep,GTK\n";

#[test]
fn dirty_rows_that_land_are_told_and_counted() {
    let house = House::new();
    tiers(&house);
    house.company(&json!({"name": "Cancity"}));
    let strict = house.import("deal", DIRTY, &deals(), &json!({"dryRun": true}));
    assert_eq!((counters(&strict), strict.fields.warnings), ([2, 0, 0, 2], 1));
    let import = house.import("deal", DIRTY, &deals(), &json!({"unknownReferences": "blank"}));
    assert_eq!((counters(&import), import.fields.warnings), ([3, 0, 0, 1], 2));
    let told = warnings(&house, import.id);
    let lines: Vec<_> = told.trim_start_matches('\u{feff}').lines().collect();
    let wanted = [
        "id,deal,account,who,tier,row,field,code,message",
        "2,Two,,Rob Rep,GTXPro,3,company,blank_reference,\"The cell is blank, so the record has no company.\"",
        "2,Two,,Rob Rep,GTXPro,3,customFields.tier,read_as,“GTXPro” was read as “GTX Pro”.",
        "3,Three,Nowhere,,gtx basic,4,company,unknown_reference,There is no company named “Nowhere”. It was left blank.",
        "3,Three,Nowhere,,gtx basic,4,owner,blank_reference,\"The cell is blank, so the record has no owner.\"",
        "3,Three,Nowhere,,gtx basic,4,customFields.tier,read_as,“gtx basic” was read as “GTX Basic”.",
    ];
    assert_eq!(lines, wanted);
    assert!(house.errors(import.id).contains("5,customFields.tier,not_allowed,\"One of: GTX Pro, GTX Basic.\""));
    assert_eq!(house.text("SELECT custom_fields ->> 'tier' FROM deals WHERE external_id = '2'"), "GTX Pro");
    let again = house.import("deal", DIRTY, &deals(), &json!({"unknownReferences": "blank"}));
    assert_eq!((counters(&again), again.fields.warnings), ([0, 0, 3, 1], 0), "what is passed over wants no look");
}

#[test]
fn countries_are_read_by_name_and_a_misspelt_one_is_told() {
    let house = House::new();
    let csv = "n,c\nA,United States\nB,Kenya\nC,UK\nD,Korea\nE,DEU\nF,Philipines\nG,\n";
    let import = house.import("company", csv, &json!({"n": "name", "c": "country"}), &json!({}));
    assert_eq!(counters(&import), [6, 0, 0, 1]);
    let codes = "SELECT string_agg(coalesce(country, '-'), ' ' ORDER BY name) FROM companies";
    assert_eq!(house.text(codes), "US KE GB KR DE -");
    let report = house.errors(import.id);
    assert!(report.contains("7,country,unknown_country,“Philipines” is no country: expected perhaps Philippines (PH)"));
}

#[test]
fn a_preview_tells_what_would_be_refused_and_what_is_taken_for_granted() {
    let house = House::new();
    house.company(&json!({"name": "Cancity"}));
    let csv = "Account,Country,Domain,Staff,Parent\n\
               A,Kenya,a.example,1,\nB,Philipines,not a domain,2,A\nC,Narnia,c.example,many,Nobody\n,US,d.example,3,B\n";
    let shown = preview(&house, "company", csv, &PreviewOptions::default(), &json!({})).unwrap();
    let mapping = json!({"Account": "name", "Country": "country", "Domain": "domain", "Staff": "employees",
        "Parent": "parentCompany"});
    let mapped = preview(&house, "company", csv, &PreviewOptions::default(), &mapping).unwrap();
    assert_eq!(shown.columns[1].refused, mapped.columns[1].refused, "guesses are tried like a mapping");
    let refused: Vec<_> =
        mapped.columns.iter().map(|c| c.refused.as_ref().map(|r| (r.count, r.row, &*r.example))).collect();
    let wanted = [Some((1, 5, "")), Some((2, 3, "Philipines")), None, Some((1, 4, "many")), Some((1, 4, "Nobody"))];
    assert_eq!(refused, wanted, "what is wrong with a row's cells is told before what follows from them");
    let country = mapped.columns[1].refused.as_ref().unwrap();
    assert_eq!((country.rows_tried, country.problem.code.as_str()), (4, "unknown_country"));
    let domain = preview(&house, "company", "Account,Domain\nA,not a domain\n", &PreviewOptions::default(), &json!({}));
    assert_eq!(domain.unwrap().columns[1].refused.as_ref().unwrap().problem.code, "invalid_domain");
    let wrong = preview(&house, "company", csv, &PreviewOptions::default(), &json!({"Account": "nmae"}));
    assert!(matches!(wrong, Err(Error::Invalid(errors)) if errors[0].field == "mapping.Account"));

    let notices = |options: &PreviewOptions| {
        let shown = preview(&house, "deal", "deal\nA\n", options, &json!({"deal": "title"})).unwrap();
        shown.notices.into_iter().map(|notice| (notice.code, notice.message)).collect::<Vec<_>>()
    };
    let told = notices(&PreviewOptions::default());
    let default = house.text("SELECT name FROM pipelines WHERE is_default");
    assert_eq!(
        told.iter().map(|(code, _)| code.as_str()).collect::<Vec<_>>(),
        ["pipeline", "no_business_unit", "no_owner"]
    );
    assert!(told[0].1.starts_with(&format!("Deals go to the pipeline “{default}”, since no column names one; ")));
    let pipeline = second_pipeline(&house);
    let options = PreviewOptions { pipeline_id: Some(pipeline.parse().unwrap()), ..PreviewOptions::default() };
    assert_eq!(notices(&options)[0].1, "Deals go to the pipeline “Second”, since no column names one.");
    let unknown = PreviewOptions { pipeline_id: Some(NOBODY.into()), ..PreviewOptions::default() };
    assert!(preview(&house, "deal", "deal\nA\n", &unknown, &json!({})).is_err());
}

/// A pipeline of one open stage, `Begin`, and its id.
fn second_pipeline(house: &House) -> String {
    let (pipeline, stage) = (Id::<Import>::new(), Id::<Import>::new());
    house.run(&format!(
        "INSERT INTO pipelines (organization_id, id, name, is_default, created_at, updated_at) \
         SELECT id, '{pipeline}', 'Second', false, now(), now() FROM organizations; \
         INSERT INTO stages (organization_id, id, pipeline_id, name, kind, position, probability, created_at, updated_at) \
         SELECT id, '{stage}', '{pipeline}', 'Begin', 'open', 1, 0.1, now(), now() FROM organizations"
    ));
    pipeline.to_string()
}

#[test]
fn what_a_row_does_not_say_the_options_do() {
    let house = House::new();
    let pipeline = second_pipeline(&house);
    let unit = Id::<Import>::new();
    house.run(&format!(
        "INSERT INTO business_units (organization_id, id, name, slug, timezone, created_at, updated_at) \
         SELECT id, '{unit}', 'North', 'north', 'UTC', now(), now() FROM organizations"
    ));
    let mapping = json!({"deal": "title", "who": "owner", "stage": "stage"});
    let csv = "deal,who,stage\nA,,\nB,Ada Lovelace,begin\n";
    let options = json!({"pipelineId": pipeline, "ownerId": house.rep, "businessUnitId": unit});
    let import = house.import("deal", csv, &mapping, &options);
    assert_eq!((counters(&import), import.fields.warnings), ([2, 0, 0, 0], 0), "{}", house.errors(import.id));
    let told = "SELECT string_agg(concat_ws(' ', d.title, p.name, s.name, u.name, b.name), '; ' ORDER BY d.title) \
                FROM deals d JOIN pipelines p ON p.id = d.pipeline_id JOIN stages s ON s.id = d.stage_id \
                JOIN users u ON u.id = d.owner_id JOIN business_units b ON b.id = d.business_unit_id";
    assert_eq!(house.text(told), "A Second Begin Rob Rep North; B Second Begin Ada Lovelace North");

    let refused = |kind: &str, options: &Value| match house.take_in(kind, "t\nA\n", &json!({"t": "title"}), options) {
        Err(Error::Invalid(errors)) => {
            errors.into_iter().map(|e| format!("{} {}", e.field, e.code)).collect::<Vec<_>>()
        }
        other => panic!("{other:?}"),
    };
    let unknown = json!({"pipelineId": NOBODY, "ownerId": NOBODY, "reasonCode": "nowhere", "note": "x".repeat(2_001)});
    let wanted =
        ["options.ownerId unknown_reference", "options.pipelineId unknown_reference", "options.note invalid_type"];
    assert_eq!(refused("deal", &unknown), wanted);
    assert_eq!(refused("deal", &json!({"reasonCode": "nowhere"})), ["options.reasonCode unknown_reason_code"]);
    assert!(refused("lead", &options).contains(&"options.pipelineId not_allowed".to_owned()));
}

#[test]
fn an_import_gives_the_reason_that_its_changes_need() {
    let house = House::new();
    house
        .system(|tx| {
            let rule = json!({"entityType": "company", "fieldName": "city", "condition": {"type": "always"},
                "isRequired": true});
            change::create::<ReasonRule>(tx, patch(&rule))?;
            let code = json!({"code": "cleanup", "label": "Clean-up", "entityType": "company", "fieldName": "city",
                "outcome": "change"});
            change::create::<ReasonCode>(tx, patch(&code))
        })
        .unwrap();
    for name in ["A", "B"] {
        house.company(&json!({"name": name, "city": "Rome"}));
    }
    let (mapping, csv) = (json!({"n": "name", "c": "city", "i": "industry"}), "n,c,i\nA,Oslo,\nB,Rome,steel\n");
    let without = house.import("company", csv, &mapping, &json!({"dedupe": "update"}));
    assert_eq!(counters(&without), [0, 1, 0, 1]);
    assert!(house.errors(without.id).contains("2,reasonCode,reason_code_required"));
    let csv = csv.replace("steel", "wood");
    let options = json!({"dedupe": "update", "reasonCode": "cleanup", "note": "Spring"});
    let with = house.import("company", &csv, &mapping, &options);
    assert_eq!(counters(&with), [0, 2, 0, 0], "{}", house.errors(with.id));
    let history = "SELECT string_agg(concat_ws(' ', field_name, reason_code, note), '; ' ORDER BY seq) FROM field_history \
                   WHERE note IS NOT NULL";
    assert_eq!(house.text(history), "city cleanup Spring; industry Spring");
}
