//! Watching one track of a room by WHEP: a place on the worker that does nothing but hand packets to viewers.

use std::time::Instant;

use broadcast::BroadcastId;
use media::{MediaSink, RtpPacket, SenderReport, SourceDescription, TrackKind};
use ortc::MediaKind;
use peers::{PeerEvent, SinkId};
use rooms::{ProducerId, RoomError};
use tokio::sync::mpsc;

use super::{handle::RoomHandle, registry::Rooms, task::RoomTask};

/// Events of a viewer that may wait for whoever asks whether it lives; there are two.
const EVENTS_LIMIT: usize = 4;

/// What viewers of a track hang on.
#[derive(Debug)]
pub(super) struct Preview {
    sink: SinkId,
    viewers: usize,
}

/// A viewer's hold on a track; the last one that is let go of ends its preview.
#[derive(Debug)]
pub(crate) struct Lease {
    room: RoomHandle,
    producer: ProducerId,
}

impl Drop for Lease {
    fn drop(&mut self) {
        let producer = self.producer.clone();
        // If the room is too busy to hear it, the preview ends with its track.
        self.room.hint(move |task| {
            Box::pin(async move {
                task.leave_preview(&producer).await;
            })
        });
    }
}

impl Rooms {
    /// A place of which viewers get this track; it is there for as long as the lease, unless the track ends before.
    pub(crate) async fn watch(
        &self,
        room: &BroadcastId,
        producer: &ProducerId,
    ) -> Result<(SinkId, Lease), RoomError> {
        let room = self.find(room).ok_or(RoomError::NoSuchRoom)?;
        let wanted = producer.clone();
        let sink = room
            .ask(move |task| Box::pin(async move { task.open_preview(&wanted).await }))
            .await?;
        let lease = Lease {
            room,
            producer: producer.clone(),
        };
        Ok((sink, lease))
    }

    /// Keeps the lease until the viewer has ended; what it is told goes on.
    pub(crate) fn hold(
        &self,
        lease: Lease,
        mut events: mpsc::Receiver<PeerEvent>,
    ) -> mpsc::Receiver<PeerEvent> {
        let (forward, forwarded) = mpsc::channel(EVENTS_LIMIT);
        self.tasks().spawn(async move {
            while let Some(event) = events.recv().await {
                // Who does not ask need not be told: that it has ended shows all the same.
                drop(forward.try_send(event));
            }
            drop(lease);
        });
        forwarded
    }
}

impl RoomTask {
    async fn open_preview(&mut self, producer: &ProducerId) -> Result<SinkId, RoomError> {
        let (view, _) = self.room.producer(producer)?;
        if let Some(preview) = self.previews.get_mut(producer) {
            preview.viewers += 1;
            return Ok(preview.sink);
        }
        let sink = self.peers.attach(self.id.as_str(), Box::new(Deaf)).await;
        let id = Some(producer.as_str());
        let (video, audio) = match view.kind {
            MediaKind::Video => (id, None),
            MediaKind::Audio => (None, id),
        };
        let composing = self.peers.compose(sink, self.router, video, audio);
        if let Err(error) = Self::within(composing).await {
            self.peers.detach(sink).await;
            return Err(error);
        }
        let preview = Preview { sink, viewers: 1 };
        self.previews.insert(producer.clone(), preview);
        Ok(sink)
    }

    async fn leave_preview(&mut self, producer: &ProducerId) {
        let Some(preview) = self.previews.get_mut(producer) else {
            return;
        };
        preview.viewers = preview.viewers.saturating_sub(1);
        if preview.viewers == 0
            && let Some(preview) = self.previews.remove(producer)
        {
            self.peers.detach(preview.sink).await;
        }
    }

    /// Ends the previews of tracks that have ended.
    pub(super) async fn end_lost_previews(&mut self) {
        let room = &self.room;
        let lost = self
            .previews
            .extract_if(|producer, _| room.producer(producer).is_err());
        let lost: Vec<Preview> = lost.map(|(_, preview)| preview).collect();
        for preview in lost {
            self.peers.detach(preview.sink).await;
        }
    }
}

/// Does nothing with what it gets: viewers are given the packets before it.
struct Deaf;

impl MediaSink for Deaf {
    fn handle_source_started(&mut self, _: SourceDescription, _: Instant) {}

    fn handle_packet(&mut self, _: TrackKind, _: RtpPacket, _: Instant) {}

    fn handle_sender_report(&mut self, _: TrackKind, _: SenderReport, _: Instant) {}

    fn handle_source_ended(&mut self, _: Instant) {}

    fn poll_timeout(&self) -> Option<Instant> {
        None
    }

    fn handle_timeout(&mut self, _: Instant) {}

    fn poll_keyframe_request(&mut self) -> bool {
        false
    }
}
