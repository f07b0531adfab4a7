//! A value computed from the members, computed again only when they change.

use std::sync::{Arc, Mutex, PoisonError};

use crate::membership::Members;

pub(crate) struct Watched<T, F> {
    compute: F,
    last: Mutex<Option<(Members, Arc<T>)>>,
}

impl<T, F: Fn(&Members) -> Arc<T>> Watched<T, F> {
    pub(crate) fn new(compute: F) -> Self {
        Self { compute, last: Mutex::new(None) }
    }

    /// The value for `members`.
    pub(crate) fn get(&self, members: &Members) -> Arc<T> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        match &*last {
            // Gossip makes a new map for every heartbeat of a changed key, so contents count too.
            Some((known, value)) if Arc::ptr_eq(known, members) || known == members => Arc::clone(value),
            _ => {
                let value = (self.compute)(members);
                *last = Some((Arc::clone(members), Arc::clone(&value)));
                value
            }
        }
    }
}
