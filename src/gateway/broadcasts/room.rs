//! The room that one broadcast takes on its node: it follows how the broadcast is carried.

use std::collections::HashSet;

use broadcast::{BroadcastSpec, Destination, DestinationSpec, Machine, Rendition};
use egress_providers::ContributionKind;
use media::VideoCodec;
use pipelines::engine::{EngineKind, EngineOrder, EnginePlan, Engines};

use super::path::plan_of;
use crate::admission::{Admission, Cost, NoRoom, Reservation};

/// What is reckoned with while the size of a studio's picture is not known: 1080p30.
const UNKNOWN_CANVAS: &str = "1080p-high";

/// What a sidecar decodes to and encodes: 1280 × 720, 30 pictures a second.
const SIDECAR_CANVAS: &str = "720p-medium";

/// How a broadcast is carried, as far as it costs anything.
#[derive(Debug, Clone)]
pub(super) struct Carriage<'a> {
    pub(super) plan: EnginePlan,
    /// What the studio sends, or is reckoned to.
    pub(super) codec: VideoCodec,
    pub(super) destinations: Vec<&'a DestinationSpec>,
    /// How the show gets to the provider that the method names; `None`: from here to each destination.
    pub(super) contribution: Option<ContributionKind>,
}

impl Carriage<'_> {
    /// How many connections it takes: a provider on another machine is sent to once, and nothing when the studio goes there
    /// itself.
    fn connections(&self) -> usize {
        let elsewhere = match self.contribution {
            None | Some(ContributionKind::InProcess) => return self.destinations.len(),
            Some(ContributionKind::Direct) => 0,
            Some(ContributionKind::Push | ContributionKind::Whip | ContributionKind::Sidecar) => 1,
        };
        let named = self
            .destinations
            .iter()
            .filter(|destination| destination.provider.is_some());
        named.count() + elsewhere
    }

    /// What a process costs that joins a call in the studio's place.
    fn sidecar(&self) -> Cost {
        if self.contribution != Some(ContributionKind::Sidecar) {
            return Cost::NONE;
        }
        let canvas = SIDECAR_CANVAS.parse();
        canvas.map_or(Cost::NONE, |canvas| {
            Cost::transcode(VideoCodec::H264, canvas)
        })
    }
}

/// How a broadcast is carried, with one more destination.
pub(super) fn carriage<'a>(
    machine: &'a Machine,
    plan: EnginePlan,
    codec: VideoCodec,
    contribution: Option<ContributionKind>,
    another: Option<&'a DestinationSpec>,
) -> Carriage<'a> {
    let destinations = machine.destinations().iter().map(Destination::spec);
    Carriage {
        plan,
        codec,
        destinations: destinations.chain(another).collect(),
        contribution,
    }
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
        contribution: Option<ContributionKind>,
    ) -> Result<Self, NoRoom> {
        let mut room = Self {
            engines: engines.clone(),
            reservation: admission.try_reserve(Cost::NONE)?,
        };
        room.follow(&Carriage {
            plan: plan_of(spec.method(), spec.video()),
            codec: VideoCodec::H264,
            destinations: spec.destinations().iter().collect(),
            contribution,
        })?;
        Ok(room)
    }

    /// The same where the broadcast is let in even if there is no room: then it takes none before it is carried otherwise.
    pub(super) fn take_what_is_left(
        admission: &Admission,
        engines: &Engines,
        spec: &BroadcastSpec,
        contribution: Option<ContributionKind>,
    ) -> Self {
        let taken = Self::take(admission, engines, spec, contribution);
        taken.unwrap_or_else(|_| Self {
            engines: engines.clone(),
            reservation: admission.reserve_nothing(),
        })
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
            Cost::passthrough(carriage.connections())
                + carriage.sidecar()
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

#[cfg(test)]
mod tests {
    use broadcast::{
        AfterCut, BackupMode, BroadcastId, DestinationId, Endpoint, Method, Platform, Provider,
    };

    use super::*;

    fn destination(number: usize, provider: Option<Provider>) -> DestinationSpec {
        DestinationSpec {
            id: DestinationId::new(format!("d{number}")).unwrap(),
            platform: Platform::new("custom").unwrap(),
            endpoint: Endpoint::parse("rtmp://host/live", Some("key")).unwrap(),
            backup: None,
            backup_mode: BackupMode::default(),
            required: false,
            enabled: true,
            paused: false,
            after_cut: AfterCut::default(),
            rendition: None,
            provider,
        }
    }

    /// What ten destinations take, the last of which names our own publisher.
    fn cost(contribution: Option<ContributionKind>) -> Cost {
        let mut destinations: Vec<_> = (0..9).map(|number| destination(number, None)).collect();
        destinations.push(destination(9, Some(Provider::Own)));
        let id = BroadcastId::new("show").unwrap();
        let spec = BroadcastSpec::new(id, Method::default(), true, destinations).unwrap();
        let admission = Admission::new(Cost::of_cores(10.0));
        let room = Room::take(&admission, &Engines::default(), &spec, contribution).unwrap();
        room.reservation.cost()
    }

    #[test]
    fn a_provider_is_sent_to_once_however_many_destinations_it_has() {
        assert_eq!(cost(None), Cost::passthrough(10));
        assert_eq!(
            cost(Some(ContributionKind::InProcess)),
            Cost::passthrough(10)
        );
        assert_eq!(cost(Some(ContributionKind::Push)), Cost::passthrough(2));
        assert_eq!(cost(Some(ContributionKind::Direct)), Cost::passthrough(1));
    }

    #[test]
    fn a_sidecar_takes_what_making_the_picture_anew_takes() {
        let canvas = SIDECAR_CANVAS.parse().unwrap();

        let expected = Cost::passthrough(2) + Cost::transcode(VideoCodec::H264, canvas);

        assert_eq!(cost(Some(ContributionKind::Sidecar)), expected);
    }
}
