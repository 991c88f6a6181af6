//! Which codec a track has, in the words of the media path.

use media::VideoCodec;
use ortc::RtpParameters;

/// The codec of a picture's track; `None`: it is no picture, or one that no engine knows.
pub(super) fn video_codec(rtp: &RtpParameters) -> Option<VideoCodec> {
    let mime_type = &rtp.codecs.iter().find(|codec| !codec.is_rtx())?.mime_type;
    let known = [
        ("video/h264", VideoCodec::H264),
        ("video/vp8", VideoCodec::Vp8),
        ("video/vp9", VideoCodec::Vp9),
        ("video/av1", VideoCodec::Av1),
    ];
    known
        .into_iter()
        .find(|(name, _)| mime_type.eq_ignore_ascii_case(name))
        .map(|(_, codec)| codec)
}
