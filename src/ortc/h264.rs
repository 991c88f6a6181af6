//! What `profile-level-id` of H.264 says (RFC 6184 § 8.1), and which one answers another.

use crate::{Fmtp, fmtp};

/// The key in `fmtp`.
pub(crate) const PROFILE_LEVEL_ID: &str = "profile-level-id";

/// What WebRTC takes an absent one for: constrained baseline of level 3.1.
const DEFAULT: ProfileLevel = ProfileLevel {
    profile: Profile::ConstrainedBaseline,
    level: Level(31),
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Profile {
    ConstrainedBaseline,
    Baseline,
    Main,
    ConstrainedHigh,
    High,
    PredictiveHigh444,
}

/// Ten times the level; 1b is 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Level(u8);

const LEVEL_1B: Level = Level(0);
const LEVEL_1_1: u8 = 11;
const LEVELS: [u8; 16] = [
    10, 12, 13, 20, 21, 22, 30, 31, 32, 40, 41, 42, 50, 51, 52, LEVEL_1_1,
];

/// Which constraint flag tells level 1b from 1.1.
const CONSTRAINT_SET_3: u8 = 0x10;

/// Profile by `profile_idc` and the flags in `profile_iop`: mask, value.
const PROFILES: [(u8, u8, u8, Profile); 9] = [
    (0x42, 0x4f, 0x40, Profile::ConstrainedBaseline),
    (0x4d, 0x8f, 0x80, Profile::ConstrainedBaseline),
    (0x58, 0xcf, 0xc0, Profile::ConstrainedBaseline),
    (0x42, 0x4f, 0x00, Profile::Baseline),
    (0x58, 0xcf, 0x80, Profile::Baseline),
    (0x4d, 0xaf, 0x00, Profile::Main),
    (0x64, 0xff, 0x00, Profile::High),
    (0x64, 0xff, 0x0c, Profile::ConstrainedHigh),
    (0xf4, 0xff, 0x00, Profile::PredictiveHigh444),
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct ProfileLevel {
    profile: Profile,
    level: Level,
}

impl ProfileLevel {
    fn read(parameters: &Fmtp) -> Option<Self> {
        match fmtp::text(parameters, PROFILE_LEVEL_ID) {
            Some(text) => Self::parse(&text),
            None => Some(DEFAULT),
        }
    }

    fn parse(text: &str) -> Option<Self> {
        if text.len() != 6 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return None;
        }
        let bytes = u32::from_str_radix(text, 16).ok()?.to_be_bytes();
        let [_, profile_idc, flags, level_idc] = bytes;
        if !LEVELS.contains(&level_idc) {
            return None;
        }
        let level = if level_idc == LEVEL_1_1 && flags & CONSTRAINT_SET_3 != 0 {
            LEVEL_1B
        } else {
            Level(level_idc)
        };
        PROFILES
            .iter()
            .find(|(idc, mask, value, _)| *idc == profile_idc && flags & mask == *value)
            .map(|(_, _, _, profile)| Self {
                profile: *profile,
                level,
            })
    }

    /// The canonical text; level 1b exists in the three oldest profiles only.
    fn text(self) -> Option<String> {
        if self.level == LEVEL_1B {
            return match self.profile {
                Profile::ConstrainedBaseline => Some("42f00b".to_owned()),
                Profile::Baseline => Some("42100b".to_owned()),
                Profile::Main => Some("4d100b".to_owned()),
                Profile::ConstrainedHigh | Profile::High | Profile::PredictiveHigh444 => None,
            };
        }
        let profile = match self.profile {
            Profile::ConstrainedBaseline => "42e0",
            Profile::Baseline => "4200",
            Profile::Main => "4d00",
            Profile::ConstrainedHigh => "640c",
            Profile::High => "6400",
            Profile::PredictiveHigh444 => "f400",
        };
        Some(format!("{profile}{:02x}", self.level.0))
    }
}

impl Level {
    /// 1b lies between 1 and 1.1.
    fn rank(self) -> u8 {
        match self {
            LEVEL_1B => 10 * 2 + 1,
            Level(level) => level * 2,
        }
    }
}

/// Whether both have the same profile. Absent ones count as constrained baseline, unknown ones as no profile.
pub(crate) fn is_same_profile(ours: &Fmtp, theirs: &Fmtp) -> bool {
    match (ProfileLevel::read(ours), ProfileLevel::read(theirs)) {
        (Some(ours), Some(theirs)) => ours.profile == theirs.profile,
        _ => false,
    }
}

/// The `profile-level-id` that `ours` answers `theirs` with: our level where both allow levels to differ, else the lower
/// one. `None` where neither has one, or the two do not go together.
pub(crate) fn answer(ours: &Fmtp, theirs: &Fmtp) -> Option<String> {
    if !ours.contains_key(PROFILE_LEVEL_ID) && !theirs.contains_key(PROFILE_LEVEL_ID) {
        return None;
    }
    let our = ProfileLevel::read(ours)?;
    let their = ProfileLevel::read(theirs)?;
    if our.profile != their.profile {
        return None;
    }
    let is_asymmetric = [ours, theirs]
        .iter()
        .all(|parameters| fmtp::number(parameters, "level-asymmetry-allowed") == Some(1));
    let level = if is_asymmetric || our.level.rank() <= their.level.rank() {
        our.level
    } else {
        their.level
    };
    ProfileLevel {
        profile: our.profile,
        level,
    }
    .text()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn parameters(id: &str, is_asymmetric: bool) -> Fmtp {
        let mut parameters = Fmtp::from([(PROFILE_LEVEL_ID.to_owned(), json!(id))]);
        if is_asymmetric {
            parameters.insert("level-asymmetry-allowed".to_owned(), json!(1));
        }
        parameters
    }

    #[test]
    fn the_flags_tell_constrained_baseline_from_baseline() {
        assert!(is_same_profile(
            &parameters("42e01f", false),
            &parameters("42c02a", false)
        ));
        assert!(!is_same_profile(
            &parameters("42e01f", false),
            &parameters("42001f", false)
        ));
        assert!(!is_same_profile(
            &parameters("640c1f", false),
            &parameters("64001f", false)
        ));
    }

    #[test]
    fn an_absent_profile_is_constrained_baseline() {
        assert!(is_same_profile(&Fmtp::new(), &parameters("42e01f", false)));
        assert_eq!(answer(&Fmtp::new(), &Fmtp::new()), None);
    }

    #[test]
    fn nonsense_has_no_profile() {
        for id in [
            "", "42e0", "42e0zz", "000000", "42e063", "ffffff", "42é01", "+2e01f",
        ] {
            assert!(
                !is_same_profile(&parameters(id, false), &parameters(id, false)),
                "{id}"
            );
        }
    }

    #[test]
    fn the_lower_level_answers_unless_levels_may_differ() {
        let high = parameters("640033", false);
        let low = parameters("64001f", false);

        assert_eq!(answer(&high, &low).as_deref(), Some("64001f"));
        assert_eq!(answer(&low, &high).as_deref(), Some("64001f"));
        assert_eq!(
            answer(&parameters("640033", true), &parameters("64001f", true)).as_deref(),
            Some("640033")
        );
    }

    #[test]
    fn level_1b_lies_between_1_and_1_1() {
        let level_1b = parameters("42f00b", false);

        assert_eq!(
            answer(&level_1b, &parameters("42e00b", false)).as_deref(),
            Some("42f00b")
        );
        assert_eq!(
            answer(&level_1b, &parameters("42e00a", false)).as_deref(),
            Some("42e00a")
        );
    }
}
