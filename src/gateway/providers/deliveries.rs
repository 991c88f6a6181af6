//! Which webhooks have been taken already: providers deliver some of them again and again.

use std::{
    collections::{HashSet, VecDeque},
    time::{Duration, Instant},
};

use broadcast::Provider;
use sha2::{Digest as _, Sha256};

/// How many deliveries are remembered, of all providers: one a second for longer than [`MEMORY`], in 256 KiB.
///
/// When there are more, the oldest are forgotten first; a repeated one then asks a session how it is once more.
const DELIVERIES_LIMIT: usize = 4096;

/// How long one is remembered: what is older is refused for its age, five minutes before and after.
const MEMORY: Duration = Duration::from_mins(11);

type Print = [u8; 32];

/// The latest deliveries. Only verified ones may be noted, or strangers could fill it.
#[derive(Debug, Default)]
pub(crate) struct Deliveries {
    known: HashSet<Print>,
    oldest_first: VecDeque<(Instant, Print)>,
}

impl Deliveries {
    /// Notes a delivery; returns whether it is new.
    pub(crate) fn note(&mut self, provider: Provider, id: &str, now: Instant) -> bool {
        while let Some((at, print)) = self.oldest_first.front()
            && (now.saturating_duration_since(*at) > MEMORY
                || self.oldest_first.len() >= DELIVERIES_LIMIT)
        {
            self.known.remove(print);
            self.oldest_first.pop_front();
        }
        let print = print(provider, id);
        let is_new = self.known.insert(print);
        if is_new {
            self.oldest_first.push_back((now, print));
        }
        is_new
    }
}

/// Of the same size however long the provider's id is.
fn print(provider: Provider, id: &str) -> Print {
    let mut hasher = Sha256::new();
    hasher.update(provider.as_str());
    hasher.update([0]);
    hasher.update(id);
    hasher.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_delivery_is_new_once_for_each_provider() {
        let (now, mut deliveries) = (Instant::now(), Deliveries::default());

        assert!(deliveries.note(Provider::Mux, "a", now));
        assert!(!deliveries.note(Provider::Mux, "a", now));
        assert!(deliveries.note(Provider::Livekit, "a", now));
        assert!(deliveries.note(Provider::Mux, "b", now));
    }

    #[test]
    fn a_delivery_is_remembered_for_longer_than_it_would_be_taken() {
        let (now, mut deliveries) = (Instant::now(), Deliveries::default());
        deliveries.note(Provider::Mux, "a", now);

        assert!(!deliveries.note(Provider::Mux, "a", now + Duration::from_mins(10)));
        assert!(deliveries.note(Provider::Mux, "a", now + Duration::from_mins(12)));
    }

    #[test]
    fn of_many_deliveries_the_oldest_are_forgotten() {
        let (now, mut deliveries) = (Instant::now(), Deliveries::default());

        for number in 0..=DELIVERIES_LIMIT {
            assert!(deliveries.note(Provider::Mux, &number.to_string(), now));
        }

        assert_eq!(deliveries.known.len(), DELIVERIES_LIMIT);
        assert_eq!(deliveries.oldest_first.len(), DELIVERIES_LIMIT);
        assert!(!deliveries.note(Provider::Mux, "4096", now));
        assert!(deliveries.note(Provider::Mux, "0", now));
    }
}
