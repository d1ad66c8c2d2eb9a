//! Why a decision is what it is, and what other policies would have made of it.

use serde::Serialize;

use crate::decisions::{Decision, TraceEntry};
use crate::engine::{Engine, Request};

/// A question that two sets of policies answer differently.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Flip {
    /// The question's place among those asked.
    pub index: usize,
    /// What the one set says.
    pub before: Decision,
    /// What the other says.
    pub after: Decision,
}

impl Engine {
    /// Decides, and tells what every policy on the question came to and which comparison failed. Doing nothing else, it
    /// serves to try a set of policies as well as to explain a refusal. The trace is for administrators: it names what is
    /// compared.
    pub fn simulate(&self, request: &Request<'_>) -> Decision {
        let speaking = self.speaking(request.role, request.action, request.resource);
        Decision { trace: speaking.map(|policy| TraceEntry::new(request, policy)).collect(), ..self.decide(request) }
    }

    /// What would have been decided if the drafts were in force, named by the draft that makes the difference; `None` where
    /// nothing would be different.
    pub fn shadow(&self, request: &Request<'_>) -> Option<Decision> {
        let (enforced, _) = self.outcome(request, |policy| !policy.is_draft);
        let (effect, policy) = self.outcome(request, |_| true);
        if effect == enforced {
            return None;
        }
        let speaking = self.speaking(request.role, request.action, request.resource);
        let draft = speaking.filter(|policy| policy.is_draft).find(|policy| policy.fires(&request.context));
        Some(Decision::new(request, effect, policy.filter(|policy| policy.is_draft).or(draft)))
    }

    /// Asks the same questions of another set of policies and tells where it differs: what a change would have meant for
    /// the decisions of the last week.
    pub fn flips<'a>(&self, candidate: &Engine, requests: impl IntoIterator<Item = Request<'a>>) -> Vec<Flip> {
        let compare = |(index, request): (usize, Request<'_>)| {
            let (before, after) = (self.decide(&request), candidate.decide(&request));
            (before.effect != after.effect).then_some(Flip { index, before, after })
        };
        requests.into_iter().enumerate().filter_map(compare).collect()
    }
}
