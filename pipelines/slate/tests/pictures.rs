use super::*;

const COLOUR_BARS: &str = "smptebars=size=640x360";

fn image(arguments: &[&str]) -> Vec<u8> {
    let mut all = vec!["-f", "lavfi", "-i"];
    all.extend(arguments);
    made_by_ffmpeg(&all)
}

fn png(source: &str) -> Vec<u8> {
    image(&[source, "-frames:v", "1", "-c:v", "png", "-f", "image2pipe"])
}

/// A video of so many seconds whose luma tells the time: it grows by 20 each second.
fn video(seconds: u32, more: &[&str]) -> Vec<u8> {
    let source = format!(
        "color=gray:size=640x480:rate=30:duration={seconds},geq=lum='40+20*floor(T)':cb=128:cr=128"
    );
    let mut all = vec![&source[..]];
    all.extend(more);
    all.extend([
        "-c:v",
        "libx264",
        "-preset",
        "ultrafast",
        "-pix_fmt",
        "yuv420p",
        "-f",
        "mp4",
    ]);
    image(&all)
}

async fn rendered(source: &SlateSource, geometry: Geometry) -> StandIn {
    StandIn::clone(&*renderer().render(source, geometry).await.unwrap())
}

#[tokio::test]
async fn a_card_is_a_loop_that_any_decoder_plays() {
    let slate = rendered(&card("The Late Show"), SMALL).await;

    assert_eq!(slate.pictures.len(), 50);
    assert_eq!(slate.picture_interval, Duration::from_millis(40));
    assert!(slate.sound.is_empty());
    let stream = elementary_stream(&slate, 3);
    let (probed, _) = piped(
        "ffprobe",
        "-loglevel error -f h264 -show_entries stream=profile,width,height,has_b_frames,level:frame=key_frame,pict_type -of csv=p=0 -",
        stream.clone(),
    );
    let probed = String::from_utf8(probed).unwrap();
    assert!(
        probed.contains("Constrained Baseline,320,180,0,"),
        "{probed}"
    );
    let types: Vec<_> = probed
        .lines()
        .filter(|line| line.ends_with('I') || line.ends_with('P'))
        .collect();
    assert_eq!(types.len(), 150);
    for (place, line) in types.iter().enumerate() {
        let expected = if place % 50 == 0 { "1,I" } else { "0,P" };
        assert_eq!(*line, expected, "picture {place}");
    }
    let pictures = decoded(stream, SMALL);
    assert_eq!(pictures.len(), 150);
    for picture in &pictures {
        let bright = picture.iter().filter(|&&luma| luma > 200).count();
        assert!((500..20_000).contains(&bright), "{bright} bright pixels");
        assert!(
            (34.0..70.0).contains(&mean(picture)),
            "mean {}",
            mean(picture)
        );
    }
}

#[tokio::test]
async fn a_card_is_legible_in_any_shape() {
    for (width, height) in [
        (320, 180),
        (180, 320),
        (1_080, 1_920),
        (640, 640),
        (16, 16),
        (3_840, 2_160),
    ] {
        let geometry = Geometry {
            width,
            height,
            frames_per_second: 1,
        };
        let long =
            "A title of eighty characters, which is as long as any may be, has room as well.";

        let slate = rendered(&card(long), geometry).await;

        let pictures = decoded(elementary_stream(&slate, 1), geometry);
        assert_eq!(pictures.len(), 2);
        let row = width as usize;
        let (left, right) = (row / 20, row - row / 20);
        for line in pictures[1].chunks(row) {
            assert!(
                line[..left]
                    .iter()
                    .chain(&line[right..])
                    .all(|&luma| luma < 120),
                "a margin of {geometry:?}"
            );
        }
        if width > 16 {
            let bright = pictures[1].iter().filter(|&&luma| luma > 180).count();
            assert!(
                bright * 200 > pictures[1].len(),
                "{bright} bright pixels in {geometry:?}"
            );
        }
    }
}

#[tokio::test]
async fn any_title_is_set() {
    let renderer = renderer();
    for title in [
        "",
        "   ",
        "<b>Q&A</b> &amp; <span foreground='red'>",
        "夜のニュース 한국어 ελληνικά",
        "العربية שלום \u{202e}reversed",
        "🎉👩‍👩‍👧‍👦🏳️‍🌈",
        "line\nbreak\0and\ttab\u{7f}",
        "%s%n{}\\",
        "Wwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwww",
    ] {
        let slate = renderer
            .render(
                &card(title),
                Geometry {
                    frames_per_second: 1,
                    ..SMALL
                },
            )
            .await;

        assert!(slate.is_ok(), "{title:?}: {slate:?}");
    }
}

#[tokio::test]
async fn markup_in_a_title_is_shown_as_it_is() {
    let renderer = renderer();
    let geometry = Geometry {
        frames_per_second: 1,
        ..SMALL
    };
    let mut looks = Vec::new();
    for title in ["<big>Show</big>", "Show"] {
        let slate = renderer.render(&card(title), geometry).await.unwrap();
        looks.push(mean(&decoded(elementary_stream(&slate, 1), geometry)[1]));
    }

    assert!(looks[0] > looks[1] + 1.0, "{looks:?}");
}

#[tokio::test]
async fn an_image_is_shown_whole_with_black_around_it() {
    let geometry = Geometry {
        width: 320,
        height: 320,
        frames_per_second: 10,
    };
    let jpeg = image(&[
        "color=white:size=640x360",
        "-frames:v",
        "1",
        "-c:v",
        "mjpeg",
        "-f",
        "image2pipe",
    ]);
    for bytes in [png("color=white:size=640x360"), jpeg] {
        let slate = rendered(&showing(PictureKind::Image, &bytes), geometry).await;

        assert_eq!(slate.pictures.len(), 20);
        let pictures = decoded(elementary_stream(&slate, 2), geometry);
        let line = |number: usize| mean(&pictures[7][number * 320..(number + 1) * 320]);
        assert!(line(40) < 20.0 && line(280) < 20.0);
        assert!(line(160) > 225.0, "{}", line(160));
    }
}

#[tokio::test]
async fn what_is_transparent_is_black() {
    let bytes = png("color=white@0.0:size=320x180,format=rgba");

    let slate = rendered(&showing(PictureKind::Image, &bytes), SMALL).await;

    assert!(mean(&decoded(elementary_stream(&slate, 1), SMALL)[0]) < 20.0);
}

#[tokio::test]
async fn a_video_goes_round_in_whole_groups() {
    let bytes = video(5, &[]);

    let slate = rendered(&showing(PictureKind::Video, &bytes), SMALL).await;

    assert_eq!(slate.pictures.len(), 100, "four of five seconds");
    assert!(slate.sound.is_empty());
    let pictures = decoded(elementary_stream(&slate, 3), SMALL);
    assert_eq!(pictures.len(), 300);
    for (place, picture) in pictures.iter().enumerate() {
        let middle = mean(&picture[90 * 320 + 100..90 * 320 + 220]);
        let second = f64::from(u32::try_from(place % 100 / 25).unwrap());
        // The first and the last picture of a second may be its neighbour's.
        if !matches!(place % 25, 0 | 24) {
            assert!(
                (middle - 40.0 - 20.0 * second).abs() < 6.0,
                "picture {place}: {middle}"
            );
        }
    }
}

#[tokio::test]
async fn a_short_video_stands_still_at_its_end() {
    let bytes = image(&[
        "color=white:size=64x64:rate=10:duration=0.3",
        "-c:v",
        "libx264",
        "-pix_fmt",
        "yuv420p",
        "-f",
        "mp4",
    ]);

    let slate = rendered(&showing(PictureKind::Video, &bytes), SMALL).await;

    assert_eq!(slate.pictures.len(), 50);
    let pictures = decoded(elementary_stream(&slate, 1), SMALL);
    assert!(mean(&pictures[49]) > 120.0);
}

#[tokio::test]
async fn what_is_no_picture_is_refused() {
    let bars = png(COLOUR_BARS);
    let bomb = {
        let mut bomb = bars.clone();
        bomb[16..24].copy_from_slice(&[0, 1, 0, 0, 0, 1, 0, 0]);
        bomb
    };
    let only_sound = image(&["sine=duration=1", "-c:a", "aac", "-f", "mp4"]);
    let svg = b"<svg xmlns='http://www.w3.org/2000/svg'><rect width='9' height='9'/></svg>";
    let renderer = renderer();
    for (what, kind, bytes) in [
        ("text", PictureKind::Image, &b"This is a text."[..]),
        ("SVG", PictureKind::Image, svg),
        (
            "a truncated PNG",
            PictureKind::Image,
            &bars[..bars.len() / 2],
        ),
        ("a bomb", PictureKind::Image, &bomb),
        ("a video as an image", PictureKind::Image, &video(1, &[])),
        ("an image as a video", PictureKind::Video, &bars),
        ("sound alone", PictureKind::Video, &only_sound),
        (
            "a truncated video",
            PictureKind::Video,
            &video(1, &[])[..600],
        ),
        ("nothing", PictureKind::Video, b""),
        ("nothing", PictureKind::Image, b""),
    ] {
        let source = showing(kind, bytes);

        let refused = renderer.check(&source).await;

        assert_eq!(refused, Err(SlateError::InvalidPicture), "{what}");
        assert_eq!(
            SlateError::InvalidPicture.fault(&source),
            SlateFault::Studio
        );
    }
}

#[tokio::test]
async fn an_impossible_shape_is_refused_before_a_child_is_started() {
    let renderer = Renderer::new(Launcher::new("/nonexistent", "/nonexistent"));

    for (width, height, frames_per_second) in [
        (0, 180, 30),
        (321, 180, 30),
        (320, 8_000, 30),
        (320, 180, 0),
        (320, 180, 61),
    ] {
        let geometry = Geometry {
            width,
            height,
            frames_per_second,
        };
        let refused = renderer.render(&card("x"), geometry).await;
        assert_eq!(refused, Err(SlateError::Geometry));
    }
    assert!(matches!(
        renderer.render(&card("x"), SMALL).await,
        Err(SlateError::Process(_) | SlateError::Crashed)
    ));
}

#[tokio::test]
async fn the_same_wish_is_granted_once() {
    let renderer = renderer();
    let geometry = Geometry {
        frames_per_second: 1,
        ..SMALL
    };
    let source = card("The Late Show");

    let (one, other) = tokio::join!(
        renderer.render(&source, geometry),
        renderer.render(&source, geometry)
    );
    let again = renderer.render(&source, geometry).await.unwrap();
    let different = renderer.render(&card("Another"), geometry).await.unwrap();

    let one = one.unwrap();
    assert!(Arc::ptr_eq(&one, &other.unwrap()));
    assert!(Arc::ptr_eq(&one, &again));
    assert!(!Arc::ptr_eq(&one, &different));
}
