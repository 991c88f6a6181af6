//! What the alarms say to the show's host.

use std::fmt::Write as _;

use super::{Alarm, Measurement, longest_keyframe_pause, looks::Looks, uplink::Uplink};

/// Why an alarm is raised, with the figures.
pub(super) fn complaint(
    alarm: Alarm,
    measurement: &Measurement,
    looks: &Looks,
    uplink: &Uplink,
) -> String {
    match alarm {
        Alarm::FrameRateCollapsed => frame_rate_complaint(measurement),
        Alarm::PictureBlack => format!(
            "The picture is black (brightness {} of 255): is the right scene on the canvas?",
            looks.mean_luma
        ),
        Alarm::PictureFrozen => format!(
            "The picture has not changed for {} seconds: does the canvas still draw?",
            looks.still_for.as_secs()
        ),
        Alarm::SoundSilent => format!(
            "There has been no sound for {} seconds: is the microphone muted?",
            measurement.silent_for.unwrap_or_default().as_secs()
        ),
        Alarm::KeyframesRare => format!(
            "No keyframe came for {:.1} seconds; the platforms want one at least every 4 seconds. Is the browser's encoder overloaded?",
            longest_keyframe_pause(measurement)
                .unwrap_or_default()
                .as_secs_f64()
        ),
        Alarm::UplinkPoor => uplink_complaint(measurement, uplink),
        Alarm::OutOfSync => format!(
            "Sound and picture are {} ms apart: is the studio's machine overloaded?",
            measurement.out_of_step.unwrap_or_default().as_millis()
        ),
    }
}

fn frame_rate_complaint(measurement: &Measurement) -> String {
    let pictures = match count(measurement.frames_per_second.unwrap_or_default()).as_str() {
        "0" => "no picture".to_owned(),
        "1" => "only 1 picture".to_owned(),
        number => format!("only {number} pictures"),
    };
    let nominal = count(measurement.nominal_frames_per_second.unwrap_or_default());
    format!(
        "The canvas gives {pictures} a second instead of {nominal}: is the tab hidden or the machine busy?"
    )
}

fn uplink_complaint(measurement: &Measurement, uplink: &Uplink) -> String {
    let (lost, unrepaired) = uplink.shares();
    let mut message = format!(
        "The studio's uplink loses {:.1} % of the packets, {:.1} % for good",
        lost * 100.0,
        unrepaired * 100.0
    );
    if let Some(rate) = measurement.ingest_bits_per_second {
        // Writing to a text cannot fail.
        let _ = write!(message, ", at {}", megabits(rate));
    }
    message.push_str(": a cable or a lower bitrate helps.");
    message
}

/// Why an alarm is cleared.
pub(super) fn relief(alarm: Alarm, measurement: &Measurement) -> String {
    match (alarm, measurement.frames_per_second) {
        (Alarm::FrameRateCollapsed, Some(rate)) => {
            format!("The canvas gives {} pictures a second again.", count(rate))
        }
        (Alarm::FrameRateCollapsed, None) => "The canvas gives pictures again.".to_owned(),
        (Alarm::PictureBlack, _) => "The picture is not black any more.".to_owned(),
        (Alarm::PictureFrozen, _) => "The picture moves again.".to_owned(),
        (Alarm::SoundSilent, _) => "There is sound again.".to_owned(),
        (Alarm::KeyframesRare, _) => "Keyframes come in time again.".to_owned(),
        (Alarm::UplinkPoor, _) => "The studio's uplink is good again.".to_owned(),
        (Alarm::OutOfSync, _) => "Sound and picture are together again.".to_owned(),
    }
}

/// A rate in words: whole, unless it is small and not.
fn count(rate: f64) -> String {
    if rate >= 10.0 || (rate - rate.round()).abs() < 0.05 {
        format!("{rate:.0}")
    } else {
        format!("{rate:.1}")
    }
}

#[expect(clippy::cast_precision_loss, reason = "a bitrate in words")]
fn megabits(bits_per_second: u64) -> String {
    format!("{:.1} Mb/s", bits_per_second as f64 / 1_000_000.0)
}
