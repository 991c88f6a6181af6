//! What the soak keeps of each destination: what matters and no more, however long it lasts.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use crate::{
    receiver::{Ledger, Receiver},
    rtmp::Incoming,
};

/// The soak's receiver.
pub(crate) type CountingReceiver = Receiver<Tallies>;

/// What came at one destination, whatever its key.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tally {
    /// How often it was published.
    pub(crate) publications: u64,
    pub(crate) pictures: u64,
    /// The longest wait from one picture to the next.
    pub(crate) worst_pause: Duration,
    /// The largest step of the timestamps within one connection.
    pub(crate) worst_step: Duration,
    /// Pictures whose timestamp was not later than the one before, within one connection.
    pub(crate) backwards: u64,
    last: Option<(Instant, u32)>,
}

/// The tallies of all destinations.
#[derive(Debug, Default)]
pub(crate) struct Tallies(HashMap<String, Tally>);

impl Tallies {
    /// What has come at a destination until now.
    pub(crate) fn of(&self, destination: &str) -> Tally {
        self.0.get(destination).cloned().unwrap_or_default()
    }
}

impl Ledger for Tallies {
    /// A key is the destination's name, and behind a point the number of its rotation.
    fn note(&mut self, destination: &mut Option<String>, event: Incoming, at: Instant) {
        match event {
            Incoming::Publish(key) => {
                let name = key.split('.').next().unwrap_or_default().to_owned();
                let tally = self.0.entry(name.clone()).or_default();
                tally.publications += 1;
                tally.last = None;
                *destination = Some(name);
            }
            Incoming::Video(timestamp, _, _) => {
                let Some(tally) = destination.as_ref().and_then(|name| self.0.get_mut(name)) else {
                    return;
                };
                tally.pictures += 1;
                if let Some((last_at, last_timestamp)) = tally.last.replace((at, timestamp)) {
                    let step = timestamp.saturating_sub(last_timestamp);
                    tally.backwards += u64::from(step == 0);
                    tally.worst_step = tally.worst_step.max(Duration::from_millis(u64::from(step)));
                    tally.worst_pause = tally.worst_pause.max(at - last_at);
                }
            }
            Incoming::Audio => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_pauses_and_publications_are_counted_whatever_the_key() {
        let (mut tallies, mut destination) = (Tallies::default(), None);
        let start = Instant::now();
        let mut tell = |event, milliseconds| {
            let at = start + Duration::from_millis(milliseconds);
            tallies.note(&mut destination, event, at);
        };

        tell(Incoming::Publish("one.1".to_owned()), 0);
        tell(Incoming::Video(0, 9, true), 10);
        tell(Incoming::Video(33, 9, false), 500);
        tell(Incoming::Video(33, 9, false), 520);
        tell(Incoming::Publish("one.2".to_owned()), 5_000);
        tell(Incoming::Video(900, 9, true), 5_010);
        tell(Incoming::Video(990, 9, true), 5_020);

        let tally = tallies.of("one");
        assert_eq!(
            (tally.publications, tally.pictures, tally.backwards),
            (2, 5, 1)
        );
        assert_eq!(tally.worst_pause, Duration::from_millis(490));
        assert_eq!(tally.worst_step, Duration::from_millis(90));
    }
}
