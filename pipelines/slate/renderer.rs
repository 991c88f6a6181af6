//! Grants wishes for slates: the same one once, few at a time, and the latest from memory.

use std::{
    collections::{HashMap, VecDeque},
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use futures_util::{
    FutureExt as _,
    future::{BoxFuture, Shared, WeakShared},
};
use media::StandIn;
use tokio::sync::Semaphore;

use super::{ContentHash, Geometry, PictureKind, SlateError, SlateSource, answer, process};
use crate::confinement::Launcher;

/// The most children at a time; others wait.
const CHILDREN_LIMIT: usize = 2;

/// The most slates that are kept. The one that was asked for least recently leaves first.
const KEPT_LIMIT: usize = 16;

/// The most bytes of slates that are kept.
const KEPT_LIMIT_BYTES: usize = 64 * 1024 * 1024;

/// The shape in which an upload is tried.
const TRIAL: Geometry = Geometry {
    width: 320,
    height: 180,
    frames_per_second: 10,
};

/// How much of an upload is tried, in seconds.
const TRIAL_SECONDS: u16 = 2;

type Answer = Result<Arc<StandIn>, SlateError>;
type Rendering = BoxFuture<'static, Answer>;

/// What makes two slates the same.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Key {
    /// Empty where an upload takes the card's place.
    title: String,
    picture: Option<(PictureKind, ContentHash)>,
    music: Option<ContentHash>,
    geometry: Geometry,
    loop_seconds: u16,
}

/// Makes slates. Cloning shares what it has made.
#[derive(Clone)]
pub struct Renderer {
    inner: Arc<Inner>,
}

struct Inner {
    launcher: Launcher,
    children: Semaphore,
    shelf: Mutex<Shelf>,
}

#[derive(Default)]
struct Shelf {
    /// The latest at the back.
    kept: VecDeque<(Key, Arc<StandIn>)>,
    /// What is being made; a wish that nobody waits for any more is given up.
    in_work: HashMap<Key, WeakShared<Rendering>>,
}

impl fmt::Debug for Renderer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Renderer").finish_non_exhaustive()
    }
}

impl Renderer {
    /// A renderer whose children are started by `launcher`.
    pub fn new(launcher: Launcher) -> Self {
        Self {
            inner: Arc::new(Inner {
                launcher,
                children: Semaphore::new(CHILDREN_LIMIT),
                shelf: Mutex::default(),
            }),
        }
    }

    /// Makes a slate of this shape, which takes 1 to 30 s of work elsewhere, or finds the one that was made before.
    ///
    /// A video's loop ends after 60 s, or earlier where coding it takes too long. Dropping the last wish for the same
    /// slate gives it up.
    pub async fn render(&self, source: &SlateSource, geometry: Geometry) -> Answer {
        self.wish(source, geometry, answer::LOOP_SECONDS).await
    }

    /// Decodes the beginning of the uploads, and fails as [`render`](Self::render) would.
    pub async fn check(&self, source: &SlateSource) -> Result<(), SlateError> {
        self.wish(source, TRIAL, TRIAL_SECONDS).await.map(drop)
    }

    async fn wish(&self, source: &SlateSource, geometry: Geometry, loop_seconds: u16) -> Answer {
        let picture = source.picture.as_ref();
        let key = Key {
            title: picture.map_or_else(|| source.title.clone(), |_| String::new()),
            picture: picture.map(|(kind, upload)| (*kind, upload.hash)),
            music: source.music.as_ref().map(|upload| upload.hash),
            geometry,
            loop_seconds,
        };
        let rendering = {
            let mut slates = self.inner.shelf();
            if let Some(kept) = slates.find(&key) {
                return Ok(kept);
            }
            slates.join(&key, || self.begin(key.clone(), source.clone()))
        };
        rendering.await
    }

    fn begin(&self, key: Key, source: SlateSource) -> Rendering {
        let inner = Arc::clone(&self.inner);
        async move {
            let Ok(_permit) = inner.children.acquire().await else {
                return Err(SlateError::Crashed);
            };
            let rendered =
                process::render(&inner.launcher, &source, key.geometry, key.loop_seconds).await;
            let rendered = rendered.map(Arc::new);
            let mut slates = inner.shelf();
            slates.in_work.remove(&key);
            if let Ok(slate) = &rendered {
                slates.keep(key, Arc::clone(slate));
            }
            rendered
        }
        .boxed()
    }
}

impl Inner {
    fn shelf(&self) -> MutexGuard<'_, Shelf> {
        self.shelf.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shelf {
    fn find(&mut self, key: &Key) -> Option<Arc<StandIn>> {
        let place = self.kept.iter().position(|(kept, _)| kept == key)?;
        let found = self.kept.remove(place)?;
        let slate = Arc::clone(&found.1);
        self.kept.push_back(found);
        Some(slate)
    }

    fn keep(&mut self, key: Key, slate: Arc<StandIn>) {
        self.kept.push_back((key, slate));
        let bytes = |kept: &VecDeque<(Key, Arc<StandIn>)>| -> usize {
            kept.iter().map(|(_, slate)| size_bytes(slate)).sum()
        };
        while self.kept.len() > KEPT_LIMIT || bytes(&self.kept) > KEPT_LIMIT_BYTES {
            self.kept.pop_front();
        }
    }

    fn join(&mut self, key: &Key, begin: impl FnOnce() -> Rendering) -> Shared<Rendering> {
        self.in_work
            .retain(|_, rendering| rendering.upgrade().is_some());
        if let Some(rendering) = self.in_work.get(key).and_then(WeakShared::upgrade) {
            return rendering;
        }
        let rendering = begin().shared();
        if let Some(weak) = rendering.downgrade() {
            self.in_work.insert(key.clone(), weak);
        }
        rendering
    }
}

fn size_bytes(slate: &StandIn) -> usize {
    let pictures = slate.pictures.iter().map(|picture| picture.data.len());
    pictures
        .chain(slate.sound.iter().map(bytes::Bytes::len))
        .sum()
}
