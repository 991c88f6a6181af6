//! The board in Redis: a hash for each shelf, and a number for each rate that goes when it says nothing any more.

use std::time::Duration;

use async_trait::async_trait;

use super::{RedisRegistry, strange};
use crate::{Board, Pace, RegistryError, board::NOTES_LIMIT};

#[async_trait]
impl Board for RedisRegistry {
    async fn put_note(&self, shelf: &str, name: &str, note: &[u8]) -> Result<(), RegistryError> {
        let arguments = [shelf.as_bytes(), name.as_bytes(), note];
        self.step("put_note", &arguments).await.map(drop)
    }

    async fn remove_note(&self, shelf: &str, name: &str) -> Result<(), RegistryError> {
        let arguments = [shelf, name].map(str::as_bytes);
        self.step("remove_note", &arguments).await.map(drop)
    }

    async fn notes(&self, shelf: &str) -> Result<Vec<Vec<u8>>, RegistryError> {
        let limit = NOTES_LIMIT.to_string();
        let arguments = [shelf, &limit].map(str::as_bytes);
        let (_, mut answer) = self.step("notes", &arguments).await?;
        let mut notes = Vec::new();
        while let Ok(note) = answer.bytes() {
            notes.push(note);
        }
        Ok(notes)
    }

    async fn take_turn(
        &self,
        rate: &str,
        pace: Pace,
    ) -> Result<Result<(), Duration>, RegistryError> {
        let burst = pace.burst.max(1).to_string();
        let each = pace.each_counted().as_micros().to_string();
        let arguments = [rate, &burst, &each].map(str::as_bytes);
        let (word, mut answer) = self.step("take_turn", &arguments).await?;
        match word.as_str() {
            "ok" => Ok(Ok(())),
            "wait" => Ok(Err(Duration::from_micros(answer.number()?))),
            _ => Err(strange()),
        }
    }
}
