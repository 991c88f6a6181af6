//! The hidden subcommands of `media-server`: a slate is coded by one child and looked at by another.

use std::{sync::Arc, time::Duration};

use media::AccessUnit;
use pipelines::{
    confinement::Launcher,
    inspection::{InspectError, Inspector},
    slate::{Geometry, Renderer, SlateSource},
};

#[tokio::test]
async fn one_child_codes_a_slate_and_another_looks_at_it() {
    let folder = tempfile::tempdir().unwrap();
    let launcher = Launcher::new(env!("CARGO_BIN_EXE_media-server"), folder.path());
    let card = SlateSource {
        title: "Friday night live".to_owned(),
        ..SlateSource::default()
    };
    let geometry = Geometry {
        width: 1_280,
        height: 720,
        frames_per_second: 30,
    };

    let slate = Renderer::new(launcher.clone())
        .render(&card, geometry)
        .await
        .unwrap();
    let keyframe = AccessUnit {
        timestamp: Duration::ZERO,
        keyframe: true,
        config: Arc::clone(&slate.config),
        data: slate.pictures[0].data.clone(),
    };
    let inspector = Inspector::new(launcher);
    let look = inspector.inspect(&keyframe).await.unwrap();
    let broken = AccessUnit {
        data: vec![0, 0, 0, 2, 0x65, 0xff].into(),
        ..keyframe.clone()
    };
    let refused = inspector.inspect(&broken).await;

    assert_eq!(slate.pictures.len(), 60);
    assert!((30..60).contains(&look.mean_luma), "a dark card: {look:?}");
    assert!(look.contrast > 10, "with letters: {look:?}");
    assert_eq!(refused, Err(InspectError::Undecodable));
    assert_eq!(inspector.inspect(&keyframe).await, Ok(look));
}
