//! One child from its start to its end: it is fed, listened to, and killed when it takes too long.

use std::{fs::File, io, os::unix::fs::FileExt as _, sync::Arc, time::Duration};

use media::StandIn;
use tokio::{io::AsyncWriteExt as _, process::ChildStdin, time::timeout};

use super::{Geometry, SlateError, SlateSource, UPLOAD_LIMIT_BYTES, answer, order::Order};
use crate::confinement::Launcher;

/// The name of the child's role.
const ROLE: &str = "render-slate";

/// How long a child may live. It stops a loop after 15 s by itself.
const LIFE_LIMIT: Duration = Duration::from_secs(30);

/// How much of an upload is read at once.
const PIECE_BYTES: usize = 256 * 1024;

/// Has a slate coded. Dropping the answer kills the child.
pub(super) async fn render(
    launcher: &Launcher,
    source: &SlateSource,
    geometry: Geometry,
    loop_seconds: u16,
) -> Result<StandIn, SlateError> {
    if !geometry.is_possible() {
        return Err(SlateError::Geometry);
    }
    let kind = source.picture.as_ref().map(|(kind, _)| *kind);
    let picture = source.picture.as_ref().map(|(_, upload)| &*upload.file);
    let music = source.music.as_ref().map(|upload| &*upload.file);
    let order = Order {
        geometry,
        loop_seconds,
        kind,
        picture_bytes: length(picture)?,
        music_bytes: length(music)?,
        title: source.title.clone(),
    };
    let mut child = launcher.start(ROLE).map_err(|error| process(&error))?;
    let pipes = child.stdin.take().zip(child.stdout.take());
    let (input, output) = pipes.ok_or(SlateError::Process(io::ErrorKind::BrokenPipe))?;
    let files = [
        &source.picture.as_ref().map(|(_, upload)| upload),
        &source.music.as_ref(),
    ]
    .map(|upload| upload.map(|upload| Arc::clone(&upload.file)));
    let work = async {
        let fed = feed(input, order, files);
        let (fed, answered) = tokio::join!(fed, answer::read(output, geometry));
        // A child that has seen enough stops reading, which is no failure.
        match (fed, answered) {
            (Err(error), Err(SlateError::Crashed)) if !is_closed(&error) => Err(process(&error)),
            (_, answered) => answered,
        }
    };
    let outcome = timeout(LIFE_LIMIT, work).await;
    // What it answered is whole, or it has failed; either way it is not needed any more.
    let _ = child.start_kill();
    let _ = child.wait().await;
    outcome.unwrap_or(Err(SlateError::TooSlow))
}

fn length(file: Option<&File>) -> Result<u64, SlateError> {
    let Some(file) = file else { return Ok(0) };
    let length = file.metadata().map_err(|error| process(&error))?.len();
    if length > UPLOAD_LIMIT_BYTES {
        return Err(SlateError::TooLarge);
    }
    Ok(length)
}

fn process(error: &io::Error) -> SlateError {
    SlateError::Process(error.kind())
}

fn is_closed(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::BrokenPipe
}

async fn feed(
    mut input: ChildStdin,
    order: Order,
    [picture, music]: [Option<Arc<File>>; 2],
) -> io::Result<()> {
    input.write_all(&order.to_bytes()).await?;
    for (file, length) in [(picture, order.picture_bytes), (music, order.music_bytes)] {
        let Some(file) = file else { continue };
        let mut position = 0;
        while position < length {
            let piece = read_piece(Arc::clone(&file), position, length).await?;
            input.write_all(&piece).await?;
            position += piece.len() as u64;
        }
    }
    input.shutdown().await
}

async fn read_piece(file: Arc<File>, position: u64, length: u64) -> io::Result<Vec<u8>> {
    let read = move || {
        let room = usize::try_from(length - position).unwrap_or(usize::MAX);
        let mut piece = vec![0; room.min(PIECE_BYTES)];
        file.read_exact_at(&mut piece, position)?;
        Ok(piece)
    };
    tokio::task::spawn_blocking(read)
        .await
        .unwrap_or_else(|_| Err(io::ErrorKind::Other.into()))
}
