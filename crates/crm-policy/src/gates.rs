//! The gates of all organizations: loaded from their policies, kept while these stand.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use crm_core::gate::{ChangedField, Gate, Gates};
use crm_core::organizations::Organization;
use crm_core::proposals::Proposal;
use crm_core::{Id, Result, Tx};
use serde_json::Map;
use uuid::Uuid;

use crate::approvals;
use crate::gate::PolicyGate;
use crate::shadows::Shadows;
use crate::stored_policies;

/// How many organizations' gates a process keeps at most.
const MOST: usize = 1_000;

/// The gates of a process. A gate is used for the version of the policies that it was loaded for and no other, so a change
/// of policies holds in every process at its next request.
#[derive(Default)]
pub struct PolicyGates {
    kept: Mutex<Kept>,
    shadows: Arc<Shadows>,
}

#[derive(Default)]
struct Kept {
    gates: HashMap<Id<Organization>, One>,
    /// Counts the uses, to tell the gate that was used longest ago.
    uses: u64,
}

struct One {
    policy_version: i64,
    gate: Arc<PolicyGate>,
    used: u64,
}

impl PolicyGates {
    /// No gates yet.
    pub fn new() -> Self {
        Self::default()
    }

    fn kept<T>(&self, work: impl FnOnce(&mut Kept) -> T) -> T {
        work(&mut self.kept.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Gates for PolicyGates {
    fn of(&self, tx: &mut Tx<'_>, policy_version: i64) -> Result<Arc<dyn Gate>> {
        let organization = tx.ctx.organization;
        if let Some(gate) = self.kept(|kept| kept.find(organization, policy_version)) {
            return Ok(gate);
        }
        let gate = Arc::new(PolicyGate::watched(stored_policies::house(tx)?, Arc::clone(&self.shadows)));
        self.kept(|kept| kept.keep(organization, policy_version, Arc::clone(&gate)));
        Ok(gate)
    }

    fn seed(&self, tx: &mut Tx<'_>) -> Result<()> {
        stored_policies::seed(tx)
    }

    fn wait(&self, tx: &mut Tx<'_>, proposal: Proposal) -> Result<Uuid> {
        approvals::request(tx, proposal, Map::new()).map(|approval| approval.id.uuid())
    }

    fn withdraw(&self, tx: &mut Tx<'_>, requests: &[Uuid]) -> Result<()> {
        approvals::withdraw(tx, requests)
    }

    fn changed(&self, tx: &mut Tx<'_>, fields: &[ChangedField]) -> Result<()> {
        approvals::void(tx, fields)
    }

    fn noted(&self) -> Vec<Id<Organization>> {
        self.shadows.organizations()
    }

    fn keep(&self, tx: &mut Tx<'_>) -> Result<()> {
        self.shadows.keep(tx)
    }
}

impl Kept {
    fn find(&mut self, organization: Id<Organization>, policy_version: i64) -> Option<Arc<PolicyGate>> {
        self.uses += 1;
        let one = self.gates.get_mut(&organization).filter(|one| one.policy_version == policy_version)?;
        one.used = self.uses;
        Some(Arc::clone(&one.gate))
    }

    fn keep(&mut self, organization: Id<Organization>, policy_version: i64, gate: Arc<PolicyGate>) {
        if self.gates.len() >= MOST && !self.gates.contains_key(&organization) {
            let oldest = self.gates.iter().min_by_key(|(_, one)| one.used).map(|(organization, _)| *organization);
            oldest.map(|organization| self.gates.remove(&organization));
        }
        self.gates.insert(organization, One { policy_version, gate, used: self.uses });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Engine;

    #[test]
    fn the_gate_that_was_used_longest_ago_makes_room() {
        let gate = Arc::new(PolicyGate::new(Engine::compile(Vec::new()).unwrap()));
        let mut kept = Kept::default();
        let organizations: Vec<Id<Organization>> = (0..=MOST).map(|_| Id::new()).collect();
        for organization in &organizations[..MOST] {
            assert!(kept.find(*organization, 1).is_none());
            kept.keep(*organization, 1, Arc::clone(&gate));
        }
        assert!(kept.find(organizations[0], 1).is_some());
        assert!(kept.find(organizations[0], 2).is_none(), "another version is another gate");
        kept.keep(organizations[MOST], 1, gate);
        let held = |kept: &mut Kept, n: usize| kept.find(organizations[n], 1).is_some();
        assert_eq!([0, 1, 2, MOST].map(|n| held(&mut kept, n)), [true, false, true, true]);
    }
}
