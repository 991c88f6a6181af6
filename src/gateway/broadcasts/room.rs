//! The room that one broadcast takes on its node: it follows how the broadcast is carried.

use std::collections::HashSet;

use broadcast::{BroadcastSpec, DestinationSpec, Rendition};
use media::VideoCodec;
use pipelines::engine::{EngineKind, EngineOrder, EnginePlan, Engines};

use super::path::plan_of;
use crate::admission::{Admission, Cost, NoRoom, Reservation};

/// What is reckoned with while the size of a studio's picture is not known: 1080p30.
const UNKNOWN_CANVAS: &str = "1080p-high";

/// How a broadcast is carried, as far as it costs anything.
#[derive(Debug, Clone)]
pub(super) struct Carriage<'a> {
    pub(super) plan: EnginePlan,
    /// What the studio sends, or is reckoned to.
    pub(super) codec: VideoCodec,
    pub(super) destinations: Vec<&'a DestinationSpec>,
}

/// The room of one broadcast. Dropping it gives it back.
#[derive(Debug)]
pub(super) struct Room {
    engines: Engines,
    reservation: Reservation,
}

impl Room {
    /// Takes what a new broadcast needs whose studio is reckoned to send H.264.
    pub(super) fn take(
        admission: &Admission,
        engines: &Engines,
        spec: &BroadcastSpec,
    ) -> Result<Self, NoRoom> {
        let mut room = Self {
            engines: engines.clone(),
            reservation: admission.try_reserve(Cost::NONE)?,
        };
        room.follow(&Carriage {
            plan: plan_of(spec.method(), spec.video()),
            codec: VideoCodec::H264,
            destinations: spec.destinations().iter().collect(),
        })?;
        Ok(room)
    }

    /// Takes as much as this needs, or stays as it is.
    pub(super) fn follow(&mut self, carriage: &Carriage<'_>) -> Result<(), NoRoom> {
        let cost = self.cost(carriage);
        self.reservation.try_change(cost)
    }

    /// The codecs that there are engines and room for, the one that costs least first; and why the others are left out.
    pub(super) fn codecs(&self, carriage: &Carriage<'_>) -> (Vec<VideoCodec>, Option<NoRoom>) {
        let mut left_out = None;
        let mut codecs = self.engines.codecs(&carriage.plan);
        codecs.retain(|codec| {
            let cost = self.cost(&Carriage {
                codec: *codec,
                ..carriage.clone()
            });
            match self.reservation.check_change(cost) {
                Ok(()) => true,
                Err(no_room) => {
                    left_out.get_or_insert(no_room);
                    false
                }
            }
        });
        (codecs, left_out)
    }

    fn cost(&self, carriage: &Carriage<'_>) -> Cost {
        let order = self.engines.choose(&carriage.plan, carriage.codec);
        let renditions: HashSet<Rendition> = carriage
            .destinations
            .iter()
            .filter(|destination| destination.enabled)
            .filter_map(|destination| destination.rendition)
            .collect();
        renditions.into_iter().map(Cost::rendition).fold(
            Cost::passthrough(carriage.destinations.len())
                + order.map_or(Cost::NONE, |order| engine(&order)),
            |sum, each| sum + each,
        )
    }
}

/// What an engine costs beside passing through.
fn engine(order: &EngineOrder) -> Cost {
    let anew = || {
        let canvas = order.canvas.or_else(|| UNKNOWN_CANVAS.parse().ok());
        canvas.map_or(Cost::NONE, |canvas| Cost::transcode(order.codec, canvas))
    };
    match order.kind {
        EngineKind::Passthrough => Cost::NONE,
        EngineKind::Gstreamer => anew(),
        EngineKind::Ffmpeg if order.copies() => Cost::ffmpeg_copy(),
        EngineKind::Ffmpeg => Cost::ffmpeg_copy() + anew(),
    }
}
