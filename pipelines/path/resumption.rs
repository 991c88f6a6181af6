//! Going on with a show that another process had begun: its timeline and its slate, and no studio.

use std::time::{Duration, Instant};

use super::{MediaPath, status::VideoStatus, timeline::nanoseconds};

/// Where a show goes on.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Resumption {
    /// The place of now on its timeline.
    pub position: Duration,
    /// Its picture; `None`: it has sound alone.
    pub picture: Option<ResumedPicture>,
}

/// What is known of a show's picture.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ResumedPicture {
    /// Width and height in pixels.
    pub size: (u32, u32),
    /// Pictures a second that the studio meant to send, if that is known.
    pub frames_per_second: Option<f64>,
}

impl MediaPath {
    /// Goes on with this show, to be called before anything has come: silence or the slate, from where the timeline is now.
    ///
    /// Nothing of a picture goes out before there is a slate, or the studio is back.
    #[must_use]
    pub fn resuming(mut self, show: &Resumption, now: Instant) -> Self {
        let place = nanoseconds(show.position);
        self.timeline.start(now);
        self.timeline.advance_to(place, now);
        self.ended = Some(now);
        if let Some(picture) = show.picture {
            self.picture_places.reach(place);
            self.latest_out = Some(place);
            self.continuity.resume(place, now);
            let (width, height) = picture.size;
            let status = self.meter.status_mut();
            status.video = Some(VideoStatus {
                width,
                height,
                frames_per_second: 0.0,
                bitrate_kbps: 0,
                keyframe_interval: None,
            });
            status.nominal_frames_per_second = picture.frames_per_second;
        } else {
            self.has_begun = true;
        }
        self.tell();
        self
    }
}
