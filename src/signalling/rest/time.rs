//! Moments as JavaScript writes them.

use std::time::SystemTime;

use jiff::Timestamp;

/// Writes a moment in UTC with milliseconds, as `Date.toISOString()` does; one that no calendar has is 1970.
pub(super) fn iso(moment: SystemTime) -> String {
    let moment = Timestamp::try_from(moment).unwrap_or(Timestamp::UNIX_EPOCH);
    format!("{moment:.3}")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_moment_is_written_as_javascript_does() {
        let moment = SystemTime::UNIX_EPOCH + Duration::from_millis(1_706_616_000_005);

        assert_eq!(iso(moment), "2024-01-30T12:00:00.005Z");
    }
}
