//! Who speaks: by the levels that come with the sound (RFC 6464), and by those that clients report.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use crate::{ParticipantId, ProducerId};

/// How loud somebody must be to count as speaking, of 1: −40 dBov. Room noise stays below.
const THRESHOLD: f64 = 0.01;

/// How long somebody must be the loudest before it is told: shorter than a syllable is no speech.
const DEBOUNCE: Duration = Duration::from_millis(100);

/// How many times louder than the one who speaks somebody must be to be told in their place: 2 dB, so that two who speak
/// at once do not take turns.
const CHALLENGE_RATIO: f64 = 1.25;

/// After how long a measured level counts half: the pauses between words are shorter than what it takes to fall silent.
const HALF_LIFE: Duration = Duration::from_millis(300);

/// How long a reported level counts; clients report about ten times a second.
const REPORT_LIFE: Duration = Duration::from_secs(2);

/// How often is looked again while somebody's level falls.
const LOOK_INTERVAL: Duration = Duration::from_millis(100);

/// Who speaks more than the others.
#[derive(Debug, Default)]
pub struct Speakers {
    measured: HashMap<ProducerId, Measured>,
    reported: HashMap<ParticipantId, (f64, Instant)>,
    announced: Option<ParticipantId>,
    /// Somebody else than the announced one, since when.
    challenge: Option<(Option<ParticipantId>, Instant)>,
    looked: Option<Instant>,
}

#[derive(Debug)]
struct Measured {
    participant: ParticipantId,
    level: f64,
    peak: f64,
    peak_at: Instant,
}

impl Measured {
    fn level(&self, now: Instant) -> f64 {
        let age = now.saturating_duration_since(self.peak_at).as_secs_f64();
        let faded = self.peak * 0.5_f64.powf(age / HALF_LIFE.as_secs_f64());
        faded.max(self.level)
    }

    fn is_falling(&self, now: Instant) -> bool {
        self.peak > self.level && self.level(now) >= THRESHOLD
    }
}

impl Speakers {
    /// Who was told last.
    pub const fn announced(&self) -> Option<&ParticipantId> {
        self.announced.as_ref()
    }

    /// This much came with the sound: 0 is loudest, 127 silence.
    pub fn handle_measured(
        &mut self,
        participant: &ParticipantId,
        producer: &ProducerId,
        level: u8,
        now: Instant,
    ) {
        let level = if level >= 127 {
            0.0
        } else {
            10.0_f64.powf(-f64::from(level) / 20.0)
        };
        let before = self
            .measured
            .get(producer)
            .map_or(0.0, |measured| measured.level(now));
        self.measured.insert(
            producer.clone(),
            Measured {
                participant: participant.clone(),
                level,
                peak: before.max(level),
                peak_at: now,
            },
        );
    }

    /// This much is what a client reports, 0 to 1. What is no such number is silence.
    pub fn handle_reported(&mut self, participant: &ParticipantId, level: f64, now: Instant) {
        let level = if level.is_finite() {
            level.clamp(0.0, 1.0)
        } else {
            0.0
        };
        self.reported.insert(participant.clone(), (level, now));
    }

    /// Nothing of this track is heard any more.
    pub fn forget_producer(&mut self, producer: &ProducerId) {
        self.measured.remove(producer);
    }

    /// Somebody left.
    pub fn forget_participant(&mut self, participant: &ParticipantId) {
        self.reported.remove(participant);
        self.measured
            .retain(|_, measured| measured.participant != *participant);
    }

    /// When [`look`](Self::look) is due, if ever.
    pub fn poll_timeout(&self, now: Instant) -> Option<Instant> {
        let challenge = self.challenge.as_ref().map(|(_, since)| *since + DEBOUNCE);
        let falling = self
            .measured
            .values()
            .any(|measured| measured.is_falling(now))
            .then(|| self.looked.map_or(now, |looked| looked + LOOK_INTERVAL));
        let reports = self
            .reported
            .values()
            .filter(|(level, _)| *level >= THRESHOLD)
            .map(|(_, at)| *at + REPORT_LIFE)
            .min();
        [challenge, falling, reports].into_iter().flatten().min()
    }

    /// Looks who speaks. `Some`: somebody else than was told last, or nobody.
    pub fn look(&mut self, now: Instant) -> Option<Option<ParticipantId>> {
        self.looked = Some(now);
        self.reported
            .retain(|_, (_, at)| now.saturating_duration_since(*at) < REPORT_LIFE);
        let speaks = self.loudest(now);
        if speaks == self.announced {
            self.challenge = None;
            return None;
        }
        let since = match &self.challenge {
            Some((challenger, since)) if *challenger == speaks => *since,
            _ => now,
        };
        if now.saturating_duration_since(since) < DEBOUNCE {
            self.challenge = Some((speaks, since));
            return None;
        }
        self.challenge = None;
        self.announced.clone_from(&speaks);
        Some(speaks)
    }

    /// The loudest, unless the one who was told last is about as loud. Of two equally loud ones the first by name.
    fn loudest(&self, now: Instant) -> Option<ParticipantId> {
        let mut levels: HashMap<&ParticipantId, f64> = HashMap::new();
        let measured = self
            .measured
            .values()
            .map(|measured| (&measured.participant, measured.level(now)));
        let reported = self
            .reported
            .iter()
            .map(|(participant, (level, _))| (participant, *level));
        for (participant, level) in measured.chain(reported) {
            let known = levels.entry(participant).or_default();
            *known = known.max(level);
        }
        let (loudest, most) = levels
            .iter()
            .filter(|(_, level)| **level >= THRESHOLD)
            .max_by(|(one, level), (other, more)| {
                level.total_cmp(more).then_with(|| other.cmp(one))
            })?;
        let announced = self.announced.as_ref();
        let stays = announced
            .and_then(|announced| levels.get(announced))
            .is_some_and(|level| *level >= THRESHOLD && *most < *level * CHALLENGE_RATIO);
        if stays {
            announced.cloned()
        } else {
            Some((*loudest).clone())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn anna() -> ParticipantId {
        ParticipantId::new("anna")
    }

    fn bert() -> ParticipantId {
        ParticipantId::new("bert")
    }

    fn milliseconds(count: u64) -> Duration {
        Duration::from_millis(count)
    }

    /// What is told in this time when somebody looks whenever it is due.
    fn told(speakers: &mut Speakers, from: Instant, until: Instant) -> Vec<Option<ParticipantId>> {
        let mut told = Vec::new();
        let mut now = from;
        loop {
            told.extend(speakers.look(now));
            match speakers.poll_timeout(now) {
                Some(due) if due <= until => now = due.max(now + milliseconds(1)),
                _ => return told,
            }
        }
    }

    #[test]
    fn who_reports_a_level_above_the_threshold_for_a_tenth_of_a_second_speaks() {
        let start = Instant::now();
        let mut speakers = Speakers::default();

        speakers.handle_reported(&anna(), 0.02, start);

        assert_eq!(speakers.look(start), None);
        assert_eq!(
            speakers.poll_timeout(start),
            Some(start + milliseconds(100))
        );
        assert_eq!(speakers.look(start + milliseconds(100)), Some(Some(anna())));
        assert_eq!(speakers.look(start + milliseconds(200)), None);
    }

    #[test]
    fn noise_below_the_threshold_is_nobody() {
        let start = Instant::now();
        let mut speakers = Speakers::default();

        speakers.handle_reported(&anna(), 0.009, start);
        speakers.handle_measured(&bert(), &ProducerId::new("p"), 41, start);

        assert_eq!(told(&mut speakers, start, start + milliseconds(5000)), []);
    }

    #[test]
    fn a_click_is_no_speech() {
        let start = Instant::now();
        let mut speakers = Speakers::default();

        speakers.handle_reported(&anna(), 0.5, start);
        speakers.look(start);
        speakers.handle_reported(&anna(), 0.0, start + milliseconds(60));

        assert_eq!(
            told(
                &mut speakers,
                start + milliseconds(60),
                start + milliseconds(5000)
            ),
            []
        );
    }

    #[test]
    fn the_louder_one_takes_over_and_the_about_equally_loud_one_does_not() {
        let start = Instant::now();
        let mut speakers = Speakers::default();
        speakers.handle_reported(&anna(), 0.5, start);
        told(&mut speakers, start, start + milliseconds(200));

        let later = start + milliseconds(300);
        speakers.handle_reported(&bert(), 0.6, later);
        let equal = told(&mut speakers, later, later + milliseconds(500));
        let later = start + milliseconds(1000);
        speakers.handle_reported(&bert(), 0.7, later);
        let louder = told(&mut speakers, later, later + milliseconds(500));

        assert_eq!(equal, []);
        assert_eq!(louder, [Some(bert())]);
    }

    #[test]
    fn who_falls_silent_is_told_after_a_while_and_not_between_two_words() {
        let start = Instant::now();
        let mut speakers = Speakers::default();
        let microphone = ProducerId::new("microphone");
        speakers.handle_measured(&anna(), &microphone, 10, start);
        assert_eq!(
            told(&mut speakers, start, start + milliseconds(150)),
            [Some(anna())]
        );

        let pause = start + milliseconds(200);
        speakers.handle_measured(&anna(), &microphone, 127, pause);
        let between = told(&mut speakers, pause, pause + milliseconds(300));
        speakers.handle_measured(&anna(), &microphone, 12, pause + milliseconds(300));
        let silence = pause + milliseconds(600);
        speakers.handle_measured(&anna(), &microphone, 127, silence);
        let after = told(&mut speakers, silence, silence + milliseconds(5000));

        assert_eq!(between, []);
        assert_eq!(after, [None]);
        assert_eq!(speakers.poll_timeout(silence + milliseconds(5000)), None);
    }

    #[test]
    fn a_steady_tone_speaks_for_as_long_as_it_lasts() {
        let start = Instant::now();
        let mut speakers = Speakers::default();

        speakers.handle_measured(&anna(), &ProducerId::new("p"), 20, start);

        let told = told(&mut speakers, start, start + Duration::from_mins(10));
        assert_eq!(told, [Some(anna())]);
        assert_eq!(speakers.announced(), Some(&anna()));
    }

    #[test]
    fn what_a_client_reported_is_forgotten_when_it_reports_no_more() {
        let start = Instant::now();
        let mut speakers = Speakers::default();

        speakers.handle_reported(&anna(), 0.5, start);

        let told = told(&mut speakers, start, start + Duration::from_mins(1));
        assert_eq!(told, [Some(anna()), None]);
        assert_eq!(speakers.poll_timeout(start + Duration::from_mins(1)), None);
    }

    #[test]
    fn who_left_speaks_no_more() {
        let start = Instant::now();
        let mut speakers = Speakers::default();
        let microphone = ProducerId::new("microphone");
        speakers.handle_measured(&anna(), &microphone, 5, start);
        speakers.handle_reported(&anna(), 0.5, start);
        told(&mut speakers, start, start + milliseconds(200));

        speakers.forget_participant(&anna());

        let later = start + milliseconds(300);
        assert_eq!(
            told(&mut speakers, later, later + milliseconds(500)),
            [None]
        );
    }

    #[test]
    fn what_is_no_level_is_silence() {
        let start = Instant::now();
        let mut speakers = Speakers::default();

        for level in [f64::NAN, f64::INFINITY, -3.0] {
            speakers.handle_reported(&anna(), level, start);
            assert_eq!(told(&mut speakers, start, start + milliseconds(500)), []);
        }
    }
}
