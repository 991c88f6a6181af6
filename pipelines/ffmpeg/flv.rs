//! Reads FLV as it comes out of a program that nobody trusts: tags one by one, each of bounded length.

use bytes::{Buf as _, Bytes, BytesMut};

/// The most bytes of a tag's body; a keyframe of 4096 lines has about 1 MB.
const BODY_LIMIT_BYTES: usize = 4 * 1024 * 1024;

/// Bytes of the file header and of the empty tag's length behind it.
const FILE_HEADER_BYTES: usize = 13;

/// Bytes in front of a body.
const TAG_HEADER_BYTES: usize = 11;

/// Bytes behind a body, which repeat its length.
const TRAILER_BYTES: usize = 4;

/// What the first byte of a video tag holds behind the frame type.
const AVC: u8 = 7;

/// The type of a tag with pictures.
const VIDEO: u8 = 9;

/// What is not FLV, or not such as was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum FlvError {
    #[error("it does not begin like FLV")]
    Header,
    #[error("a tag is longer than 4 MiB")]
    TooLong,
    #[error("a tag's length is not repeated behind it")]
    Trailer,
    #[error("a picture is not H.264")]
    Codec,
}

/// What is in a video tag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum FlvVideo {
    /// An `AVCDecoderConfigurationRecord`.
    Configuration(Bytes),
    /// NAL units behind 4-byte lengths.
    Picture {
        /// Decoding time in milliseconds, wraps.
        timestamp_ms: u32,
        /// Whether the tag says that a decoder can begin here.
        keyframe: bool,
        data: Bytes,
    },
}

/// Takes bytes as they come. After an error it gives nothing but that error.
#[derive(Debug, Default)]
pub(super) struct FlvReader {
    buffer: BytesMut,
    has_header: bool,
    error: Option<FlvError>,
}

impl FlvReader {
    /// Where the next bytes go. What is not read yet never has more than a tag and what came with its end.
    pub(super) fn buffer(&mut self) -> &mut BytesMut {
        &mut self.buffer
    }

    /// Takes the next picture or configuration; tags of other kinds are passed over.
    pub(super) fn poll(&mut self) -> Result<Option<FlvVideo>, FlvError> {
        if let Some(error) = self.error {
            return Err(error);
        }
        self.advance().inspect_err(|error| {
            self.error = Some(*error);
            self.buffer.clear();
        })
    }

    fn advance(&mut self) -> Result<Option<FlvVideo>, FlvError> {
        if !self.has_header {
            let known = self.buffer.len().min(FILE_HEADER_BYTES);
            let shared = known.min(3);
            if self.buffer[..shared] != b"FLV"[..shared] {
                return Err(FlvError::Header);
            }
            if known < FILE_HEADER_BYTES {
                return Ok(None);
            }
            // Version 1, and a header of 9 bytes.
            if self.buffer[3] != 1 || self.buffer[5..9] != [0, 0, 0, 9] {
                return Err(FlvError::Header);
            }
            self.buffer.advance(FILE_HEADER_BYTES);
            self.has_header = true;
        }
        while let Some(header) = self.buffer.first_chunk::<TAG_HEADER_BYTES>() {
            let [kind, l2, l1, l0, t2, t1, t0, t3, ..] = *header;
            let length = u32::from_be_bytes([0, l2, l1, l0]) as usize;
            if length > BODY_LIMIT_BYTES {
                return Err(FlvError::TooLong);
            }
            let whole = TAG_HEADER_BYTES + length + TRAILER_BYTES;
            if self.buffer.len() < whole {
                return Ok(None);
            }
            let mut tag = self.buffer.split_to(whole).freeze();
            let trailer = tag.split_off(TAG_HEADER_BYTES + length);
            if trailer[..]
                != u32::try_from(TAG_HEADER_BYTES + length)
                    .unwrap_or(0)
                    .to_be_bytes()
            {
                return Err(FlvError::Trailer);
            }
            tag.advance(TAG_HEADER_BYTES);
            let timestamp_ms = u32::from_be_bytes([t3, t2, t1, t0]);
            if kind == VIDEO
                && let Some(video) = video(&tag, timestamp_ms)?
            {
                return Ok(Some(video));
            }
        }
        Ok(None)
    }
}

fn video(body: &Bytes, timestamp_ms: u32) -> Result<Option<FlvVideo>, FlvError> {
    let [flags, packet, _, _, _] = *body.first_chunk::<5>().ok_or(FlvError::Codec)?;
    if flags & 0x0f != AVC {
        return Err(FlvError::Codec);
    }
    let data = body.slice(5..);
    Ok(match packet {
        0 => Some(FlvVideo::Configuration(data)),
        1 => Some(FlvVideo::Picture {
            timestamp_ms,
            keyframe: flags >> 4 == 1,
            data,
        }),
        // The end of a sequence, which some encoders send last.
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HEADER: [u8; 13] = [b'F', b'L', b'V', 1, 1, 0, 0, 0, 9, 0, 0, 0, 0];

    fn tag(kind: u8, timestamp_ms: u32, body: &[u8]) -> Vec<u8> {
        let length = u32::try_from(body.len()).unwrap();
        let [high, time @ ..] = timestamp_ms.to_be_bytes();
        let mut tag = vec![kind];
        tag.extend(&length.to_be_bytes()[1..]);
        tag.extend(time);
        tag.extend([high, 0, 0, 0]);
        tag.extend(body);
        tag.extend((length + 11).to_be_bytes());
        tag
    }

    fn read(bytes: &[u8]) -> Result<Vec<FlvVideo>, FlvError> {
        let mut reader = FlvReader::default();
        reader.buffer().extend_from_slice(bytes);
        std::iter::from_fn(|| reader.poll().transpose()).collect()
    }

    #[test]
    fn pictures_and_configurations_are_found_between_other_tags() {
        let mut bytes = HEADER.to_vec();
        bytes.extend(tag(18, 0, b"metadata"));
        bytes.extend(tag(9, 0, &[0x17, 0, 0, 0, 0, 1, 66]));
        bytes.extend(tag(9, 0x0102_0304, &[0x27, 1, 0, 0, 0, 9]));
        bytes.extend(tag(9, 5, &[0x17, 2, 0, 0, 0]));

        assert_eq!(
            read(&bytes),
            Ok(vec![
                FlvVideo::Configuration(Bytes::from_static(&[1, 66])),
                FlvVideo::Picture {
                    timestamp_ms: 0x0102_0304,
                    keyframe: false,
                    data: Bytes::from_static(&[9])
                },
            ])
        );
    }

    #[test]
    fn the_longest_tag_is_taken_and_one_byte_more_is_refused() {
        let body = [&[0x17, 1, 0, 0, 0][..], &vec![0; BODY_LIMIT_BYTES - 5]].concat();
        let longest = [&HEADER[..], &tag(9, 0, &body)].concat();
        let longer = [&HEADER[..], &[9, 0x40, 0, 1, 0, 0, 0, 0, 0, 0, 0]].concat();

        assert_eq!(read(&longest).unwrap().len(), 1);
        assert_eq!(read(&longer), Err(FlvError::TooLong));
    }

    #[test]
    fn what_is_not_flv_is_refused_at_its_first_byte_and_for_ever() {
        let mut reader = FlvReader::default();
        reader.buffer().extend_from_slice(b"G");

        assert_eq!(reader.poll(), Err(FlvError::Header));
        reader.buffer().extend_from_slice(&HEADER);
        assert_eq!(reader.poll(), Err(FlvError::Header));
        let other_codec = [&HEADER[..], &tag(9, 0, &[0x12, 1, 0, 0, 0])].concat();
        assert_eq!(read(&other_codec), Err(FlvError::Codec));
        let mut bad_trailer = [&HEADER[..], &tag(8, 0, &[1])].concat();
        *bad_trailer.last_mut().unwrap() = 0;
        assert_eq!(read(&bad_trailer), Err(FlvError::Trailer));
    }

    proptest! {
        #[test]
        fn hostile_bytes_never_panic_and_cuts_change_nothing(
            tags in prop::collection::vec((7..11_u8, any::<u32>(), prop::collection::vec(0..24_u8, 0..12)), 0..6),
            flip in prop::option::of((0..200_usize, any::<u8>())),
            cuts in prop::collection::vec(1..20_usize, 0..40),
        ) {
            let mut bytes = HEADER.to_vec();
            for (kind, time, body) in &tags {
                bytes.extend(tag(*kind, *time, body));
            }
            if let Some((at, value)) = flip && let Some(byte) = bytes.get_mut(at) {
                *byte ^= value;
            }
            let mut pieces = FlvReader::default();
            let (mut rest, mut found, mut failure) = (&bytes[..], Vec::new(), None);
            for cut in cuts.into_iter().chain([usize::MAX]) {
                let (piece, tail) = rest.split_at(cut.min(rest.len()));
                rest = tail;
                pieces.buffer().extend_from_slice(piece);
                loop {
                    match pieces.poll() {
                        Ok(Some(video)) => found.push(video),
                        Ok(None) => break,
                        Err(error) => { failure = Some(error); break }
                    }
                }
            }

            prop_assert_eq!(read(&bytes), failure.map_or(Ok(found), Err));
        }
    }
}
