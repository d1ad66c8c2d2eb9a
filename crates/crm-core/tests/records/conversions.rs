use crm_core::{
    Ctx, Patch, Result,
    companies::Company,
    contacts::Contact,
    history,
    leads::{self, Conversion, Lead},
    page,
    users::Role,
};
use serde_json::{Value, json};

use crate::house::{House, bad, code, now, patch};

fn convert(house: &House, ctx: &Ctx, lead: &Lead, body: Value) -> Result<Conversion> {
    house.run(ctx, |tx| leads::convert(tx, lead.id, patch(body)))
}

fn ada(house: &House, ctx: &Ctx) -> Lead {
    let body = json!({
        "firstName": "Ada", "lastName": "Lovelace", "email": "ada@analytical.example", "phone": "+44 20 7946 0958",
        "companyName": "Analytical Engines", "jobTitle": "Countess", "tags": ["vip"], "businessUnitId": house.north,
    });
    house.lead(ctx, body)
}

#[test]
fn a_lead_becomes_a_company_a_contact_and_a_deal_once() {
    let house = House::new();
    let rep = house.rep();
    let lead = ada(&house, &rep);
    let made = convert(&house, &rep, &lead, json!({"reasonCode": "progressed"})).unwrap();
    let (company, contact, deal) = (made.company.unwrap(), made.contact.unwrap(), made.deal.unwrap());
    assert!(!made.already_converted);
    assert_eq!(
        (company.fields.name.as_str(), company.fields.domain.as_deref()),
        ("Analytical Engines", Some("analytical.example"))
    );
    assert_eq!(contact.fields.email, lead.fields.email);
    assert_eq!(contact.fields.job_title, lead.fields.job_title);
    assert_eq!(contact.fields.company_id, Some(company.id));
    assert_eq!((deal.fields.title.as_str(), deal.fields.status.as_str()), ("Analytical Engines", "open"));
    assert_eq!((deal.fields.company_id, deal.fields.contact_id), (Some(company.id), Some(contact.id)));
    assert_eq!((deal.fields.lead_id, deal.fields.currency.code()), (Some(lead.id), "EUR"));
    let stages = house.run(&rep, |tx| crm_core::pipelines::stages_of(tx, &[deal.fields.pipeline_id])).unwrap();
    assert_eq!((stages[0].id, stages[0].fields.name.as_str()), (deal.fields.stage_id, "Qualification"));
    for (unit, owner, tags) in [
        (company.fields.business_unit_id, company.fields.owner_id, &company.fields.tags),
        (contact.fields.business_unit_id, contact.fields.owner_id, &contact.fields.tags),
        (deal.fields.business_unit_id, deal.fields.owner_id, &deal.fields.tags),
    ] {
        assert_eq!((unit, owner, tags), (Some(house.north), rep.actor.user(), &vec!["vip".to_owned()]));
    }
    assert_eq!((made.lead.fields.status.as_str(), made.lead.fields.converted_at), ("converted", Some(now())));
    assert_eq!(made.lead.fields.converted_deal_id, Some(deal.id));
    let told = house.run(&rep, |tx| history::of_entity(tx, "lead", lead.id.uuid(), &[])).unwrap().items;
    assert_eq!(told.len(), 5);
    assert!(told.iter().all(|change| change.reason_code.as_deref() == Some("progressed")));

    let again = convert(&house, &rep, &lead, json!({"deal": {"create": {"title": "Another"}}})).unwrap();
    assert!(again.already_converted);
    assert_eq!(again.deal.unwrap().id, deal.id);
    assert_eq!((again.company.unwrap().id, again.contact.unwrap().id), (company.id, contact.id));
    assert_eq!(again.lead.version, made.lead.version);
    assert_eq!(house.run(&rep, |tx| page::list::<crm_core::deals::Deal>(tx, &[])).unwrap().items.len(), 1);
    let edit = patch(json!({"score": 3}));
    assert_eq!(code(house.run(&rep, |tx| leads::update(tx, lead.id, edit))), "converted");
}

#[test]
fn two_conversions_at_the_same_time_make_one_deal() {
    let house = House::new();
    let rep = house.rep();
    let lead = ada(&house, &rep);
    let both = std::thread::scope(|scope| {
        let threads = [(); 2].map(|()| scope.spawn(|| convert(&house, &rep, &lead, json!({})).unwrap()));
        threads.map(|thread| thread.join().unwrap())
    });
    assert_eq!(both.iter().filter(|conversion| conversion.already_converted).count(), 1);
    assert_eq!(both[0].lead.fields.converted_deal_id, both[1].lead.fields.converted_deal_id);
    assert_eq!(house.run(&rep, |tx| page::list::<crm_core::deals::Deal>(tx, &[])).unwrap().items.len(), 1);
}

#[test]
fn a_company_of_that_domain_or_very_name_is_reused_if_the_caller_sees_it() {
    let house = House::new();
    let rep = house.rep();
    let company = |name: &str, domain: Option<&str>, unit: Option<_>| -> Company {
        house.make(&rep, json!({"name": name, "domain": domain, "businessUnitId": unit}))
    };
    let acme = company("ACME   Société", Some("acme.example"), None);
    let longer = company("Acme Societe Holding", None, None);
    company("Hidden", Some("hidden.example"), Some(house.north));
    company("Everybody's mail", Some("gmail.com"), None);
    for (email, name, reused) in [
        ("a@acme.example", "Something else", Some(acme.id)),
        ("b@elsewhere.example", "acme societe", Some(acme.id)),
        ("c@gmail.com", "Acme Societe Holding", Some(longer.id)),
        ("d@gmail.com", "Acme", None),
    ] {
        let lead = house.lead(&rep, json!({"email": email, "companyName": name}));
        let company = convert(&house, &rep, &lead, json!({})).unwrap().company.unwrap();
        assert_eq!(Some(company.id).filter(|id| *id == acme.id || *id == longer.id), reused, "{email}");
    }
    let southerner = house.southerner();
    let lead = house.lead(&southerner, json!({"email": "e@hidden.example", "companyName": "Hidden"}));
    let made = convert(&house, &southerner, &lead, json!({})).unwrap().company.unwrap();
    assert_eq!((made.version, made.fields.business_unit_id), (1, Some(house.south)), "a company of its own");
}

#[test]
fn parts_are_left_out_given_or_made_otherwise() {
    let house = House::new();
    let rep = house.rep();
    let lead = ada(&house, &rep);
    let made = convert(&house, &rep, &lead, json!({"company": "none", "deal": "none"})).unwrap();
    assert!(made.company.is_none() && made.deal.is_none());
    assert_eq!(made.contact.unwrap().fields.company_id, None);

    let firm = house.lead(&rep, json!({"companyName": "Only a firm"}));
    let made = convert(&house, &rep, &firm, json!({})).unwrap();
    assert!(made.contact.is_none(), "nobody is named");
    assert!(made.company.is_some() && made.deal.is_some());

    let person = house.lead(&rep, json!({"firstName": "Grace", "lastName": "Hopper"}));
    let body = json!({
        "contact": {"create": {"jobTitle": "Rear admiral", "tags": ["navy"]}},
        "deal": {"create": {"title": "Compilers", "value": 1000.5}},
    });
    let made = convert(&house, &rep, &person, body).unwrap();
    assert!(made.company.is_none());
    let (contact, deal) = (made.contact.unwrap(), made.deal.unwrap());
    assert_eq!(
        (contact.fields.last_name.as_deref(), contact.fields.job_title.as_deref()),
        (Some("Hopper"), Some("Rear admiral"))
    );
    assert_eq!((deal.fields.title.as_str(), contact.fields.tags), ("Compilers", vec!["navy".to_owned()]));
}

#[test]
fn what_exists_is_filled_where_it_is_empty_and_the_strictest_wish_wins() {
    let house = House::new();
    let rep = house.rep();
    let contact: Contact = house.make(&rep, json!({"firstName": "A.", "email": "old@analytical.example"}));
    let company: Company = house.make(&rep, json!({"name": "Analytical", "tags": ["key"]}));
    let lead = ada(&house, &rep);
    let no_contact = patch(json!({"doNotContact": true}));
    house.run(&rep, |tx| leads::update(tx, lead.id, no_contact)).unwrap();
    let body = json!({"contact": {"id": contact.id}, "company": {"id": company.id}, "note": "Met at the fair"});
    let made = convert(&house, &rep, &lead, body).unwrap();
    let (after, company) = (made.contact.unwrap(), made.company.unwrap());
    assert_eq!((after.id, after.version), (contact.id, 2));
    assert_eq!((after.fields.first_name.as_deref(), after.fields.last_name.as_deref()), (Some("A."), Some("Lovelace")));
    assert_eq!(after.fields.email, contact.fields.email);
    assert!(after.fields.do_not_contact);
    assert_eq!(after.fields.business_unit_id, None, "who saw it still does");
    assert_eq!(
        (company.fields.domain.as_deref(), company.fields.tags),
        (Some("analytical.example"), vec!["key".to_owned()])
    );
    let told = house.run(&rep, |tx| history::of_field(tx, "contact", contact.id.uuid(), "doNotContact", &[])).unwrap();
    assert_eq!(told.items[0].note.as_deref(), Some("Met at the fair"));

    let silent = house.lead(&rep, json!({"lastName": "Silent", "doNotContact": true}));
    let body = json!({"contact": {"create": {"doNotContact": false}}});
    assert!(convert(&house, &rep, &silent, body).unwrap().contact.unwrap().fields.do_not_contact);
}

#[test]
fn bad_parts_are_told_all_at_once_and_nothing_is_made() {
    let house = House::new();
    let rep = house.rep();
    let lead = ada(&house, &rep);
    let body = json!({
        "company": {"create": {"domain": "http://x", "name": ""}},
        "contact": {"id": "nobody"},
        "deal": {"create": {"value": -1, "leadId": lead.id}},
    });
    assert_eq!(
        bad(convert(&house, &rep, &lead, body)),
        [
            "company.create.name required",
            "company.create.domain invalid_domain",
            "contact.id unknown_reference",
            "deal.create.value range",
        ]
    );
    let other = json!({"deal": {"create": {"leadId": house.lead(&rep, json!({"lastName": "Other"})).id}}});
    assert_eq!(bad(convert(&house, &rep, &lead, other)), ["deal.create.leadId not_allowed"]);
    for (body, fault) in [
        (json!({"company": "nothing"}), "company invalid_type"),
        (json!({"company": {"create": 1}}), "company.create invalid_type"),
    ] {
        assert_eq!(bad(convert(&house, &rep, &lead, body)), [fault]);
    }
    assert_eq!(code(convert(&house, &rep, &lead, json!({"person": "none"}))), "unknown_member");
    assert_eq!(code(convert(&house, &rep, &lead, json!({"deal": {"create": {"colour": 1}}}))), "unknown_member");
    let stale = Patch { expected: Some(9), ..Patch::default() };
    assert_eq!(code(house.run(&rep, |tx| leads::convert(tx, lead.id, stale))), "stale_version");
    assert_eq!(house.run(&rep, |tx| page::list::<Company>(tx, &[])).unwrap().items.len(), 0);
    assert_eq!(house.find(&rep, lead.id).version, lead.version);
}

#[test]
fn leads_and_targets_of_other_units_and_organizations_do_not_exist() {
    let house = House::new();
    let (rep, southerner) = (house.rep(), house.southerner());
    let lead = ada(&house, &rep);
    for ctx in [&southerner, &house.stranger()] {
        assert_eq!(code(convert(&house, ctx, &lead, json!({}))), "not_found");
    }
    let hidden: Contact = house.make(&rep, json!({"lastName": "Hidden", "businessUnitId": house.north}));
    let own = house.lead(&southerner, json!({"lastName": "Own"}));
    let body = json!({"contact": {"id": hidden.id}});
    assert_eq!(bad(convert(&house, &southerner, &own, body)), ["contact.id unknown_reference"]);

    let everywhere = house.lead(&rep, json!({"lastName": "Seen by all", "companyName": "All"}));
    let made = convert(&house, &southerner, &everywhere, json!({})).unwrap();
    assert_eq!(made.company.unwrap().fields.business_unit_id, None, "the lead's unit, not the caller's");
    let deal = json!({"deal": {"create": {"stageId": won_stage(&house, &rep)}}});
    let lead = house.lead(&rep, json!({"lastName": "Won"}));
    assert_eq!(code(convert(&house, &rep, &lead, deal.clone())), "role_required", "a rep may not close");
    let manager = house.person("manager", Role::Manager, None);
    assert_eq!(bad(convert(&house, &manager, &lead, deal)), ["deal.create.winLossReview win_loss_review_required"]);
}

fn won_stage(house: &House, ctx: &Ctx) -> Value {
    let query = crate::house::query(&[]);
    let pipelines = house.run(ctx, |tx| crm_core::pipelines::list(tx, &query)).unwrap().items;
    let won = pipelines[0].stages.iter().find(|stage| stage.fields.kind == "won").unwrap();
    json!(won.id)
}
