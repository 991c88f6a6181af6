//! Small pictures of what goes out, made when somebody asks and kept until another keyframe goes out.

use std::{
    collections::VecDeque,
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use bytes::Bytes;
use media::{AccessUnit, Subscriber};
use pipelines::inspection::{InspectError, Inspector};
use tokio::sync::Semaphore;

use crate::clock::now;

/// The most requests of one broadcast that wait for each other.
const WAITING_LIMIT: usize = 16;

/// The most thumbnails of one keyframe that are kept, each of another width.
const KEPT_LIMIT: usize = 8;

/// The most bytes of them.
const KEPT_LIMIT_BYTES: usize = 2 * 1024 * 1024;

/// How long a broadcast whose picture cost the child its life gets no thumbnail, so that others have the child.
const PAUSE_AFTER_DEATH: Duration = Duration::from_secs(10);

/// Why there is no thumbnail now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("there is no thumbnail at the moment")]
pub struct NoThumbnail;

/// The thumbnails of one broadcast. Cloning shares them.
#[derive(Clone)]
pub struct Thumbnails {
    inner: Arc<Inner>,
}

struct Inner {
    inspector: Inspector,
    media: Subscriber,
    /// Tells this broadcast from others of its id.
    number: u64,
    latest: Mutex<Option<AccessUnit>>,
    waiting: Semaphore,
    /// Held while a thumbnail is made, so that nobody else makes the same.
    kept: tokio::sync::Mutex<Kept>,
}

impl fmt::Debug for Thumbnails {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Thumbnails").finish_non_exhaustive()
    }
}

impl Thumbnails {
    /// Thumbnails of what `media` holds, made by `inspector`. `number` is random.
    pub(super) fn new(inspector: Inspector, media: Subscriber, number: u64) -> Self {
        Self {
            inner: Arc::new(Inner {
                inspector,
                media,
                number,
                latest: Mutex::default(),
                waiting: Semaphore::new(WAITING_LIMIT),
                kept: tokio::sync::Mutex::default(),
            }),
        }
    }

    /// The newest keyframe, which is remembered: a picture that is frozen for long has none behind it.
    pub(super) fn keyframe(&self) -> Option<AccessUnit> {
        // A keyframe is put in its place as a whole.
        let latest = self.inner.latest.lock();
        let mut latest = latest.unwrap_or_else(PoisonError::into_inner);
        if let Some(keyframe) = self.inner.media.latest_keyframe() {
            *latest = Some(keyframe);
        }
        latest.clone()
    }

    /// What a thumbnail would be made of now. `None` before the first keyframe.
    pub fn newest(&self) -> Option<Sitter> {
        Some(Sitter {
            keyframe: self.keyframe()?,
            thumbnails: self.clone(),
        })
    }
}

/// A keyframe of which thumbnails can be made.
#[derive(Debug)]
pub struct Sitter {
    keyframe: AccessUnit,
    thumbnails: Thumbnails,
}

impl Sitter {
    /// Names its thumbnail of this width, in letters and digits. No other thumbnail has this name.
    pub fn tag(&self, width: u32) -> String {
        let number = self.thumbnails.inner.number;
        let place = self.keyframe.timestamp.as_nanos();
        format!("{number:x}-{place:x}-{width}")
    }

    /// Makes a JPEG of at most `width` pixels across, or finds the one that was made before.
    pub async fn jpeg(&self, width: u32) -> Result<Bytes, NoThumbnail> {
        let inner = &self.thumbnails.inner;
        let _place = inner.waiting.try_acquire().map_err(|_| NoThumbnail)?;
        let mut kept = inner.kept.lock().await;
        let name = (self.keyframe.timestamp, width);
        if let Some(known) = kept.find(name, now()) {
            return known;
        }
        let made = inner.inspector.jpeg(&self.keyframe, width).await;
        kept.keep(name, &made, now());
        made.map_err(|_| NoThumbnail)
    }
}

/// The keyframe's place and the width.
type Name = (Duration, u32);

/// What was made of the newest keyframe that somebody asked for.
#[derive(Default)]
struct Kept {
    /// `Err`: nothing can be made of it.
    made: VecDeque<(Name, Result<Bytes, NoThumbnail>)>,
    not_before: Option<Instant>,
}

impl Kept {
    fn find(&self, name: Name, now: Instant) -> Option<Result<Bytes, NoThumbnail>> {
        let known = self.made.iter().find(|(known, _)| *known == name);
        if let Some((_, made)) = known {
            return Some(made.clone());
        }
        let is_early = self.not_before.is_some_and(|time| now < time);
        is_early.then_some(Err(NoThumbnail))
    }

    fn keep(&mut self, name: Name, made: &Result<Bytes, InspectError>, now: Instant) {
        let made = match made {
            Ok(jpeg) => Ok(jpeg.clone()),
            Err(InspectError::Undecodable | InspectError::NoKeyframe) => Err(NoThumbnail),
            Err(InspectError::Died) => {
                self.not_before = Some(now + PAUSE_AFTER_DEATH);
                Err(NoThumbnail)
            }
            // That was not the picture's fault.
            Err(_) => return,
        };
        self.made.retain(|((keyframe, _), _)| *keyframe == name.0);
        self.made.push_back((name, made));
        while self.made.len() > KEPT_LIMIT || self.bytes() > KEPT_LIMIT_BYTES {
            self.made.pop_front();
        }
    }

    fn bytes(&self) -> usize {
        let jpegs = self.made.iter().filter_map(|(_, made)| made.as_ref().ok());
        jpegs.map(Bytes::len).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: Duration = Duration::from_secs(2);
    const SECOND: Duration = Duration::from_secs(4);

    fn jpeg(bytes: usize) -> Bytes {
        Bytes::from(vec![7; bytes])
    }

    #[test]
    fn thumbnails_of_a_few_widths_are_kept_until_the_next_keyframe() {
        let mut kept = Kept::default();
        let now = now();
        for width in 0..=8 {
            kept.keep((FIRST, width), &Ok(jpeg(10)), now);
        }

        assert_eq!(kept.made.len(), KEPT_LIMIT);
        assert_eq!(kept.find((FIRST, 0), now), None);
        assert!(kept.find((FIRST, 1), now).unwrap().is_ok());
        kept.keep((SECOND, 1), &Ok(jpeg(10)), now);
        assert_eq!(kept.find((FIRST, 1), now), None);
    }

    #[test]
    fn what_is_too_large_to_keep_is_not_kept() {
        let mut kept = Kept::default();
        let now = now();

        kept.keep((FIRST, 64), &Ok(jpeg(KEPT_LIMIT_BYTES)), now);
        assert!(kept.find((FIRST, 64), now).is_some());
        kept.keep((FIRST, 66), &Ok(jpeg(1)), now);
        assert_eq!(kept.find((FIRST, 64), now), None);
        kept.keep((SECOND, 64), &Ok(jpeg(KEPT_LIMIT_BYTES + 1)), now);
        assert_eq!(kept.bytes(), 0);
    }

    #[test]
    fn a_picture_that_kills_the_child_is_tried_once_and_the_next_only_later() {
        let mut kept = Kept::default();
        let now = now();

        kept.keep((FIRST, 64), &Err(InspectError::Died), now);

        assert_eq!(kept.find((FIRST, 64), now), Some(Err(NoThumbnail)));
        assert_eq!(kept.find((SECOND, 64), now), Some(Err(NoThumbnail)));
        let later = now + PAUSE_AFTER_DEATH;
        assert_eq!(kept.find((FIRST, 64), later), Some(Err(NoThumbnail)));
        assert_eq!(kept.find((SECOND, 64), later), None);
    }

    #[test]
    fn a_busy_child_is_asked_again() {
        let mut kept = Kept::default();
        let now = now();

        kept.keep((FIRST, 64), &Err(InspectError::Busy), now);
        kept.keep((FIRST, 64), &Err(InspectError::Unavailable), now);

        assert_eq!(kept.find((FIRST, 64), now), None);
    }
}
