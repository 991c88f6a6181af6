//! Who gets what over a bottleneck.

use std::time::{Duration, Instant};

use super::bottleneck::Bottleneck;

/// Bit/s of simulcast as Chrome sends it.
const LAYERS: [u64; 3] = [150_000, 500_000, 1_500_000];
const MINUTE: Duration = Duration::from_mins(1);
const SETTLING: Duration = Duration::from_secs(20);

/// One picture and one sound for a while, and then looked at for a minute.
fn settled(bits_per_second: u64, set: impl FnOnce(&mut Bottleneck)) -> (Bottleneck, Instant) {
    let mut network = Bottleneck::new(bits_per_second);
    set(&mut network);
    network.add_sound(1);
    network.add_pictures(2, &LAYERS);
    network.pass(SETTLING);
    let since = network.rig.now;
    network.pass(MINUTE);
    (network, since)
}

fn assert_sound(network: &Bottleneck, since: Instant, what: &str) {
    let (lost, delay) = network.sound(since);
    assert!(
        lost <= 10 && delay <= 250,
        "{what}: {lost} of 1000 of sound lost, {delay} ms"
    );
}

#[test]
fn layers_settle_at_what_a_bottleneck_carries() {
    for (kilobits, expected) in [
        (300, 0),
        (450, 0),
        (800, 1),
        (1000, 1),
        (1300, 1),
        (2200, 2),
        (3000, 2),
    ] {
        let (network, since) = settled(kilobits * 1000, |_| {});

        let what = format!("{kilobits} kb/s: {:?}", network.changes);
        assert_eq!(network.layer(2), Some(expected), "{what}");
        assert!(network.worst_changes(2, since) <= 1, "{what}");
        assert_sound(&network, since, &what);
        let repeated = network.repeated_bytes * 100 / network.media_bytes;
        assert!(
            repeated <= 6,
            "probes are {repeated} % of the media: {what}"
        );
    }
}

#[test]
fn layers_settle_between_two_as_well() {
    for kilobits in (300..3000).step_by(270) {
        let (network, since) = settled(kilobits * 1000, |_| {});

        let what = format!("{kilobits} kb/s: {:?}", network.changes);
        assert!(network.layer(2).is_some(), "{what}");
        assert!(network.worst_changes(2, since) <= 2, "{what}");
        assert_sound(&network, since, &what);
    }
}

#[test]
fn buffers_of_all_lengths_are_noticed_before_sound_suffers() {
    for longest in [60, 150, 1000, 3000] {
        let (network, since) = settled(700_000, |network| {
            network.longest_queue = Duration::from_millis(longest);
        });

        let what = format!("{longest} ms: {:?}", network.changes);
        assert_eq!(network.layer(2), Some(1), "{what}");
        assert!(network.worst_changes(2, since) <= 1, "{what}");
        let (lost, delay) = network.sound(since);
        assert!(
            lost <= 30 && delay <= 250,
            "{lost} of 1000, {delay} ms, {what}"
        );
    }
}

#[test]
fn jitter_and_a_few_losses_are_not_taken_for_too_much() {
    for (jitter, losses) in [
        (&[0_u64, 5, 20, 1, 45, 12][..], 0),
        (&[0], 30),
        (&[0, 9, 3], 20),
    ] {
        let (network, since) = settled(3_000_000, |network| {
            network.jitter = jitter;
            network.losses = losses;
        });

        let what = format!("{jitter:?}, {losses}: {:?}", network.changes);
        assert_eq!(network.layer(2), Some(2), "{what}");
        assert_eq!(network.worst_changes(2, since), 0, "{what}");
    }
}

#[test]
fn what_becomes_narrow_and_wide_again_is_followed() {
    let mut network = Bottleneck::new(3_000_000);
    network.add_sound(1);
    network.add_pictures(2, &LAYERS);
    network.pass(SETTLING);
    assert_eq!(network.layer(2), Some(2));

    network.bits_per_second = 400_000;
    let narrow = network.rig.now;
    network.pass(Duration::from_secs(4));
    assert_eq!(network.layer(2), Some(0), "{:?}", network.changes);
    network.pass(SETTLING);
    assert!(network.worst_changes(2, narrow + Duration::from_secs(4)) <= 1);
    assert_sound(&network, narrow + Duration::from_secs(4), "narrow");

    network.bits_per_second = 3_000_000;
    network.pass(MINUTE);
    assert_eq!(network.layer(2), Some(2), "{:?}", network.changes);
}

#[test]
fn sound_is_never_starved_and_pictures_come_back() {
    let mut network = Bottleneck::new(3_000_000);
    network.add_sound(1);
    network.add_pictures(2, &[400_000]);
    network.add_pictures(3, &LAYERS);
    network.pass(SETTLING);

    network.bits_per_second = 120_000;
    network.pass(Duration::from_secs(5));
    let since = network.rig.now;
    network.pass(SETTLING);

    assert_eq!((network.layer(2), network.layer(3)), (None, None));
    assert_sound(&network, since, "120 kb/s");
    network.bits_per_second = 3_000_000;
    network.pass(MINUTE);
    assert_eq!((network.layer(2), network.layer(3)), (Some(0), Some(2)));
}

#[test]
fn sound_that_the_client_tells_nothing_of_has_its_room() {
    let mut network = Bottleneck::new(2_000_000);
    for producer in 100..120 {
        network.add_unseen_sound(producer);
    }
    network.add_pictures(2, &LAYERS);
    network.pass(SETTLING);
    let since = network.rig.now;
    network.pass(MINUTE);

    // A megabit is left.
    let what = format!("{:?}", network.changes);
    assert_eq!(network.layer(2), Some(1), "{what}");
    assert!(network.worst_changes(2, since) <= 1, "{what}");
    assert_sound(&network, since, &what);
}

#[test]
fn the_smallest_pictures_of_all_come_first() {
    let mut network = Bottleneck::new(1_300_000);
    network.add_sound(1);
    for producer in 2..7 {
        network.add_pictures(producer, &LAYERS);
    }

    network.pass(SETTLING);
    let since = network.rig.now;
    network.pass(MINUTE);

    let layers: Vec<_> = (2..7).map(|consumer| network.layer(consumer)).collect();
    assert!(layers.iter().all(Option::is_some), "{layers:?}");
    let worst = (2..7).map(|consumer| network.worst_changes(consumer, since));
    assert!(worst.max().unwrap() <= 1, "{:?}", network.changes);
    assert_sound(&network, since, "five pictures");
}

#[test]
fn pictures_without_layers_are_left_alone_where_there_is_room() {
    let mut network = Bottleneck::new(6_000_000);
    network.add_sound(1);
    for producer in 2..5 {
        network.add_pictures(producer, &[1_500_000]);
    }

    network.pass(MINUTE);

    assert_eq!(network.changes, [], "no layers, no events");
    assert!(network.media_bytes > 4_300_000 / 8 * 58);
    assert_eq!(network.repeated_bytes, 0, "nothing to be found out");
}

#[test]
fn without_room_for_all_pictures_the_later_ones_wait() {
    let mut network = Bottleneck::new(2_000_000);
    network.add_sound(1);
    for producer in 2..5 {
        network.add_pictures(producer, &[1_200_000]);
    }

    network.pass(SETTLING);
    let since = network.rig.now;
    network.pass(MINUTE);

    let layers: Vec<_> = (2..5).map(|consumer| network.layer(consumer)).collect();
    assert_eq!(
        layers.iter().filter(|layer| **layer == Some(0)).count(),
        1,
        "{layers:?}"
    );
    assert_sound(&network, since, "three pictures");
}
