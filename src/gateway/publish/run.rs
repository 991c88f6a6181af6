//! One synthetic studio, published in one or many WHIP sessions.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use media::{RtpPacket, TrackKind};
use pipelines::gstreamer::{StudioError, StudioOptions, TestStudio};
use tokio::{
    sync::broadcast,
    task::JoinSet,
    time::{MissedTickBehavior, interval},
};
use tokio_util::sync::CancellationToken;
use url::Url;

use super::{
    report::{Counters, Progress, PublishReport, SessionReport, Totals},
    session::{Feed, Session},
};
use crate::{
    config::Secret,
    whip_client::{WhipClient, WhipError},
};

/// Stands in the URL for the number of the session, from 1.
const SESSION_PLACEHOLDER: &str = "{n}";

/// Packets that wait for a session: two seconds at 4.5 Mb/s. A session that falls further behind loses the oldest.
const PACKETS_WAITING: usize = 1024;

/// What is published, and where.
#[derive(Debug, Clone)]
pub struct PublishOptions {
    /// WHIP URL. With more than one session it contains `{n}`, which becomes 1, 2, 3 and so on.
    pub url: String,
    /// Bearer token.
    pub token: Option<Secret>,
    /// How long each session publishes; `None`: until stopped.
    pub duration: Option<Duration>,
    /// How many sessions at once; all send the same picture.
    pub sessions: usize,
    /// The picture and the sound.
    pub studio: StudioOptions,
    /// Of a hundred packets of picture, so many hold garbage behind their headers, as from a broken encoder.
    pub damage_percent: u8,
}

impl PublishOptions {
    /// One session of the standard picture, until stopped.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            token: None,
            duration: None,
            sessions: 1,
            studio: StudioOptions::default(),
            damage_percent: 0,
        }
    }
}

/// Why nothing is published at all.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PublishError {
    /// The URL cannot be one.
    #[error("the URL is not valid: {0}")]
    Url(String),
    /// The picture cannot be made.
    #[error(transparent)]
    Studio(#[from] StudioError),
    /// No HTTP client.
    #[error(transparent)]
    Whip(#[from] WhipError),
}

/// Publishes until the time is up or `stop` is cancelled; each session is then ended at the server too.
///
/// A session's own failure stands in its report and leaves the others alone. `on_second` is called once a second.
pub async fn run(
    options: PublishOptions,
    stop: CancellationToken,
    mut on_second: impl FnMut(&Progress),
) -> Result<PublishReport, PublishError> {
    let urls = session_urls(&options)?;
    let whip = WhipClient::new(options.token)?;
    let (video, audio) = (
        broadcast::Sender::new(PACKETS_WAITING),
        broadcast::Sender::new(PACKETS_WAITING),
    );
    let studio = Arc::new(start(&options.studio, video.clone(), audio.clone())?);

    let started = Instant::now();
    let mut sessions = JoinSet::new();
    let mut counters = Vec::new();
    for (number, url) in urls.iter().enumerate() {
        let counted = Arc::new(Counters::default());
        counters.push(Arc::clone(&counted));
        let session = Session {
            whip: whip.clone(),
            url: url.clone(),
            feed: Feed {
                video: video.clone(),
                audio: audio.clone(),
                codec: options.studio.codec,
                video_bits_per_second: options.studio.video_bits_per_second,
                damage_percent: options.damage_percent,
                frames_per_second: options.studio.frames_per_second,
                studio: Arc::clone(&studio),
            },
            duration: options.duration,
            stop: stop.clone(),
            counters: counted,
        };
        sessions.spawn(async move { (number, session.run().await) });
    }

    let mut reports: Vec<Option<SessionReport>> = vec![None; urls.len()];
    let mut second = interval(Duration::from_secs(1));
    second.set_missed_tick_behavior(MissedTickBehavior::Delay);
    second.tick().await;
    let mut before = Totals::default();
    loop {
        tokio::select! {
            ended = sessions.join_next() => match ended {
                Some(Ok((number, report))) => reports[number] = Some(report),
                Some(Err(error)) => tracing::error!(%error, "a publishing session panicked"),
                None => break,
            },
            _ = second.tick() => {
                let totals = Totals::of(counters.iter().map(AsRef::as_ref));
                on_second(&totals.since(&before, started.elapsed(), urls.len()));
                before = totals;
            }
        }
    }
    let sessions = reports
        .into_iter()
        .zip(urls)
        .map(|(report, url)| {
            report.unwrap_or_else(|| SessionReport {
                failure: Some("the session panicked".to_owned()),
                ..SessionReport::new(url)
            })
        })
        .collect();
    // Stopping joins the camera's threads, which takes as long as one picture.
    if let Some(studio) = Arc::into_inner(studio)
        && let Err(error) = tokio::task::spawn_blocking(|| studio.stop()).await
    {
        tracing::error!(%error, "the studio could not be stopped");
    }
    Ok(PublishReport { sessions })
}

fn start(
    options: &StudioOptions,
    video: broadcast::Sender<RtpPacket>,
    audio: broadcast::Sender<RtpPacket>,
) -> Result<TestStudio, StudioError> {
    TestStudio::start(options, move |kind, packet| {
        let track = match kind {
            TrackKind::Video => &video,
            TrackKind::Audio => &audio,
        };
        // Fails while nobody is connected yet; then nobody misses the packet.
        let _ = track.send(packet);
    })
}

fn session_urls(options: &PublishOptions) -> Result<Vec<Url>, PublishError> {
    if options.sessions > 1 && !options.url.contains(SESSION_PLACEHOLDER) {
        return Err(PublishError::Url(format!(
            "with {} sessions it must contain {SESSION_PLACEHOLDER}, the number of the session",
            options.sessions
        )));
    }
    (1..=options.sessions)
        .map(|number| {
            let url = options
                .url
                .replace(SESSION_PLACEHOLDER, &number.to_string());
            let url = Url::parse(&url).map_err(|error| PublishError::Url(error.to_string()))?;
            match url.scheme() {
                "http" | "https" if url.has_host() => Ok(url),
                _ => Err(PublishError::Url("it must be http or https".to_owned())),
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(url: &str, sessions: usize) -> PublishOptions {
        PublishOptions {
            sessions,
            ..PublishOptions::new(url)
        }
    }

    #[test]
    fn many_sessions_have_numbered_urls() {
        let urls = session_urls(&options("http://127.0.0.1:3001/whip/bench-{n}", 2)).unwrap();

        assert_eq!(urls[0].path(), "/whip/bench-1");
        assert_eq!(urls[1].path(), "/whip/bench-2");
    }

    #[test]
    fn many_sessions_of_one_url_are_refused() {
        let refused = session_urls(&options("http://127.0.0.1:3001/whip/one", 2));

        assert!(matches!(refused, Err(PublishError::Url(_))));
    }

    #[test]
    fn a_url_of_another_scheme_is_refused() {
        assert!(session_urls(&options("rtmp://127.0.0.1/live", 1)).is_err());
        assert!(session_urls(&options("whip/one", 1)).is_err());
    }
}
