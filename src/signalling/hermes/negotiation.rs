//! Offers in SDP, for clients that have no ORTC: what they send is published, and where they receive they get tracks.

use std::collections::BTreeMap;

use ortc::{
    OrtcError, RtpParameters,
    sdp::{Agreed, AnsweringTransport, Offer, Section, answer, negotiate, parse_offer},
};
use rooms::{ConsumeOrder, ConsumerId, ProduceOrder, ProducerId, RoomError};
use serde_json::{Value, json};

use super::session::Session;
use crate::{rest::Refusal, socketio::Payload};

/// What the sections of a session's offers stand for, by their names.
#[derive(Debug, Default)]
pub(super) struct Negotiated {
    by_mid: BTreeMap<String, Carried>,
    answers: u64,
}

#[derive(Debug)]
struct Carried {
    way: Way,
    rtp: RtpParameters,
    kind: ortc::MediaKind,
}

#[derive(Debug)]
enum Way {
    Published(ProducerId),
    Subscribed(ConsumerId, ProducerId),
}

impl Session {
    /// Answers an offer. A section that was answered before goes on as it was; one that carries nothing any more ends.
    ///
    /// Where the client receives, it gets the tracks that `track_id` or `track_ids` name, in their order, else those of
    /// others that it has not got. A section for which there is nothing is refused, and may be offered again.
    pub(super) async fn take_offer(&self, body: &Payload, sdp: &str) -> Result<Value, Refusal> {
        let offer = parse_offer(sdp).map_err(refusal)?;
        let mut negotiated = self.negotiated.lock().await;
        self.connect(offer.dtls.clone()).await?;
        self.end_silent(&offer, &mut negotiated).await?;
        let mut wanted = wanted(body);
        for section in &offer.sections {
            if negotiated.by_mid.contains_key(&section.mid) {
                continue;
            }
            let carried = if section.direction.sends() {
                self.publish_section(section).await?
            } else if section.direction.receives() {
                self.subscribe_section(section, &mut wanted, &negotiated)
                    .await?
            } else {
                None
            };
            if let Some(carried) = carried {
                negotiated.by_mid.insert(section.mid.clone(), carried);
            }
        }
        if negotiated.by_mid.is_empty() {
            let words = "nothing of the offer can be used".to_owned();
            return Err(RoomError::Unsupported(words).into());
        }
        negotiated.answers += 1;
        self.written(&offer, &negotiated)
    }

    /// Ends what was carried in sections that the client has stopped or turned round, and forgets what ended by itself.
    async fn end_silent(&self, offer: &Offer, negotiated: &mut Negotiated) -> Result<(), Refusal> {
        let goes_on = |mid: &str, carried: &Carried| {
            offer.section(mid).is_some_and(|section| match carried.way {
                Way::Published(_) => section.direction.sends(),
                Way::Subscribed(ref consumer, _) => {
                    self.remembers(consumer)
                        && section.direction.receives()
                        && !section.direction.sends()
                }
            })
        };
        let silent = negotiated
            .by_mid
            .iter()
            .filter(|(mid, carried)| !goes_on(mid, carried));
        let silent: Vec<String> = silent.map(|(mid, _)| mid.clone()).collect();
        for mid in silent {
            let Some(carried) = negotiated.by_mid.remove(&mid) else {
                continue;
            };
            let ended = match carried.way {
                Way::Published(producer) => self.member.close_producer(&producer).await,
                Way::Subscribed(consumer, _) => {
                    self.forget(&consumer);
                    self.member.close_consumer(&consumer).await
                }
            };
            match ended {
                // It may have ended by itself.
                Ok(()) | Err(RoomError::NoSuchProducer | RoomError::NoSuchConsumer) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    async fn publish_section(&self, section: &Section) -> Result<Option<Carried>, Refusal> {
        let rtp = match negotiate(section, &self.capabilities) {
            Ok(rtp) => rtp,
            Err(OrtcError::Unsupported(_)) => return Ok(None),
            Err(error) => return Err(refusal(error)),
        };
        let order = ProduceOrder {
            transport: Some(self.transport.id.clone()),
            kind: section.kind,
            rtp: rtp.clone(),
            app_data: json!({}),
            is_screen: false,
            paused: false,
        };
        let producer = self.member.produce(order).await?;
        Ok(Some(Carried {
            way: Way::Published(producer.id),
            rtp,
            kind: section.kind,
        }))
    }

    async fn subscribe_section(
        &self,
        section: &Section,
        wanted: &mut Option<Vec<ProducerId>>,
        negotiated: &Negotiated,
    ) -> Result<Option<Carried>, Refusal> {
        let room = self.member.view().await?;
        let has_got = |id: &ProducerId| {
            let got = |carried: &Carried| matches!(&carried.way, Way::Subscribed(_, producer) if producer == id);
            negotiated.by_mid.values().any(got)
        };
        let mut others = room.producers.iter().filter(|producer| {
            producer.kind == section.kind
                && producer.participant != *self.member.participant()
                && !has_got(&producer.id)
        });
        let chosen = match wanted {
            None => others.next(),
            Some(names) => {
                let by_name = others.filter_map(|producer| {
                    let place = names.iter().position(|name| *name == producer.id)?;
                    Some((place, producer))
                });
                by_name
                    .min_by_key(|(place, _)| *place)
                    .map(|(_, producer)| producer)
            }
        };
        let Some(producer) = chosen else {
            return Ok(None);
        };
        let order = ConsumeOrder {
            producer: producer.id.clone(),
            capabilities: section.capabilities(),
            transport: Some(self.transport.id.clone()),
            paused: false,
        };
        let consumer = match self.member.consume(order).await {
            Ok(consumer) => consumer,
            Err(RoomError::CannotConsume | RoomError::Unsupported(_)) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        self.remember(consumer.id.clone());
        Ok(Some(Carried {
            way: Way::Subscribed(consumer.id, consumer.producer),
            rtp: consumer.rtp,
            kind: section.kind,
        }))
    }

    /// The answer, in the words of Hermes and in those that `setRemoteDescription` takes.
    fn written(&self, offer: &Offer, negotiated: &Negotiated) -> Result<Value, Refusal> {
        let transport = AnsweringTransport {
            ice: &self.transport.ice_parameters,
            candidates: &self.transport.ice_candidates,
            dtls: &self.transport.dtls_parameters,
            session: self.number,
            version: negotiated.answers,
        };
        let agreed: Vec<(&str, Agreed<'_>)> = negotiated
            .by_mid
            .iter()
            .map(|(mid, carried)| {
                let agreed = match carried.way {
                    Way::Published(_) => Agreed::ClientSends(&carried.rtp),
                    Way::Subscribed(..) => Agreed::ClientReceives(&carried.rtp),
                };
                (mid.as_str(), agreed)
            })
            .collect();
        let answer = answer(offer, &transport, &agreed).map_err(refusal)?;
        let tracks: Vec<Value> = negotiated
            .by_mid
            .iter()
            .map(|(mid, carried)| told(mid, carried))
            .collect();
        Ok(json!({
            "session_id": self.id,
            "sdp_answer": answer,
            "sdp": answer,
            "type": "answer",
            "tracks": tracks,
        }))
    }
}

fn told(mid: &str, carried: &Carried) -> Value {
    match &carried.way {
        Way::Published(producer) => json!({
            "track_id": producer,
            "mid": mid,
            "kind": carried.kind,
            "direction": "publish",
        }),
        Way::Subscribed(consumer, producer) => json!({
            "track_id": producer,
            "consumer_id": consumer,
            "mid": mid,
            "kind": carried.kind,
            "direction": "subscribe",
        }),
    }
}

/// The tracks that the client names, if it names any.
fn wanted(body: &Payload) -> Option<Vec<ProducerId>> {
    if let Some(one) = body.text("trackId") {
        return Some(vec![ProducerId::new(one)]);
    }
    let names = body.field("trackIds").as_array()?;
    let texts = names.iter().filter_map(Value::as_str);
    Some(texts.map(ProducerId::new).collect())
}

fn refusal(error: OrtcError) -> Refusal {
    if let OrtcError::Unsupported(words) = error {
        return RoomError::Unsupported(words).into();
    }
    Refusal::Malformed(error.to_string())
}
