//! What webhooks have told about live streams, which no question brings to light.

use std::{
    collections::{BTreeSet, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError},
};

use crate::hosted::ProviderError;

/// What is known of a live stream's troubles.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Report {
    /// Names of destinations that are not sent to any more.
    pub(super) dropped: BTreeSet<String>,
    /// Why all of it is over, if it is.
    pub(super) ended: Option<ProviderError>,
}

/// Reports by the name of what they are about, of which the oldest fall out.
///
/// A webhook goes to all of an account's rooms, so that most names in here may be somebody else's.
#[derive(Debug)]
pub(super) struct Reports {
    limit: usize,
    reports: Mutex<VecDeque<(String, Report)>>,
}

/// The most destinations that one report names; a live stream has fewer.
const DROPPED_LIMIT: usize = 32;

impl Reports {
    /// Keeps the last `limit` that something was told of.
    pub(super) const fn new(limit: usize) -> Self {
        Self {
            limit,
            reports: Mutex::new(VecDeque::new()),
        }
    }

    /// What is known of it.
    pub(super) fn of(&self, subject: &str) -> Report {
        let reports = self.lock();
        let found = reports.iter().find(|(name, _)| name == subject);
        found.map(|(_, report)| report.clone()).unwrap_or_default()
    }

    /// These destinations of it are not sent to any more.
    pub(super) fn drop_endpoints(&self, subject: &str, names: impl IntoIterator<Item = String>) {
        self.change(subject, |report| {
            for name in names {
                if report.dropped.len() < DROPPED_LIMIT {
                    report.dropped.insert(name);
                }
            }
        });
    }

    /// It is over. The first reason is the one that counts: an error is followed by an end.
    pub(super) fn end(&self, subject: &str, error: ProviderError) {
        self.change(subject, |report| {
            report.ended.get_or_insert(error);
        });
    }

    /// These destinations of it are tried again.
    pub(super) fn forgive(&self, subject: &str, names: &BTreeSet<String>) {
        let mut reports = self.lock();
        if let Some((_, report)) = reports.iter_mut().find(|(name, _)| name == subject) {
            report.dropped.retain(|name| !names.contains(name));
        }
    }

    /// Nothing is known of it any more.
    pub(super) fn forget(&self, subject: &str) {
        self.lock().retain(|(name, _)| name != subject);
    }

    fn change(&self, subject: &str, change: impl FnOnce(&mut Report)) {
        let mut reports = self.lock();
        let known = reports.iter().position(|(name, _)| name == subject);
        let mut report = known
            .and_then(|place| reports.remove(place))
            .map_or_else(Report::default, |(_, report)| report);
        change(&mut report);
        if reports.len() >= self.limit {
            reports.pop_front();
        }
        reports.push_back((subject.to_owned(), report));
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<(String, Report)>> {
        self.reports.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn over(words: &str) -> ProviderError {
        ProviderError::Unavailable {
            message: words.to_owned(),
            retry_after: None,
        }
    }

    #[test]
    fn a_dropped_destination_is_known_until_it_is_tried_again() {
        let reports = Reports::new(2);

        reports.drop_endpoints("stream", ["a".to_owned(), "b".to_owned()]);
        reports.forgive("stream", &BTreeSet::from(["a".to_owned()]));

        assert_eq!(
            reports.of("stream").dropped,
            BTreeSet::from(["b".to_owned()])
        );
        assert_eq!(reports.of("another"), Report::default());
    }

    #[test]
    fn the_first_reason_of_an_end_stays() {
        let reports = Reports::new(2);

        reports.end("stream", over("the worker is gone"));
        reports.end("stream", over("it ended"));

        assert_eq!(reports.of("stream").ended, Some(over("the worker is gone")));
        reports.forget("stream");
        assert_eq!(reports.of("stream"), Report::default());
    }

    #[test]
    fn the_one_told_of_longest_ago_falls_out_of_a_full_memory() {
        let reports = Reports::new(2);

        for subject in ["a", "b", "a", "c"] {
            reports.end(subject, over("it ended"));
        }

        assert_eq!(reports.of("b"), Report::default());
        assert!(reports.of("a").ended.is_some() && reports.of("c").ended.is_some());
    }

    #[test]
    fn a_report_names_only_so_many_destinations() {
        let reports = Reports::new(1);

        let names = (0..=DROPPED_LIMIT).map(|nth| nth.to_string());
        reports.drop_endpoints("stream", names);

        assert_eq!(reports.of("stream").dropped.len(), DROPPED_LIMIT);
    }
}
