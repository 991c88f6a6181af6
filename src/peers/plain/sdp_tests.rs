use proptest::prelude::*;

use super::*;

/// What `FFmpeg` 5.1 prints for H.264 and Opus, each with an output of its own.
const FFMPEG: &str = "SDP:\nv=0\no=- 0 0 IN IP4 127.0.0.1\ns=No Name\nc=IN IP4 127.0.0.1\nt=0 0\na=tool:libavformat 59.27.100\n\
    m=video 5004 RTP/AVP 96\na=rtpmap:96 H264/90000\na=fmtp:96 packetization-mode=1\n\
    m=audio 5006 RTP/AVP 97\nb=AS:96\na=rtpmap:97 opus/48000/2\na=fmtp:97 sprop-stereo=1\n\n";

fn video(lines: &str) -> Result<Described, SdpMistake> {
    parse_sender(&format!(
        "v=0\r\no=- 0 0 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\n{lines}"
    ))
}

#[test]
fn what_ffmpeg_prints_is_read() {
    let (video, audio) = parse_sender(FFMPEG).unwrap();

    let (codec, video) = video.unwrap();
    assert_eq!(codec, VideoCodec::H264);
    assert_eq!(video.payload_type, 96);
    assert_eq!(
        video.format_parameters.as_deref(),
        Some("packetization-mode=1")
    );
    assert!(!video.rtcp_mux && !video.nack && video.srtp.is_none());
    let audio = audio.unwrap();
    assert_eq!(audio.payload_type, 97);
}

#[test]
fn feedback_ssrc_and_mux_are_read() {
    let (video, _) = video(
        "m=video 0x RTP/AVPF 101 102\r\na=rtpmap:101 VP8/90000\r\na=rtpmap:102 rtx/90000\r\na=rtcp-mux\r\n\
         a=rtcp-fb:101 nack\r\na=rtcp-fb:101 nack pli\r\na=rtcp-fb:101 ccm fir\r\na=ssrc:4000000000 cname:x\r\n",
    )
    .unwrap();

    let (codec, track) = video.unwrap();
    assert_eq!(codec, VideoCodec::Vp8);
    assert!(track.rtcp_mux && track.nack);
    assert_eq!(track.keyframe_request, KeyframeRequest::Pli);
    assert_eq!(track.ssrc, Some(4_000_000_000));
}

#[test]
fn a_sender_that_only_knows_full_intra_requests_is_asked_by_them() {
    let (video, _) =
        video("m=video 5004 RTP/AVPF 96\r\na=rtpmap:96 vp9/90000\r\na=rtcp-fb:* ccm fir\r\n")
            .unwrap();

    assert_eq!(video.unwrap().1.keyframe_request, KeyframeRequest::Fir);
}

#[test]
fn several_ssrcs_pin_none() {
    let (video, _) = video(
        "m=video 5004 RTP/AVP 96\r\na=rtpmap:96 AV1/90000\r\na=ssrc:1 cname:x\r\na=ssrc:2 cname:x\r\n",
    )
    .unwrap();

    assert_eq!(video.unwrap().1.ssrc, None);
}

#[test]
fn keys_are_read_and_not_shown() {
    let key = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwd";
    let (video, _) = video(&format!(
        "m=video 5004 RTP/SAVP 96\r\na=rtpmap:96 H264/90000\r\n\
         a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{key}|2^31|1:1\r\n"
    ))
    .unwrap();

    let (_, track) = video.unwrap();
    let shown = format!("{track:?}");
    let (master, salt) = {
        let srtp = track.srtp.as_ref().unwrap();
        assert_eq!(srtp.suite(), CryptoSuite::AesCm128HmacSha1_80);
        let key = srtp.key();
        let bytes: &[u8] = (*key).as_ref();
        let (master, salt) = bytes.split_at(srtp.suite().profile().key_len());
        (master.to_vec(), salt.to_vec())
    };
    assert_eq!(master, (0..16).collect::<Vec<u8>>());
    assert_eq!(salt, (16..30).collect::<Vec<u8>>());
    assert!(
        !shown.contains("AAEC") && !shown.contains("0, 1, 2"),
        "{shown}"
    );
}

#[test]
fn what_cannot_be_received_is_named() {
    let mistake = |lines: &str| video(lines).unwrap_err();
    let h265 = mistake("m=video 5004 RTP/AVP 96\r\na=rtpmap:96 H265/90000\r\n");
    assert!(h265.to_string().contains("H265"), "{h265}");
    let pcmu = mistake("m=audio 5004 RTP/AVP 0\r\n");
    assert!(matches!(&pcmu, SdpMistake::Codec { kind: "audio", codecs, .. } if codecs == "0"));
    assert!(matches!(
        mistake("m=video 9 UDP/TLS/RTP/SAVPF 96\r\na=rtpmap:96 H264/90000\r\n"),
        SdpMistake::Transport(_)
    ));
    assert_eq!(
        mistake("m=video 9 RTP/SAVP 96\r\na=rtpmap:96 H264/90000\r\n"),
        SdpMistake::Key("video")
    );
    assert_eq!(
        mistake("m=video 9 RTP/AVP 96\r\na=rtpmap:96 H264/8000\r\n"),
        SdpMistake::ClockRate("video", 90_000)
    );
    assert_eq!(
        mistake(
            "m=video 9 RTP/AVP 96\r\na=rtpmap:96 VP8/90000\r\nm=video 9 RTP/AVP 96\r\na=rtpmap:96 VP8/90000\r\n"
        ),
        SdpMistake::TooMany("video")
    );
    assert_eq!(
        mistake("m=video 0 RTP/AVP 96\r\na=rtpmap:96 H265/90000\r\nm=application 9 x y\r\n"),
        SdpMistake::NothingInIt
    );
    assert!(matches!(parse_sender(""), Err(SdpMistake::Malformed(_))));
    assert!(matches!(
        parse_sender("hello"),
        Err(SdpMistake::Malformed(_))
    ));
}

#[test]
fn a_description_is_read_up_to_its_bound() {
    let mut text = FFMPEG.to_owned();
    text.push_str("a=x:");
    let rest = SDP_LIMIT_BYTES - text.len();
    text.push_str(&"y".repeat(rest));

    assert!(parse_sender(&text).is_ok());
    text.push('y');
    assert_eq!(parse_sender(&text).unwrap_err(), SdpMistake::TooLong);
}

#[test]
fn what_we_describe_we_read() {
    let video = PlainTrack {
        payload_type: 96,
        ssrc: Some(7),
        format_parameters: Some("packetization-mode=1".to_owned()),
        rtcp_mux: true,
        nack: true,
        ..PlainTrack::default()
    };
    let audio = PlainTrack {
        payload_type: 111,
        ..PlainTrack::default()
    };
    let ports = |rtp, rtcp| PortPair { rtp, rtcp };

    let text = describe(
        IpAddr::from([192, 0, 2, 1]),
        Some((VideoCodec::H264, &video, ports(5000, 5000))),
        Some((&audio, ports(5002, 5003))),
    );
    let (read_video, read_audio) = parse_sender(&text).unwrap();

    assert!(text.contains("c=IN IP4 192.0.2.1\r\n"), "{text}");
    assert!(text.contains("a=rtcp:5003\r\n"), "{text}");
    let (_, read_video) = read_video.unwrap();
    assert_eq!(read_video.format_parameters, video.format_parameters);
    assert_eq!((read_video.ssrc, read_video.rtcp_mux), (Some(7), true));
    assert!(read_video.nack);
    assert_eq!(read_audio.unwrap().payload_type, 111);
}

#[test]
fn base64_is_read_as_the_standard_writes_it() {
    for (text, bytes) in [
        ("", &b""[..]),
        ("Zg==", b"f"),
        ("Zm8=", b"fo"),
        ("Zm9v", b"foo"),
        ("Zm9vYmFy", b"foobar"),
        ("+/8=", b"\xfb\xff"),
    ] {
        assert_eq!(decode_base64(text).unwrap(), bytes, "{text}");
    }
    assert_eq!(decode_base64("Zm9v!"), None);
}

proptest! {
    #[test]
    fn hostile_text_never_panics(text in any::<String>()) {
        let _ = parse_sender(&text);
        let _ = parse_sender(&format!("v=0\n{text}"));
    }

    #[test]
    fn hostile_lines_never_panic(lines in prop::collection::vec(
        "(m=(video|audio) [0-9]{1,6} (RTP/S?AVPF?|[A-Z/]{0,9})( [0-9]{1,4}){0,3}|a=(rtpmap|fmtp|rtcp-fb|ssrc|crypto):?[ -~]{0,40}|[a-z]=[ -~]{0,20})",
        0..20,
    )) {
        if let Ok((video, audio)) = video(&lines.join("\r\n")) {
            for track in video.map(|(_, track)| track).into_iter().chain(audio) {
                prop_assert!(track.payload_type <= 127);
            }
        }
    }
}
