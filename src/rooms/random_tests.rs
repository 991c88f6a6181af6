use std::time::{Duration, Instant};

use ortc::MediaKind;
use proptest::prelude::*;

use crate::{
    ConsumerId, Direction, Effect, Place, ProducerId, Room, RoomFigures, RoomLimits, TransportId,
    room_tests::{consume, effects, empty_room, join, open, produce, seconds},
};

/// Something that happens; the numbers choose among what there is.
#[derive(Debug, Clone)]
enum Step {
    Join(u8),
    Leave(usize),
    Detach(usize),
    Resume(usize),
    Open(usize, u8),
    CloseTransport(usize, usize),
    TransportEnds(usize),
    Produce(usize),
    CloseProducer(usize, usize),
    Pause(usize, bool),
    Consume(usize, usize),
    CloseConsumer(usize, usize),
    Speak(usize, u8),
    Wait(u8),
}

fn step() -> impl Strategy<Value = Step> {
    let number = || 0..64_usize;
    prop_oneof![
        (0..6_u8).prop_map(Step::Join),
        number().prop_map(Step::Leave),
        number().prop_map(Step::Detach),
        number().prop_map(Step::Resume),
        (number(), 0..3_u8).prop_map(|(place, direction)| Step::Open(place, direction)),
        (number(), number()).prop_map(|(place, id)| Step::CloseTransport(place, id)),
        number().prop_map(Step::TransportEnds),
        number().prop_map(Step::Produce),
        (number(), number()).prop_map(|(place, id)| Step::CloseProducer(place, id)),
        (number(), any::<bool>()).prop_map(|(id, paused)| Step::Pause(id, paused)),
        (number(), number()).prop_map(|(place, id)| Step::Consume(place, id)),
        (number(), number()).prop_map(|(place, id)| Step::CloseConsumer(place, id)),
        (number(), any::<u8>()).prop_map(|(id, level)| Step::Speak(id, level)),
        (0..30_u8).prop_map(Step::Wait),
    ]
}

/// A room and everything that was ever given out for it, ended or not.
struct World {
    room: Room,
    now: Instant,
    places: Vec<Place>,
    transports: Vec<TransportId>,
    producers: Vec<ProducerId>,
    consumers: Vec<ConsumerId>,
}

impl World {
    fn place(&self, number: usize) -> Option<Place> {
        pick(&self.places, number)
    }

    fn step(&mut self, step: &Step) -> Option<()> {
        let (room, now) = (&mut self.room, self.now);
        match step {
            Step::Join(name) => {
                let arrival = join(room, &format!("p{name}"), now).ok()?;
                self.places.push(arrival.place);
            }
            Step::Leave(place) => room.leave(pick(&self.places, *place)?, now),
            Step::Detach(place) => room.detach(pick(&self.places, *place)?, now),
            Step::Resume(transport) => {
                let arrival = room
                    .resume(&pick(&self.transports, *transport)?, None)
                    .ok()?;
                self.places.push(arrival.place);
            }
            Step::Open(place, direction) => {
                let direction =
                    [Direction::Send, Direction::Receive, Direction::Both][usize::from(*direction)];
                let name = format!("t{}", self.transports.len());
                let place = pick(&self.places, *place)?;
                self.transports
                    .push(open(room, place, direction, &name).ok()?);
            }
            Step::CloseTransport(place, id) => {
                let (place, id) = (pick(&self.places, *place)?, pick(&self.transports, *id)?);
                room.close_transport(place, &id, now).ok()?;
            }
            Step::TransportEnds(id) => {
                room.handle_transport_ended(&pick(&self.transports, *id)?, "test", now);
            }
            Step::Produce(place) => {
                let name = format!("p{}", self.producers.len());
                let place = pick(&self.places, *place)?;
                self.producers
                    .push(produce(room, place, MediaKind::Audio, &name).ok()?);
            }
            Step::CloseProducer(place, id) => {
                let (place, id) = (pick(&self.places, *place)?, pick(&self.producers, *id)?);
                room.close_producer(place, &id, now).ok()?;
            }
            Step::Pause(id, paused) => {
                room.set_producer_paused(&pick(&self.producers, *id)?, *paused, now);
            }
            Step::Consume(place, id) => {
                let name = format!("c{}", self.consumers.len());
                let (place, id) = (pick(&self.places, *place)?, pick(&self.producers, *id)?);
                self.consumers.push(consume(room, place, &id, &name).ok()?);
            }
            Step::CloseConsumer(place, id) => {
                let (place, id) = (pick(&self.places, *place)?, pick(&self.consumers, *id)?);
                room.close_consumer(place, &id).ok()?;
            }
            Step::Speak(id, level) => {
                room.handle_audio_level(&pick(&self.producers, *id)?, *level, now);
            }
            Step::Wait(seconds_passed) => {
                self.now += seconds(u64::from(*seconds_passed));
                room.handle_timeout(self.now);
            }
        }
        Some(())
    }

    /// Nothing hangs in the air, and nobody is told who has no place.
    fn check(&self, effects: &[Effect]) {
        let room = &self.room;
        for transport in room.transports.values() {
            assert!(room.place_of(&transport.participant).is_some());
        }
        for producer in room.producers.values() {
            let transport = room.transports.get(&producer.transport).unwrap();
            assert_eq!(transport.participant, producer.participant);
        }
        for consumer in room.consumers.values() {
            let transport = room.transports.get(&consumer.transport).unwrap();
            assert_eq!(transport.participant, consumer.participant);
        }
        let figures = room.figures();
        assert!(figures.participants <= 4 && figures.transports <= 4 * 3);
        assert!(figures.producers <= 4 * 3 && figures.consumers <= 4 * 5);
        for effect in effects {
            if let Effect::Tell(place, _) = effect {
                assert!(self.places.contains(place), "nobody ever had {place:?}");
            }
        }
    }
}

fn pick<T: Clone>(all: &[T], number: usize) -> Option<T> {
    (!all.is_empty()).then(|| all[number % all.len()].clone())
}

proptest! {
    #[test]
    fn whatever_happens_nothing_is_left_hanging_and_nothing_stays(
        steps in prop::collection::vec(step(), 0..120),
    ) {
        let now = Instant::now();
        let limits = RoomLimits { participants: 4, transports: 3, producers: 3, consumers: 5 };
        let mut world = World {
            room: empty_room(limits, now),
            now,
            places: Vec::new(),
            transports: Vec::new(),
            producers: Vec::new(),
            consumers: Vec::new(),
        };

        for step in &steps {
            world.step(step);
            let effects = effects(&mut world.room);
            world.check(&effects);
        }
        for number in 0..world.places.len() {
            let place = world.place(number);
            world.room.detach(place.unwrap(), world.now);
        }
        let mut rounds = 0;
        while let Some(due) = world.room.poll_timeout(world.now)
            && !world.room.is_over(world.now)
        {
            // Whoever looks a moment later than due must find nothing due again at once.
            world.now = world.now.max(due) + Duration::from_millis(1);
            world.room.handle_timeout(world.now);
            rounds += 1;
            prop_assert!(rounds < 200, "the room does not come to rest");
        }

        prop_assert_eq!(world.room.figures(), RoomFigures::default());
        prop_assert_eq!(world.room.speakers.announced(), None);
        prop_assert!(world.room.is_over(world.now));
    }
}
