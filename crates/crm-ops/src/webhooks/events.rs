//! Which events a subscription asks for: names, groups of them (`deal.*`), and everything (`*`).
use crm_core::events::KINDS;

/// Is there any event that the pattern stands for?
pub fn is_known(pattern: &str) -> bool {
    KINDS.iter().any(|kind| matches(pattern, kind))
}

/// Does any of the patterns stand for the event? Names that are not offered are told to nobody.
pub fn asks_for(patterns: &[String], kind: &str) -> bool {
    KINDS.contains(&kind) && patterns.iter().any(|pattern| matches(pattern, kind))
}

fn matches(pattern: &str, kind: &str) -> bool {
    if pattern == "*" || pattern == kind {
        return true;
    }
    let group = pattern.strip_suffix(".*");
    group.is_some_and(|group| kind.strip_prefix(group).is_some_and(|rest| rest.starts_with('.')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_stand_for_names_groups_and_everything() {
        let table = [
            ("*", "deal.won", true),
            ("deal.*", "deal.won", true),
            ("deal.won", "deal.won", true),
            ("deal.won", "deal.lost", false),
            ("deal.*", "dealer.won", false),
            ("deal.", "deal.won", false),
            ("de*", "deal.won", false),
            ("*.*", "deal.won", false),
            ("", "deal.won", false),
        ];
        for (pattern, kind, fits) in table {
            assert_eq!(matches(pattern, kind), fits, "{pattern} {kind}");
        }
        let known = ["*", "lead.*", "approval.decided"].map(is_known);
        assert_eq!((known, ["lead", "lead.moved", "webhook.*"].map(is_known)), ([true; 3], [false; 3]));
        assert!(!asks_for(&["*".into()], "saved_view.created"), "what is not offered is not told");
        assert!(asks_for(&["lead.*".into(), "deal.won".into()], "deal.won"));
    }
}
