//! Which personal data has been kept long enough (GDPR Art. 5(1)(e)), and when a run must stop for a person to look.

use chrono::{DateTime, Months, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

/// A run that would anonymize more than one lead in five is more likely a mistake than a rule.
const STOP_FRACTION: usize = 5;

/// How long an organization keeps data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RetentionSettings {
    /// Days after which an import's file and rows are deleted; `None` keeps them.
    pub auto_delete_imports_after_days: Option<u32>,
    /// Calendar months without activity after which a lead is anonymized; `None` keeps it.
    pub anonymize_inactive_leads_after_months: Option<u32>,
    /// Whether anything is done at all.
    pub is_enabled: bool,
}

/// What retention needs to know of a lead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lead<I> {
    /// Its id.
    pub id: I,
    /// When a person last did something with it; creation counts.
    pub last_activity_at: DateTime<Utc>,
    /// Whether it is already anonymized.
    pub is_anonymized: bool,
    /// Whether it is under legal hold.
    pub has_legal_hold: bool,
    /// Whether a deal with it is open.
    pub has_open_deal: bool,
    /// Whether a request of the person is open.
    pub has_open_request: bool,
}

/// Whether a lead is to be anonymized, and if not, why.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It is.
    Due,
    /// There is nothing left to anonymize.
    Anonymized,
    /// It was active since the cutoff, or no cutoff is set.
    Active,
    /// It is under legal hold.
    LegalHold,
    /// A deal with it is open.
    OpenDeal,
    /// A request of the person is open.
    OpenRequest,
}

/// What a run would do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan<I> {
    /// The leads that fall due in this run, the longest inactive first.
    pub lead_ids: Vec<I>,
    /// How many more fall due, left to later runs by the cap.
    pub left_over: usize,
    /// Whether more than a fifth of the leads would go, so that a person has to approve first.
    pub needs_approval: bool,
}

impl RetentionSettings {
    /// Leads last active before this instant fall due; `None` when none do.
    ///
    /// Months are counted by the calendar (UTC): one month before the 31st of March is the last day of February.
    pub fn leads_cutoff_at(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let months = self.anonymize_inactive_leads_after_months.filter(|_| self.is_enabled)?;
        now.checked_sub_months(Months::new(months))
    }

    /// Imports created before this instant fall due; `None` when none do.
    pub fn imports_cutoff_at(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let days = self.auto_delete_imports_after_days.filter(|_| self.is_enabled)?;
        now.checked_sub_signed(TimeDelta::try_days(i64::from(days))?)
    }

    /// Judges one lead; asked again for each row before it is touched, as holds may have come since the plan.
    pub fn judge<I>(&self, lead: &Lead<I>, now: DateTime<Utc>) -> Verdict {
        let is_inactive = self.leads_cutoff_at(now).is_some_and(|cutoff_at| lead.last_activity_at < cutoff_at);
        let exceptions = [
            (lead.is_anonymized, Verdict::Anonymized),
            (!is_inactive, Verdict::Active),
            (lead.has_legal_hold, Verdict::LegalHold),
            (lead.has_open_deal, Verdict::OpenDeal),
            (lead.has_open_request, Verdict::OpenRequest),
        ];
        exceptions.into_iter().find(|(holds, _)| *holds).map_or(Verdict::Due, |(_, verdict)| verdict)
    }

    /// Plans a run over all `leads` of an organization that anonymizes at most `cap` of them.
    ///
    /// The stop looks at all that fall due, not only at those within the cap, and compares with the leads that are not
    /// yet anonymized: small runs cannot add up to a large one unseen.
    pub fn plan<I: Copy + Ord>(&self, leads: &[Lead<I>], now: DateTime<Utc>, cap: usize) -> Plan<I> {
        let mut due: Vec<_> = leads.iter().filter(|lead| self.judge(lead, now) == Verdict::Due).collect();
        due.sort_unstable_by_key(|lead| (lead.last_activity_at, lead.id));
        let personal = leads.iter().filter(|lead| !lead.is_anonymized).count();
        Plan {
            lead_ids: due.iter().take(cap).map(|lead| lead.id).collect(),
            left_over: due.len().saturating_sub(cap),
            needs_approval: due.len().saturating_mul(STOP_FRACTION) > personal,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SETTINGS: RetentionSettings = RetentionSettings {
        auto_delete_imports_after_days: Some(90),
        anonymize_inactive_leads_after_months: Some(24),
        is_enabled: true,
    };

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    fn lead(id: u32, last_activity_at: &str) -> Lead<u32> {
        Lead {
            id,
            last_activity_at: at(last_activity_at),
            is_anonymized: false,
            has_legal_hold: false,
            has_open_deal: false,
            has_open_request: false,
        }
    }

    #[test]
    fn cutoffs_go_by_the_calendar() {
        let months = |months| RetentionSettings { anonymize_inactive_leads_after_months: Some(months), ..SETTINGS };
        let table = [
            (months(1), "2025-03-31T10:00:00Z", Some("2025-02-28T10:00:00Z")),
            (months(1), "2024-03-31T10:00:00Z", Some("2024-02-29T10:00:00Z")),
            (months(24), "2026-02-28T00:00:00Z", Some("2024-02-28T00:00:00Z")),
            (months(12), "2024-02-29T00:00:00Z", Some("2023-02-28T00:00:00Z")),
            (months(u32::MAX), "2025-01-01T00:00:00Z", None),
            (RetentionSettings { is_enabled: false, ..SETTINGS }, "2025-01-01T00:00:00Z", None),
            (
                RetentionSettings { anonymize_inactive_leads_after_months: None, ..SETTINGS },
                "2025-01-01T00:00:00Z",
                None,
            ),
        ];
        for (settings, now, cutoff_at) in table {
            assert_eq!(settings.leads_cutoff_at(at(now)), cutoff_at.map(at), "{now}");
        }
        let now = at("2025-03-31T00:00:00Z");
        assert_eq!(SETTINGS.imports_cutoff_at(now), Some(at("2024-12-31T00:00:00Z")));
        assert_eq!(RetentionSettings { is_enabled: false, ..SETTINGS }.imports_cutoff_at(now), None);
    }

    #[test]
    fn a_lead_is_due_or_kept_for_a_reason() {
        let now = at("2026-01-01T00:00:00Z");
        let old = lead(1, "2023-12-31T23:59:59Z");
        let table = [
            (old, Verdict::Due),
            (lead(1, "2024-01-01T00:00:00Z"), Verdict::Active),
            (Lead { is_anonymized: true, ..old }, Verdict::Anonymized),
            (Lead { has_legal_hold: true, has_open_deal: true, ..old }, Verdict::LegalHold),
            (Lead { has_open_deal: true, ..old }, Verdict::OpenDeal),
            (Lead { has_open_request: true, ..old }, Verdict::OpenRequest),
        ];
        for (lead, verdict) in table {
            assert_eq!(SETTINGS.judge(&lead, now), verdict, "{lead:?}");
        }
        assert_eq!(RetentionSettings { is_enabled: false, ..SETTINGS }.judge(&old, now), Verdict::Active);
    }

    #[test]
    fn a_run_stops_when_more_than_a_fifth_would_go() {
        let now = at("2026-01-01T00:00:00Z");
        let mut leads = vec![lead(3, "2021-01-01T00:00:00Z"), lead(2, "2020-01-01T00:00:00Z")];
        leads.extend((10..18).map(|id| lead(id, "2025-06-01T00:00:00Z")));
        let plan = |leads: &[Lead<u32>], cap| SETTINGS.plan(leads, now, cap);
        assert_eq!(plan(&leads, 10), Plan { lead_ids: vec![2, 3], left_over: 0, needs_approval: false });
        leads.push(lead(1, "2020-01-01T00:00:00Z"));
        assert_eq!(plan(&leads, 2), Plan { lead_ids: vec![1, 2], left_over: 1, needs_approval: true });
        // Leads without personal data do not make the rest look small.
        leads.pop();
        leads[9].is_anonymized = true;
        assert!(plan(&leads, 10).needs_approval);
        assert_eq!(plan(&[], 10), Plan { lead_ids: vec![], left_over: 0, needs_approval: false });
    }

    #[test]
    fn settings_read_and_write_as_the_api_shows_them() {
        let json = r#"{"autoDeleteImportsAfterDays":90,"anonymizeInactiveLeadsAfterMonths":24,"isEnabled":true}"#;
        assert_eq!(serde_json::from_str::<RetentionSettings>(json).unwrap(), SETTINGS);
        assert_eq!(serde_json::to_string(&SETTINGS).unwrap(), json);
        assert_eq!(serde_json::to_string(&Verdict::LegalHold).unwrap(), "\"legal_hold\"");
    }

    proptest! {
        #[test]
        fn longer_retention_never_takes_more(age_days in 0_i64..4000, months in 0_u32..120) {
            let now = at("2026-01-31T12:00:00Z");
            let lead = Lead { last_activity_at: now - TimeDelta::days(age_days), ..lead(1, "2020-01-01T00:00:00Z") };
            let due = |months| {
                let settings = RetentionSettings { anonymize_inactive_leads_after_months: Some(months), ..SETTINGS };
                settings.judge(&lead, now) == Verdict::Due
            };
            prop_assert!(due(months) || !due(months + 1));
        }

        #[test]
        fn a_plan_holds_each_due_lead_once_and_nothing_held(
            flags in prop::collection::vec((0_i64..1500, any::<[bool; 4]>()), 0..40), cap in 0_usize..20,
        ) {
            let now = at("2026-01-31T12:00:00Z");
            let leads: Vec<_> = (0..).zip(flags).map(|(id, (age, [anonymized, hold, deal, request]))| Lead {
                id,
                last_activity_at: now - TimeDelta::days(age),
                is_anonymized: anonymized,
                has_legal_hold: hold,
                has_open_deal: deal,
                has_open_request: request,
            }).collect();
            let plan = SETTINGS.plan(&leads, now, cap);
            let due = leads.iter().filter(|lead| SETTINGS.judge(lead, now) == Verdict::Due).count();
            prop_assert_eq!(plan.lead_ids.len() + plan.left_over, due);
            prop_assert!(plan.lead_ids.len() <= cap);
            prop_assert!(plan.lead_ids.iter().all(|id| SETTINGS.judge(&leads[*id], now) == Verdict::Due));
        }
    }
}
