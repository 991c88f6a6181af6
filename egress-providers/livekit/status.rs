//! What `LiveKit`'s documents say about a show, in our words.

use super::{
    remote::Remote,
    wire::{Egress, EgressPhase, Ingress, IngressPhase, Stream, StreamPhase},
};
use crate::hosted::{
    ContributionState, EgressStatus, ProviderError, TargetId, TargetState, TargetStatus, harmless,
};

/// How a show is.
///
/// A destination that has failed can be added again, and an egress that ended with its source or with the last of its
/// destinations can be followed by another in the same room: neither ends the show.
pub(super) fn status(
    remote: &Remote,
    ingress: Option<&Ingress>,
    egress: Option<&Egress>,
) -> EgressStatus {
    let contribution = match ingress.map(|ingress| ingress.state.status) {
        Some(IngressPhase::Publishing) => ContributionState::Arriving,
        Some(
            IngressPhase::Inactive
            | IngressPhase::Buffering
            | IngressPhase::Error
            | IngressPhase::Complete,
        )
        | None => ContributionState::Absent,
        Some(IngressPhase::Unknown) => ContributionState::Unknown,
    };
    let ended = match (ingress, &remote.egress, egress) {
        (None, _, _) => Some(ProviderError::NotFound("ingress")),
        (Some(_), Some(_), None) => Some(ProviderError::NotFound("egress")),
        (Some(_), _, Some(egress)) => end(egress),
        (Some(_), None, None) => None,
    };
    let targets = remote
        .places
        .iter()
        .map(|place| TargetStatus {
            id: TargetId::known(place.target.clone()),
            state: egress.map_or(TargetState::Unknown, |egress| {
                target(egress, place.find(egress))
            }),
        })
        .collect();
    EgressStatus {
        contribution,
        targets,
        ended,
    }
}

/// Why an egress is over for a reason that another one would meet as well.
fn end(egress: &Egress) -> Option<ProviderError> {
    let words = |otherwise: &str| match harmless(&egress.error) {
        words if words.is_empty() => otherwise.to_owned(),
        words => words,
    };
    let lost_a_stream = egress
        .stream_results
        .iter()
        .any(|stream| stream.status == StreamPhase::Failed && !stream.error.is_empty());
    match egress.status {
        EgressPhase::LimitReached => Some(ProviderError::Quota(words(
            "the longest time of one egress is over",
        ))),
        EgressPhase::Failed if lost_a_stream => None,
        EgressPhase::Failed => Some(unavailable(words("its egress failed"))),
        EgressPhase::Aborted => Some(unavailable(words("its egress did not begin"))),
        EgressPhase::Starting
        | EgressPhase::Active
        | EgressPhase::Ending
        | EgressPhase::Complete
        | EgressPhase::Unknown => None,
    }
}

fn unavailable(message: String) -> ProviderError {
    ProviderError::Unavailable {
        message,
        retry_after: None,
    }
}

fn target(egress: &Egress, stream: Option<&Stream>) -> TargetState {
    let failed = |words: &str| match harmless(words) {
        words if words.is_empty() => TargetState::Failed("it gave the destination up".to_owned()),
        words => TargetState::Failed(words),
    };
    let phase = stream.map_or(StreamPhase::Active, |stream| stream.status);
    let error = stream.map_or("", |stream| &stream.error);
    match (egress.status, phase) {
        (_, StreamPhase::Failed) => failed(error),
        (EgressPhase::Starting, _) => TargetState::Connecting,
        (EgressPhase::Active, StreamPhase::Active) if stream.is_some() => TargetState::Live,
        (EgressPhase::Active, StreamPhase::Active) => TargetState::Connecting,
        (EgressPhase::Active, StreamPhase::Finished) => failed("it ended the destination's stream"),
        (EgressPhase::Active, StreamPhase::Unknown) | (EgressPhase::Unknown, _) => {
            TargetState::Unknown
        }
        (EgressPhase::Ending | EgressPhase::Complete, _) => {
            failed("its egress ended with the show's arrival")
        }
        (EgressPhase::Failed | EgressPhase::Aborted | EgressPhase::LimitReached, _) => {
            failed(&egress.error)
        }
    }
}

#[cfg(test)]
mod tests {
    use broadcast::{DestinationId, LineName, StreamKey};
    use serde_json::{Value, json};

    use super::*;

    const ADDRESS: &str = "rtmp://host:1935/live/key";

    fn ingress(status: &str) -> Ingress {
        let state = json!({ "status": status });
        serde_json::from_value(json!({ "ingress_id": "IN_1", "state": state })).unwrap()
    }

    fn egress(status: &str, error: &str, stream: &Value) -> Egress {
        let mut document = json!({ "egress_id": "EG_1", "status": status, "error": error });
        if !stream.is_null() {
            document["stream_results"] = json!([stream]);
        }
        serde_json::from_value(document).unwrap()
    }

    fn stream(status: &str, error: &str) -> Value {
        let url = super::super::address::redacted(ADDRESS);
        json!({ "url": url, "status": status, "error": error })
    }

    fn look(egress: &Egress) -> (TargetState, Option<ProviderError>) {
        let mut remote = Remote::default();
        let sent = super::super::remote::Sent {
            target: TargetId::new(&DestinationId::new("one").unwrap(), LineName::Primary),
            address: StreamKey::new(ADDRESS),
        };
        remote.begin(egress, &[sent]);
        let mut status = status(&remote, Some(&ingress("ENDPOINT_PUBLISHING")), Some(egress));
        assert_eq!(status.contribution, ContributionState::Arriving);
        assert_eq!(status.targets.len(), 1);
        (status.targets.remove(0).state, status.ended)
    }

    #[test]
    fn a_destination_is_live_when_its_egress_and_its_stream_are() {
        for (phase, streams, state) in [
            (
                "EGRESS_STARTING",
                stream("ACTIVE", ""),
                TargetState::Connecting,
            ),
            ("EGRESS_ACTIVE", stream("ACTIVE", ""), TargetState::Live),
            ("EGRESS_ACTIVE", Value::Null, TargetState::Connecting),
            ("EGRESS_PAUSED", stream("ACTIVE", ""), TargetState::Unknown),
        ] {
            assert_eq!(look(&egress(phase, "", &streams)), (state, None), "{phase}");
        }
    }

    #[test]
    fn a_failed_destination_does_not_end_the_show() {
        let failed = || TargetState::Failed("could not connect to rtmp://host:1935/…".to_owned());
        let stream = || stream("FAILED", "could not connect to rtmp://host:1935/live/key");

        for phase in ["EGRESS_ACTIVE", "EGRESS_FAILED"] {
            let egress = egress(phase, "streams failed", &stream());
            assert_eq!(look(&egress), (failed(), None), "{phase}");
        }
    }

    #[test]
    fn an_egress_that_ended_with_its_source_has_lost_its_destinations_and_nothing_else() {
        for phase in ["EGRESS_ENDING", "EGRESS_COMPLETE"] {
            let (state, ended) = look(&egress(phase, "", &stream("FINISHED", "")));

            assert!(matches!(state, TargetState::Failed(_)), "{phase}");
            assert_eq!(ended, None, "{phase}");
        }
    }

    #[test]
    fn an_egress_that_failed_by_itself_ends_the_show() {
        let ended = |phase, error| {
            look(&egress(phase, error, &stream("FINISHED", "")))
                .1
                .unwrap()
        };

        let failed = ended("EGRESS_FAILED", "pipeline frozen");
        assert_eq!(failed, unavailable("pipeline frozen".to_owned()));
        let aborted = ended("EGRESS_ABORTED", "");
        assert_eq!(aborted, unavailable("its egress did not begin".to_owned()));
        assert!(matches!(
            ended("EGRESS_LIMIT_REACHED", ""),
            ProviderError::Quota(_)
        ));
    }

    #[test]
    fn what_is_gone_has_ended() {
        let remote = Remote {
            egress: Some("EG_1".to_owned()),
            ..Remote::default()
        };

        let without_ingress = status(&remote, None, None);
        let without_egress = status(&remote, Some(&ingress("ENDPOINT_INACTIVE")), None);

        assert_eq!(
            without_ingress.ended,
            Some(ProviderError::NotFound("ingress"))
        );
        assert_eq!(without_ingress.contribution, ContributionState::Absent);
        assert_eq!(
            without_egress.ended,
            Some(ProviderError::NotFound("egress"))
        );
    }
}
