//! How old a webhook may be.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::WebhookError;

/// How far the date of a webhook may be from ours, either way: what the vendors' own SDKs allow. It bounds how long a
/// delivery that somebody has copied can be played again.
const LARGEST_DIFFERENCE: Duration = Duration::from_mins(5);

/// Checks the date that was signed with a webhook, in seconds since 1970.
pub(crate) fn check_age(seconds: u64, now: SystemTime) -> Result<(), WebhookError> {
    let now = now.duration_since(UNIX_EPOCH).unwrap_or_default();
    if now.abs_diff(Duration::from_secs(seconds)) <= LARGEST_DIFFERENCE {
        Ok(())
    } else {
        Err(WebhookError::Stale)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_webhook_may_be_five_minutes_off_and_no_second_more() {
        let now = UNIX_EPOCH + Duration::from_secs(10_000);

        for seconds in [9_700, 10_000, 10_300] {
            assert_eq!(check_age(seconds, now), Ok(()), "{seconds}");
        }
        for seconds in [0, 9_699, 10_301, u64::MAX] {
            assert_eq!(
                check_age(seconds, now),
                Err(WebhookError::Stale),
                "{seconds}"
            );
        }
    }
}
