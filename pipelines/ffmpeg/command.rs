//! What `FFmpeg` is told: arguments that hold nothing but numbers of ours, and a session description.

use std::path::Path;

use broadcast::Rendition;
use gstreamer::glib;
use media::{CodecConfig, VideoCodec};
use tokio::process::Command;

use super::FfmpegVersion;
use crate::{decoder_configuration, engine::KEYFRAME_PERIOD};

/// The payload type of the stream.
pub(super) const PAYLOAD_TYPE: u8 = 96;

/// Lowers the priority of what it starts: less than that of slates, which nobody waits for, and below the media workers.
const NICE: [&str; 3] = ["/usr/bin/nice", "-n", "5"];

/// Limits what it starts: no core, no files written, few open, and an address space that a decoder of 4096 lines fits into.
const LIMIT: [&str; 5] = [
    "/usr/bin/prlimit",
    "--core=0",
    "--fsize=0",
    "--nofile=64",
    "--as=4294967296",
];

/// `-fps_mode` came with this version; before it was `-vsync`.
const KNOWS_FPS_MODE: FfmpegVersion = FfmpegVersion { major: 5, minor: 1 };

/// RTP's ticks in a millisecond of video.
pub(super) const TICKS_PER_MS: u32 = 90;

/// By how many ticks the times of pictures are moved that an encoder makes after every other keyframe.
///
/// A keyframe is ordered by moving the times from here on, or no longer: nothing else reaches an `FFmpeg` that runs. It is
/// heard even when that very picture cannot be decoded, and a third of a millisecond does not show in what comes out.
pub(super) const KEYFRAME_SHIFT: u32 = TICKS_PER_MS / 3;

/// What one child is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Task {
    /// H.264 as it is.
    Copy,
    /// H.264 made anew.
    Encode(Rendition),
}

/// The arguments behind the program's name.
pub(super) fn arguments(task: Task, version: FfmpegVersion) -> Vec<String> {
    let mut arguments: Vec<String> = Vec::new();
    let mut add = |text: &str| arguments.extend(text.split_whitespace().map(str::to_owned));
    add("-hide_banner -nostats -loglevel warning");
    // Not `-fflags nobuffer`: it throws away the pictures by which the stream was recognised.
    add("-protocol_whitelist pipe,rtp,udp -localaddr 127.0.0.1 -buffer_size 4194304");
    add("-probesize 32 -analyzeduration 0 -max_delay 0 -reorder_queue_size 0");
    if matches!(task, Task::Encode(_)) {
        add("-threads 1");
    }
    add("-f sdp -i pipe:0 -map 0:v:0 -an -sn -dn");
    match task {
        Task::Copy => add("-c:v copy"),
        Task::Encode(canvas) => add(&encoder(canvas, version)),
    }
    add("-flush_packets 1 -muxdelay 0 -f flv -flvflags no_duration_filesize+no_metadata pipe:1");
    arguments
}

fn encoder(canvas: Rendition, version: FfmpegVersion) -> String {
    let (width, height) = (canvas.width(), canvas.height());
    let (rate, bitrate) = (canvas.frames_per_second(), canvas.kilobits_per_second());
    // Keyframes are ordered every two seconds; this is for an order that is not heard.
    let longest_group = u64::from(rate) * KEYFRAME_PERIOD.as_secs() * 2;
    let own_times = if version >= KNOWS_FPS_MODE {
        "-fps_mode passthrough"
    } else {
        "-vsync passthrough"
    };
    // What is above the canvas's rate is left out, as the other engine does it. 0 is when a picture is due.
    let thinned = format!(
        "select=if(gte(t+0.4/{rate}\\,ld(0))\\,st(0\\,if(gt(t\\,ld(0)+1/{rate})\\,t\\,ld(0))+1/{rate})\\,0)"
    );
    // Whether the times are moved (0) or were moved before (1), counted from the first picture, which may be moved itself.
    let ordered = format!(
        "expr:st(1,ld(0));abs(st(0,gt(mod(t*90000+{},{TICKS_PER_MS}),{KEYFRAME_SHIFT}))-ld(1))",
        KEYFRAME_SHIFT / 2
    );
    format!(
        "-vf {thinned},scale={width}:{height}:force_original_aspect_ratio=decrease:force_divisible_by=2,pad={width}:{height}:(ow-iw)/2:(oh-ih)/2,setsar=1,format=yuv420p \
         {own_times} -enc_time_base 1:90000 \
         -c:v libx264 -preset veryfast -tune zerolatency -profile:v high -bf 0 -threads 2 \
         -b:v {bitrate}k -minrate {bitrate}k -maxrate {bitrate}k -bufsize {bitrate}k \
         -g {longest_group} -keyint_min {rate} -sc_threshold 0 -forced-idr 1 -force_key_frames {ordered} \
         -x264-params fps={rate}:open-gop=0:sliced-threads=1:rc-lookahead=0"
    )
}

/// A command that inherits nothing, in a folder of its own.
pub(super) fn command(program: &Path, folder: &Path) -> Command {
    let mut words: Vec<&str> = Vec::new();
    for wrapper in [&NICE[..], &LIMIT[..]] {
        if Path::new(wrapper[0]).exists() {
            words.extend(wrapper);
        }
    }
    let mut command = match words.split_first() {
        None => Command::new(program),
        Some((first, rest)) => {
            let mut command = Command::new(first);
            command.args(rest).arg(program);
            command
        }
    };
    command.env_clear().current_dir(folder).kill_on_drop(true);
    command
}

/// The session (RFC 8866): one track to a port of this machine, and from it alone.
pub(super) fn session(codec: VideoCodec, config: Option<&CodecConfig>, port: u16) -> String {
    let parameters = match config {
        Some(CodecConfig::Avc(config)) => {
            let sets = decoder_configuration::parameter_sets(&config.decoder_configuration);
            let (sequences, pictures) = sets.unwrap_or_default();
            let sets = sequences.into_iter().chain(pictures);
            let sets: Vec<String> = sets.map(|set| glib::base64_encode(set).into()).collect();
            format!(
                "a=fmtp:{PAYLOAD_TYPE} packetization-mode=1;sprop-parameter-sets={}\r\n",
                sets.join(",")
            )
        }
        Some(CodecConfig::Aac(_)) | None => String::new(),
    };
    format!(
        "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n\
         a=source-filter: incl IN IP4 127.0.0.1 127.0.0.1\r\n\
         m=video {port} RTP/AVP {PAYLOAD_TYPE}\r\na=rtpmap:{PAYLOAD_TYPE} {codec}/90000\r\n{parameters}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const VERSION: FfmpegVersion = FfmpegVersion { major: 5, minor: 1 };

    #[test]
    fn a_copy_decodes_nothing_and_reads_nothing_but_rtp() {
        let told = arguments(Task::Copy, VERSION).join(" ");

        assert!(told.contains("-c:v copy"), "{told}");
        assert!(told.contains("-protocol_whitelist pipe,rtp,udp "), "{told}");
        assert!(
            !told.contains("libx264") && !told.contains("nobuffer"),
            "{told}"
        );
    }

    #[test]
    fn a_canvas_is_told_in_numbers() {
        let canvas = Rendition::new(1280, 720, 30, 3_000).unwrap();

        let told = arguments(Task::Encode(canvas), VERSION).join(" ");
        let older = arguments(Task::Encode(canvas), FfmpegVersion { major: 4, minor: 4 }).join(" ");

        for part in [
            "scale=1280:720:",
            "pad=1280:720:",
            "-g 120 ",
            "fps=30:",
            "-b:v 3000k -minrate 3000k -maxrate 3000k",
            "-fps_mode passthrough",
        ] {
            assert!(told.contains(part), "{part}: {told}");
        }
        assert!(older.contains("-vsync passthrough") && !older.contains("fps_mode"));
    }

    #[test]
    fn a_session_tells_the_parameter_sets_of_h264() {
        let record = [1, 66, 0, 30, 0xff, 0xe1, 0, 2, 0x67, 66, 1, 0, 1, 0x68];
        let config = CodecConfig::Avc(media::VideoConfig {
            decoder_configuration: bytes::Bytes::copy_from_slice(&record),
            width: 2,
            height: 2,
        });

        let h264 = session(VideoCodec::H264, Some(&config), 5_004);
        let vp8 = session(VideoCodec::Vp8, None, 5_004);

        assert!(
            h264.contains("sprop-parameter-sets=Z0I=,aA==\r\n"),
            "{h264}"
        );
        assert!(h264.contains("m=video 5004 RTP/AVP 96\r\n"), "{h264}");
        assert!(vp8.ends_with("a=rtpmap:96 VP8/90000\r\n"), "{vp8}");
    }
}
