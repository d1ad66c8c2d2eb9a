//! What jobs need from outside of the domain, plugged in by the program: a channel, a client, keys.
use std::{
    any::{Any, TypeId},
    collections::HashMap,
    sync::Arc,
};

/// Values by their type, which is mostly that of a trait: `Arc<dyn Channel>`.
#[derive(Clone, Default)]
pub(super) struct Ports(HashMap<TypeId, Arc<dyn Any + Send + Sync>>);

impl Ports {
    pub(super) fn plug<T: ?Sized + Send + Sync + 'static>(&mut self, port: Arc<T>) {
        self.0.insert(TypeId::of::<T>(), Arc::new(port));
    }

    pub(super) fn port<T: ?Sized + Send + Sync + 'static>(&self) -> Option<Arc<T>> {
        self.0.get(&TypeId::of::<T>())?.downcast_ref::<Arc<T>>().cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_found_by_its_type_alone() {
        let mut ports = Ports::default();
        assert!(ports.port::<dyn Fn() -> u8 + Send + Sync>().is_none());
        ports.plug::<dyn Fn() -> u8 + Send + Sync>(Arc::new(|| 7));
        assert_eq!(ports.port::<dyn Fn() -> u8 + Send + Sync>().map(|port| port()), Some(7));
        assert!(ports.port::<u8>().is_none());
    }
}
