//! The show's pictures from the first that a receiver can begin with.

use std::{
    collections::VecDeque,
    future::poll_fn,
    time::{Duration, Instant},
};

use media::{AccessUnit, Reader, Subscriber, TrackKind};

/// How long a keyframe is waited for that is newer than the connection. Then the newest one that there is must do, with
/// what followed it: a long freeze has no other.
const FRESH_LIMIT: Duration = Duration::from_millis(1_500);

/// Reads a show's pictures.
#[derive(Debug)]
pub(super) struct Pictures {
    subscriber: Subscriber,
    reader: Reader,
    read: VecDeque<AccessUnit>,
    batch: Vec<AccessUnit>,
    /// Only a keyframe of after this will do, until then.
    fresh: Option<(Duration, Instant)>,
    dropped: u64,
}

impl Pictures {
    pub(super) fn new(subscriber: Subscriber) -> Self {
        Self {
            reader: subscriber.reader(),
            subscriber,
            read: VecDeque::new(),
            batch: Vec::new(),
            fresh: None,
            dropped: 0,
        }
    }

    /// Waits for the show's first media. False: there will be none.
    pub(super) async fn begin(&mut self) -> bool {
        let is_there = self.fill().await;
        self.read.clear();
        is_there
    }

    /// Drops what is older than a keyframe that is still to come, so that a receiver is not sent two seconds at once.
    pub(super) fn await_fresh(&mut self, now: Instant) {
        let newest = self.subscriber.reader().unread().newest;
        self.fresh = Some((newest, now + FRESH_LIMIT));
        self.read.clear();
    }

    /// When there is no more waiting for a keyframe that is fresh.
    pub(super) fn fresh_until(&self) -> Option<Instant> {
        self.fresh.map(|(_, until)| until)
    }

    /// No fresh keyframe has come: begins with the newest.
    pub(super) fn take_any(&mut self) {
        self.fresh = None;
        self.read.clear();
        self.reader = self.subscriber.reader();
    }

    /// The next picture, or `None` when there will be no other. Cancel-safe.
    pub(super) async fn next(&mut self) -> Option<AccessUnit> {
        loop {
            while let Some(unit) = self.read.pop_front() {
                if let Some((newer_than, _)) = self.fresh {
                    if !unit.keyframe || unit.timestamp <= newer_than {
                        continue;
                    }
                    self.fresh = None;
                }
                return Some(unit);
            }
            if !self.fill().await {
                return None;
            }
        }
    }

    /// How many pictures were lost since this was last asked, because they were not read in time.
    pub(super) fn take_dropped(&mut self) -> u64 {
        std::mem::take(&mut self.dropped)
    }

    /// Reads on; only pictures are kept. Cancel-safe.
    async fn fill(&mut self) -> bool {
        let (reader, units) = (&mut self.reader, &mut self.batch);
        let batch = poll_fn(|context| reader.poll_batch(context, units)).await;
        self.dropped += batch.map_or(0, |batch| batch.dropped);
        let pictures = self
            .batch
            .drain(..)
            .filter(|unit| unit.kind() == TrackKind::Video);
        self.read.extend(pictures);
        batch.is_some()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bytes::Bytes;
    use media::{AudioConfig, CodecConfig, Fanout, VideoConfig};

    use super::*;

    const WINDOW: Duration = Duration::from_secs(4);

    fn config() -> Arc<CodecConfig> {
        Arc::new(CodecConfig::Avc(VideoConfig {
            decoder_configuration: Bytes::new(),
            width: 2,
            height: 2,
        }))
    }

    fn picture(milliseconds: u64, keyframe: bool) -> AccessUnit {
        AccessUnit {
            timestamp: Duration::from_millis(milliseconds),
            keyframe,
            config: config(),
            data: Bytes::new(),
        }
    }

    fn sound(milliseconds: u64) -> AccessUnit {
        AccessUnit {
            config: Arc::new(CodecConfig::Aac(AudioConfig {
                audio_specific_config: Bytes::new(),
                sample_rate_hz: 48_000,
                channels: 2,
            })),
            ..picture(milliseconds, true)
        }
    }

    async fn next(pictures: &mut Pictures) -> Option<(u64, bool)> {
        let unit = pictures.next().await?;
        Some((
            u64::try_from(unit.timestamp.as_millis()).unwrap(),
            unit.keyframe,
        ))
    }

    #[tokio::test]
    async fn a_receiver_begins_with_a_keyframe_that_is_newer_than_itself() {
        let mut fanout = Fanout::new(WINDOW);
        let mut pictures = Pictures::new(fanout.subscriber());
        for unit in [picture(0, true), sound(10), picture(33, false)] {
            fanout.push(unit);
        }
        assert!(pictures.begin().await);

        pictures.await_fresh(Instant::now());
        for unit in [
            picture(66, false),
            picture(100, true),
            sound(120),
            picture(133, false),
        ] {
            fanout.push(unit);
        }

        assert_eq!(next(&mut pictures).await, Some((100, true)));
        assert_eq!(next(&mut pictures).await, Some((133, false)));
        assert_eq!(pictures.fresh_until(), None);
    }

    #[tokio::test]
    async fn without_a_fresh_keyframe_the_newest_one_must_do() {
        let mut fanout = Fanout::new(WINDOW);
        let mut pictures = Pictures::new(fanout.subscriber());
        fanout.push(picture(0, true));
        fanout.push(picture(33, false));
        pictures.await_fresh(Instant::now());

        pictures.take_any();

        assert_eq!(next(&mut pictures).await, Some((0, true)));
        assert_eq!(next(&mut pictures).await, Some((33, false)));
    }

    #[tokio::test]
    async fn a_reader_that_fell_behind_counts_what_it_lost() {
        let mut fanout = Fanout::new(WINDOW);
        let mut pictures = Pictures::new(fanout.subscriber());
        fanout.push(picture(0, true));
        assert_eq!(next(&mut pictures).await, Some((0, true)));
        for second in 1..10 {
            fanout.push(picture(second * 1_000, second == 9));
        }

        assert_eq!(next(&mut pictures).await, Some((9_000, true)));
        assert_eq!(pictures.take_dropped(), 8);
        assert_eq!(pictures.take_dropped(), 0);
    }

    #[tokio::test]
    async fn pictures_end_with_the_broadcast() {
        let fanout = Fanout::new(WINDOW);
        let mut pictures = Pictures::new(fanout.subscriber());
        drop(fanout);

        assert!(!pictures.begin().await);
        assert_eq!(next(&mut pictures).await, None);
    }
}
