//! How a broadcast shows itself: its snapshot, made from everything that it owns.

use std::{sync::Arc, time::Duration};

use broadcast::{Destination, Endpoint, Line, LineName, VideoSpec};
use egress_providers::Counters;
use pipelines::path::Status;

use super::{
    carriers::LineId,
    runner::Runner,
    snapshot::{
        DestinationSnapshot, EgressSnapshot, IngestAudio, IngestSnapshot, IngestVideo,
        LineSnapshot, SlateSnapshot, Snapshot,
    },
    studio::Studio,
};

impl Runner {
    /// Shows what the broadcast looks like now, with so many changes in it.
    pub(super) fn show(&self, changes: u64) -> Arc<Snapshot> {
        let snapshot = Arc::new(self.snapshot(changes));
        self.outlets.snapshot.send_replace(Arc::clone(&snapshot));
        snapshot
    }

    fn snapshot(&self, changes: u64) -> Snapshot {
        // Copied once: whoever borrows a watched value twice waits for the writer in between, which waits for the first
        // borrow. What is borrowed in a struct expression stays borrowed to its end.
        let status = self.path.borrow().clone();
        let destinations = self
            .machine
            .destinations()
            .iter()
            .map(|destination| self.destination(destination));
        Snapshot {
            id: self.spec.id().clone(),
            method: self.method,
            video: self.video,
            production: self.spec.production(),
            egress: EgressSnapshot {
                provider: self.carriers.main_provider().or(self.method.provider()),
                hosted: self.carriers.hosted(&self.clock),
                ..egress(&status, &self.video)
            },
            state: self.machine.state(),
            started: self.machine.started(),
            created_at: self.clock.at(self.created),
            started_at: self.machine.first_live().map(|at| self.clock.at(at)),
            showing: status.showing,
            ends_at: self.machine.ends_at().map(|at| self.clock.at(at)),
            slate: SlateSnapshot {
                spec: self.spec.slate().clone(),
                description: self.slate.slate().describe(),
            },
            alarms: self.vigil.active(&self.clock),
            bitrate_limit: self.vigil.bitrate_limit(),
            studio_connected: self.studios.current.is_some(),
            ingest: self
                .studios
                .current
                .as_ref()
                .map(|studio| ingest(studio, &status)),
            destinations: destinations.collect(),
            changes,
            sessions: [&self.studios.current, &self.studios.candidate]
                .into_iter()
                .flatten()
                .map(Studio::snapshot)
                .collect(),
        }
    }

    fn destination(&self, destination: &Destination) -> DestinationSnapshot {
        let spec = destination.spec();
        let using = destination.address_in_use();
        let address = |line| match (line, &spec.backup) {
            (LineName::Backup, Some(backup)) => backup,
            (LineName::Backup, None) | (LineName::Primary, _) => &spec.endpoint,
        };
        let show = |name, line, address: &Endpoint| {
            self.line(&(spec.id.clone(), name), line, address.to_string())
        };
        DestinationSnapshot {
            id: spec.id.clone(),
            platform: spec.platform.clone(),
            required: spec.required,
            enabled: spec.enabled,
            paused: spec.paused,
            after_cut: spec.after_cut,
            rendition: spec.rendition,
            provider: self
                .carriers
                .carried_by(&(spec.id.clone(), LineName::Primary)),
            backup_mode: spec.backup.as_ref().map(|_| spec.backup_mode),
            using,
            primary: show(LineName::Primary, destination.primary(), address(using)),
            backup: destination
                .line(LineName::Backup)
                .map(|line| show(LineName::Backup, line, address(LineName::Backup))),
        }
    }

    fn line(&self, id: &LineId, line: &Line, server: String) -> LineSnapshot {
        let carried = self.carriers.carried(id);
        let counters = carried.map(|carried| &*carried.counters);
        LineSnapshot {
            server,
            state: line.state(),
            since: self.clock.at(line.since()),
            held_back: line.is_held_back(),
            reconnects: line.reconnects(),
            bytes_sent: counters.map_or(0, Counters::bytes_sent),
            bits_per_second: counters.map_or(0, Counters::bits_per_second),
            queued: counters.map_or(Duration::ZERO, Counters::queued),
            catching_up: counters.is_some_and(Counters::is_catching_up),
            frames_sent: counters.map_or(0, Counters::frames_sent),
            frames_dropped: counters.map_or(0, Counters::frames_dropped),
            keyframe_interval: counters.and_then(Counters::keyframe_interval),
            last_failure: line
                .last_failure()
                .map(|(failure, at)| (failure.clone(), self.clock.at(at))),
            black_box: carried.map(|carried| Arc::clone(&carried.black_box)),
        }
    }
}

fn egress(status: &Status, video: &VideoSpec) -> EgressSnapshot {
    EgressSnapshot {
        is_forwarded: match &status.engine {
            Some(engine) => engine.forwards,
            None => !video.transcode,
        },
        engine: status.engine,
        size: status.video.map(|video| (video.width, video.height)),
        ..EgressSnapshot::default()
    }
}

fn ingest(studio: &Studio, status: &Status) -> IngestSnapshot {
    let statistics = studio.statistics;
    let forwards = status.engine.is_none_or(|engine| engine.forwards);
    let size = status.engine.and_then(|engine| engine.source_size);
    IngestSnapshot {
        protocol: studio.protocol,
        video: studio.source.video.map(|codec| IngestVideo {
            codec,
            width: size.map(|(width, _)| width),
            height: size.map(|(_, height)| height),
            frames_per_second: if forwards {
                status.video.map(|video| video.frames_per_second)
            } else {
                status.nominal_frames_per_second
            },
            bits_per_second: statistics.video_bits_per_second,
            keyframe_interval: status
                .video
                .filter(|_| forwards)
                .and_then(|video| video.keyframe_interval),
        }),
        audio: studio.source.audio.then(|| IngestAudio {
            channels: status.audio.map(|audio| audio.channels),
            bits_per_second: statistics.audio_bits_per_second,
        }),
        round_trip: statistics.round_trip,
        packets_lost: statistics.packets_lost,
        packets_recovered: statistics.packets_recovered,
        packets_requested: statistics.packets_requested,
    }
}
