//! A broadcast's slate with real children.

use std::{convert::Infallible, fs::File, io, process::Command, sync::Arc, time::Duration};

use broadcast::BroadcastId;
use bytes::Bytes;
use futures_util::stream;
use media::StandIn;
use pipelines::slate::{Geometry, SlateError};
use tokio::{sync::watch, time::timeout};

use super::*;

/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_mins(1);

const SMALL: Geometry = Geometry {
    width: 320,
    height: 180,
    frames_per_second: 10,
};

/// Not a test: the process that the others start.
#[test]
#[ignore = "is the child of other tests"]
fn child_render() {
    pipelines::slate::child::render(&mut io::stdin().lock(), answer());
}

/// Not a test: the process that the others start.
#[test]
#[ignore = "is the child of other tests"]
fn child_inspect() {
    pipelines::inspection::child::inspect(&mut io::stdin().lock(), answer()).unwrap();
}

/// Not a test: the process that the others start.
#[test]
#[ignore = "is the child of other tests"]
fn child_transcode() {
    pipelines::transcoder::child::run();
}

fn answer() -> File {
    File::options().write(true).open("/proc/self/fd/3").unwrap()
}

/// A picture that `FFmpeg` makes.
pub(crate) fn picture(arguments: &str) -> Vec<u8> {
    let output = Command::new("ffmpeg")
        .args("-nostdin -loglevel error -f lavfi -i".split(' '))
        .args(arguments.split(' '))
        .arg("-")
        .output()
        .unwrap();
    assert!(output.status.success());
    output.stdout
}

pub(crate) const PNG: &str = "color=white:size=640x360 -frames:v 1 -c:v png -f image2pipe";

fn body(
    bytes: &[u8],
) -> impl futures_util::Stream<Item = Result<Bytes, Infallible>> + Send + use<> {
    let pieces: Vec<_> = bytes.chunks(10_000).map(Bytes::copy_from_slice).collect();
    stream::iter(pieces.into_iter().map(Ok))
}

fn slate(title: &str) -> Slate {
    Slate::new(&Slates::start().unwrap(), title, true)
}

#[tokio::test]
async fn an_upload_takes_the_card_s_place_and_leaves_it() {
    let slate = slate("Show");
    let card = slate.render(SMALL).await.unwrap();
    assert!(slate.describe().ready);

    let uploaded = slate
        .upload(UploadKind::Image, body(&picture(PNG)))
        .await
        .unwrap();
    let image = slate.render(SMALL).await.unwrap();
    let reset = slate.remove_picture();
    let again = slate.render(SMALL).await.unwrap();

    assert_eq!(
        (uploaded.picture, uploaded.ready),
        (SlatePicture::Image, false)
    );
    assert_ne!(card, image);
    assert_eq!(reset.picture, SlatePicture::Card);
    assert_eq!(card, again);
}

#[tokio::test]
async fn what_is_not_taken_leaves_the_earlier_one() {
    let slate = slate("Show");
    slate
        .upload(UploadKind::Image, body(&picture(PNG)))
        .await
        .unwrap();
    let before = slate.describe();

    let no_picture = slate.upload(UploadKind::Image, body(b"text")).await;
    let no_music = slate.upload(UploadKind::Music, body(&picture(PNG))).await;
    let cut = stream::iter([
        Ok(Bytes::from(picture(PNG))),
        Err(io::ErrorKind::BrokenPipe),
    ]);
    let lost = slate.upload(UploadKind::Image, cut).await;
    let large = slate
        .upload(UploadKind::Image, body(&vec![0; 20 * 1024 * 1024 + 1]))
        .await;

    assert_eq!(
        no_picture,
        Err(UploadError::Slate(SlateError::InvalidPicture))
    );
    assert_eq!(no_music, Err(UploadError::Slate(SlateError::InvalidMusic)));
    assert_eq!(lost, Err(UploadError::Lost));
    assert_eq!(large, Err(UploadError::TooLarge));
    assert_eq!(slate.describe(), before);
}

#[tokio::test]
async fn an_upload_has_no_name_and_is_in_no_log() {
    let slate = slate("Show");

    slate
        .upload(UploadKind::Image, body(&picture(PNG)))
        .await
        .unwrap();

    let shown = format!("{slate:?} {:?}", slate.source());
    assert!(
        !shown.contains("PNG") && !shown.contains("castgate-upload"),
        "{shown}"
    );
    let (source, _) = slate.source();
    let (_, upload) = source.picture.unwrap();
    let links = std::os::unix::fs::MetadataExt::nlink(&upload.file.metadata().unwrap());
    assert_eq!(links, 0, "nothing is left when the process is killed");
}

#[tokio::test]
async fn an_upload_that_stands_still_is_given_up() {
    let begins = stream::iter([Ok::<_, Infallible>(Bytes::from_static(b"begins"))]);
    let stands_still = futures_util::StreamExt::chain(begins, stream::pending());

    let outcome = upload::receive(stands_still, Duration::from_millis(20)).await;

    assert_eq!(outcome.unwrap_err(), UploadError::TooSlow);
}

/// Waits until another slate than `before` is shown.
async fn next(
    shown: &mut watch::Receiver<Option<Arc<StandIn>>>,
    before: Option<&Arc<StandIn>>,
) -> Arc<StandIn> {
    let is_other = |now: &Option<Arc<StandIn>>| now.is_some() && now.as_ref() != before;
    let waiting = timeout(PATIENCE, shown.wait_for(is_other));
    waiting.await.unwrap().unwrap().clone().unwrap()
}

#[tokio::test]
async fn the_slate_follows_the_upload_and_the_shape() {
    let slate = slate("Show");
    let (shape, shapes) = watch::channel(None);
    let (sender, mut shown) = watch::channel(None);
    let id = BroadcastId::new("show").unwrap();
    let follow = async {
        shape.send_replace(Some(SMALL));
        let card = next(&mut shown, None).await;
        slate
            .upload(UploadKind::Image, body(&picture(PNG)))
            .await
            .unwrap();
        let image = next(&mut shown, Some(&card)).await;
        let upright = Geometry {
            width: 180,
            height: 320,
            ..SMALL
        };
        shape.send_replace(Some(upright));
        let turned = next(&mut shown, Some(&image)).await;
        drop(shape);
        [card, image, turned]
    };

    let keeping = slate.keep_rendered(&id, shapes, &sender);
    let (slates, ()) = tokio::join!(follow, keeping);

    let size = |slate: &StandIn| match &*slate.config {
        media::CodecConfig::Avc(config) => (config.width, config.height),
        media::CodecConfig::Aac(_) => (0, 0),
    };
    assert_eq!(
        slates.each_ref().map(|slate| size(slate)),
        [(320, 180), (320, 180), (180, 320)]
    );
    assert!(slate.describe().ready);
}

#[tokio::test]
async fn a_rate_that_wavers_is_no_other_shape() {
    let slate = slate("Show");
    let (shape, shapes) = watch::channel(Some(SMALL));
    let (sender, mut shown) = watch::channel(None);
    let id = BroadcastId::new("show").unwrap();
    let waver = async {
        let first = next(&mut shown, None).await;
        for rate in [9, 11, 12, 8, 10] {
            shape.send_replace(Some(Geometry {
                frames_per_second: rate,
                ..SMALL
            }));
            tokio::task::yield_now().await;
        }
        assert_eq!(*shown.borrow(), Some(first));
        assert!(!shown.has_changed().unwrap());
        drop(shape);
    };

    tokio::join!(waver, slate.keep_rendered(&id, shapes, &sender));
}

#[tokio::test]
async fn a_slate_that_is_switched_off_is_never_coded() {
    let slate = Slate::new(&Slates::start().unwrap(), "Show", false);
    let (_shape, shapes) = watch::channel(Some(SMALL));
    let (sender, shown) = watch::channel(None);

    slate
        .keep_rendered(&BroadcastId::new("show").unwrap(), shapes, &sender)
        .await;

    assert!(shown.borrow().is_none());
    assert!(!slate.describe().ready);
}
