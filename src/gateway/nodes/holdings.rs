//! The broadcasts and rooms that this node holds. A broadcast and a room of one name share one holding.

use std::{
    collections::BTreeMap,
    hash::{DefaultHasher, Hash as _, Hasher as _},
    ops::Bound,
    sync::{Mutex, MutexGuard, PoisonError},
};

use super::Holding;

#[derive(Debug)]
struct Entry {
    holding: Holding,
    /// How many there are to give it back; the last one does.
    users: usize,
}

/// How many names can be claimed or given back at a time: those whose numbers differ. One waits for an answer of the registry,
/// a millisecond mostly, and 3 s at most.
const TURNS: usize = 64;

/// By name.
#[derive(Debug)]
pub(super) struct Holdings {
    /// The lock is held for a look-up and never over an await.
    book: Mutex<BTreeMap<String, Entry>>,
    turns: [tokio::sync::Mutex<()>; TURNS],
}

impl Default for Holdings {
    fn default() -> Self {
        Self {
            book: Mutex::default(),
            turns: std::array::from_fn(|_| tokio::sync::Mutex::default()),
        }
    }
}

impl Holdings {
    /// Waits until nobody else claims this name or gives it back: the registry must not be told of an end after it was told of
    /// what began later.
    pub(super) async fn turn(&self, name: &str) -> tokio::sync::MutexGuard<'_, ()> {
        let mut hasher = DefaultHasher::new();
        name.hash(&mut hasher);
        let number = usize::try_from(hasher.finish() % TURNS as u64).unwrap_or(0);
        self.turns[number].lock().await
    }

    /// One more user of what is held here already, unless somebody else has it by now.
    pub(super) fn join(&self, name: &str) -> Option<Holding> {
        let mut holdings = self.lock();
        let entry = holdings.get_mut(name)?;
        if *entry.holding.lost().borrow() {
            return None;
        }
        entry.users += 1;
        Some(entry.holding.clone())
    }

    /// One more user of a holding; a newer one takes the place of an older.
    pub(super) fn add(&self, holding: Holding) -> Holding {
        let mut holdings = self.lock();
        if let Some(entry) = holdings.get_mut(holding.broadcast())
            && entry.holding.fence() == holding.fence()
        {
            entry.users += 1;
            return entry.holding.clone();
        }
        let name = holding.broadcast().to_owned();
        let entry = Entry {
            holding: holding.clone(),
            users: 1,
        };
        if let Some(older) = holdings.insert(name, entry) {
            older.holding.lose();
        }
        holding
    }

    /// One user less. Whether that was the last one of it, who is to give it back to the registry.
    pub(super) fn remove(&self, holding: &Holding) -> bool {
        let mut holdings = self.lock();
        match holdings.get_mut(holding.broadcast()) {
            Some(entry) if entry.holding.fence() == holding.fence() => {
                entry.users -= 1;
                let is_last = entry.users == 0;
                if is_last {
                    holdings.remove(holding.broadcast());
                }
                is_last
            }
            _ => false,
        }
    }

    /// Whether this very one is held.
    pub(super) fn has(&self, holding: &Holding) -> bool {
        let holdings = self.lock();
        let entry = holdings.get(holding.broadcast());
        entry.is_some_and(|entry| entry.holding.fence() == holding.fence())
    }

    pub(super) fn find(&self, name: &str) -> Option<Holding> {
        self.lock().get(name).map(|entry| entry.holding.clone())
    }

    pub(super) fn count(&self) -> usize {
        self.lock().len()
    }

    pub(super) fn all(&self) -> Vec<Holding> {
        let holdings = self.lock();
        holdings
            .values()
            .map(|entry| entry.holding.clone())
            .collect()
    }

    /// The one after this name, and after the last one the first.
    pub(super) fn after(&self, name: &str) -> Option<Holding> {
        let holdings = self.lock();
        let mut later = holdings.range::<str, _>((Bound::Excluded(name), Bound::Unbounded));
        let next = later.next().or_else(|| holdings.iter().next());
        next.map(|(_, entry)| entry.holding.clone())
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Entry>> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use fleet::{Fence, MemoryRegistry, Times};

    use super::*;

    fn holding(name: &str, fence: u64) -> Holding {
        let registry = Arc::new(MemoryRegistry::new(Times::default()));
        Holding::new(registry, name.to_owned(), Fence(fence), Vec::new())
    }

    #[test]
    fn a_broadcast_and_its_room_share_one_holding_until_both_are_gone() {
        let holdings = Holdings::default();
        let broadcast = holdings.add(holding("show", 7));
        let room = holdings.join("show").unwrap();

        assert_eq!(holdings.count(), 1);
        assert!(!holdings.remove(&room));
        assert!(holdings.has(&broadcast));
        assert!(holdings.remove(&broadcast));
        assert!(!holdings.remove(&broadcast));
        assert_eq!(holdings.count(), 0);
    }

    #[test]
    fn a_newer_holding_ends_the_older_one() {
        let holdings = Holdings::default();
        let older = holdings.add(holding("show", 7));

        let newer = holdings.add(holding("show", 9));

        assert!(*older.lost().borrow());
        newer.lose();
        assert!(holdings.join("show").is_none());
        assert!(!holdings.remove(&older), "it is not its own any more");
        assert!(holdings.has(&newer));
    }

    #[test]
    fn they_are_gone_through_in_turn() {
        let holdings = Holdings::default();
        for (name, fence) in [("a", 1), ("b", 2), ("c", 3)] {
            holdings.add(holding(name, fence));
        }

        let mut name = String::new();
        let mut seen = Vec::new();
        for _ in 0..4 {
            holdings
                .after(&name)
                .unwrap()
                .broadcast()
                .clone_into(&mut name);
            seen.push(name.clone());
        }

        assert_eq!(seen, ["a", "b", "c", "a"]);
        assert!(Holdings::default().after("a").is_none());
    }
}
