//! A small memory by name, of which the oldest falls out.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
};

/// What was last noted about each of the names noted last.
#[derive(Debug)]
pub(super) struct Recent<T> {
    limit: usize,
    entries: Mutex<VecDeque<(String, T)>>,
}

impl<T: Clone> Recent<T> {
    /// Keeps `limit` names.
    pub(super) const fn new(limit: usize) -> Self {
        Self {
            limit,
            entries: Mutex::new(VecDeque::new()),
        }
    }

    /// What is noted about a name.
    pub(super) fn get(&self, name: &str) -> Option<T> {
        self.lock()
            .iter()
            .find(|(noted, _)| noted == name)
            .map(|(_, value)| value.clone())
    }

    /// What is noted about a name; what `make` makes if nothing is.
    pub(super) fn get_or(&self, name: &str, make: impl FnOnce() -> T) -> T {
        let known = self.get(name);
        known.unwrap_or_else(|| {
            let value = make();
            self.note(name, value.clone());
            value
        })
    }

    /// Notes it in place of what was noted about the name before.
    pub(super) fn note(&self, name: &str, value: T) {
        let mut entries = self.lock();
        entries.retain(|(noted, _)| noted != name);
        if entries.len() >= self.limit {
            entries.pop_front();
        }
        entries.push_back((name.to_owned(), value));
    }

    /// Forgets a name.
    pub(super) fn forget(&self, name: &str) {
        self.lock().retain(|(noted, _)| noted != name);
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<(String, T)>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_name_falls_out_of_a_full_memory() {
        let recent = Recent::new(2);

        recent.note("a", 1);
        recent.note("b", 2);
        recent.note("a", 3);
        recent.note("c", 4);

        assert_eq!(
            ["a", "b", "c"].map(|name| recent.get(name)),
            [Some(3), None, Some(4)]
        );
    }

    #[test]
    fn what_is_known_is_not_made_again_until_it_is_forgotten() {
        let recent = Recent::new(2);

        assert_eq!(recent.get_or("a", || 1), 1);
        assert_eq!(recent.get_or("a", || 2), 1);
        recent.forget("a");
        assert_eq!(recent.get_or("a", || 3), 3);
    }
}
