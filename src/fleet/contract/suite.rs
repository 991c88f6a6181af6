//! The clauses. Each is given an empty registry of short lives.

use std::{sync::Arc, time::Duration};

use tokio::{task::JoinSet, time::sleep};

use super::TIMES;
use crate::{
    ClaimError, Cores, KeyError, Known, LedgerError, NodeId, NodeReport, Registry, RegistryError,
    Why, Wish,
};

type Any = Arc<dyn Registry>;

/// Long enough for a node to be dead.
const DEATH: Duration = Duration::from_millis(600);

/// How often a node tells that it lives, where others die.
const BEAT: Duration = Duration::from_millis(100);

pub(super) fn node(name: &str) -> NodeReport {
    NodeReport {
        id: id(name),
        instance: format!("{name}-1"),
        url: format!("https://{name}.example.org"),
        ip: "192.0.2.1".to_owned(),
        region: None,
        methods: vec!["gstreamer".to_owned()],
        version: "0.1.0".to_owned(),
        draining: false,
        capacity: Cores::of_millionths(1_000_000),
        taken: Cores::NONE,
        broadcasts: 0,
    }
}

fn id(name: &str) -> NodeId {
    NodeId::new(name).unwrap()
}

fn wish(broadcast: &str, cost: u64) -> Wish {
    Wish {
        broadcast: broadcast.to_owned(),
        cost: Cores::of_millionths(cost),
        region: None,
        method: None,
    }
}

/// Lets time pass in which these nodes live on.
async fn pass(registry: &Any, living: &[(&NodeReport, crate::Epoch)]) {
    let mut passed = Duration::ZERO;
    while passed < DEATH {
        for (report, epoch) in living {
            registry.heartbeat(report, *epoch).await.unwrap();
        }
        sleep(BEAT).await;
        passed += BEAT;
    }
}

pub(super) async fn a_name_belongs_to_one_living_process(registry: Any) {
    let epoch = registry.register(&node("a")).await.unwrap();
    let mut other = node("a");
    other.instance = "a-2".to_owned();

    let refused = registry.register(&other).await;
    sleep(DEATH).await;
    let later = registry.register(&other).await.unwrap();
    let superseded = registry.heartbeat(&node("a"), epoch).await;

    assert_eq!(refused, Err(LedgerError::NameTaken(id("a")).into()));
    assert!(later > epoch);
    assert_eq!(superseded, Err(LedgerError::Superseded(id("a")).into()));
}

pub(super) async fn thirty_who_ask_at_once_never_get_the_same_last_place(registry: Any) {
    for name in ["a", "b"] {
        registry.register(&node(name)).await.unwrap();
    }
    let mut asking = JoinSet::new();
    for number in 0..30 {
        let registry = Arc::clone(&registry);
        asking.spawn(async move {
            let wish = wish(&format!("show-{number}"), 100_000);
            registry.reserve(&wish, &[id("a"), id("b")]).await
        });
    }

    let answers = asking.join_all().await;
    let places = answers.iter().flatten();
    let on_a = places.clone().filter(|place| place.node == id("a")).count();
    let full = answers
        .iter()
        .filter(|answer| **answer == Err(LedgerError::Full.into()))
        .count();

    assert_eq!((places.count(), on_a, full), (20, 10, 10));
}

pub(super) async fn a_place_counts_until_its_node_tells_of_the_broadcast(registry: Any) {
    let mut report = node("a");
    let epoch = registry.register(&report).await.unwrap();
    let large = wish("large", 900_000);
    registry.reserve(&large, &[id("a")]).await.unwrap();
    let again = registry.reserve(&large, &[id("a")]).await.unwrap();
    let kept = registry.fleet().await.unwrap().alive[0].taken;

    registry.claim("large", &id("a"), epoch).await.unwrap();
    let claimed = registry.fleet().await.unwrap().alive[0].taken;
    report.taken = Cores::of_millionths(900_000);
    registry.heartbeat(&report, epoch).await.unwrap();
    let told = registry.fleet().await.unwrap().alive[0].taken;

    assert_eq!(again.node, id("a"));
    assert_eq!([kept, claimed, told], [report.taken; 3]);
}

pub(super) async fn a_region_is_preferred_and_not_demanded(registry: Any) {
    let mut near = node("near");
    near.region = Some("eu".to_owned());
    near.taken = Cores::of_millionths(800_000);
    registry.register(&near).await.unwrap();
    registry.register(&node("far")).await.unwrap();
    let candidates = [id("far"), id("near")];
    let mut first = wish("first", 150_000);
    first.region = Some("eu".to_owned());
    let mut second = wish("second", 150_000);
    second.region = Some("eu".to_owned());

    let first = registry.reserve(&first, &candidates).await.unwrap();
    let second = registry.reserve(&second, &candidates).await.unwrap();

    assert_eq!(first.node, id("near"));
    assert_eq!(
        first.why,
        Why::MostRoom {
            free: Cores::of_millionths(200_000),
            in_region: Some(true)
        }
    );
    assert_eq!(second.node, id("far"));
    assert!(matches!(
        second.why,
        Why::MostRoom {
            in_region: Some(false),
            ..
        }
    ));
}

pub(super) async fn two_nodes_cannot_hold_one_broadcast(registry: Any) {
    let a = registry.register(&node("a")).await.unwrap();
    let b = registry.register(&node("b")).await.unwrap();

    let first = registry.claim("show", &id("a"), a).await.unwrap();
    let again = registry.claim("show", &id("a"), a).await.unwrap();
    let second = registry.claim("show", &id("b"), b).await;
    let asked = registry
        .reserve(&wish("show", 1), &[id("b")])
        .await
        .unwrap();
    registry.release("show", first.fence).await.unwrap();
    let third = registry.claim("show", &id("b"), b).await;

    assert_eq!(first, again);
    assert_eq!(second, Err(ClaimError::Held(id("a")).into()));
    assert_eq!((asked.node, asked.why), (id("a"), Why::LivesThere));
    assert!(third.is_ok());
    let (holder, _) = registry.holder("show").await.unwrap().unwrap();
    assert_eq!(holder, id("b"));
}

pub(super) async fn a_dead_nodes_broadcast_is_adopted_by_one_of_many(registry: Any) {
    let dead = registry.register(&node("dead")).await.unwrap();
    let claim = registry.claim("show", &id("dead"), dead).await.unwrap();
    let state = vec![0, 255, 10, 13];
    registry
        .save("show", claim.fence, state.clone())
        .await
        .unwrap();
    let (a, b) = (node("a"), node("b"));
    let epochs = [
        registry.register(&a).await.unwrap(),
        registry.register(&b).await.unwrap(),
    ];
    assert_eq!(registry.orphans().await.unwrap(), []);
    pass(&registry, &[(&a, epochs[0]), (&b, epochs[1])]).await;

    let orphans = registry.orphans().await.unwrap();
    let begun = registry.claim("show", &id("a"), epochs[0]).await;
    let mut adopting = JoinSet::new();
    for (name, epoch) in ["a", "b"].into_iter().zip(epochs) {
        let (registry, orphan) = (Arc::clone(&registry), orphans[0].clone());
        adopting.spawn(async move { registry.adopt(&orphan, &id(name), epoch).await });
    }
    let adopted = adopting.join_all().await;

    assert_eq!(orphans.len(), 1);
    assert_eq!(orphans[0].node, id("dead"));
    assert_eq!(begun, Err(ClaimError::Orphaned.into()));
    let succeeded: Vec<_> = adopted.iter().flatten().collect();
    assert_eq!(succeeded.len(), 1, "{adopted:?}");
    assert_eq!(succeeded[0].state, state);
    assert!(succeeded[0].fence > claim.fence);
    assert_eq!(registry.orphans().await.unwrap(), []);
}

pub(super) async fn a_node_that_was_only_away_is_fenced(registry: Any) {
    let away = registry.register(&node("away")).await.unwrap();
    let claim = registry.claim("show", &id("away"), away).await.unwrap();
    let a = node("a");
    let epoch = registry.register(&a).await.unwrap();
    pass(&registry, &[(&a, epoch)]).await;
    let orphan = registry.orphans().await.unwrap().remove(0);
    registry.adopt(&orphan, &id("a"), epoch).await.unwrap();

    let alive = registry.heartbeat(&node("away"), away).await;
    let saved = registry.save("show", claim.fence, Vec::new()).await;
    let claimed = registry.claim("show", &id("away"), away).await;
    registry.release("show", claim.fence).await.unwrap();

    let (was_alive, held) = (false, 0);
    assert_eq!(alive, Ok(Known { was_alive, held }));
    assert_eq!(saved, Err(ClaimError::Fenced.into()));
    assert_eq!(claimed, Err(ClaimError::Held(id("a")).into()));
    let (holder, _) = registry.holder("show").await.unwrap().unwrap();
    assert_eq!(holder, id("a"));
}

/// Lets a registry become old enough to give keys.
async fn grown(registry: &Any) {
    registry.register(&node("first")).await.unwrap();
    sleep(TIMES.node).await;
}

pub(super) async fn a_key_is_published_with_by_one_broadcast(registry: Any) {
    grown(&registry).await;
    let a = registry.register(&node("a")).await.unwrap();
    let b = registry.register(&node("b")).await.unwrap();
    let show = registry.claim("show", &id("a"), a).await.unwrap();
    let copy = registry.claim("copy", &id("b"), b).await.unwrap();
    let key = [7; 32];

    let first = registry.take_key(key, "show", show.fence).await;
    let again = registry.take_key(key, "show", show.fence).await;
    let second = registry.take_key(key, "copy", copy.fence).await;
    let moved = registry
        .hand_over("show", show.fence, &id("b"))
        .await
        .unwrap();
    let old = registry.take_key(key, "show", show.fence).await;
    let new = registry.take_key(key, "show", moved.fence).await;
    registry
        .give_back_key(key, "show", show.fence)
        .await
        .unwrap();
    let still = registry.take_key(key, "copy", copy.fence).await;
    registry.release("show", moved.fence).await.unwrap();
    let free = registry.take_key(key, "copy", copy.fence).await;

    assert_eq!((first, again, new, free), (Ok(()), Ok(()), Ok(()), Ok(())));
    let held: Result<(), RegistryError> = Err(KeyError::Held("show".to_owned()).into());
    assert_eq!((second, still), (held.clone(), held));
    assert_eq!(old, Err(KeyError::Claim(ClaimError::Fenced).into()));
}

pub(super) async fn a_broadcast_is_handed_over_with_its_state(registry: Any) {
    let a = registry.register(&node("a")).await.unwrap();
    let b = registry.register(&node("b")).await.unwrap();
    let claim = registry.claim("show", &id("a"), a).await.unwrap();
    registry
        .save("show", claim.fence, b"now".to_vec())
        .await
        .unwrap();

    let nobody = registry.hand_over("show", claim.fence, &id("c")).await;
    let moved = registry
        .hand_over("show", claim.fence, &id("b"))
        .await
        .unwrap();
    let again = registry.hand_over("show", claim.fence, &id("b")).await;
    let claimed = registry.claim("show", &id("b"), b).await.unwrap();

    assert_eq!(nobody, Err(ClaimError::NotRegistered.into()));
    assert_eq!(moved.state, b"now");
    assert_eq!(again, Err(ClaimError::Fenced.into()));
    assert_eq!(claimed.fence, moved.fence);
}

pub(super) async fn a_registry_that_lost_its_memory_is_told_again(registry: Any) {
    // What nodes had from a registry that is gone: they tell an empty one.
    let (a, b) = (node("a"), node("b"));
    let (old, new) = (crate::Fence(41), crate::Fence(42));
    let (first, second) = (crate::Epoch(7), crate::Epoch(8));
    registry.heartbeat(&a, first).await.unwrap();
    registry.heartbeat(&b, second).await.unwrap();

    let told = registry
        .reclaim("show", &b.id, second, new, b"now".to_vec())
        .await;
    let late = registry
        .reclaim("show", &a.id, first, old, Vec::new())
        .await;
    let next = registry.claim("another", &a.id, first).await.unwrap();

    assert_eq!(told, Ok(()));
    assert_eq!(late, Err(ClaimError::Fenced.into()));
    assert!(next.fence > new);
}

pub(super) async fn what_the_registry_forgot_is_told_from_what_is_another_nodes(registry: Any) {
    let a = node("a");
    let epoch = crate::Epoch(7);
    let forgotten = registry.heartbeat(&a, epoch).await.unwrap();
    let fence = crate::Fence(41);
    let save = || registry.save("show", fence, b"now".to_vec());

    let unknown = save().await;
    registry
        .reclaim("show", &a.id, epoch, fence, Vec::new())
        .await
        .unwrap();
    let told = save().await;
    let known = registry.heartbeat(&a, epoch).await.unwrap();
    let held = registry.held_by(&a.id, epoch).await;
    registry.release("show", fence).await.unwrap();
    let ended = save().await;
    let back = registry
        .reclaim("show", &a.id, epoch, fence, Vec::new())
        .await;
    let anew = registry.claim("show", &a.id, epoch).await.unwrap();

    let known_as = |was_alive, held| Known { was_alive, held };
    assert_eq!([forgotten, known], [known_as(false, 0), known_as(true, 1)]);
    assert_eq!(unknown, Err(ClaimError::Forgotten.into()));
    assert_eq!(told, Ok(()));
    assert_eq!(held, Ok(vec!["show".to_owned()]));
    assert_eq!(ended, Err(ClaimError::Fenced.into()));
    assert_eq!(back, Err(ClaimError::Fenced.into()));
    assert!(anew.fence > fence);
}

pub(super) async fn a_registry_without_memory_is_told_of_keys_before_it_gives_them(registry: Any) {
    let (a, b) = (node("a"), node("b"));
    let (key, other) = ([7; 32], [8; 32]);
    let old = registry.register(&a).await.unwrap();
    let new = registry.register(&b).await.unwrap();
    let show = registry.claim("show", &a.id, old).await.unwrap();
    let copy = registry.claim("copy", &b.id, new).await.unwrap();

    let early = registry.take_key(key, "copy", copy.fence).await;
    let told = registry.retell_key(key, "show", show.fence).await;
    let again = registry.take_key(key, "show", show.fence).await;
    let held = registry.take_key(key, "copy", copy.fence).await;
    let unheld = registry.retell_key(other, "copy", show.fence).await;
    pass(&registry, &[(&a, old), (&b, new)]).await;
    let later = registry.take_key(other, "copy", copy.fence).await;

    assert_eq!(early, Err(KeyError::Retelling.into()));
    assert_eq!((told, again, later), (Ok(()), Ok(()), Ok(())));
    assert_eq!(held, Err(KeyError::Held("show".to_owned()).into()));
    assert_eq!(unheld, Err(KeyError::Claim(ClaimError::Fenced).into()));
}

pub(super) async fn the_fleet_counts_those_that_have_just_died(registry: Any) {
    let a = node("a");
    let epoch = registry.register(&a).await.unwrap();
    let left = registry.register(&node("left")).await.unwrap();
    registry.register(&node("dead")).await.unwrap();
    pass(&registry, &[(&a, epoch)]).await;

    registry.leave(&id("left"), left).await.unwrap();
    let fleet = registry.fleet().await.unwrap();

    assert_eq!(fleet.alive, [a]);
    assert_eq!(fleet.size, 2, "one lives, one has died, one has left");
    assert!(TIMES.node < DEATH);
}
