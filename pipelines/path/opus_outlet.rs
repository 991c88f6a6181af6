//! The studio's own Opus, each packet in its place on the broadcast's timeline, for those that take it as it is.

use bytes::Bytes;
use opus::packet::get_nb_samples;
use tokio::sync::broadcast::{self, error::RecvError};

use super::{slate_player::LoopedSound, sound::Samples};
use crate::audio::SAMPLE_RATE_HZ;

/// Packets that wait for a reader: 2.5 s of the usual 20 ms. A reader that is further behind loses the oldest.
const PACKETS_LIMIT: usize = 128;

/// Twenty milliseconds of stereo without any sound (RFC 6716 § 3.1: CELT, full band, one frame).
const SILENCE: Bytes = Bytes::from_static(&[0xfc, 0xff, 0xfe]);

/// Samples in [`SILENCE`], and in each packet of a slate.
const SILENCE_SAMPLES: Samples = 960;

/// Deviations of up to 10 ms are jitter of the sender's: decoders are better off with an unbroken row.
const DEVIATION_LIMIT: Samples = 480;

/// The lengths of Opus packets are multiples of 2.5 ms, and so are gaps where packets are missing.
const STEP: Samples = 120;

/// A gap of more than 400 ms is jumped over: what was to be heard then comes too late to be heard now.
const FILL_LIMIT: Samples = 19_200;

/// A packet of Opus that is to be heard from a place on the broadcast's timeline on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpusPacket {
    /// Samples of 48 kHz since the timeline began. Packets that belong together adjoin to the sample.
    pub place: u64,
    /// RFC 6716, of 2.5 to 120 ms.
    pub data: Bytes,
}

/// Makes readers of a broadcast's Opus. Cloning is cheap.
#[derive(Debug, Clone)]
pub struct OpusSubscriber {
    packets: broadcast::WeakSender<OpusPacket>,
}

/// Reads a broadcast's Opus from when it was made on: what the studio sends, silence where nobody sends sound, and a
/// slate's own sound.
///
/// It never slows the media path: when 128 packets wait, the oldest is lost for each new one.
#[derive(Debug)]
pub struct OpusReader {
    packets: broadcast::Receiver<OpusPacket>,
}

/// Of nothing: its readers end at once.
impl Default for OpusSubscriber {
    fn default() -> Self {
        Self {
            packets: broadcast::Sender::new(1).downgrade(),
        }
    }
}

impl OpusSubscriber {
    /// A reader of what comes from now on.
    pub fn reader(&self) -> OpusReader {
        let packets = match self.packets.upgrade() {
            Some(packets) => packets.subscribe(),
            None => broadcast::Sender::new(1).subscribe(),
        };
        OpusReader { packets }
    }
}

impl OpusReader {
    /// Returns the next packet, or `None` when the media path is gone and all is read. Cancel-safe.
    pub async fn next(&mut self) -> Option<OpusPacket> {
        loop {
            match self.packets.recv().await {
                Ok(packet) => return Some(packet),
                Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return None,
            }
        }
    }
}

/// The writing end. It makes nothing while nobody reads.
#[derive(Debug)]
pub(super) struct OpusOutlet {
    packets: broadcast::Sender<OpusPacket>,
    /// Where the latest packet ends.
    end: Option<Samples>,
}

impl OpusOutlet {
    pub(super) fn new() -> Self {
        Self {
            packets: broadcast::Sender::new(PACKETS_LIMIT),
            end: None,
        }
    }

    pub(super) fn subscriber(&self) -> OpusSubscriber {
        OpusSubscriber {
            packets: self.packets.downgrade(),
        }
    }

    /// Takes a studio's packet. What belongs before the end of the one before it comes too late, and what is no Opus is
    /// left out.
    pub(super) fn place(&mut self, place: Samples, follows_loss: bool, data: &Bytes) {
        if !self.is_read() {
            return;
        }
        let Some(length) = length(data) else { return };
        let end = *self.end.get_or_insert(place);
        let gap = place - end;
        if gap <= -DEVIATION_LIMIT {
            return;
        }
        let is_gap = gap >= DEVIATION_LIMIT || (follows_loss && gap > 0);
        let steps = if is_gap { (gap + STEP / 2) / STEP } else { 0 };
        self.put(end + steps * STEP, length, data.clone());
    }

    /// Makes silence up to `until`, or goes on with a slate's sound, where no studio gives any.
    pub(super) fn fill(&mut self, until: Samples, mut slate: Option<&mut LoopedSound>) {
        if !self.is_read() {
            return;
        }
        let mut place = *self.end.get_or_insert(until);
        if until - place > FILL_LIMIT {
            place = until - SILENCE_SAMPLES;
        }
        while place + SILENCE_SAMPLES <= until {
            let data = slate.as_mut().map_or(SILENCE, |slate| slate.next_packet());
            self.put(place, SILENCE_SAMPLES, data);
            place += SILENCE_SAMPLES;
        }
    }

    /// Whether anybody reads; otherwise the row begins anew for whoever will.
    fn is_read(&mut self) -> bool {
        let is_read = self.packets.receiver_count() > 0;
        if !is_read {
            self.end = None;
        }
        is_read
    }

    fn put(&mut self, place: Samples, length: Samples, data: Bytes) {
        self.end = Some(place + length);
        if let Ok(place) = u64::try_from(place) {
            // Fails when the last reader has just gone.
            let _ = self.packets.send(OpusPacket { place, data });
        }
    }
}

/// Returns how many samples a packet holds; `None`: it is no Opus.
fn length(data: &[u8]) -> Option<Samples> {
    let count = get_nb_samples(data, SAMPLE_RATE_HZ).ok()?;
    Samples::try_from(count).ok().filter(|&count| count > 0)
}

#[cfg(test)]
#[path = "opus_outlet_tests.rs"]
mod tests;
