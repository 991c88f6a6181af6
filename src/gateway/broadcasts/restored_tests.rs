//! A broadcast that another node ran, in a whole gateway: made from what was written down of it.

use std::{collections::HashMap, time::Duration};

use broadcast::{
    AfterCut, BackupMode, BroadcastId, BroadcastSpec, BroadcastState, Cause, Change, DestinationId,
    DestinationSpec, Endpoint, Method, Platform, SlateSpec, StreamKey, VideoSpec,
};
use jiff::{Timestamp, ToSpan as _};
use pipelines::rtmp::receiver::{Ending, StreamReport};
use tokio::{task::JoinSet, time::timeout};
use tokio_util::sync::CancellationToken;

use crate::{
    Gateway,
    broadcasts::{BroadcastHandle, CreateError, Created, PublishError, StudioIdentity},
    config::{Config, Surroundings},
    nodes::{Holding, KeptBroadcast, KeptPicture, KeptShow},
    publish::{self, PublishOptions},
};

/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_mins(1);

/// How long the show has been on air elsewhere, in seconds.
const AGE: i64 = 4_000;

async fn gateway() -> Gateway {
    let variables = HashMap::from([
        ("PORT", "0"),
        ("RTC_PORT", "0"),
        ("WORKERS", "1"),
        ("LOCAL_RECEIVER_ADDRESS", "127.0.0.1:0"),
        ("DESTINATION_ALLOW_PRIVATE", "true"),
        ("RATE_LIMIT_MAX_REQUESTS", "0"),
        ("NODE_CAPACITY_CORES", "1000"),
    ]);
    let surroundings = Surroundings {
        cores: 1,
        server_id: "node".to_owned(),
        terminal: false,
    };
    let lookup = |name: &str| variables.get(name).map(|value| (*value).to_owned());
    let config = Config::read(&lookup, &surroundings).unwrap();
    Gateway::start(config).await.unwrap()
}

fn kept(gateway: &Gateway) -> KeptBroadcast {
    let url = gateway.local_receiver().unwrap().rtmp_url();
    let destination = |id: &str, key: &str| DestinationSpec {
        id: DestinationId::new(id).unwrap(),
        platform: Platform::new("custom").unwrap(),
        endpoint: Endpoint::parse(&url, Some(key)).unwrap(),
        backup: None,
        backup_mode: BackupMode::default(),
        required: false,
        enabled: true,
        paused: false,
        after_cut: AfterCut::default(),
        rendition: None,
        provider: None,
    };
    let id = BroadcastId::new("show").unwrap();
    let asked = vec![destination("d", "first")];
    let asked = BroadcastSpec::new(id, Method::default(), true, asked).unwrap();
    let zero = Timestamp::now() - AGE.seconds();
    KeptBroadcast {
        asked: asked.with_slate(SlateSpec::default()),
        method: Method::default(),
        video: VideoSpec::default(),
        // Its key was changed since it was created.
        destinations: vec![destination("d", "second")],
        started: true,
        created_at: zero,
        show: Some(KeptShow {
            zero,
            first_live: Some(zero),
            picture: Some(KeptPicture {
                width: 320,
                height: 180,
                frames_per_second: Some(30),
            }),
        }),
        resume_tokens: vec![StreamKey::new("a-token")],
    }
}

/// Goes on with it on this node, which holds it.
async fn restored(gateway: &Gateway, kept: KeptBroadcast) -> (BroadcastHandle, Holding) {
    let broadcasts = gateway.broadcasts();
    let membership = &broadcasts.inner().membership;
    let holding = membership.claim("show").await.unwrap();
    let permit = membership.permit().of_one();
    let handle = broadcasts.restore(kept, holding.clone(), permit).unwrap();
    (handle, holding)
}

async fn until(what: &str, is_it: impl Fn() -> bool) {
    let waiting = async {
        while !is_it() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let outcome = timeout(PATIENCE, waiting).await;
    outcome.unwrap_or_else(|_| panic!("{what}"));
}

fn streams(gateway: &Gateway) -> Vec<StreamReport> {
    gateway.local_receiver().unwrap().streams()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_slate_goes_out_where_the_show_was_then_its_studio_and_nobody_says_goodbye_for_another()
{
    let gateway = gateway().await;
    let kept = kept(&gateway);
    let asked = kept.asked.clone();
    let (handle, holding) = restored(&gateway, kept).await;
    let mut changes = handle.changes().unwrap();

    assert_eq!(handle.snapshot().method, Method::default());
    until("no slate came", || {
        streams(&gateway)
            .first()
            .is_some_and(|one| one.video.keyframes > 0)
    })
    .await;
    let slate = streams(&gateway)[0].clone();
    let state = handle.snapshot().state;
    let again = gateway.broadcasts().create(asked).await;
    let offer = include_str!("../../peers/fixtures/chrome-offer.sdp").to_owned();
    let stranger = StudioIdentity {
        resume_token: Some(StreamKey::new("another-token")),
        ..StudioIdentity::default()
    };
    let refused = handle.publish(offer, stranger).await;
    let stop = CancellationToken::new();
    let options = PublishOptions::new(format!("http://{}/whip/show", gateway.http_address()));
    let mut studio = JoinSet::new();
    studio.spawn(publish::run(options, stop.clone(), |_| {}));
    until("the studio did not come back", || {
        handle.snapshot().state == BroadcastState::Live
    })
    .await;
    let frames = streams(&gateway)[0].video.cadence.frames;
    until("nothing of the studio came", || {
        streams(&gateway)[0].video.cadence.frames > frames + 30
    })
    .await;
    holding.lose();
    let over = timeout(PATIENCE, async {
        loop {
            if let Change::Broadcast {
                state: BroadcastState::Ended,
                cause,
            } = changes.recv().await.unwrap().change
            {
                return cause;
            }
        }
    });
    let cause = over.await.unwrap();
    until("the destination was not let go", || {
        streams(&gateway)[0].ending.is_some()
    })
    .await;
    drop((stop, studio));

    assert_eq!(state, BroadcastState::Slate);
    assert_eq!(slate.stream_key.expose(), "second");
    assert_eq!((slate.video.width, slate.video.height), (320, 180));
    let first = slate.video.cadence.first.unwrap().as_secs();
    assert!((4_000..4_060).contains(&first), "{first}");
    assert!(matches!(again, Ok(Created::Same(_))), "{again:?}");
    assert!(
        matches!(refused, Err(PublishError::ResumeTokenRefused)),
        "{refused:?}"
    );
    assert_eq!(cause, Cause::TakenOver);
    let all = streams(&gateway);
    assert_eq!(all.len(), 1, "one connection for slate and studio");
    // Nobody says goodbye, so the connection is cut, and nothing else is wrong with it.
    let wrong = all[0].violations.iter().map(ToString::to_string);
    let wrong: Vec<String> = wrong.filter(|why| !why.contains("reset")).collect();
    assert_eq!(wrong, [""; 0]);
    assert_ne!(all[0].ending, Some(Ending::Deleted));
    gateway.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_never_on_air_waits_for_its_studio_and_opens_nothing() {
    let gateway = gateway().await;
    let waiting = KeptBroadcast {
        show: None,
        ..kept(&gateway)
    };

    let (handle, _) = restored(&gateway, waiting).await;

    handle.start().await.unwrap();
    assert_eq!(handle.snapshot().state, BroadcastState::Waiting);
    assert_eq!(streams(&gateway).len(), 0);
    let twice = gateway.broadcasts().restore(
        kept(&gateway),
        gateway
            .broadcasts()
            .inner()
            .membership
            .claim("show")
            .await
            .unwrap(),
        pipelines::Permit::unlimited(),
    );
    assert!(matches!(twice, Err(CreateError::Different)), "{twice:?}");
    gateway.shutdown().await;
}
