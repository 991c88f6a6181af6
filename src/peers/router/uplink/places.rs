//! Whose each SSRC of a client is: told beforehand, or learnt from what packets say of themselves. Pure.

use std::collections::HashMap;

use super::producer::{Producer, malformed};
use crate::{
    packet::Arrived,
    router::{RouterError, downlink::ProducerKey, extensions::Labels},
};

/// Whose an SSRC is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) producer: ProducerKey,
    pub(super) layer: usize,
    /// Whether it repeats packets of another.
    pub(super) repair: bool,
}

/// All SSRCs of a client. Bounded by the layers of its producers: each has one SSRC and one for repair.
#[derive(Debug, Default)]
pub(super) struct Places(HashMap<u32, Place>);

impl Places {
    /// Takes the SSRCs that a new producer has told. Refused when one is taken.
    pub(super) fn add(&mut self, producer: &Producer) -> Result<(), RouterError> {
        let mut told: Vec<(u32, Place)> = Vec::new();
        for (layer, of) in producer.layers.iter().enumerate() {
            for (ssrc, repair) in [(of.ssrc, false), (of.repair_ssrc, true)] {
                let Some(ssrc) = ssrc else { continue };
                if self.0.contains_key(&ssrc) || told.iter().any(|(other, _)| *other == ssrc) {
                    return Err(malformed("an SSRC is used twice"));
                }
                let place = Place {
                    producer: producer.key,
                    layer,
                    repair,
                };
                told.push((ssrc, place));
            }
        }
        self.0.extend(told);
        Ok(())
    }

    /// Forgets a producer's.
    pub(super) fn remove(&mut self, producer: ProducerKey) {
        self.0.retain(|_, place| place.producer != producer);
    }

    /// Whose an SSRC of media is.
    pub(super) fn of_media(&self, ssrc: u32) -> Option<Place> {
        self.0.get(&ssrc).copied().filter(|place| !place.repair)
    }

    /// Whose a packet is: by its SSRC, else by what its extensions or its payload type say, which is then remembered.
    pub(super) fn find(
        &mut self,
        arrived: &Arrived,
        labels: &Labels<'_>,
        producers: &mut [Producer],
    ) -> Option<Place> {
        let ssrc = arrived.packet.ssrc;
        if let Some(place) = self.0.get(&ssrc) {
            let producer = producers.iter().find(|known| known.key == place.producer)?;
            let expected = if place.repair {
                producer.repair_payload_type?
            } else {
                producer.payload_type
            };
            return (arrived.payload_type == expected).then_some(*place);
        }
        let (producer, place) = learn(arrived, labels, producers)?;
        producer.assign(place.layer, place.repair, ssrc);
        // Its former SSRC, if it had one, is nobody's any more.
        self.0.retain(|_, other| *other != place);
        self.0.insert(ssrc, place);
        Some(place)
    }
}

fn learn<'a>(
    arrived: &Arrived,
    labels: &Labels<'_>,
    producers: &'a mut [Producer],
) -> Option<(&'a mut Producer, Place)> {
    let carries = |producer: &&mut Producer| {
        producer.payload_type == arrived.payload_type
            || producer.repair_payload_type == Some(arrived.payload_type)
    };
    let name = labels.repaired.or(labels.stream);
    let mut candidates = producers.iter_mut().filter(carries);
    let producer = if let Some(mid) = labels.mid {
        candidates.find(|producer| producer.mid.as_deref() == Some(mid))?
    } else if name.is_some() {
        candidates.find(|producer| {
            let mut layers = producer.layers.iter();
            layers.any(|layer| layer.rid.as_deref() == name)
        })?
    } else {
        // Without labels it must be beyond doubt, and no SSRC been told before.
        let mut unnamed = candidates.filter(|producer| {
            matches!(&producer.layers[..], [only] if only.ssrc.is_none() && only.rid.is_none())
        });
        let only = unnamed.next()?;
        if unnamed.next().is_some() {
            return None;
        }
        only
    };
    let repair = producer.repair_payload_type == Some(arrived.payload_type);
    let layer = producer.layer_of(if repair { name } else { labels.stream })?;
    let place = Place {
        producer: producer.key,
        layer,
        repair,
    };
    Some((producer, place))
}
