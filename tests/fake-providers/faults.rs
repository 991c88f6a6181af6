//! What goes wrong, and when: a script that a server follows.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

/// What goes wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// It is not done; the answer is this status with `Retry-After` in seconds.
    Status(u16, Option<u64>),
    /// It is not done; the answer is this status with this body.
    Answer(u16, String),
    /// It is not done; the connection is reset.
    Reset,
    /// It is done; the connection is reset in place of an answer.
    LostAnswer,
    /// It is not done; there is no answer.
    Hang,
    /// It is done; the answer comes byte by byte, a second apart.
    SlowBody,
    /// It is done; the second half of the answer's document is missing.
    TruncatedJson,
    /// It is not done; the answer is a web page with status 200, as from a proxy that wants a login.
    WrongContentType,
    /// It is done; the answer is bytes that mean nothing, with status 200.
    Garbage,
    /// It is done; the answer is longer than anybody reads.
    Endless,
    /// It is done, but so much later.
    Late(Duration),
    /// Of webhooks: it is delivered twice.
    DuplicateWebhook,
    /// Of webhooks: it is delivered so much later, behind others.
    LateWebhook(Duration),
    /// Of webhooks: it is never delivered.
    LostWebhook,
}

/// One line of the script.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Of which operation, as the server names it, or of which webhook; `*`: of any, webhooks left out.
    pub operation: String,
    /// At which time it is asked for, counted from 1 on; 0: at all of them.
    pub nth: u32,
    /// What then.
    pub action: Action,
}

/// The script. Its clones are the same, so that it can be added to while a server runs.
#[derive(Debug, Clone, Default)]
pub struct Faults(Arc<Mutex<Script>>);

#[derive(Debug, Default)]
struct Script {
    faults: Vec<Fault>,
    asked: HashMap<String, u32>,
}

impl Faults {
    /// Nothing goes wrong.
    pub fn none() -> Self {
        Self::default()
    }

    /// `action` at the `nth` time from now on that `operation` is asked for; 0: at all of them.
    #[must_use]
    pub fn with(self, operation: &str, nth: u32, action: Action) -> Self {
        self.add(operation, nth, action);
        self
    }

    /// The same, later.
    pub fn add(&self, operation: &str, nth: u32, action: Action) {
        let mut script = self.lock();
        let asked = script.asked.get(operation).copied().unwrap_or_default();
        let nth = if nth == 0 { 0 } else { asked + nth };
        script.faults.push(Fault {
            operation: operation.to_owned(),
            nth,
            action,
        });
    }

    /// Nothing goes wrong any more.
    pub fn clear(&self) {
        self.lock().faults.clear();
    }

    /// Counts an operation, and tells what goes wrong with it.
    pub fn next(&self, operation: &str) -> Option<Action> {
        self.lock().next(&[operation, "*"])
    }

    /// The same for a webhook.
    pub fn next_webhook(&self, kind: &str) -> Option<Action> {
        self.lock().next(&[kind])
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Script> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Script {
    fn next(&mut self, names: &[&str]) -> Option<Action> {
        let mut action = None;
        for name in names {
            let asked = self.asked.entry((*name).to_owned()).or_default();
            *asked += 1;
            let asked = *asked;
            let found = self
                .faults
                .iter()
                .find(|fault| fault.operation == *name && (fault.nth == 0 || fault.nth == asked));
            action = action.or_else(|| found.map(|fault| fault.action.clone()));
        }
        action
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_comes_at_its_time_and_at_no_other() {
        let faults = Faults::none().with("create", 2, Action::Reset);

        assert_eq!(faults.next("create"), None);
        assert_eq!(faults.next("delete"), None);
        assert_eq!(faults.next("create"), Some(Action::Reset));
        assert_eq!(faults.next("create"), None);
    }

    #[test]
    fn a_later_fault_is_counted_from_then_on() {
        let faults = Faults::none();
        faults.next("create");

        faults.add("create", 1, Action::Hang);

        assert_eq!(faults.next("create"), Some(Action::Hang));
        assert_eq!(faults.next("create"), None);
    }

    #[test]
    fn a_fault_of_everything_leaves_webhooks_out() {
        let faults = Faults::none().with("*", 0, Action::Garbage);

        assert_eq!(faults.next("create"), Some(Action::Garbage));
        assert_eq!(faults.next("delete"), Some(Action::Garbage));
        assert_eq!(faults.next_webhook("started"), None);
    }
}
