//! Somebody who has been told apart, and what they may do.

use broadcast::BroadcastId;

/// The part that somebody plays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// Makes a show: creates, changes and publishes.
    Studio,
    /// Takes part in a show.
    Guest,
    /// Looks at a show.
    Viewer,
    /// Runs this gateway.
    Operator,
}

impl Role {
    /// Every role with its word in tokens.
    pub const WORDS: [(&'static str, Self); 4] = [
        ("studio", Self::Studio),
        ("guest", Self::Guest),
        ("viewer", Self::Viewer),
        ("operator", Self::Operator),
    ];

    /// The word in tokens.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Studio => "studio",
            Self::Guest => "guest",
            Self::Viewer => "viewer",
            Self::Operator => "operator",
        }
    }

    /// Reads the word in tokens.
    pub fn of_word(word: &str) -> Option<Self> {
        Self::WORDS
            .into_iter()
            .find(|(text, _)| *text == word)
            .map(|(_, role)| role)
    }
}

/// Which broadcasts somebody may have to do with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    /// None: the token names no broadcast.
    Nothing,
    /// This one.
    Broadcast(BroadcastId),
    /// All.
    All,
}

impl Scope {
    /// Whether a broadcast is within it.
    pub fn holds(&self, broadcast: &BroadcastId) -> bool {
        match self {
            Self::Nothing => false,
            Self::Broadcast(own) => own == broadcast,
            Self::All => true,
        }
    }
}

/// Something that needs permission.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action<'a> {
    /// Create this broadcast.
    Create(&'a BroadcastId),
    /// Start, stop, end it, or change its destinations.
    Change(&'a BroadcastId),
    /// See its state, its events and its picture.
    Read(&'a BroadcastId),
    /// Send into it.
    Publish(&'a BroadcastId),
    /// Try a destination out without a broadcast.
    Probe,
    /// See what concerns the whole node, such as every broadcast at once.
    Operate,
}

impl Action<'_> {
    /// What it is, for a refusal.
    pub const fn in_words(self) -> &'static str {
        match self {
            Self::Create(_) => "create this broadcast",
            Self::Change(_) => "change this broadcast",
            Self::Read(_) => "see this broadcast",
            Self::Publish(_) => "publish to this broadcast",
            Self::Probe => "probe destinations",
            Self::Operate => "operate this node",
        }
    }
}

/// Somebody who has been told apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The name in the token; `None`: nobody vouches for a name, so that it proves no sameness.
    pub subject: Option<String>,
    /// The part they play.
    pub role: Role,
    /// Which broadcasts they may have to do with.
    pub scope: Scope,
}

impl Identity {
    /// Everybody, where there is no authentication.
    pub const fn anonymous() -> Self {
        Self {
            subject: None,
            role: Role::Operator,
            scope: Scope::All,
        }
    }

    /// Whether they may do it.
    pub fn may(&self, action: Action<'_>) -> bool {
        let makes_shows = matches!(self.role, Role::Studio | Role::Operator);
        match action {
            Action::Create(broadcast) | Action::Change(broadcast) | Action::Publish(broadcast) => {
                makes_shows && self.scope.holds(broadcast)
            }
            Action::Read(broadcast) => self.scope.holds(broadcast),
            Action::Probe => makes_shows && self.scope != Scope::Nothing,
            Action::Operate => self.role == Role::Operator && self.scope == Scope::All,
        }
    }

    /// Whether they may replace another studio without its resume token. Never who has no name:
    /// without authentication everybody else has the same rights.
    pub fn may_take_over(&self) -> bool {
        self.role == Role::Operator && self.subject.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(role: Role, scope: Scope) -> Identity {
        Identity {
            subject: Some("anna".to_owned()),
            role,
            scope,
        }
    }

    #[test]
    fn each_role_may_do_its_part_within_its_scope() {
        let (show, other) = (
            BroadcastId::new("show").unwrap(),
            BroadcastId::new("other").unwrap(),
        );
        let on_show = |role| identity(role, Scope::Broadcast(show.clone()));
        let table = [
            // role, create, change, read, publish, probe, operate
            (Role::Operator, [true, true, true, true, true, false]),
            (Role::Studio, [true, true, true, true, true, false]),
            (Role::Guest, [false, false, true, false, false, false]),
            (Role::Viewer, [false, false, true, false, false, false]),
        ];

        for (role, expected) in table {
            let who = on_show(role);
            let may = [
                who.may(Action::Create(&show)),
                who.may(Action::Change(&show)),
                who.may(Action::Read(&show)),
                who.may(Action::Publish(&show)),
                who.may(Action::Probe),
                who.may(Action::Operate),
            ];
            assert_eq!(may, expected, "{role:?}");
            for action in [
                Action::Create(&other),
                Action::Change(&other),
                Action::Read(&other),
                Action::Publish(&other),
            ] {
                assert!(!who.may(action), "{role:?} {action:?}");
            }
        }
    }

    #[test]
    fn a_token_without_a_broadcast_is_good_for_nothing() {
        let show = BroadcastId::new("show").unwrap();
        let who = identity(Role::Studio, Scope::Nothing);

        assert!(!who.may(Action::Read(&show)) && !who.may(Action::Probe));
    }

    #[test]
    fn only_an_operator_with_a_name_takes_over() {
        assert!(identity(Role::Operator, Scope::All).may_take_over());
        assert!(identity(Role::Operator, Scope::All).may(Action::Operate));
        assert!(!identity(Role::Studio, Scope::All).may_take_over());
        assert!(!Identity::anonymous().may_take_over());
    }
}
