use super::*;
use crate::{Cores, candidates};

const SECOND: Duration = Duration::from_secs(1);

fn node(name: &str) -> NodeReport {
    NodeReport {
        id: NodeId::new(name).unwrap(),
        instance: format!("{name}-1"),
        url: format!("https://{name}.example.org"),
        ip: "192.0.2.1".to_owned(),
        region: None,
        methods: Vec::new(),
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

fn two_nodes() -> (Ledger, Epoch, Epoch) {
    let mut ledger = Ledger::new(Times::default());
    let a = ledger.register(node("a"), Duration::ZERO).unwrap();
    let b = ledger.register(node("b"), Duration::ZERO).unwrap();
    (ledger, a, b)
}

#[test]
fn a_name_belongs_to_one_living_process() {
    let (mut ledger, epoch, _) = two_nodes();
    let mut other = node("a");
    other.instance = "a-2".to_owned();

    let refused = ledger.register(other.clone(), 2 * SECOND);
    let later = ledger.register(other, 3 * SECOND).unwrap();
    let superseded = ledger.heartbeat(node("a"), epoch, 3 * SECOND);

    assert_eq!(refused, Err(LedgerError::NameTaken(id("a"))));
    assert!(later > epoch);
    assert_eq!(superseded, Err(LedgerError::Superseded(id("a"))));
}

#[test]
fn the_same_process_may_register_again() {
    let (mut ledger, epoch, _) = two_nodes();

    let again = ledger.register(node("a"), SECOND).unwrap();

    assert!(again > epoch);
}

#[test]
fn a_place_is_kept_for_fifteen_seconds_and_counted() {
    let (mut ledger, ..) = two_nodes();
    let large = wish("large", 900_000);

    let first = ledger.reserve(&large, &[id("a")], Duration::ZERO).unwrap();
    let second = ledger.reserve(&wish("other", 200_000), &[id("a")], SECOND);
    let taken = ledger.nodes(SECOND)[0].taken;
    ledger.heartbeat(node("a"), Epoch(1), 14 * SECOND).unwrap();
    let late = ledger.reserve(&wish("other", 200_000), &[id("a")], 15 * SECOND);

    assert_eq!(first.node, id("a"));
    assert_eq!(second, Err(LedgerError::Full));
    assert_eq!(taken, Cores::of_millionths(900_000));
    assert!(late.is_ok());
}

#[test]
fn a_place_counts_until_its_node_tells_of_the_broadcast() {
    let (mut ledger, a, _) = two_nodes();
    ledger
        .reserve(&wish("show", 900_000), &[id("a")], Duration::ZERO)
        .unwrap();

    ledger.claim("show", &id("a"), a, Duration::ZERO).unwrap();
    let before = ledger.nodes(Duration::ZERO)[0].taken;
    let mut report = node("a");
    report.taken = Cores::of_millionths(900_000);
    ledger.heartbeat(report, a, SECOND).unwrap();
    let after = ledger.nodes(SECOND)[0].taken;

    assert_eq!(before, Cores::of_millionths(900_000));
    assert_eq!(after, before);
}

#[test]
fn asking_again_finds_the_same_place_and_takes_no_second_one() {
    let (mut ledger, ..) = two_nodes();
    let large = wish("large", 900_000);
    ledger.reserve(&large, &[id("a")], Duration::ZERO).unwrap();

    let again = ledger.reserve(&large, &[id("b"), id("a")], SECOND).unwrap();

    assert_eq!(again.node, id("a"));
    assert_eq!(ledger.nodes(SECOND)[1].taken, Cores::NONE);
}

#[test]
fn a_broadcast_that_lives_stays_where_it_is() {
    let (mut ledger, a, _) = two_nodes();
    ledger.claim("show", &id("a"), a, Duration::ZERO).unwrap();

    let asked = ledger
        .reserve(&wish("show", 1), &[id("b")], SECOND)
        .unwrap();

    assert_eq!(asked.node, id("a"));
    assert_eq!(asked.why, Why::LivesThere);
}

#[test]
fn two_nodes_cannot_hold_one_broadcast() {
    let (mut ledger, a, b) = two_nodes();

    let first = ledger.claim("show", &id("a"), a, Duration::ZERO).unwrap();
    let again = ledger.claim("show", &id("a"), a, Duration::ZERO).unwrap();
    let second = ledger.claim("show", &id("b"), b, Duration::ZERO);

    assert_eq!(first, again);
    assert_eq!(second, Err(ClaimError::Held(id("a"))));
}

#[test]
fn a_dead_nodes_broadcast_is_adopted_once_and_its_old_number_is_refused() {
    let (mut ledger, a, b) = two_nodes();
    let c = ledger.register(node("c"), Duration::ZERO).unwrap();
    let claim = ledger.claim("show", &id("a"), a, Duration::ZERO).unwrap();
    ledger
        .save("show", claim.fence, b"destinations".to_vec())
        .unwrap();
    ledger.heartbeat(node("b"), b, 2 * SECOND).unwrap();
    ledger.heartbeat(node("c"), c, 2 * SECOND).unwrap();
    assert_eq!(ledger.orphans(2 * SECOND), []);

    let orphans = ledger.orphans(3 * SECOND);
    let adopted = ledger.adopt(&orphans[0], &id("b"), b, 3 * SECOND).unwrap();
    let second = ledger.adopt(&orphans[0], &id("c"), c, 3 * SECOND);
    // The dead one was only away.
    ledger.heartbeat(node("a"), a, 4 * SECOND).unwrap();
    let saved = ledger.save("show", claim.fence, b"old".to_vec());
    let claimed = ledger.claim("show", &id("a"), a, 4 * SECOND);

    assert_eq!(adopted.state, b"destinations");
    assert!(adopted.fence > claim.fence);
    assert_eq!(second, Err(ClaimError::Fenced));
    assert_eq!(saved, Err(ClaimError::Fenced));
    assert_eq!(claimed, Err(ClaimError::Held(id("b"))));
}

#[test]
fn an_orphan_is_adopted_and_not_begun_anew() {
    let (mut ledger, a, b) = two_nodes();
    ledger.claim("show", &id("a"), a, Duration::ZERO).unwrap();
    ledger.heartbeat(node("b"), b, 2 * SECOND).unwrap();

    let claimed = ledger.claim("show", &id("b"), b, 4 * SECOND);

    assert_eq!(claimed, Err(ClaimError::Orphaned));
}

#[test]
fn a_node_that_came_back_in_time_keeps_its_broadcasts() {
    let (mut ledger, a, b) = two_nodes();
    ledger.claim("show", &id("a"), a, Duration::ZERO).unwrap();
    ledger.heartbeat(node("b"), b, 2 * SECOND).unwrap();
    let orphans = ledger.orphans(3 * SECOND);
    ledger.heartbeat(node("a"), a, 3 * SECOND).unwrap();

    let adopted = ledger.adopt(&orphans[0], &id("b"), b, 4 * SECOND);

    assert_eq!(adopted, Err(ClaimError::Held(id("a"))));
}

#[test]
fn a_restarted_process_of_the_same_name_does_not_hold_what_the_old_one_held() {
    let (mut ledger, a, _) = two_nodes();
    ledger.claim("show", &id("a"), a, Duration::ZERO).unwrap();
    let mut restarted = node("a");
    restarted.instance = "a-2".to_owned();
    let epoch = ledger.register(restarted, 4 * SECOND).unwrap();

    let orphans = ledger.orphans(4 * SECOND);
    let adopted = ledger.adopt(&orphans[0], &id("a"), epoch, 4 * SECOND);

    assert!(adopted.is_ok());
}

#[test]
fn a_registry_that_lost_its_memory_is_told_again_and_larger_numbers_win() {
    let (mut ledger, a, b) = two_nodes();
    let old = ledger.claim("show", &id("a"), a, Duration::ZERO).unwrap();
    let new = ledger
        .hand_over("show", old.fence, &id("b"), Duration::ZERO)
        .unwrap();
    let mut ledger = Ledger::new(Times::default());
    ledger.heartbeat(node("a"), a, Duration::ZERO).unwrap();
    ledger.heartbeat(node("b"), b, Duration::ZERO).unwrap();

    ledger
        .reclaim("show", &id("b"), b, new.fence, Vec::new())
        .unwrap();
    let refused = ledger.reclaim("show", &id("a"), a, old.fence, Vec::new());
    let next = ledger
        .claim("another", &id("a"), a, Duration::ZERO)
        .unwrap();

    assert_eq!(refused, Err(ClaimError::Fenced));
    assert!(next.fence > new.fence);
}

#[test]
fn a_key_is_published_with_by_one_broadcast_and_follows_it_to_another_node() {
    let (mut ledger, a, b) = two_nodes();
    let key = [7; 32];
    let later = 3 * SECOND;
    let show = ledger.claim("show", &id("a"), a, Duration::ZERO).unwrap();
    let copy = ledger.claim("copy", &id("b"), b, Duration::ZERO).unwrap();

    assert_eq!(ledger.take_key(key, "show", show.fence, later), Ok(()));
    assert_eq!(
        ledger.take_key(key, "copy", copy.fence, later),
        Err(KeyError::Held("show".to_owned()))
    );
    let moved = ledger
        .hand_over("show", show.fence, &id("b"), Duration::ZERO)
        .unwrap();
    assert_eq!(
        ledger.take_key(key, "show", show.fence, later),
        Err(KeyError::Claim(ClaimError::Fenced))
    );
    assert_eq!(ledger.take_key(key, "show", moved.fence, later), Ok(()));
    ledger.give_back_key(&key, "show", show.fence);
    assert!(ledger.take_key(key, "copy", copy.fence, later).is_err());
    ledger.release("show", moved.fence, later);
    assert_eq!(ledger.take_key(key, "copy", copy.fence, later), Ok(()));
}

/// A small generator, so that a simulation is the same each time.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        usize::try_from(self.0 >> 33).unwrap() % bound
    }
}

#[test]
fn a_thousand_nodes_share_fifty_thousand_broadcasts_that_come_and_go() {
    const NODES: usize = 1_000;
    const BROADCASTS: usize = 50_000;
    let mut ledger = Ledger::new(Times::default());
    let mut dice = Dice(1);
    let reports: Vec<NodeReport> = (0..NODES)
        .map(|number| {
            let mut report = node(&format!("n{number}"));
            // One, two or four cores.
            report.capacity = Cores::of_millionths(1_000_000 << (number % 3));
            report
        })
        .collect();
    let mut taken = vec![0_u64; NODES];
    let mut homes: Vec<Option<(usize, u64)>> = vec![None; BROADCASTS];
    let costs = [22_000, 24_000, 60_000];
    let mut placed = 0;
    let mut now = Duration::ZERO;

    for round in 0..40 {
        now += SECOND;
        // Nodes tell once a second; between that, everybody decides by what was told.
        let seen: Vec<NodeReport> = reports
            .iter()
            .zip(&taken)
            .map(|(report, taken)| {
                let mut report = report.clone();
                report.taken = Cores::of_millionths(*taken);
                report
            })
            .collect();
        for report in &seen {
            let known = ledger.members.get(&report.id).map(|member| member.epoch);
            match known {
                Some(epoch) => drop(ledger.heartbeat(report.clone(), epoch, now).unwrap()),
                None => drop(ledger.register(report.clone(), now).unwrap()),
            }
        }
        for _ in 0..BROADCASTS / 20 {
            let number = dice.below(BROADCASTS);
            if let Some((home, cost)) = homes[number].take() {
                taken[home] -= cost;
                continue;
            }
            let cost = costs[dice.below(costs.len())];
            let wish = wish(&format!("show-{round}-{number}"), cost);
            // Sixteen that the asker knows of, as its view is: a second old.
            let some: Vec<NodeReport> = (0..16).map(|_| seen[dice.below(NODES)].clone()).collect();
            let Ok(liked) = candidates(&some, &wish) else {
                continue;
            };
            let names: Vec<NodeId> = liked.into_iter().map(|candidate| candidate.node).collect();
            if let Ok(place) = ledger.reserve(&wish, &names, now) {
                let epoch = ledger.members[&place.node].epoch;
                ledger
                    .claim(&wish.broadcast, &place.node, epoch, now)
                    .unwrap();
                let home = reports
                    .iter()
                    .position(|report| report.id == place.node)
                    .unwrap();
                taken[home] += cost;
                homes[number] = Some((home, cost));
                placed += 1;
                assert!(
                    taken[home] <= reports[home].capacity.millionths(),
                    "{}",
                    place.node
                );
            }
        }
    }

    assert!(placed > BROADCASTS / 2, "{placed}");
    let whole: u64 = reports
        .iter()
        .map(|report| report.capacity.millionths())
        .sum();
    let mean = taken.iter().sum::<u64>() * 1_000 / whole;
    let fullness: Vec<u64> = taken
        .iter()
        .zip(&reports)
        .map(|(taken, report)| taken * 1_000 / report.capacity.millionths())
        .collect();
    let deviation: u64 =
        fullness.iter().map(|part| part.abs_diff(mean)).sum::<u64>() / NODES as u64;
    assert!(
        deviation * 20 <= mean,
        "of {mean} ‰ nodes differ by {deviation} ‰ on average"
    );
}
