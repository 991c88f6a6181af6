//! The task that serves one transcoder's process, and replaces it when it dies, hangs, or talks nonsense.

use std::{io, sync::Arc, time::Duration};

use bytes::Bytes;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::unix::{OwnedReadHalf, OwnedWriteHalf},
    time::{Instant, sleep},
};

use super::{
    Transcoders,
    desk::{Desk, Nonsense, Order},
    message::{
        HEAD_BYTES, PICTURE_HEAD_BYTES, PictureHead, answer, head, is_keyframe, order, read_answer,
    },
    start::{Patience, Started},
};
use crate::{decoder_configuration::parameter_sets, path::video_config};

/// How many times it is looked whether the process answers before it is found to hang. Looks are counted and not
/// seconds, since this process may have stood still itself.
const LOOKS: u32 = 4;

/// How long a process must live for its death to be a first one again.
const HEALTHY: Duration = Duration::from_secs(30);

/// The pause after the second death in a row; it doubles with each further one.
const FIRST_PAUSE: Duration = Duration::from_millis(250);

/// The longest pause.
const PAUSE_LIMIT: Duration = Duration::from_secs(10);

/// Why a process is of no more use.
#[derive(Debug, thiserror::Error)]
enum End {
    #[error("the process cannot be started: {0}")]
    Unstartable(#[source] io::Error),
    #[error("the process died: {0}")]
    Died(#[from] io::Error),
    #[error("the process hangs")]
    Hung,
    #[error("the process talks nonsense")]
    Nonsense,
}

impl From<Nonsense> for End {
    fn from(_: Nonsense) -> Self {
        Self::Nonsense
    }
}

/// Serves processes, one after another, until it is dropped.
pub(super) async fn run(desk: Arc<Desk>, transcoders: Transcoders) {
    let mut failures = 0_u32;
    loop {
        let begun = Instant::now();
        let end = live(&desk, &transcoders).await;
        desk.note_end();
        if begun.elapsed() >= HEALTHY {
            failures = 0;
        }
        let pause = pause(failures);
        failures = failures.saturating_add(1);
        tracing::warn!(error = %end, ?pause, "transcoding process lost");
        sleep(pause).await;
    }
}

/// The pause after so many deaths before this one.
fn pause(failures: u32) -> Duration {
    match failures.checked_sub(1) {
        None => Duration::ZERO,
        Some(doublings) => (FIRST_PAUSE * 2_u32.pow(doublings.min(10))).min(PAUSE_LIMIT),
    }
}

/// One process from its start to its end.
async fn live(desk: &Desk, transcoders: &Transcoders) -> End {
    let Started { mut child, socket } = match transcoders.take().await {
        Ok(started) => started,
        Err(error) => return End::Unstartable(error),
    };
    desk.note_begin(child.id());
    let (input, output) = socket.into_split();
    let end = tokio::select! {
        // What was answered counts before the looks that found no answer.
        biased;
        end = listen(desk, input) => end,
        end = tell(desk, output) => end,
        () = watch(desk, transcoders.patience()) => End::Hung,
    };
    let _ = child.start_kill();
    let _ = child.wait().await;
    end
}

async fn tell(desk: &Desk, output: OwnedWriteHalf) -> End {
    match tell_all(desk, output).await {
        Ok(never) => match never {},
        Err(error) => End::Died(error),
    }
}

async fn tell_all(desk: &Desk, mut output: OwnedWriteHalf) -> io::Result<std::convert::Infallible> {
    let configuration = desk.configuration().await.to_bytes();
    let mut message = head(order::CONFIGURE, configuration.len()).to_vec();
    message.extend(configuration);
    output.write_all(&message).await?;
    loop {
        message.clear();
        let data = match desk.order().await {
            Order::Bitrate(bitrate) => {
                message.extend(head(order::BITRATE, 4));
                message.extend(bitrate.to_be_bytes());
                Bytes::new()
            }
            Order::Picture {
                head: picture,
                record,
                data,
            } => {
                if let Some(record) = record {
                    message.extend(head(order::RECORD, record.len()));
                    message.extend(record);
                }
                message.extend(head(order::PICTURE, PICTURE_HEAD_BYTES + data.len()));
                message.extend(picture.to_bytes());
                data
            }
        };
        output.write_all(&message).await?;
        output.write_all(&data).await?;
    }
}

async fn listen(desk: &Desk, input: OwnedReadHalf) -> End {
    let mut input = BufReader::new(input);
    loop {
        if let Err(end) = listen_once(desk, &mut input).await {
            return end;
        }
    }
}

async fn listen_once(desk: &Desk, input: &mut BufReader<OwnedReadHalf>) -> Result<(), End> {
    let mut head = [0; HEAD_BYTES];
    input.read_exact(&mut head).await?;
    let (tag, length) = read_answer(head).ok_or(Nonsense)?;
    let mut body = vec![0; length];
    input.read_exact(&mut body).await?;
    match tag {
        answer::RECORD => {
            let (sequences, pictures) = parameter_sets(&body).ok_or(Nonsense)?;
            let ([sequence], [picture]) = (&sequences[..], &pictures[..]) else {
                return Err(End::Nonsense);
            };
            let config = video_config(sequence, picture).ok_or(Nonsense)?;
            desk.take_config(config)?;
        }
        answer::UNIT => {
            let head = PictureHead::read(&body).ok_or(Nonsense)?;
            let data = Bytes::from(body).slice(PICTURE_HEAD_BYTES..);
            if is_keyframe(&data) != Some(head.keyframe) {
                return Err(End::Nonsense);
            }
            desk.take_unit(head, data)?;
        }
        answer::DONE => desk.note_done(body == [1])?,
        _ => return Err(End::Nonsense),
    }
    Ok(())
}

/// Returns when the process owes an answer and does not give it.
async fn watch(desk: &Desk, patience: Patience) {
    let mut seen = None;
    let mut looks = 0;
    loop {
        let has_unit = desk.lock().has_unit();
        let period = if has_unit {
            patience.answer
        } else {
            patience.first_answer
        };
        sleep(period / LOOKS).await;
        let owed = desk.lock().owed();
        looks = if owed.is_some() && owed == seen {
            looks + 1
        } else {
            0
        };
        seen = owed;
        if looks >= LOOKS {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_death_has_no_pause_and_later_ones_have_growing_ones() {
        assert_eq!(pause(0), Duration::ZERO);
        assert_eq!(pause(1), FIRST_PAUSE);
        assert_eq!(pause(2), FIRST_PAUSE * 2);
        assert_eq!(pause(6), Duration::from_secs(8));
        assert_eq!(pause(7), PAUSE_LIMIT);
        assert_eq!(pause(u32::MAX), PAUSE_LIMIT);
    }
}
