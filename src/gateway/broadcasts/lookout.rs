//! Has keyframes of one broadcast looked at, one at a time.

use pipelines::inspection::{Inspector, PictureLook};
use tokio::task::JoinSet;

use super::thumbnails::Thumbnails;

/// What looks at the pictures of one broadcast.
#[derive(Debug)]
pub(super) struct Lookout {
    inspector: Inspector,
    thumbnails: Thumbnails,
    looks: JoinSet<Option<PictureLook>>,
}

impl Lookout {
    pub(super) fn new(inspector: Inspector, thumbnails: Thumbnails) -> Self {
        Self {
            inspector,
            thumbnails,
            looks: JoinSet::new(),
        }
    }

    /// Has the newest keyframe looked at, unless there is none or one is being looked at.
    pub(super) fn look(&mut self) {
        if !self.looks.is_empty() {
            return;
        }
        if let Some(keyframe) = self.thumbnails.keyframe() {
            let inspector = self.inspector.clone();
            // Looking is optional: what cannot be looked at is no news.
            self.looks
                .spawn(async move { inspector.inspect(&keyframe).await.ok() });
        }
    }

    /// The next picture that was looked at; never comes while none is. Cancel-safe.
    pub(super) async fn next_look(&mut self) -> PictureLook {
        loop {
            match self.looks.join_next().await {
                Some(Ok(Some(picture))) => return picture,
                Some(_) => {}
                None => std::future::pending().await,
            }
        }
    }
}
