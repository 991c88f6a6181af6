//! Pictures that carry their number, played in real time to attempts that share a place.

use std::{path::Path, sync::Arc, time::Duration};

use broadcast::{AfterCut, Failure};
use bytes::Bytes;
use media::{AccessUnit, AudioConfig, CodecConfig, Fanout, TrackKind};
use tokio::time::Instant;

use super::programme::recording;
use crate::rtmp::{Counters, Curtain, MediaHints, Programme, Target, publish};

/// Time between two pictures.
pub(super) const PICTURE: Duration = Duration::from_millis(20);

/// Time between two frames of sound, about.
const SOUND: Duration = Duration::from_millis(21);

/// Pictures in a group: half a second.
pub(super) const GROUP: u32 = 25;

/// What marks the pictures of the show, so that another's cannot be taken for one.
const MARK: [u8; 4] = *b"SHOW";

/// A studio that shows numbers.
pub(super) struct Show {
    pub(super) fanout: Fanout,
    video: Arc<CodecConfig>,
    audio: Arc<CodecConfig>,
    picture_bytes: usize,
    pub(super) pictures: u32,
    sound_until: Duration,
    due: Instant,
}

impl Show {
    /// A studio whose pictures have `picture_bytes` each.
    pub(super) fn new(picture_bytes: usize) -> Self {
        let video = recording()
            .into_iter()
            .find(|unit| unit.kind() == TrackKind::Video);
        let audio = AudioConfig {
            audio_specific_config: Bytes::from_static(&[0x11, 0x90]),
            sample_rate_hz: 48_000,
            channels: 2,
        };
        Self {
            fanout: Fanout::new(Duration::from_secs(4)),
            video: video.unwrap().config,
            audio: Arc::new(CodecConfig::Aac(audio)),
            picture_bytes,
            pictures: 0,
            sound_until: Duration::ZERO,
            due: Instant::now(),
        }
    }

    pub(super) fn programme(&self, after_cut: AfterCut) -> Programme {
        let counters: Arc<Counters> = Arc::default();
        Programme {
            after_cut,
            ..Programme::new(self.fanout.subscriber(), MediaHints::default(), counters)
        }
    }

    /// Plays for as long as it takes until `done`, and 30 s at most.
    pub(super) async fn play_until(&mut self, done: impl Fn() -> bool) {
        let end = Instant::now() + Duration::from_secs(30);
        while !done() {
            assert!(Instant::now() < end, "what is waited for did not come");
            tokio::time::sleep_until(self.due).await;
            self.due += PICTURE;
            self.push();
        }
    }

    /// Plays so many pictures.
    pub(super) async fn play(&mut self, pictures: u32) {
        let end = self.pictures + pictures;
        while self.pictures < end {
            tokio::time::sleep_until(self.due).await;
            self.due += PICTURE;
            self.push();
        }
    }

    fn push(&mut self) {
        let timestamp = PICTURE * self.pictures;
        while self.sound_until < timestamp {
            self.fanout.push(AccessUnit {
                timestamp: self.sound_until,
                keyframe: true,
                config: Arc::clone(&self.audio),
                data: Bytes::from_static(&[b'S'; 200]),
            });
            self.sound_until += SOUND;
        }
        let keyframe = self.pictures.is_multiple_of(GROUP);
        self.fanout.push(AccessUnit {
            timestamp,
            keyframe,
            config: Arc::clone(&self.video),
            data: numbered(self.pictures, keyframe, self.picture_bytes),
        });
        self.pictures += 1;
    }
}

/// A NAL unit that nobody can decode, with a number in it.
fn numbered(number: u32, keyframe: bool, bytes: usize) -> Bytes {
    let nal = if keyframe { 0x65 } else { 0x41 };
    let mut data = u32::try_from(bytes - 4).unwrap().to_be_bytes().to_vec();
    data.push(nal);
    data.extend(MARK);
    data.extend(number.to_be_bytes());
    data.resize(bytes, 0x55);
    Bytes::from(data)
}

/// Publishes while `play` plays; ends with whichever ends first.
pub(super) async fn attempt(
    target: &Target,
    programme: &Programme,
    play: impl Future<Output = ()> + Send,
) -> Result<(), Failure> {
    publish(target, programme, || (), play).await
}

/// What a recording holds.
#[derive(Debug, Default)]
pub(super) struct Recorded {
    /// Number, timestamp in milliseconds, and whether it is a keyframe, of each picture; no number: not one of the show.
    pub(super) pictures: Vec<(Option<u32>, u32, bool)>,
    /// Timestamp in milliseconds, and whether it is of the show, of each frame of sound.
    pub(super) sounds: Vec<(u32, bool)>,
    /// How often the picture's parameters came.
    pub(super) configurations: usize,
}

impl Recorded {
    /// Reads an FLV file.
    pub(super) fn read(file: &Path) -> Self {
        let bytes = std::fs::read(file).unwrap();
        let mut recorded = Self::default();
        let mut rest = &bytes[13..];
        while rest.len() > 11 {
            let length =
                usize::try_from(u32::from_be_bytes([0, rest[1], rest[2], rest[3]])).unwrap();
            let time = u32::from_be_bytes([rest[7], rest[4], rest[5], rest[6]]);
            let Some(body) = rest.get(11..11 + length) else {
                break;
            };
            match (rest[0], body.get(1)) {
                (9, Some(0)) => recorded.configurations += 1,
                (9, Some(1)) => {
                    let number = slice_in(&body[5..])
                        .strip_prefix(&MARK)
                        .and_then(|rest| rest.first_chunk())
                        .map(|number| u32::from_be_bytes(*number));
                    recorded.pictures.push((number, time, body[0] >> 4 == 1));
                }
                (8, Some(1)) => recorded.sounds.push((time, body[2..].starts_with(b"SSSS"))),
                _ => {}
            }
            rest = rest.get(length + 15..).unwrap_or_default();
        }
        recorded
    }

    /// The numbers of the show's pictures.
    pub(super) fn numbers(&self) -> Vec<u32> {
        self.pictures
            .iter()
            .filter_map(|picture| picture.0)
            .collect()
    }
}

/// The picture's slice without its header, behind any parameter sets.
fn slice_in(mut units: &[u8]) -> &[u8] {
    while let Some((length, rest)) = units.split_first_chunk() {
        let length = usize::try_from(u32::from_be_bytes(*length)).unwrap();
        if (1..=5).contains(&(rest[0] & 0x1f)) {
            return &rest[1..length];
        }
        units = &rest[length..];
    }
    &[]
}

/// A curtain of which the pictures are those of the recording.
pub(super) fn curtain() -> Arc<Curtain> {
    let pictures: Vec<AccessUnit> = recording()
        .into_iter()
        .filter(|unit| unit.kind() == TrackKind::Video)
        .collect();
    // Other parameters than those of the show, as a slate's are.
    let mut config = (*pictures[0].config).clone();
    if let CodecConfig::Avc(video) = &mut config {
        let mut record = video.decoder_configuration.to_vec();
        record.push(0);
        video.decoder_configuration = Bytes::from(record);
    }
    let stand_in = media::StandIn {
        config: Arc::new(config),
        pictures: pictures
            .into_iter()
            .map(|unit| media::StandInPicture {
                keyframe: unit.keyframe,
                data: unit.data,
            })
            .collect(),
        picture_interval: PICTURE,
        sound: Vec::new(),
    };
    Arc::new(Curtain {
        stand_in: Some(Arc::new(stand_in)),
    })
}
