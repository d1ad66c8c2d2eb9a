//! The decision table: which policies speak about a role, an action and a resource. casbin answers that, once per cell
//! when a set is loaded; a decision then is a look-up.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use casbin::function_map::{OperatorFunction, dynamic_to_str};
use casbin::{
    CoreApi, DefaultModel, EffectKind, Effector, EffectorStream, EnforceContext, Enforcer, MemoryAdapter, MgmtApi,
};
use futures_util::FutureExt;

use crate::policies::{Action, Effect, Policy, Role, Subject};
use crate::resource_patterns::resource_matches;

/// Why a set of policies could not be loaded. A caller without an engine refuses everything.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// Two policies of the set share an identifier.
    #[error("There are two policies with the id {0}.")]
    DuplicateId(String),
    /// A policy names a field of a pattern that can't have one.
    #[error("Policy “{0}” names a field where there can be none.")]
    InvalidTarget(String),
    /// casbin refused the model or could not answer.
    #[error("The policies could not be matched: {0}")]
    Casbin(#[from] casbin::Error),
    /// casbin answered something that no policy accounts for.
    #[error("The policies could not be matched: {0}.")]
    Unaccountable(&'static str),
}

/// The positions of the policies that speak about one question, in the order of the set.
pub(crate) type Cell = Box<[usize]>;

/// The cells of every role and action.
pub(crate) struct Table(HashMap<(Role, Action), Cells>);

#[derive(Default)]
struct Cells {
    exact: HashMap<String, Cell>,
    /// By the name before `.*`.
    under: HashMap<String, Cell>,
    everything: Cell,
}

impl Table {
    /// Compiles the active policies, drafts included.
    pub(crate) fn compile(policies: &[Policy]) -> Result<Table, EngineError> {
        let mut table = HashMap::new();
        for &action in Action::ALL {
            let mut rows = Vec::new();
            for (position, policy) in policies.iter().enumerate().filter(|(_, p)| p.is_active && p.action == action) {
                let target = policy.target().ok_or_else(|| EngineError::InvalidTarget(policy.name.clone()))?;
                rows.push(Row { position, role: policy.role, target: target.to_string(), effect: policy.effect });
            }
            let matcher = Matcher::new(action, &rows)?;
            let patterns: BTreeSet<&str> = rows.iter().map(|row| row.target.as_str()).chain(["*"]).collect();
            for &role in Role::ALL {
                table.insert((role, action), Cells::compile(&matcher, role, &patterns)?);
            }
        }
        Ok(Table(table))
    }

    /// The policies that speak about this question. A name with a star is a pattern, nobody can ask about it.
    pub(crate) fn cell(&self, role: Role, action: Action, name: &str) -> &[usize] {
        match self.0.get(&(role, action)) {
            Some(cells) if !name.contains('*') => cells.of(name),
            _ => &[],
        }
    }
}

impl Cells {
    /// A pattern's own text stands for all the names that it covers and no narrower pattern does.
    fn compile(matcher: &Matcher, role: Role, patterns: &BTreeSet<&str>) -> Result<Cells, EngineError> {
        let mut cells = Cells::default();
        for &pattern in patterns {
            let cell = matcher.matching(role, pattern)?;
            match pattern.strip_suffix(".*") {
                Some(name) => drop(cells.under.insert(name.to_owned(), cell)),
                None if pattern == "*" => cells.everything = cell,
                None => drop(cells.exact.insert(pattern.to_owned(), cell)),
            }
        }
        Ok(cells)
    }

    fn of(&self, name: &str) -> &[usize] {
        if let Some(cell) = self.exact.get(name) {
            return cell;
        }
        let ends = name.rmatch_indices('.').map(|(dot, _)| dot).filter(|dot| dot + 1 < name.len());
        // A field is covered with its parts, a record is not covered with its fields.
        let whole = |name: &str| self.exact.get(name).filter(|_| name.contains('.'));
        ends.map(|dot| &name[..dot])
            .find_map(|name| self.under.get(name).or_else(|| whole(name)))
            .unwrap_or(&self.everything)
    }
}

struct Row {
    position: usize,
    role: Subject,
    target: String,
    effect: Effect,
}

/// A casbin enforcer over the policies of one action, which tells all that match and not only what they come to.
struct Matcher {
    enforcer: Enforcer,
    matched: Arc<Mutex<Vec<usize>>>,
    action: Action,
    /// The positions of the policies in casbin's two sets, in casbin's order.
    positions: [Vec<usize>; 2],
}

impl Matcher {
    fn new(action: Action, rows: &[Row]) -> Result<Matcher, EngineError> {
        let mut adapter = MemoryAdapter::default();
        for row in rows {
            let (set, effect) = match row.effect {
                Effect::RequireApproval => ("p2", "allow"),
                effect => ("p", effect.as_str()),
            };
            let id = row.position.to_string();
            let rule = [id.as_str(), row.role.as_str(), action.as_str(), &row.target, effect].map(str::to_owned);
            ready(casbin::Adapter::add_policy(&mut adapter, "p", set, rule.to_vec()))??;
        }
        for role in Role::ALL {
            let link = [role.as_str(), Subject::Any.as_str()].map(str::to_owned);
            ready(casbin::Adapter::add_policy(&mut adapter, "g", "g", link.to_vec()))??;
        }
        let model = ready(DefaultModel::from_str(include_str!("model.conf")))??;
        let mut enforcer = ready(Enforcer::new(model, adapter))??;
        enforcer.add_function(
            "resourceMatch",
            OperatorFunction::Arg2(|name, pattern| {
                resource_matches(&dynamic_to_str(&name), &dynamic_to_str(&pattern)).into()
            }),
        );
        let matched = Arc::new(Mutex::new(Vec::new()));
        enforcer.set_effector(Box::new(Recorder(Arc::clone(&matched))));
        let positions = [positions(&enforcer, "p")?, positions(&enforcer, "p2")?];
        Ok(Matcher { enforcer, matched, action, positions })
    }

    fn matching(&self, role: Role, name: &str) -> Result<Cell, EngineError> {
        let mut matching = Vec::new();
        for (suffix, positions) in ["", "2"].into_iter().zip(&self.positions) {
            let question = (role.as_str(), self.action.as_str(), name);
            self.enforcer.enforce_with_context(EnforceContext::new(suffix), question)?;
            for &row in self.matched.lock().unwrap_or_else(PoisonError::into_inner).iter() {
                matching.push(*positions.get(row).ok_or(EngineError::Unaccountable("a match without a policy"))?);
            }
        }
        matching.sort_unstable();
        Ok(matching.into_boxed_slice())
    }
}

fn positions(enforcer: &Enforcer, set: &str) -> Result<Vec<usize>, EngineError> {
    let position = |row: Vec<String>| row.first().and_then(|id| id.parse().ok());
    let positions = enforcer.get_named_policy(set).into_iter().map(position).collect::<Option<_>>();
    positions.ok_or(EngineError::Unaccountable("a rule without its position"))
}

/// casbin's constructors are asynchronous for adapters that read from outside; in memory they never wait.
fn ready<F: Future>(future: F) -> Result<F::Output, EngineError> {
    future.now_or_never().ok_or(EngineError::Unaccountable("casbin waits for something"))
}

/// In the place of casbin's effector: notes which rules matched, and looks at all of them.
struct Recorder(Arc<Mutex<Vec<usize>>>);

struct Recording {
    matched: Arc<Mutex<Vec<usize>>>,
    rule: usize,
}

impl Effector for Recorder {
    fn new_stream(&self, _expression: &str, _rules: usize) -> Box<dyn EffectorStream> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
        Box::new(Recording { matched: Arc::clone(&self.0), rule: 0 })
    }
}

impl EffectorStream for Recording {
    fn next(&self) -> bool {
        false
    }

    fn push_effect(&mut self, effect: EffectKind) -> bool {
        if effect != EffectKind::Indeterminate {
            self.matched.lock().unwrap_or_else(PoisonError::into_inner).push(self.rule);
        }
        self.rule += 1;
        false
    }
}
