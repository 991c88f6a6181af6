//! Routes of a broadcast's slate: what stands in while its studio is away.

use std::sync::Arc;

use axum::{
    Json,
    body::Body,
    extract::{Path, State},
    http::HeaderMap,
};
use broadcast::SlateSpec;
use pipelines::slate::{SlateError, UPLOAD_LIMIT_BYTES};
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    Face, body,
    error::{ApiError, Problem},
};
use crate::{
    broadcasts::BroadcastHandle,
    slates::{SlateDescription, SlatePicture, UploadError, UploadKind},
};

/// What pictures are called; more than one name is in use for some.
const PICTURES: [(&str, UploadKind); 3] = [
    ("image/png", UploadKind::Image),
    ("image/jpeg", UploadKind::Image),
    ("video/mp4", UploadKind::Video),
];

/// What music is called.
const MUSIC: [(&str, UploadKind); 12] = [
    ("audio/mpeg", UploadKind::Music),
    ("audio/mp3", UploadKind::Music),
    ("audio/ogg", UploadKind::Music),
    ("application/ogg", UploadKind::Music),
    ("audio/wav", UploadKind::Music),
    ("audio/x-wav", UploadKind::Music),
    ("audio/wave", UploadKind::Music),
    ("audio/mp4", UploadKind::Music),
    ("audio/x-m4a", UploadKind::Music),
    ("audio/aac", UploadKind::Music),
    ("audio/flac", UploadKind::Music),
    ("audio/x-flac", UploadKind::Music),
];

/// What stands in while the studio is away.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct SlateBody {
    /// Whether anything does.
    enabled: bool,
    /// What the default card says.
    title: String,
    /// How long the last picture stands before the slate comes.
    after_ms: u64,
    /// How long the studio may stay away before the broadcast ends.
    max_minutes: u64,
    /// `card`, `image` or `video`.
    source: &'static str,
    /// Whether uploaded music is played.
    music: bool,
    /// Whether it has been coded for the live picture since it last changed.
    ready: bool,
}

impl SlateBody {
    pub(super) fn new(handle: &BroadcastHandle) -> Self {
        Self::of(handle.spec().slate(), handle.slate().describe())
    }

    /// What was asked for, and what has become of it.
    pub(super) fn of(spec: &SlateSpec, slate: SlateDescription) -> Self {
        Self {
            enabled: slate.enabled,
            title: spec.title().to_owned(),
            after_ms: u64::try_from(spec.after().as_millis()).unwrap_or(u64::MAX),
            max_minutes: spec.limit().as_secs() / 60,
            source: match slate.picture {
                SlatePicture::Card => "card",
                SlatePicture::Image => "image",
                SlatePicture::Video => "video",
            },
            music: slate.music,
            ready: slate.ready,
        }
    }
}

/// Read what stands in while the studio is away.
#[utoipa::path(
    get, path = "/api/v1/broadcasts/{id}/slate", tag = "slate", params(("id" = String, Path)),
    responses(
        (status = 200, description = "As it is now.", body = SlateBody),
        (status = 404, description = "There is no such broadcast.", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn read(
    State(face): State<Arc<Face>>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Json<SlateBody>, ApiError> {
    let handle = face.find_to_read(&id, &headers).await?;
    Ok(Json(SlateBody::new(&handle)))
}

/// Show an image (PNG, JPEG) or a video (MP4, its first minute in a loop) in place of the card. At most 20 MB.
#[utoipa::path(
    put, path = "/api/v1/broadcasts/{id}/slate", tag = "slate", params(("id" = String, Path)),
    request_body(content((Vec<u8> = "image/png"), (Vec<u8> = "image/jpeg"), (Vec<u8> = "video/mp4"))),
    responses(
        (status = 200, description = "It is shown from now on, as soon as it is coded.", body = SlateBody),
        (status = 404, description = "There is no such broadcast.", body = Problem, content_type = "application/problem+json"),
        (status = 415, description = "Neither PNG nor JPEG nor MP4.", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "`invalid_slate`: it cannot be shown; `slate_too_large`. The earlier one stays.", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn show(
    State(face): State<Arc<Face>>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<SlateBody>, ApiError> {
    let handle = face.find_to_change(&id, &headers).await?;
    let kind = kind(&headers, &PICTURES).ok_or(ApiError::MediaTypeOther(
        "image/png, image/jpeg or video/mp4",
    ))?;
    upload(&handle, kind, body).await
}

/// Go back to the card with the title.
#[utoipa::path(
    delete, path = "/api/v1/broadcasts/{id}/slate", tag = "slate", params(("id" = String, Path)),
    responses(
        (status = 200, description = "As it is now.", body = SlateBody),
        (status = 404, description = "There is no such broadcast.", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn reset(
    State(face): State<Arc<Face>>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Json<SlateBody>, ApiError> {
    let handle = face.find_to_change(&id, &headers).await?;
    handle.slate().remove_picture();
    Ok(Json(SlateBody::new(&handle)))
}

/// Play music (MP3, Ogg, WAV, M4A, FLAC; its first ten minutes in a loop) with the slate. At most 20 MB.
#[utoipa::path(
    put, path = "/api/v1/broadcasts/{id}/slate/music", tag = "slate", params(("id" = String, Path)),
    request_body(content((Vec<u8> = "audio/mpeg"), (Vec<u8> = "audio/ogg"), (Vec<u8> = "audio/wav"), (Vec<u8> = "audio/mp4"), (Vec<u8> = "audio/flac"))),
    responses(
        (status = 200, description = "It is played from now on, as soon as it is coded.", body = SlateBody),
        (status = 404, description = "There is no such broadcast.", body = Problem, content_type = "application/problem+json"),
        (status = 415, description = "None of these kinds of music.", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "`invalid_music`: it cannot be played; `slate_too_large`. The earlier one stays.", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn play(
    State(face): State<Arc<Face>>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<SlateBody>, ApiError> {
    let handle = face.find_to_change(&id, &headers).await?;
    let kind = kind(&headers, &MUSIC).ok_or(ApiError::MediaTypeOther(
        "audio/mpeg, audio/ogg, audio/wav, audio/mp4 or audio/flac",
    ))?;
    upload(&handle, kind, body).await
}

/// Go back to the video's own sound, or to silence.
#[utoipa::path(
    delete, path = "/api/v1/broadcasts/{id}/slate/music", tag = "slate", params(("id" = String, Path)),
    responses(
        (status = 200, description = "As it is now.", body = SlateBody),
        (status = 404, description = "There is no such broadcast.", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn silence(
    State(face): State<Arc<Face>>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Json<SlateBody>, ApiError> {
    let handle = face.find_to_change(&id, &headers).await?;
    handle.slate().remove_music();
    Ok(Json(SlateBody::new(&handle)))
}

/// The body is taken as it streams in; the limit of JSON bodies does not hold for it, that of uploads does.
async fn upload(
    handle: &BroadcastHandle,
    kind: UploadKind,
    body: Body,
) -> Result<Json<SlateBody>, ApiError> {
    match handle.slate().upload(kind, body.into_data_stream()).await {
        Ok(_) => {
            tracing::info!(broadcast = %handle.id(), ?kind, "slate was uploaded");
            Ok(Json(SlateBody::new(handle)))
        }
        Err(error) => {
            tracing::info!(broadcast = %handle.id(), ?kind, %error, "slate was not taken");
            Err(error.into())
        }
    }
}

fn kind(headers: &HeaderMap, known: &[(&str, UploadKind)]) -> Option<UploadKind> {
    let essence = body::media_type(headers)?;
    known
        .iter()
        .find(|(name, _)| essence.eq_ignore_ascii_case(name))
        .map(|(_, kind)| *kind)
}

impl From<UploadError> for ApiError {
    fn from(error: UploadError) -> Self {
        match error {
            UploadError::TooLarge | UploadError::Slate(SlateError::TooLarge) => {
                Self::SlateTooLarge(UPLOAD_LIMIT_BYTES)
            }
            UploadError::Lost | UploadError::TooSlow => Self::BodyLost,
            UploadError::Slate(SlateError::InvalidPicture) => Self::InvalidSlate,
            UploadError::Slate(SlateError::InvalidMusic) => Self::InvalidMusic,
            UploadError::Storage(_) | UploadError::Slate(_) => {
                tracing::error!(%error, fault = "gateway", "an upload was not tried");
                Self::SlateUnavailable
            }
        }
    }
}
