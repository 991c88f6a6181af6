//! The slate of one broadcast: what it is made of, and how far it is made.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use futures_util::Stream;
use media::StandIn;
use pipelines::slate::{Geometry, PictureKind, SlateError, SlateSource, Upload};
use tokio::sync::watch;

use super::{
    Slates,
    upload::{self, UPLOAD_TIMEOUT, UploadError, UploadKind},
};

/// What a slate shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SlatePicture {
    /// The default card with the title.
    Card,
    /// An uploaded image.
    Image,
    /// An uploaded video.
    Video,
}

/// What a slate is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SlateDescription {
    /// Whether there is one at all.
    pub enabled: bool,
    /// What it shows.
    pub picture: SlatePicture,
    /// Whether uploaded music is played.
    pub music: bool,
    /// Whether it has been coded for the live picture's shape since it last changed.
    pub ready: bool,
    /// Grows with each change of what it is made of.
    pub revision: u64,
}

/// The slate of one broadcast. Cloning shares it; uploads are gone with the last one.
#[derive(Debug, Clone)]
pub struct Slate {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    slates: Slates,
    source: Mutex<SlateSource>,
    description: watch::Sender<SlateDescription>,
}

impl Slate {
    /// The default card with this title.
    pub fn new(slates: &Slates, title: impl Into<String>, enabled: bool) -> Self {
        let source = SlateSource {
            title: title.into(),
            ..SlateSource::default()
        };
        let (description, _) = watch::channel(SlateDescription {
            enabled,
            picture: SlatePicture::Card,
            music: false,
            ready: false,
            revision: 0,
        });
        Self {
            inner: Arc::new(Inner {
                slates: slates.clone(),
                source: Mutex::new(source),
                description,
            }),
        }
    }

    /// What it is now.
    pub fn describe(&self) -> SlateDescription {
        *self.inner.description.borrow()
    }

    /// What it is from now on.
    pub fn changes(&self) -> watch::Receiver<SlateDescription> {
        self.inner.description.subscribe()
    }

    /// Takes an upload of at most 20 MB in place of an earlier one, if its beginning can be decoded.
    pub async fn upload<E>(
        &self,
        kind: UploadKind,
        body: impl Stream<Item = Result<Bytes, E>> + Send,
    ) -> Result<SlateDescription, UploadError> {
        let slates = &self.inner.slates.inner;
        let upload = {
            let Ok(_place) = slates.uploads.acquire().await else {
                return Err(UploadError::Lost);
            };
            upload::receive(body, UPLOAD_TIMEOUT).await?
        };
        let mut trial = SlateSource::default();
        put(&mut trial, kind, upload.clone());
        slates
            .renderer
            .check(&trial)
            .await
            .map_err(|error| blame(kind, error))?;
        Ok(self.change(|source| put(source, kind, upload)))
    }

    /// Goes back to the card.
    pub fn remove_picture(&self) -> SlateDescription {
        self.change(|source| source.picture = None)
    }

    /// Goes back to the video's sound, or to silence.
    pub fn remove_music(&self) -> SlateDescription {
        self.change(|source| source.music = None)
    }

    /// Codes it in this shape, which takes some seconds of work elsewhere, or finds it coded.
    pub async fn render(&self, geometry: Geometry) -> Result<Arc<StandIn>, SlateError> {
        let (source, revision) = self.source();
        let rendered = self
            .inner
            .slates
            .inner
            .renderer
            .render(&source, geometry)
            .await;
        if rendered.is_ok() {
            self.inner.description.send_if_modified(|description| {
                let is_news = description.revision == revision && !description.ready;
                description.ready |= is_news;
                is_news
            });
        }
        rendered
    }

    /// Codes the card, whatever was uploaded.
    pub(super) async fn render_card(&self, geometry: Geometry) -> Result<Arc<StandIn>, SlateError> {
        let (source, _) = self.source();
        let card = SlateSource {
            title: source.title,
            ..SlateSource::default()
        };
        self.inner
            .slates
            .inner
            .renderer
            .render(&card, geometry)
            .await
    }

    /// What it is made of, and the revision of that.
    pub(super) fn source(&self) -> (SlateSource, u64) {
        let source = self.lock();
        (source.clone(), self.describe().revision)
    }

    fn change(&self, change: impl FnOnce(&mut SlateSource)) -> SlateDescription {
        let mut source = self.lock();
        let before = hashes(&source);
        change(&mut source);
        let is_news = hashes(&source) != before;
        self.inner.description.send_if_modified(|description| {
            if is_news {
                description.picture = match source.picture {
                    None => SlatePicture::Card,
                    Some((PictureKind::Image, _)) => SlatePicture::Image,
                    Some((PictureKind::Video, _)) => SlatePicture::Video,
                };
                description.music = source.music.is_some();
                description.ready = false;
                description.revision += 1;
            }
            is_news
        });
        self.describe()
    }

    fn lock(&self) -> MutexGuard<'_, SlateSource> {
        self.inner
            .source
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

fn put(source: &mut SlateSource, kind: UploadKind, upload: Upload) {
    match kind {
        UploadKind::Image => source.picture = Some((PictureKind::Image, upload)),
        UploadKind::Video => source.picture = Some((PictureKind::Video, upload)),
        UploadKind::Music => source.music = Some(upload),
    }
}

/// What two slates must have in common to be the same.
fn hashes(source: &SlateSource) -> [Option<[u8; 32]>; 2] {
    let picture = source.picture.as_ref().map(|(_, upload)| upload.hash);
    [picture, source.music.as_ref().map(|upload| upload.hash)]
}

/// A child that dies of an upload, or takes too long, tells that the upload is bad.
fn blame(kind: UploadKind, error: SlateError) -> SlateError {
    match (error, kind) {
        (SlateError::Crashed | SlateError::TooSlow, UploadKind::Music) => SlateError::InvalidMusic,
        (SlateError::Crashed | SlateError::TooSlow, UploadKind::Image | UploadKind::Video) => {
            SlateError::InvalidPicture
        }
        (error, _) => error,
    }
}
