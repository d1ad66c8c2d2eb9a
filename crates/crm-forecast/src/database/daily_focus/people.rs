//! The user's leads.

use chrono::TimeDelta;
use crm_core::{Id, Record, Result, Tx, leads::Lead, select::Condition, users::User};

use super::desk::{Desk, MOST, own};

/// Score from which on a lead is hot.
const HOT_SCORE: i32 = 70;

/// Days after which a hot lead has waited too long.
const LEAD_DAYS: i64 = 3;

impl Desk {
    /// The user's hot leads that nobody is in touch with.
    pub(super) fn put_leads(&mut self, tx: &mut Tx<'_>, user: Id<User>) -> Result<()> {
        if !self.sight.leads.has(&["ownerId", "score", "status", "doNotContact", "lastActivityAt"]) {
            return Ok(());
        }
        let before = tx.ctx.now - TimeDelta::days(LEAD_DAYS);
        let open: Vec<String> = ["new", "contacted", "qualified"].map(str::to_owned).to_vec();
        let select = own::<Lead>(tx, "owner_id", user)
            .and(Condition::Compare("score".into(), ">=", HOT_SCORE.into()))
            .and(Condition::AnyOf("status", open.into()))
            .and(Condition::Compare("do_not_contact".into(), "=", false.into()))
            .and(Condition::Any(vec![
                Condition::IsNull("last_activity_at", true),
                Condition::Compare("last_activity_at".into(), "<=", before.into()),
            ]))
            .limit(MOST);
        for lead in Lead::load(tx, select)? {
            let score = lead.fields.score;
            self.put_lead(&lead).hot_lead_score = score;
        }
        Ok(())
    }
}
