//! Reads a policy that a client wrote, naming every fault and its place.

use serde_json::{Map, Value};

use super::{Action, Effect, Policy, Subject};
use crate::attributes::Registry;
use crate::conditions::Condition;
use crate::resource_patterns::ResourcePattern;
use crate::violations::{Violation, unknown_members};

const MEMBERS: [&str; 9] =
    ["name", "role", "action", "resource", "field", "effect", "condition", "isActive", "isDraft"];
const MAX_NAME_LENGTH: usize = 200;

impl Policy {
    /// Reads and checks `{name, role, action, resource, field?, effect, condition?, isActive?, isDraft?}`. Without an
    /// effect `view_field`, `edit_field` and `export_data` are refused; any other action has to say.
    ///
    /// # Errors
    /// Every fault, each with the JSON Pointer of its place.
    pub fn read(id: impl Into<String>, json: &Value, registry: &Registry) -> Result<Policy, Vec<Violation>> {
        read(id.into(), json, registry, false)
    }

    /// Reads a policy that was checked when it was written. What it speaks about may be gone since, and then nobody asks
    /// about it; a condition that can't be read any more is unknown from then on.
    ///
    /// # Errors
    /// As [`Policy::read`], for what no change of the registry explains.
    pub fn stored(id: impl Into<String>, json: &Value, registry: &Registry) -> Result<Policy, Vec<Violation>> {
        read(id.into(), json, registry, true)
    }
}

fn read(id: String, json: &Value, registry: &Registry, is_stored: bool) -> Result<Policy, Vec<Violation>> {
    let Some(object) = json.as_object() else {
        return Err(vec![Violation::new("", "invalid_type", "A policy is an object.")]);
    };
    let mut reader = Reader { object, violations: unknown_members(object, &MEMBERS, ""), is_stored };
    let policy = reader.policy(id, registry);
    policy.filter(|_| reader.violations.is_empty()).ok_or(reader.violations)
}

struct Reader<'a> {
    object: &'a Map<String, Value>,
    violations: Vec<Violation>,
    /// The policy was checked before, against the registry of that time.
    is_stored: bool,
}

impl Reader<'_> {
    fn refuse<T>(&mut self, name: &str, code: &'static str, message: impl Into<String>) -> Option<T> {
        self.violations.push(Violation::new(format!("/{name}"), code, message));
        None
    }

    fn policy(&mut self, id: String, registry: &Registry) -> Option<Policy> {
        let name = self.name();
        let role = self.one_of("role", "ANY or a role", Subject::from_name);
        let action = self.one_of("action", "an action", Action::from_name);
        let resource = self.one_of("resource", "a resource: deal, deal.value, deal.*, *", ResourcePattern::parse);
        let field = self.optional("field", "A field is a text.", |json| json.as_str().map(str::to_owned));
        let is_active = self.optional("isActive", "isActive is true or false.", Value::as_bool).unwrap_or(true);
        let is_draft = self.optional("isDraft", "isDraft is true or false.", Value::as_bool).unwrap_or(false);
        let effect = action.and_then(|action| self.effect(action));
        let condition = resource.as_ref().and_then(|resource| self.condition(registry, resource));
        let policy = Policy {
            id,
            name: name?,
            role: role?,
            action: action?,
            resource: resource?,
            field,
            effect: effect?,
            condition,
            is_active,
            is_draft,
            is_built_in: false,
        };
        if !self.is_stored {
            self.target(&policy, registry);
        }
        Some(policy)
    }

    fn name(&mut self) -> Option<String> {
        let valid = |name: &str| !name.trim().is_empty() && name.chars().count() <= MAX_NAME_LENGTH;
        let expected = format!("a name of 1 to {MAX_NAME_LENGTH} characters");
        self.one_of("name", &expected, |name| valid(name).then(|| name.to_owned()))
    }

    fn one_of<T>(&mut self, name: &str, expected: &str, read: impl FnOnce(&str) -> Option<T>) -> Option<T> {
        match self.object.get(name) {
            None => self.refuse(name, "required", format!("A policy needs {expected}.")),
            Some(json) => match json.as_str().and_then(read) {
                None => self.refuse(name, "invalid_value", format!("{json} is not {expected}.")),
                read => read,
            },
        }
    }

    fn optional<T>(&mut self, name: &str, expected: &str, read: impl FnOnce(&Value) -> Option<T>) -> Option<T> {
        match self.object.get(name) {
            None | Some(Value::Null) => None,
            Some(json) => match read(json) {
                None => self.refuse(name, "invalid_type", expected),
                read => read,
            },
        }
    }

    fn effect(&mut self, action: Action) -> Option<Effect> {
        let refuses_by_default = action.is_on_fields() && !self.object.contains_key("effect");
        if refuses_by_default || (action == Action::ExportData && !self.object.contains_key("effect")) {
            return Some(Effect::Deny);
        }
        let effect = self.one_of("effect", "an effect: allow, deny, require_approval", Effect::from_name)?;
        if effect == Effect::RequireApproval && action.is_reading() {
            return self.refuse("effect", "invalid_effect", format!("{action} can't wait for an approval; deny it."));
        }
        Some(effect)
    }

    fn condition(&mut self, registry: &Registry, resource: &ResourcePattern) -> Option<Condition> {
        let source = self.object.get("condition").filter(|source| !source.is_null())?;
        if self.is_stored {
            return Some(Condition::stored(source.clone(), registry, resource));
        }
        match Condition::read(source.clone(), registry, resource) {
            Ok(condition) => Some(condition),
            Err(faults) => {
                self.violations.extend(
                    faults
                        .into_iter()
                        .map(|fault| Violation { pointer: format!("/condition{}", fault.pointer), ..fault }),
                );
                None
            }
        }
    }

    /// A policy on something that nobody will ever ask about would refuse nothing, in silence: it is not taken.
    fn target(&mut self, policy: &Policy, registry: &Registry) -> Option<()> {
        let member = if policy.field.is_some() { "field" } else { "resource" };
        let Some(target) = policy.target() else {
            return self.refuse(
                member,
                "field_not_applicable",
                "A field goes with view_field or edit_field on one resource.",
            );
        };
        let Some(root) = target.root() else { return Some(()) };
        let Some(resource) = registry.resource(root) else {
            return self.refuse("resource", "unknown_resource", format!("There is no resource “{root}”."));
        };
        match &target {
            ResourcePattern::Exact(name) if policy.action.is_on_fields() => {
                let field = name.strip_prefix(root).and_then(|rest| rest.strip_prefix('.')).unwrap_or(name);
                if resource.has(field) {
                    Some(())
                } else {
                    self.refuse(member, "unknown_field", format!("{root} has no field “{field}”."))
                }
            }
            ResourcePattern::Exact(name) if name == root => Some(()),
            ResourcePattern::Under(name) if policy.action.is_on_fields() && name == root => Some(()),
            // A pattern for all parts of a field would leave out the field itself, in silence.
            ResourcePattern::Under(name) if policy.action.is_on_fields() => {
                self.refuse(member, "field_not_applicable", format!("A field is covered whole: write “{name}”."))
            }
            _ => {
                let message = format!("{} is asked about the record: write “{root}”.", policy.action);
                self.refuse("resource", "field_not_applicable", message)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::attributes::{Resource, ResourceClass};
    use crate::scalars::Kind;

    fn registry() -> Registry {
        let deal = Resource::new("deal", ResourceClass::Record).with("score", Kind::Int).with("title", Kind::Text);
        Registry::new([deal, Resource::new("policy", ResourceClass::Administration)])
    }

    /// A valid policy with some members replaced, or removed by null.
    fn with(changes: &Value) -> Value {
        let mut policy =
            json!({"name": "P", "role": "MANAGER", "action": "edit", "resource": "deal", "effect": "allow"});
        let members = policy.as_object_mut().unwrap();
        for (name, value) in changes.as_object().unwrap() {
            if value.is_null() {
                members.shift_remove(name);
            } else {
                members.insert(name.clone(), value.clone());
            }
        }
        policy
    }

    #[test]
    fn every_fault_is_named_with_its_place() {
        let cases = [
            (json!({"name": "  "}), "/name", "invalid_value"),
            (json!({"role": null}), "/role", "required"),
            (json!({"role": "manager"}), "/role", "invalid_value"),
            (json!({"action": "fly"}), "/action", "invalid_value"),
            (json!({"effect": null}), "/effect", "required"),
            (json!({"effect": "Deny"}), "/effect", "invalid_value"),
            (json!({"action": "view", "effect": "require_approval"}), "/effect", "invalid_effect"),
            (json!({"resource": "deal*"}), "/resource", "invalid_value"),
            (json!({"resource": "order"}), "/resource", "unknown_resource"),
            (json!({"resource": "deal.title"}), "/resource", "field_not_applicable"),
            (json!({"resource": "deal.*"}), "/resource", "field_not_applicable"),
            (json!({"field": "title"}), "/field", "field_not_applicable"),
            (json!({"action": "edit_field", "field": "tilte"}), "/field", "unknown_field"),
            (json!({"action": "edit_field", "resource": "deal.x"}), "/resource", "unknown_field"),
            (json!({"action": "edit_field", "resource": "deal.title.*"}), "/resource", "field_not_applicable"),
            (json!({"action": "edit_field", "resource": "*", "field": "title"}), "/field", "field_not_applicable"),
            (json!({"isActive": "yes"}), "/isActive", "invalid_type"),
            (json!({"efect": "deny"}), "/efect", "unknown_member"),
            (json!({"condition": {"all": [{"attr": "score", "op": "gt"}]}}), "/condition/all/0/value", "required"),
            (json!({"condition": "score > 5"}), "/condition", "invalid_type"),
        ];
        for (changes, pointer, code) in cases {
            let faults = Policy::read("p", &with(&changes), &registry()).unwrap_err();
            assert!(faults.iter().any(|fault| fault.pointer == pointer && fault.code == code), "{changes}: {faults:?}");
        }
        let faults = Policy::read("p", &json!({"name": "", "extra": 1}), &registry()).unwrap_err();
        let pointers: Vec<&str> = faults.iter().map(|fault| fault.pointer.as_str()).collect();
        assert_eq!(pointers, ["/extra", "/name", "/role", "/action", "/resource"]);
    }

    #[test]
    fn what_a_stored_policy_speaks_about_may_be_gone() {
        let gone = json!({"attr": "size", "op": "eq", "value": 1});
        let cases = [
            json!({"resource": "order"}),
            json!({"action": "edit_field", "field": "size"}),
            json!({"condition": gone}),
        ];
        for changes in cases {
            let json = with(&changes);
            assert!(Policy::read("p", &json, &registry()).is_err(), "{changes}");
            assert!(Policy::stored("p", &json, &registry()).is_ok(), "{changes}");
        }
        assert!(Policy::stored("p", &with(&json!({"effect": "Deny"})), &registry()).is_err());
    }

    #[test]
    fn a_missing_effect_refuses_where_the_action_can_only_be_restricted() {
        for action in ["view_field", "edit_field", "export_data"] {
            let policy = Policy::read("p", &with(&json!({"action": action, "effect": null})), &registry()).unwrap();
            assert_eq!(policy.effect, Effect::Deny);
        }
    }

    #[test]
    fn fields_are_targets_on_the_dot() {
        let cases = [
            (json!({"action": "view_field"}), "deal.*"),
            (json!({"action": "view_field", "field": "*"}), "deal.*"),
            (json!({"action": "view_field", "field": "title"}), "deal.title"),
            (json!({"action": "view_field", "resource": "deal.title"}), "deal.title"),
            (json!({"action": "view_field", "resource": "*"}), "*"),
            (json!({"action": "change_stage"}), "deal"),
        ];
        for (changes, target) in cases {
            let policy = Policy::read("p", &with(&changes), &registry()).unwrap();
            assert_eq!(policy.target().unwrap().to_string(), target);
        }
    }

    #[test]
    fn a_policy_is_written_as_it_was_read() {
        let condition = json!({"not": {"attr": "score", "op": "in", "value": [1, 2]}});
        let source = with(&json!({"action": "edit_field", "field": "title", "condition": condition, "isDraft": true}));
        let written = serde_json::to_value(Policy::read("p1", &source, &registry()).unwrap()).unwrap();
        for (name, value) in source.as_object().unwrap() {
            assert_eq!(written.get(name), Some(value), "{name}");
        }
        assert_eq!(
            (&written["id"], &written["isBuiltIn"], &written["isActive"]),
            (&json!("p1"), &json!(false), &json!(true))
        );
    }
}
