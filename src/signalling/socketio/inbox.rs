//! What a client said and nobody has handled yet: bounded in number, bytes and rate.

use std::{num::NonZeroU32, sync::Arc};

use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use serde_json::Value;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, mpsc},
    time::Instant,
};

use super::{
    Ack,
    counts::{Counters, count},
};

/// How many events may wait. Who comes into a room of fifty receives ninety-eight tracks, all asked for at once.
pub(super) const WAITING_LIMIT: usize = 256;

/// How many bytes may wait: four times the largest event.
pub(super) const WAITING_BYTES: usize = 1024 * 1024;

/// Events in a second, in the long run; a client reports its audio level ten times in a second.
const EVENTS_PER_SECOND: NonZeroU32 = NonZeroU32::new(50).expect("not 0");

/// Events at once, on top of that.
const EVENTS_AT_ONCE: NonZeroU32 = NonZeroU32::new(256).expect("not 0");

/// How many more events are refused than granted before the connection is given up: ten seconds of a client without
/// measure.
const REFUSALS_LIMIT: u32 = 512;

/// An event as it came: a JSON array of its name and its arguments.
#[derive(Debug)]
pub(super) struct Incoming {
    pub(super) text: String,
    pub(super) ack: Option<Ack>,
    pub(super) arrived: Instant,
    _bytes: OwnedSemaphorePermit,
}

/// The client does not stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Flood;

pub(super) struct Inbox {
    queue: mpsc::Sender<Incoming>,
    bytes: Arc<Semaphore>,
    rate: DefaultDirectRateLimiter,
    refused: std::sync::atomic::AtomicU32,
    counters: Arc<Counters>,
}

impl Inbox {
    pub(super) fn new(counters: Arc<Counters>) -> (Self, mpsc::Receiver<Incoming>) {
        let (queue, events) = mpsc::channel(WAITING_LIMIT);
        let quota = Quota::per_second(EVENTS_PER_SECOND).allow_burst(EVENTS_AT_ONCE);
        let inbox = Self {
            queue,
            bytes: Arc::new(Semaphore::new(WAITING_BYTES)),
            rate: RateLimiter::direct(quota),
            refused: 0.into(),
            counters,
        };
        (inbox, events)
    }

    /// Takes an event. One for which there is no room is answered at once, or dropped if nobody waits for an answer.
    pub(super) fn offer(
        &self,
        text: String,
        ack: Option<Ack>,
        arrived: Instant,
    ) -> Result<(), Flood> {
        count(&self.counters.events);
        let permit = self.admit(&text);
        let Some(bytes) = permit else {
            return self.refuse(ack);
        };
        let incoming = Incoming {
            text,
            ack,
            arrived,
            _bytes: bytes,
        };
        match self.queue.try_send(incoming) {
            Ok(()) => {
                self.forgive();
                Ok(())
            }
            Err(mpsc::error::TrySendError::Full(incoming)) => self.refuse(incoming.ack),
            // The connection is ending.
            Err(mpsc::error::TrySendError::Closed(incoming)) => {
                if let Some(ack) = incoming.ack {
                    ack.fail("the connection is ending");
                }
                Ok(())
            }
        }
    }

    fn admit(&self, text: &str) -> Option<OwnedSemaphorePermit> {
        self.rate.check().ok()?;
        let length = u32::try_from(text.len()).ok()?;
        Arc::clone(&self.bytes).try_acquire_many_owned(length).ok()
    }

    /// Who floods is granted an event now and then, too, so one makes good for one only.
    fn forgive(&self) {
        use std::sync::atomic::Ordering::Relaxed;
        // It fails when nothing was refused.
        let _ = self
            .refused
            .fetch_update(Relaxed, Relaxed, |refused| refused.checked_sub(1));
    }

    fn refuse(&self, ack: Option<Ack>) -> Result<(), Flood> {
        count(&self.counters.flooded);
        if let Some(ack) = ack {
            ack.fail("too many requests");
        }
        let before = self
            .refused
            .fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        if before < REFUSALS_LIMIT {
            Ok(())
        } else {
            Err(Flood)
        }
    }
}

/// The name and the arguments of an event; `None` when it is no such thing.
pub(super) fn read(text: &str) -> Option<(String, Vec<Value>)> {
    let mut arguments = serde_json::from_str::<Vec<Value>>(text).ok()?.into_iter();
    let Some(Value::String(name)) = arguments.next() else {
        return None;
    };
    Some((name, arguments.collect()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn offer(inbox: &Inbox, text: &str) -> Result<(), Flood> {
        inbox.offer(text.to_owned(), None, Instant::now())
    }

    #[test]
    fn what_comes_too_fast_is_refused_and_then_given_up() {
        let (inbox, mut events) = Inbox::new(Arc::default());
        let mut refusals = 0;

        for _ in 0..WAITING_LIMIT {
            assert_eq!(offer(&inbox, "[]"), Ok(()));
        }
        // The rate grants some of these, the queue none.
        while offer(&inbox, "[]") == Ok(()) {
            refusals += 1;
        }

        assert_eq!(refusals, REFUSALS_LIMIT);
        assert_eq!(inbox.counters.read().flooded, u64::from(REFUSALS_LIMIT) + 1);
        let mut waiting = 0;
        while events.try_recv().is_ok() {
            waiting += 1;
        }
        assert_eq!(waiting, WAITING_LIMIT);
    }

    #[test]
    fn an_event_that_is_granted_makes_good_for_one_that_was_refused() {
        let (inbox, _events) = Inbox::new(Arc::default());
        let too_large = "x".repeat(WAITING_BYTES + 1);
        let refused = &inbox.refused;
        refused.store(REFUSALS_LIMIT, std::sync::atomic::Ordering::Relaxed);

        assert_eq!(offer(&inbox, "[]"), Ok(()));

        assert_eq!(offer(&inbox, &too_large), Ok(()));
        assert_eq!(offer(&inbox, &too_large), Err(Flood));
    }

    #[test]
    fn who_waits_for_an_answer_is_told_of_the_refusal() {
        let (inbox, _events) = Inbox::new(Arc::default());
        let (sender, answers) = std::sync::mpsc::channel();
        let large = "x".repeat(WAITING_BYTES);

        assert_eq!(offer(&inbox, &large), Ok(()));
        let ack = Ack::new(move |content| sender.send(content).unwrap());
        assert_eq!(
            inbox.offer("[]".to_owned(), Some(ack), Instant::now()),
            Ok(())
        );

        assert_eq!(
            answers.try_recv().unwrap(),
            json!({ "error": "too many requests" })
        );
    }

    #[test]
    fn what_is_handled_makes_room() {
        let (inbox, mut events) = Inbox::new(Arc::default());
        let large = "x".repeat(WAITING_BYTES);

        assert_eq!(offer(&inbox, &large), Ok(()));
        drop(events.try_recv().unwrap());
        assert_eq!(offer(&inbox, &large), Ok(()));

        assert_eq!(inbox.counters.read().flooded, 0);
    }

    #[test]
    fn an_event_has_a_name_and_arguments() {
        assert_eq!(
            read(r#"["join",{"a":1},null]"#),
            Some(("join".to_owned(), vec![json!({ "a": 1 }), json!(null)]))
        );
        assert_eq!(read(r#"["leave"]"#), Some(("leave".to_owned(), vec![])));
        for text in ["", "[]", "[1]", "{}", r#""join""#, "[\"a\""] {
            assert_eq!(read(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_breaks_it(text in ".{0,256}") {
            let _ = read(&text);
        }
    }
}
