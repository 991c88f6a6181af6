//! The canonical name (RFC 3550 § 6.5.1) of what comes on one transport. Receivers keep tracks of one name in step, and
//! older clients of mediasoup make streams by it; browsers leave it empty with simulcast.

use crate::ProducerId;

/// How much of a producer's id makes a name, in characters: as much as mediasoup takes of a UUID.
const NAME_CHARACTERS: usize = 8;

/// The name of a new track: the one that tracks of its transport have already, else its own, else one made of its id.
pub(crate) fn canonical_name<'a>(
    mut others: impl Iterator<Item = &'a str>,
    own: Option<&str>,
    id: &ProducerId,
) -> String {
    others
        .find(|name| !name.is_empty())
        .or(own.filter(|name| !name.is_empty()))
        .map_or_else(
            || id.as_str().chars().take(NAME_CHARACTERS).collect(),
            str::to_owned,
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tracks_of_one_transport_have_one_name() {
        let id = ProducerId::new("0a1b2c3d-4e5f");

        assert_eq!(
            canonical_name(["", "first"].into_iter(), Some("own"), &id),
            "first"
        );
        assert_eq!(canonical_name([""].into_iter(), Some("own"), &id), "own");
        assert_eq!(canonical_name([].into_iter(), Some(""), &id), "0a1b2c3d");
        assert_eq!(canonical_name([].into_iter(), None, &id), "0a1b2c3d");
    }
}
