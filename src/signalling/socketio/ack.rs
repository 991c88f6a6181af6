//! The answer that a client waits for.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use serde_json::{Value, json};

type Reply = Box<dyn FnOnce(Value) + Send>;

/// The answer that a client waits for; given at most once. Whoever holds a clone may give it.
///
/// The default one is an answer that nobody waits for. A dialect need not care for answers that it does not give: the connection answers in its place.
#[derive(Clone, Default)]
pub struct Ack(Arc<Mutex<Option<Reply>>>);

impl Ack {
    /// Answers by calling `reply`, once.
    pub fn new(reply: impl FnOnce(Value) + Send + 'static) -> Self {
        Self(Arc::new(Mutex::new(Some(Box::new(reply)))))
    }

    /// Answers; nothing happens if that was done before.
    pub fn send(&self, content: Value) {
        let reply = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(reply) = reply {
            reply(content);
        }
    }

    /// Answers `{ "error": text }`, as all dialects with answers do.
    pub fn fail(&self, text: &str) {
        self.send(json!({ "error": text }));
    }
}

impl fmt::Debug for Ack {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Ack")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_given_once() {
        let (sender, receiver) = std::sync::mpsc::channel();
        let ack = Ack::new(move |content| sender.send(content).unwrap());

        ack.clone().fail("no");
        ack.send(json!({ "id": 1 }));

        assert_eq!(
            receiver.try_iter().collect::<Vec<_>>(),
            [json!({ "error": "no" })]
        );
    }
}
