//! What jobs need of the process beside the database: keys, a way to the network.
use std::{
    any::{Any, TypeId},
    collections::HashMap,
    sync::Arc,
};

/// Things that jobs find by their type, one of each. Cheap to clone.
///
/// ```
/// use crm_core::jobs::Equipment;
///
/// struct Relay(&'static str);
/// let equipment = Equipment::default().with(Relay("smtp.example"));
/// assert_eq!(equipment.get::<Relay>().map(|relay| relay.0), Some("smtp.example"));
/// assert!(equipment.get::<String>().is_none());
/// ```
#[derive(Clone, Default)]
pub struct Equipment(HashMap<TypeId, Arc<dyn Any + Send + Sync>>);

impl Equipment {
    /// With one thing more, in the place of any other of its type.
    #[must_use]
    pub fn with<T: Any + Send + Sync>(mut self, thing: T) -> Self {
        self.0.insert(TypeId::of::<T>(), Arc::new(thing));
        self
    }

    /// The thing of this type.
    pub fn get<T: Any + Send + Sync>(&self) -> Option<&T> {
        self.0.get(&TypeId::of::<T>())?.downcast_ref()
    }
}
