//! Companies under companies, while others change them too.
use std::sync::Barrier;

use crm_core::{
    Error,
    companies::{self, Company},
    users::Role,
};
use serde_json::json;

use crate::house::{House, patch};

#[test]
fn of_two_companies_that_are_put_under_each_other_at_once_one_is_refused_and_nobody_waits_in_vain() {
    let house = House::new();
    let (ann, ben) = (house.person("ann", Role::Manager, None), house.person("ben", Role::Manager, None));
    for round in 0..5 {
        let [one, other] = ["One", "Other"].map(|name| house.make::<Company>(&ann, json!({"name": name})).id);
        let both = Barrier::new(2);
        let put = |ctx, id, parent| {
            both.wait();
            house.run(ctx, |tx| companies::update(tx, id, patch(json!({"parentCompanyId": parent}))))
        };
        let done = std::thread::scope(|scope| {
            let first = scope.spawn(|| put(&ann, one, other));
            [put(&ben, other, one), first.join().unwrap()]
        });
        let refused: Vec<_> = done.iter().filter_map(|done| done.as_ref().err()).collect();
        assert!(matches!(refused[..], [Error::Invalid(_)]), "round {round}: {refused:?}");
    }
}
