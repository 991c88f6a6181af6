//! Receives an upload into a file without a name, never into memory.

use std::{fs::File, io, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::{Stream, StreamExt as _};
use pipelines::slate::{SlateError, UPLOAD_LIMIT_BYTES, Upload};
use sha2::{Digest as _, Sha256};
use tokio::{io::AsyncWriteExt as _, time::timeout};

/// How long an upload may take: 20 MB at 4 Mb/s.
pub(super) const UPLOAD_TIMEOUT: Duration = Duration::from_secs(45);

/// How much of what is too large is read and thrown away, so that the answer is heard. Beyond, the connection is cut.
const DRAIN_LIMIT_BYTES: u64 = 2 * UPLOAD_LIMIT_BYTES;

/// What an upload is for, and what it claims to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UploadKind {
    /// PNG or JPEG, shown in place of the card.
    Image,
    /// MP4, shown in place of the card, with its sound.
    Video,
    /// MP3, Ogg, WAV, M4A or FLAC, played in place of the video's sound or of silence.
    Music,
}

/// Why an upload is not taken. What was there before stays.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UploadError {
    /// More than 20 MB.
    #[error("the upload has more than {UPLOAD_LIMIT_BYTES} bytes")]
    TooLarge,
    /// The connection broke.
    #[error("the upload did not arrive")]
    Lost,
    /// It took longer than 45 s to arrive.
    #[error("the upload took too long")]
    TooSlow,
    /// It cannot be kept.
    #[error("the upload cannot be stored: {0}")]
    Storage(io::ErrorKind),
    /// It cannot be shown or played.
    #[error(transparent)]
    Slate(#[from] SlateError),
}

impl UploadError {
    fn storage(error: &io::Error) -> Self {
        Self::Storage(error.kind())
    }
}

/// Receives all of an upload, within this time.
pub(super) async fn receive<E>(
    body: impl Stream<Item = Result<Bytes, E>> + Send,
    patience: Duration,
) -> Result<Upload, UploadError> {
    timeout(patience, store(body))
        .await
        .unwrap_or(Err(UploadError::TooSlow))
}

async fn store<E>(
    body: impl Stream<Item = Result<Bytes, E>> + Send,
) -> Result<Upload, UploadError> {
    let file = tokio::task::spawn_blocking(tempfile::tempfile)
        .await
        .map_err(|_| UploadError::Storage(io::ErrorKind::Other))?
        .map_err(|error| UploadError::storage(&error))?;
    let mut file = tokio::fs::File::from_std(file);
    let mut hash = Sha256::new();
    let mut length = 0_u64;
    let mut body = std::pin::pin!(body);
    while let Some(piece) = body.next().await {
        let piece = piece.map_err(|_| UploadError::Lost)?;
        length += piece.len() as u64;
        if length > DRAIN_LIMIT_BYTES {
            break;
        }
        if length <= UPLOAD_LIMIT_BYTES {
            hash.update(&piece);
            file.write_all(&piece)
                .await
                .map_err(|error| UploadError::storage(&error))?;
        }
    }
    if length > UPLOAD_LIMIT_BYTES {
        return Err(UploadError::TooLarge);
    }
    file.flush()
        .await
        .map_err(|error| UploadError::storage(&error))?;
    let file: File = file.into_std().await;
    Ok(Upload {
        file: Arc::new(file),
        hash: hash.finalize().into(),
    })
}
