//! Conversion: a lead becomes a company, a contact and a deal, once.
use std::collections::BTreeSet;

use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::{
    Lead, LeadFields,
    carried::{TO_COMPANY, TO_CONTACT, TO_DEAL, Ways, carried},
    proposed,
};
use crate::{
    Error, FieldError, Id, Patch, Reason, Result, Tx, bodies,
    change::{Change, Draft},
    companies::{Company, CompanyFields},
    contacts::{Contact, ContactFields},
    deals::{self, Deal, DealFields},
    masks,
    record::Record,
    select::Condition,
    text,
    users::User,
};

/// What a conversion made or chose.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Conversion {
    /// The lead, now converted.
    pub lead: Lead,
    /// The company, if there is one that the caller may see.
    pub company: Option<Company>,
    /// The contact, likewise.
    pub contact: Option<Contact>,
    /// The deal, likewise.
    pub deal: Option<Deal>,
    /// Had it been converted before? Then these are what the first conversion made, and nothing has changed.
    pub already_converted: bool,
    /// The fields of the lead that went over to none of these, or not to all, since the caller does not see them: whether
    /// they hold anything or not.
    #[schema(example = json!(["phone"]))]
    pub left_out: Vec<&'static str>,
}

/// What is to become of one part of a lead: `{"create": {…}}`, `{"id": "…"}` or `"none"`.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub enum Target {
    /// A new record with these members; what they leave out comes from the lead.
    #[schema(value_type = Object)]
    Create(Map<String, Value>),
    /// This record; what is empty in it is filled from the lead.
    Id(String),
    /// Nothing.
    None,
}

/// The parts of a lead and what is to become of them. What is left out is made from the lead.
#[derive(Debug, Clone, Default, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Targets {
    /// The company; one is made or found by its domain or name where the lead has a `companyName`.
    pub company: Option<Target>,
    /// The contact; one is made where the lead names a person.
    pub contact: Option<Target>,
    /// The deal; one is made in the first stage of its unit's or the default pipeline.
    pub deal: Option<Target>,
}

/// Converts a lead. Owner, unit and tags stay, and so does a wish not to be contacted, also on a contact that exists.
/// Activities and tasks stay with the lead; the deal points to it. What the caller does not see of the lead goes over only
/// to where they do not see it either.
///
/// # Errors
/// [`Error::NotFound`]; [`Error::Forbidden`] where the caller may not make one of the records; [`Error::Stale`];
/// [`Error::Malformed`]; [`Error::Invalid`] with all bad fields of all parts, under `company.create.domain` and the like;
/// [`Error::NeedsApproval`] with all that the conversion would come to, where any of it has to be approved.
pub fn convert(tx: &mut Tx<'_>, id: Id<Lead>, patch: Patch) -> Result<Conversion> {
    match tx.savepoint(|tx| convert_now(tx, id, patch.clone())) {
        Err(Error::NeedsApproval(_)) => Err(proposed::rehearse(tx, id, patch)?),
        done => done,
    }
}

/// Converts a lead, as far as each part of that is allowed at once.
pub(super) fn convert_now(tx: &mut Tx<'_>, id: Id<Lead>, mut patch: Patch) -> Result<Conversion> {
    let targets = Targets::take(&mut patch)?;
    let wanted = [&targets.company, &targets.contact, &targets.deal].map(|it| !matches!(it, Some(Target::None)));
    let lead: Lead = tx.lock(id)?;
    if lead.fields.converted_at.is_some() {
        patch.check()?;
        return earlier(tx, lead);
    }
    let version = lead.version;
    if patch.expected.is_some_and(|expected| expected != version) {
        return Err(Error::Stale { version });
    }
    let reason = patch.reason.clone();
    let hidden = masks::hidden_in(tx.ctx, &lead)?;
    let source = |ways: &Ways| {
        let (fields, left_out) = carried(tx.ctx, &lead.fields, &hidden, ways);
        let owner = fields.owner_id.or(tx.ctx.actor.user());
        Source { fields, id, owner, reason: reason.clone(), left_out }
    };
    let sources = [source(&TO_COMPANY), source(&TO_CONTACT), source(&TO_DEAL)];
    let mut change = Change::new(tx, lead, patch)?;
    let mut errors = Vec::new();
    let company = part(tx, "company", targets.company, &mut errors, |tx, target| sources[0].company(tx, target))?;
    let company_id = company.as_ref().map(|company| company.id);
    let contact =
        part(tx, "contact", targets.contact, &mut errors, |tx, target| sources[1].contact(tx, target, company_id))?;
    let contact_id = contact.as_ref().map(|contact| contact.id);
    let deal =
        part(tx, "deal", targets.deal, &mut errors, |tx, target| sources[2].deal(tx, target, company_id, contact_id))?;
    change.refuse_all(errors);
    let now = tx.ctx.now;
    change.amend(|fields| {
        fields.status = "converted".into();
        fields.converted_at = Some(now);
        fields.converted_company_id = company_id;
        fields.converted_contact_id = contact_id;
        fields.converted_deal_id = deal.as_ref().map(|deal| deal.id);
    })?;
    let lead = tx.permit(change)?.save(tx)?;
    let left_out = sources.iter().zip(wanted).filter(|(_, wanted)| *wanted).flat_map(|(it, _)| it.left_out.clone());
    let left_out = left_out.collect::<BTreeSet<_>>().into_iter().collect();
    Ok(Conversion { lead, company, contact, deal, already_converted: false, left_out })
}

impl Targets {
    /// Takes the parts out of a body. Those that are no such thing stay in the patch as faults.
    fn take(patch: &mut Patch) -> Result<Self> {
        let targets = Self {
            company: target(patch, "company")?,
            contact: target(patch, "contact")?,
            deal: target(patch, "deal")?,
        };
        match patch.members.keys().next() {
            None => Ok(targets),
            Some(name) => {
                let detail = format!("A conversion has no member `{name}`. It has: company, contact, deal.");
                Err(Error::Malformed { code: "unknown_member", detail })
            }
        }
    }
}

const TARGET: &str = "`{\"create\": {…}}`, `{\"id\": \"…\"}` or `\"none\"`.";

/// What is to become of one part. One that cannot be understood is told, and then nothing is made of it.
fn target(patch: &mut Patch, name: &str) -> Result<Option<Target>> {
    let Some(value) = patch.take(name).filter(|value| !value.is_null()) else { return Ok(None) };
    if let Some(other) = value.as_object().and_then(|members| members.keys().find(|key| !PARTS.contains(&key.as_str())))
    {
        let detail = format!("There is no member `{other}` in `{name}`. There are: {}.", PARTS.join(", "));
        return Err(Error::Malformed { code: "unknown_member", detail });
    }
    let error = match value {
        Value::Object(mut members) if members.len() == 1 => {
            match (members.shift_remove("create"), members.shift_remove("id")) {
                (Some(Value::Object(members)), _) => return Ok(Some(Target::Create(members))),
                (_, Some(Value::String(id))) => return Ok(Some(Target::Id(id))),
                (Some(_), _) => FieldError::new(format!("{name}.create"), "invalid_type", "Must be an object."),
                _ => FieldError::new(format!("{name}.id"), "invalid_id", "Must be an id."),
            }
        }
        Value::String(word) if word == "none" => return Ok(Some(Target::None)),
        _ => FieldError::new(name, "invalid_type", TARGET),
    };
    patch.errors.push(error);
    Ok(Some(Target::None))
}

const PARTS: [&str; 2] = ["create", "id"];

/// What an earlier conversion made, as far as it still exists and the caller may see it.
fn earlier(tx: &mut Tx<'_>, lead: Lead) -> Result<Conversion> {
    let company = found(tx, lead.fields.converted_company_id)?;
    let contact = found(tx, lead.fields.converted_contact_id)?;
    let deal = found(tx, lead.fields.converted_deal_id)?;
    Ok(Conversion { lead, company, contact, deal, already_converted: true, left_out: Vec::new() })
}

fn found<R: Record>(tx: &mut Tx<'_>, id: Option<Id<R>>) -> Result<Option<R>> {
    match id.map(|id| tx.find(id)) {
        None | Some(Err(Error::NotFound)) => Ok(None),
        Some(found) => found.map(Some),
    }
}

/// Makes or chooses one part. Its bad fields are kept under its own name, so that those of all parts are told at once.
fn part<R: Record>(
    tx: &mut Tx<'_>,
    name: &str,
    target: Option<Target>,
    errors: &mut Vec<FieldError>,
    make: impl FnOnce(&mut Tx<'_>, Option<Target>) -> Result<Option<R>>,
) -> Result<Option<R>> {
    let prefix = match &target {
        Some(Target::Id(_)) => name.to_owned(),
        _ => format!("{name}.create"),
    };
    match tx.savepoint(|tx| make(tx, target)) {
        Err(Error::Invalid(found)) => {
            errors.extend(found.into_iter().map(|e| FieldError { field: format!("{prefix}.{}", e.field), ..e }));
            Ok(None)
        }
        other => other,
    }
}

/// What of the lead that is converted goes over to one part.
struct Source {
    /// The lead's fields without those that do not go over.
    fields: LeadFields,
    /// Their names.
    left_out: Vec<&'static str>,
    id: Id<Lead>,
    owner: Option<Id<User>>,
    reason: Reason,
}

impl Source {
    fn company(&self, tx: &mut Tx<'_>, target: Option<Target>) -> Result<Option<Company>> {
        let members = match target {
            Some(Target::None) => return Ok(None),
            Some(Target::Id(id)) => return self.fill(tx, known(&id)?, |company| self.fill_company(company)).map(Some),
            Some(Target::Create(members)) => members,
            None => match &self.fields.company_name {
                None => return Ok(None),
                Some(name) => match self.existing_company(tx, name)? {
                    Some(id) => return self.fill(tx, id, |company| self.fill_company(company)).map(Some),
                    None => Map::new(),
                },
            },
        };
        let name = self.fields.company_name.clone().unwrap_or_default();
        let mut base = CompanyFields { name, business_unit_id: self.fields.business_unit_id, ..Default::default() };
        self.fill_company(&mut base);
        let draft = Draft::<Company>::over(tx, base, self.patch(members))?;
        tx.permit_new(draft)?.insert(tx).map(Some)
    }

    fn contact(
        &self,
        tx: &mut Tx<'_>,
        target: Option<Target>,
        company: Option<Id<Company>>,
    ) -> Result<Option<Contact>> {
        let fill = |contact: &mut ContactFields| self.fill_contact(contact, company);
        let lead = &self.fields;
        let members = match target {
            Some(Target::None) => return Ok(None),
            Some(Target::Id(id)) => return self.fill(tx, known(&id)?, fill).map(Some),
            Some(Target::Create(members)) => members,
            None if lead.first_name.is_none() && lead.last_name.is_none() && lead.email.is_none() => return Ok(None),
            None => Map::new(),
        };
        let mut base = ContactFields { business_unit_id: lead.business_unit_id, ..Default::default() };
        fill(&mut base);
        let mut draft = Draft::<Contact>::over(tx, base, self.patch(members))?;
        draft.amend(|contact| contact.do_not_contact |= lead.do_not_contact);
        tx.permit_new(draft)?.insert(tx).map(Some)
    }

    fn deal(
        &self,
        tx: &mut Tx<'_>,
        target: Option<Target>,
        company: Option<Id<Company>>,
        contact: Option<Id<Contact>>,
    ) -> Result<Option<Deal>> {
        let fill = |deal: &mut DealFields| self.fill_deal(deal, company, contact);
        let members = match target {
            Some(Target::None) => return Ok(None),
            Some(Target::Id(id)) => return self.fill(tx, known(&id)?, fill).map(Some),
            Some(Target::Create(members)) => members,
            None => Map::new(),
        };
        let mut base = DealFields { business_unit_id: self.fields.business_unit_id, ..Default::default() };
        base.title = self.fields.deal_title();
        fill(&mut base);
        let mut errors = Vec::new();
        if members.get("leadId").is_some_and(|lead| *lead != self.id.to_string()) {
            errors.push(FieldError::new("leadId", "not_allowed", "The deal comes from the lead that is converted."));
        }
        bodies::joined(errors, deals::create_over(tx, base, self.patch(members), None)).map(Some)
    }

    /// The patch of something new, in the lead's unit unless it says otherwise.
    fn patch(&self, members: Map<String, Value>) -> Patch {
        let unit = self.fields.business_unit_id.map(|unit| unit.to_string());
        Patch { members, reason: self.reason.clone(), ..Patch::default() }.or("businessUnitId", unit)
    }

    /// Fills what is empty in an existing record.
    fn fill<R: Record>(&self, tx: &mut Tx<'_>, id: Id<R>, fill: impl FnOnce(&mut R::Fields)) -> Result<R> {
        let record = tx.lock(id).map_err(|error| match error {
            Error::NotFound => unknown(),
            other => other,
        })?;
        let mut change = Change::new(tx, record, Patch { reason: self.reason.clone(), ..Patch::default() })?;
        change.amend(fill)?;
        tx.permit(change)?.save(tx)
    }

    fn fill_company(&self, company: &mut CompanyFields) {
        fill_empty(&mut company.domain, self.fields.company_domain());
        fill_empty(&mut company.owner_id, self.owner);
        fill_tags(&mut company.tags, &self.fields.tags);
    }

    fn fill_contact(&self, contact: &mut ContactFields, company: Option<Id<Company>>) {
        let lead = &self.fields;
        fill_empty(&mut contact.first_name, lead.first_name.clone());
        fill_empty(&mut contact.last_name, lead.last_name.clone());
        fill_empty(&mut contact.email, lead.email.clone());
        fill_empty(&mut contact.phone, lead.phone.clone());
        fill_empty(&mut contact.job_title, lead.job_title.clone());
        fill_empty(&mut contact.company_id, company);
        fill_empty(&mut contact.owner_id, self.owner);
        fill_tags(&mut contact.tags, &lead.tags);
        // The strictest wish wins, whoever asked for it first.
        contact.do_not_contact |= lead.do_not_contact;
    }

    fn fill_deal(&self, deal: &mut DealFields, company: Option<Id<Company>>, contact: Option<Id<Contact>>) {
        fill_empty(&mut deal.company_id, company);
        fill_empty(&mut deal.contact_id, contact);
        fill_empty(&mut deal.lead_id, Some(self.id));
        fill_empty(&mut deal.owner_id, self.owner);
        fill_tags(&mut deal.tags, &self.fields.tags);
    }

    /// The oldest company of the lead's domain, else of its company's very name, that the caller may see. It is found by
    /// nothing that is hidden from them, or the answer would tell what that is.
    fn existing_company(&self, tx: &mut Tx<'_>, name: &str) -> Result<Option<Id<Company>>> {
        if let Some(domain) = self.fields.company_domain() {
            let same = Condition::Compare("domain".into(), "=", domain.into());
            if let Some(company) = alike(tx, same, "domain")?.first() {
                return Ok(Some(company.id));
            }
        }
        let folded = text::fold(name);
        // What a company is searched by begins with its folded name.
        let begins = Condition::Compare("search_text".into(), "LIKE", text::begins(&folded).into());
        let companies = alike(tx, begins, "name")?;
        Ok(companies.iter().find(|company| text::fold(&company.fields.name) == folded).map(|company| company.id))
    }
}

/// The oldest companies of a condition on a field, of those in which the caller sees that field.
fn alike(tx: &mut Tx<'_>, condition: Condition, field: &str) -> Result<Vec<Company>> {
    let select = tx.records::<Company>().and(condition).order("created_at", false).limit(MOST_ALIKE);
    let companies = Company::load(tx, select)?;
    masks::seeing(tx.ctx, companies, field)
}

/// Among how many companies of the same domain, or whose names begin alike, one is looked for.
const MOST_ALIKE: i64 = 500;

fn known<R>(id: &str) -> Result<Id<R>> {
    id.parse().map_err(|_| unknown())
}

fn unknown() -> Error {
    Error::invalid("id", "unknown_reference", "There is no such record.")
}

fn fill_empty<T>(slot: &mut Option<T>, value: Option<T>) {
    if slot.is_none() {
        *slot = value;
    }
}

fn fill_tags(slot: &mut Vec<String>, tags: &[String]) {
    if slot.is_empty() {
        slot.extend_from_slice(tags);
    }
}
