//! What of a lead goes over to what it becomes. What somebody does not see of the lead would be seen in the contact, if
//! the contact's is not hidden from them too: then it is left out.
use super::LeadFields;
use crate::{Ctx, Record, companies::Company, contacts::Contact, deals::Deal};

/// From which fields of a lead the fields of a kind of record are filled: the kind, and (the lead's, its own).
///
/// The unit is not among them, since outside of it more people would see the record, nor is the wish not to be contacted,
/// which holds whoever knows of it.
pub(super) type Ways = (&'static str, &'static [(&'static str, &'static str)]);

pub(super) const TO_COMPANY: Ways =
    (Company::KIND, &[("companyName", "name"), ("email", "domain"), ("ownerId", "ownerId"), ("tags", "tags")]);

pub(super) const TO_CONTACT: Ways = (
    Contact::KIND,
    &[
        ("firstName", "firstName"),
        ("lastName", "lastName"),
        ("email", "email"),
        ("phone", "phone"),
        ("jobTitle", "jobTitle"),
        ("ownerId", "ownerId"),
        ("tags", "tags"),
    ],
);

pub(super) const TO_DEAL: Ways = (
    Deal::KIND,
    &[
        ("companyName", "title"),
        ("firstName", "title"),
        ("lastName", "title"),
        ("email", "title"),
        ("ownerId", "ownerId"),
        ("tags", "tags"),
    ],
);

/// The fields of a lead that go over, and the names of those that do not: those that are hidden in the lead, unless what
/// they would fill is hidden from the caller in every record of its kind.
pub(super) fn carried(
    ctx: &Ctx,
    lead: &LeadFields,
    hidden: &[String],
    (kind, ways): &Ways,
) -> (LeadFields, Vec<&'static str>) {
    let never_seen = ctx.gate.never_seen(ctx, kind);
    let is_left_out = |(from, to): &&(&'static str, &'static str)| {
        hidden.iter().any(|name| name == from) && never_seen.iter().all(|name| name != to)
    };
    let left_out: Vec<_> = ways.iter().filter(is_left_out).map(|(from, _)| *from).collect();
    let mut lead = lead.clone();
    left_out.iter().for_each(|name| lead.forget(name));
    (lead, left_out)
}

impl LeadFields {
    fn forget(&mut self, name: &str) {
        match name {
            "companyName" => self.company_name = None,
            "firstName" => self.first_name = None,
            "lastName" => self.last_name = None,
            "email" => self.email = None,
            "phone" => self.phone = None,
            "jobTitle" => self.job_title = None,
            "ownerId" => self.owner_id = None,
            "tags" => self.tags.clear(),
            _ => {}
        }
    }

    /// What the deal that it becomes is called.
    pub(super) fn deal_title(&self) -> String {
        let names: Vec<_> = [&self.first_name, &self.last_name].into_iter().flatten().map(String::as_str).collect();
        let person = Some(names.join(" ")).filter(|name| !name.is_empty());
        self.company_name.clone().or(person).or_else(|| self.email.clone()).unwrap_or_default()
    }

    /// The domain of its company: that of the address, unless it is one that everybody can have.
    pub(super) fn company_domain(&self) -> Option<String> {
        let domain = self.email.as_deref()?.rsplit_once('@')?.1.to_lowercase();
        (!FREE_MAIL.contains(&domain.as_str())).then_some(domain)
    }
}

/// Where anybody can have an address, so that it says nothing about where they work.
const FREE_MAIL: [&str; 24] = [
    "aol.com",
    "fastmail.com",
    "gmail.com",
    "gmx.com",
    "gmx.de",
    "gmx.net",
    "googlemail.com",
    "hotmail.co.uk",
    "hotmail.com",
    "icloud.com",
    "live.com",
    "mac.com",
    "mail.com",
    "mail.ru",
    "me.com",
    "msn.com",
    "outlook.com",
    "proton.me",
    "protonmail.com",
    "qq.com",
    "web.de",
    "yahoo.co.uk",
    "yahoo.com",
    "yandex.ru",
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{leads::Lead, patch::object};

    #[test]
    fn whatever_can_be_left_out_is_forgotten() {
        let mut lead = LeadFields {
            company_name: Some("Acme".into()),
            first_name: Some("Grace".into()),
            last_name: Some("Hopper".into()),
            email: Some("grace@acme.example".into()),
            phone: Some("555".into()),
            job_title: Some("CTO".into()),
            owner_id: Some(crate::Id::new()),
            tags: vec!["large".into()],
            ..LeadFields::default()
        };
        for (kind, ways) in [TO_COMPANY, TO_CONTACT, TO_DEAL] {
            for (from, _) in ways {
                assert!(Lead::FIELDS.iter().any(|field| field.name == *from), "{kind} {from}");
                lead.forget(from);
            }
        }
        assert_eq!(object(&lead).unwrap(), object(&LeadFields::default()).unwrap());
    }
}
