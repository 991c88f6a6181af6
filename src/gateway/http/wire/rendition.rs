//! The JSON of renditions and of the broadcast's picture, and how they become one and back.

use broadcast::{Rendition, RenditionError, VideoSpec};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::http::error::ApiError;

/// A picture as it is asked for: a preset, or all four numbers.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(in crate::http) struct RenditionRequest {
    /// `low`, `medium`, `high`, `ultra`, `360p-very-low`, `480p-low`, `720p-medium`, `720p-high`, `1080p-medium`,
    /// `1080p-high`, `1080p-ultra`, `4k-high` or `4k-ultra`.
    #[schema(example = "720p-high")]
    preset: Option<String>,
    /// Pixels, even, 160 to 3840.
    width: Option<u32>,
    /// Pixels, even, 90 to 2160.
    height: Option<u32>,
    /// 5 to 60.
    frames_per_second: Option<u32>,
    /// Of the picture alone, 100 to 20000.
    bitrate_kbps: Option<u32>,
}

impl RenditionRequest {
    fn is_empty(&self) -> bool {
        self.preset.is_none()
            && self
                .numbers()
                .into_iter()
                .all(|(_, number)| number.is_none())
    }

    fn numbers(&self) -> [(&'static str, Option<u32>); 4] {
        [
            ("width", self.width),
            ("height", self.height),
            ("framesPerSecond", self.frames_per_second),
            ("bitrateKbps", self.bitrate_kbps),
        ]
    }

    /// Checks everything; `path` stands before the names of fields.
    pub(in crate::http) fn into_rendition(self, path: &str) -> Result<Rendition, ApiError> {
        let at = |field: &str| format!("{path}.{field}");
        if let Some(preset) = &self.preset {
            if let Some((field, _)) = self
                .numbers()
                .into_iter()
                .find(|(_, number)| number.is_some())
            {
                let message = "it is in the preset already; leave out one of the two";
                return Err(ApiError::invalid(at(field), message));
            }
            return preset.parse().map_err(|_| {
                let names: Vec<_> = Rendition::presets().map(|(name, _)| name).collect();
                let message = format!("it is one of {}", names.join(", "));
                ApiError::invalid(at("preset"), message)
            });
        }
        let given = |(field, number): (&str, Option<u32>)| {
            number.ok_or_else(|| ApiError::MissingField(at(field)))
        };
        let [width, height, rate, bitrate] = self.numbers();
        let (width, height) = (given(width)?, given(height)?);
        Rendition::new(width, height, given(rate)?, given(bitrate)?).map_err(|error| {
            let field = match error {
                RenditionError::Width => "width",
                RenditionError::Height => "height",
                RenditionError::FramesPerSecond => "framesPerSecond",
                RenditionError::Bitrate | _ => "bitrateKbps",
            };
            ApiError::invalid(at(field), error)
        })
    }
}

/// What picture a broadcast sends, as it is asked for.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(in crate::http) struct VideoRequest {
    /// `auto` (when absent): H.264 is forwarded as it comes, everything else is transcoded. `transcode`: always.
    mode: Option<String>,
    /// A preset in place of the four numbers below.
    #[schema(example = "720p-high")]
    preset: Option<String>,
    /// Pixels of what is transcoded, even, 160 to 3840; the studio's when all four are absent.
    width: Option<u32>,
    /// Pixels, even, 90 to 2160.
    height: Option<u32>,
    /// 5 to 60.
    frames_per_second: Option<u32>,
    /// 100 to 20000.
    bitrate_kbps: Option<u32>,
}

impl VideoRequest {
    pub(in crate::http) fn into_spec(self) -> Result<VideoSpec, ApiError> {
        let transcode = match self.mode.as_deref() {
            None | Some("auto") => false,
            Some("transcode") => true,
            Some(_) => {
                return Err(ApiError::invalid(
                    "video.mode",
                    "it is one of auto, transcode",
                ));
            }
        };
        let canvas = RenditionRequest {
            preset: self.preset,
            width: self.width,
            height: self.height,
            frames_per_second: self.frames_per_second,
            bitrate_kbps: self.bitrate_kbps,
        };
        let canvas = if canvas.is_empty() {
            None
        } else {
            Some(canvas.into_rendition("video")?)
        };
        Ok(VideoSpec { transcode, canvas })
    }
}

/// A picture of a fixed shape, rate and bitrate.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(in crate::http) struct RenditionBody {
    width: u32,
    height: u32,
    frames_per_second: u32,
    bitrate_kbps: u32,
}

impl RenditionBody {
    pub(in crate::http) const fn new(rendition: Rendition) -> Self {
        Self {
            width: rendition.width(),
            height: rendition.height(),
            frames_per_second: rendition.frames_per_second(),
            bitrate_kbps: rendition.kilobits_per_second(),
        }
    }
}

/// What picture a broadcast sends.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(in crate::http) struct VideoChoiceBody {
    /// `auto` or `transcode`.
    mode: &'static str,
    /// What is made where something is transcoded; absent: the shape of the studio's.
    #[serde(skip_serializing_if = "Option::is_none")]
    canvas: Option<RenditionBody>,
}

impl VideoChoiceBody {
    pub(in crate::http) fn new(video: &VideoSpec) -> Self {
        Self {
            mode: if video.transcode { "transcode" } else { "auto" },
            canvas: video.canvas.map(RenditionBody::new),
        }
    }
}
