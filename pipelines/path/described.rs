//! Parameter sets that did not come over RTP.

use media::VideoConfig;

use super::parameter_sets::ParameterSets;

/// Returns what a container says of these parameter sets, NAL units with their headers, if they make sense.
pub(crate) fn video_config(sequence: &[u8], picture: &[u8]) -> Option<VideoConfig> {
    let mut sets = ParameterSets::default();
    sets.take_sequence(sequence).ok()?;
    sets.take_picture(picture).ok()?;
    sets.configuration()
}
