//! What a scalability mode such as `L1T3` says.

/// How many temporal layers a mode has; 1 when the text is no mode.
pub(crate) fn temporal_layers(mode: &str) -> u32 {
    parse(mode).map_or(1, |(_, temporal)| temporal)
}

/// Spatial and temporal layers of `LxTy…` and `SxTy…`; each 1 to 99.
fn parse(mode: &str) -> Option<(u32, u32)> {
    let rest = mode.strip_prefix(['L', 'S'])?;
    let (spatial, rest) = rest.split_once('T')?;
    let end = rest
        .find(|character: char| !character.is_ascii_digit())
        .unwrap_or(rest.len());
    Some((count(spatial)?, count(&rest[..end])?))
}

/// At most two digits, and not zero in front, as in mediasoup.
fn count(digits: &str) -> Option<u32> {
    let is_count = (1..=2).contains(&digits.len())
        && !digits.starts_with('0')
        && digits.bytes().all(|byte| byte.is_ascii_digit());
    is_count.then(|| digits.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_are_read_from_every_kind_of_mode() {
        assert_eq!(parse("L1T3"), Some((1, 3)));
        assert_eq!(parse("S3T2"), Some((3, 2)));
        assert_eq!(parse("L3T3_KEY_SHIFT"), Some((3, 3)));
        assert_eq!(parse("L10T2"), Some((10, 2)));
    }

    #[test]
    fn what_is_no_mode_has_one_layer() {
        for mode in [
            "", "T3", "L1", "L0T3", "L1T", "L1T0", "L123T1", "é1T3", "L1Té",
        ] {
            assert_eq!(temporal_layers(mode), 1, "{mode}");
        }
    }
}
