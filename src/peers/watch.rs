//! Viewers: sessions that get what the studio of a broadcast sends.

use std::time::Instant;

use media::VideoCodec;
use tokio::sync::mpsc;

use crate::{
    OfferError, Peers, SinkId, Watching,
    peers::EVENT_QUEUE,
    session::{
        Role, SessionParts, Viewer, ViewerAudio, ViewerCodec, ViewerVideo, answer,
        inner::InnerPeer,
        offer::{Offer, Side},
        setup::{self, ViewerSsrcs},
    },
    worker::Place,
};

impl Peers {
    /// Answers a viewer's offer with a session that gets what the current studio of `sink` sends, from its next keyframe
    /// on, and what those after it send. It waits while there is none.
    ///
    /// A viewer takes no studio's place: each sink has its own for [`VIEWERS_LIMIT`](crate::VIEWERS_LIMIT). A studio
    /// whose codec is not among those in the viewer's offer ends the viewer's session.
    pub async fn watch(&self, sink: SinkId, offer: &str) -> Result<Watching, OfferError> {
        let offer = Offer::parse(offer, Side::Viewer, &VideoCodec::ALL)?;
        let berth = self.berth(sink, Place::Viewer)?;
        let inner = InnerPeer::new(berth.local.clone());
        let ssrcs = ViewerSsrcs {
            video: rand::random(),
            video_retransmission: rand::random(),
            audio: rand::random(),
        };
        let now = Instant::now();
        let (connection, sdp) = setup::answer_viewer(&offer, &berth.local, &inner, &ssrcs, now)
            .map_err(|error| OfferError::Malformed(error.to_string()))?;
        let answer = answer::rewrite(&sdp, &offer, &self.inner.announced);
        let codecs: Vec<ViewerCodec> = offer
            .video
            .iter()
            .map(|video| ViewerCodec {
                codec: video.codec,
                payload_type: video.line.payload_type,
                retransmission: video.line.retransmission,
            })
            .collect();
        let video = (!codecs.is_empty()).then_some(ViewerVideo {
            ssrc: ssrcs.video,
            retransmission_ssrc: ssrcs.video_retransmission,
            codecs,
        });
        let audio = offer.audio.map(|audio| ViewerAudio {
            ssrc: ssrcs.audio,
            payload_type: audio.payload_type,
        });
        let (events, receiver) = mpsc::channel(EVENT_QUEUE);
        let parts = SessionParts {
            connection,
            inner,
            local: berth.local.clone(),
            remote: offer.remote,
            role: Role::Viewer(Box::new(Viewer::new(video, audio, now))),
            events,
        };
        let etag = berth.local.fragment.clone();
        let session = self.open(sink, berth, None, parts).await?;
        Ok(Watching {
            session,
            answer,
            etag,
            events: receiver,
        })
    }
}
