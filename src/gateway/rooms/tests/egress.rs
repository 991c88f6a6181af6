use ::rooms::{EgressOrder, RoomDestination};
use broadcast::{
    AfterCut, BackupMode, BroadcastSpec, BroadcastState, DestinationId, DestinationSpec, Endpoint,
    Method, Platform,
};

use super::*;
use crate::broadcasts::Created;

fn destination(label: &str, id: &str, key: &str) -> RoomDestination {
    let endpoint = Endpoint::parse("rtmp://127.0.0.1:9/live", Some(key)).unwrap();
    RoomDestination {
        label: label.to_owned(),
        spec: DestinationSpec {
            id: DestinationId::new(id).unwrap(),
            platform: Platform::new("youtube").unwrap(),
            endpoint,
            backup: None,
            backup_mode: BackupMode::default(),
            required: false,
            enabled: true,
            paused: false,
            after_cut: AfterCut::default(),
            rendition: None,
            provider: None,
        },
    }
}

/// Somebody who sends a picture and sound.
async fn host(rig: &Rig) -> (Person, ProducerId, ProducerId) {
    let host = rig.join("host").await;
    host.member.create_transport(Direction::Send).await.unwrap();
    let picture = host.produce(MediaKind::Video).await;
    let sound = host.produce(MediaKind::Audio).await;
    (host, picture, sound)
}

fn programme(
    destinations: Vec<RoomDestination>,
    picture: &ProducerId,
    sound: &ProducerId,
) -> EgressOrder {
    EgressOrder {
        destinations,
        video: Some(picture.clone()),
        audio: Some(sound.clone()),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_programme_makes_the_broadcast_of_the_rooms_name_and_ends_with_it() {
    let rig = Rig::start().await;
    let (mut host, picture, sound) = host(&rig).await;
    let destinations = vec![
        destination("one", "one", "a"),
        destination("again", "again", "a"),
        destination("two", "one", "b"),
    ];

    let view = host
        .member
        .start_egress(programme(destinations, &picture, &sound))
        .await
        .unwrap();

    assert_eq!(
        (view.already, view.destinations),
        (false, vec!["one".to_owned(), "two".to_owned()])
    );
    let broadcast = rig.gateway.broadcasts().find(&show()).unwrap();
    let ids: Vec<_> = broadcast
        .snapshot()
        .destinations
        .iter()
        .map(|one| one.id.clone())
        .collect();
    assert_eq!(ids, ["one", "d1"].map(|id| DestinationId::new(id).unwrap()));
    assert_eq!(broadcast.snapshot().sessions.len(), 1);
    host.member.stop_egress().await.unwrap();
    assert_eq!(
        host.told().await,
        Some(RoomEvent::EgressEnded("stopped".to_owned()))
    );
    assert!(rig.gateway.broadcasts().find(&show()).is_none());
    host.member.stop_egress().await.unwrap();
    rig.gateway.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_programme_that_is_started_again_goes_on_and_takes_what_is_new() {
    let rig = Rig::start().await;
    let (host, picture, sound) = host(&rig).await;
    let first = vec![destination("one", "one", "a")];
    host.member
        .start_egress(programme(first, &picture, &sound))
        .await
        .unwrap();
    let session = || {
        let snapshot = rig.gateway.broadcasts().find(&show()).unwrap().snapshot();
        snapshot
            .sessions
            .iter()
            .map(|session| session.id.clone())
            .collect::<Vec<_>>()
    };
    let before = session();

    let more = vec![
        destination("one", "one", "a"),
        destination("two", "two", "b"),
    ];
    let again = host
        .member
        .start_egress(programme(more, &picture, &sound))
        .await
        .unwrap();
    let same = session();
    let other = host.produce(MediaKind::Video).await;
    let more = vec![destination("one", "one", "a")];
    let changed = host
        .member
        .start_egress(programme(more, &other, &sound))
        .await
        .unwrap();

    assert!(again.already && changed.already);
    assert_eq!(before, same);
    assert!(!session().iter().all(|session| before.contains(session)));
    let broadcast = rig.gateway.broadcasts().find(&show()).unwrap();
    assert_eq!(broadcast.snapshot().destinations.len(), 2);
    rig.gateway.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_could_never_go_out_is_refused_and_leaves_nothing_behind() {
    let rig = Rig::with(&[("DESTINATION_ALLOW_PRIVATE", "false")]).await;
    let (host, picture, sound) = host(&rig).await;
    let public = || {
        let mut public = destination("one", "one", "a");
        let url = "rtmp://a.rtmp.youtube.com/live2";
        public.spec.endpoint = Endpoint::parse(url, Some("a")).unwrap();
        vec![public]
    };
    let nothing = EgressOrder {
        destinations: public(),
        video: None,
        audio: None,
    };

    let refusals = [
        host.member
            .start_egress(programme(Vec::new(), &picture, &sound))
            .await,
        host.member.start_egress(nothing).await,
        host.member
            .start_egress(programme(public(), &ProducerId::new("gone"), &sound))
            .await,
        host.member
            .start_egress(programme(public(), &sound, &picture))
            .await,
        host.member
            .start_egress(programme(
                vec![destination("own", "own", "a")],
                &picture,
                &sound,
            ))
            .await,
    ];

    for refusal in refusals {
        assert!(matches!(refusal, Err(RoomError::Egress(_))), "{refusal:?}");
    }
    assert!(rig.gateway.broadcasts().find(&show()).is_none());
    rig.gateway.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_ends_the_broadcast_by_the_api_ends_the_programme() {
    let rig = Rig::start().await;
    let (mut host, picture, sound) = host(&rig).await;
    let destinations = vec![destination("one", "one", "a")];
    host.member
        .start_egress(programme(destinations, &picture, &sound))
        .await
        .unwrap();
    assert!(wait_for_egress(&host, true).await);

    rig.gateway.broadcasts().end(&show()).await;

    assert!(matches!(host.told().await, Some(RoomEvent::EgressEnded(_))));
    assert!(!host.member.view().await.unwrap().egress);
    rig.gateway.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_who_leaves_leaves_the_broadcast_to_the_slate_and_may_come_back() {
    let rig = Rig::start().await;
    let (first, picture, sound) = host(&rig).await;
    let destinations = vec![destination("one", "one", "a")];
    let order = programme(destinations.clone(), &picture, &sound);
    first.member.start_egress(order).await.unwrap();

    first.member.leave().await;
    let broadcast = rig.gateway.broadcasts().find(&show()).unwrap();
    let sessions_end = async {
        let mut snapshots = broadcast.watch();
        snapshots
            .wait_for(|snapshot| snapshot.sessions.is_empty())
            .await
            .unwrap();
    };
    timeout(PATIENCE, sessions_end).await.unwrap();
    let (again, picture, sound) = host(&rig).await;
    let order = programme(destinations, &picture, &sound);
    let view = again.member.start_egress(order).await.unwrap();

    assert!(view.already);
    assert_ne!(broadcast.snapshot().state, BroadcastState::Ended);
    assert_eq!(broadcast.snapshot().sessions.len(), 1);
    assert_eq!(broadcast.snapshot().destinations.len(), 1);
    rig.gateway.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broadcast_that_was_there_before_is_used_and_stays() {
    let rig = Rig::start().await;
    let found = destination("found", "found", "a").spec;
    let spec = BroadcastSpec::new(show(), Method::default(), false, vec![found]).unwrap();
    let created = rig.gateway.broadcasts().create(spec).await.unwrap();
    assert!(matches!(created, Created::New(_)));
    let (host, picture, sound) = host(&rig).await;

    let destinations = vec![
        destination("mine", "mine", "a"),
        destination("two", "two", "b"),
    ];
    let order = programme(destinations, &picture, &sound);
    host.member.start_egress(order).await.unwrap();
    let broadcast = rig.gateway.broadcasts().find(&show()).unwrap();
    let started = broadcast.snapshot();
    host.member.stop_egress().await.unwrap();

    assert!(started.started);
    assert_eq!(started.destinations.len(), 2);
    let after = rig.gateway.broadcasts().find(&show()).unwrap().snapshot();
    assert!(!after.started && after.sessions.is_empty());
    rig.gateway.shutdown().await;
}

async fn wait_for_egress(person: &Person, wanted: bool) -> bool {
    for _ in 0..200 {
        if person.member.view().await.unwrap().egress == wanted {
            return true;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    false
}
