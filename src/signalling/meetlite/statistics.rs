//! `participant-stats`.

use ::rooms::RoomError;
use serde_json::{Map, Value, json};

use super::MeetLite;
use crate::socketio::Ack;

impl MeetLite {
    pub(super) fn tell_statistics(&self, ack: Option<&Ack>) -> Result<(), RoomError> {
        let member = self.seat.member()?;
        let producers: Map<String, Value> = self
            .sent_by_label
            .iter()
            .map(|(label, sent)| {
                let line = json!({ "id": sent.producer, "paused": sent.is_paused });
                (key_of(label).to_owned(), line)
            })
            .collect();
        let total = self.received_by_id.len();
        let paused = self
            .received_by_id
            .values()
            .filter(|received| received.is_paused)
            .count();
        let content = json!({
            "id": member.participant(),
            "rtpCapabilities": self.capabilities.is_some(),
            "producers": producers,
            "consumers": {
                "totalConsumers": total,
                "activeConsumers": total - paused,
                "pausedConsumers": paused,
            },
            "transports": {
                "send": self.send.is_some(),
                "recv": self.receive.is_some(),
                "legacy": false,
            },
        });
        self.reply("participant-stats", content, ack);
        Ok(())
    }
}

fn key_of(label: &'static str) -> &'static str {
    match label {
        "screen-audio" => "screenAudio",
        "screen-video" => "screenVideo",
        label => label,
    }
}
