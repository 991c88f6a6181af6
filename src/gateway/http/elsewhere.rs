//! Sends whoever asks for a broadcast of another node there.

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    http::{HeaderValue, StatusCode, Uri, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use broadcast::{BroadcastId, BroadcastSpec};
use fleet::Wish;
use signalling::{Moved, ProblemCode};

use super::{Face, error::ApiError};
use crate::{
    admission::Cost,
    broadcasts::{CreateError, Created},
    nodes::{Whereabouts, cores},
};

/// What all paths of broadcasts begin with; the broadcast's id comes next.
const PREFIXES: [&str; 5] = [
    "/api/v1/broadcasts/",
    "/whip/",
    "/whep/",
    "/api/daily/broadcasts/",
    "/daily/broadcasts/",
];

/// Turns "there is no such broadcast" into the URL of the node that has it.
///
/// It looks at answers and not at requests: whoever may not ask is told so first, and what is here costs nothing.
pub(super) async fn send_there(
    State(face): State<Arc<Face>>,
    request: Request,
    next: Next,
) -> Response {
    let uri = request.uri().clone();
    let response = next.run(request).await;
    let to = if let Some(moved) = response.extensions().get::<Moved>() {
        Ok(Some(moved.to.clone()))
    } else if is_unknown(&response)
        && let Some(broadcast) = broadcast_of(&uri)
    {
        face.find_elsewhere(&broadcast).await
    } else {
        return response;
    };
    match to {
        Ok(None) => response,
        Ok(Some(url)) => redirect(response, &url, &uri),
        Err(error) => replace(response, error),
    }
}

impl Face {
    /// Creates a broadcast, if this is the node for it: none has it, and the place for it is here or nowhere. A node that has
    /// no room names one that has.
    pub(super) async fn create(&self, spec: BroadcastSpec) -> Result<Created, ApiError> {
        let mut wish = Wish {
            broadcast: spec.id().as_str().to_owned(),
            cost: cores(Cost::passthrough(spec.destinations().len())),
            region: None,
            method: Some(spec.method().as_str().to_owned()),
        };
        if self.broadcasts.find(spec.id()).is_none()
            && let Some(node) = self.membership.find_place(&wish).await
        {
            return Err(ApiError::Elsewhere(node.url));
        }
        let refused = match self.broadcasts.create(spec).await {
            Ok(created) => return Ok(created),
            Err(refused) => refused,
        };
        match &refused {
            CreateError::NoRoom(no_room) => wish.cost = cores(no_room.cost),
            CreateError::Full | CreateError::Draining => {}
            _ => return Err(refused.into()),
        }
        match self.membership.find_place_elsewhere(&wish).await {
            Some(node) => Err(ApiError::Elsewhere(node.url)),
            None => Err(refused.into()),
        }
    }

    /// The URL of another node that has this broadcast, or why nobody knows.
    pub(super) async fn find_elsewhere(
        &self,
        broadcast: &BroadcastId,
    ) -> Result<Option<String>, ApiError> {
        match self.membership.locate(broadcast.as_str()).await {
            Ok(Whereabouts::Nowhere | Whereabouts::Here) => Ok(None),
            Ok(Whereabouts::Elsewhere(node)) => Ok(Some(node.url)),
            Ok(Whereabouts::Orphaned) => Err(ApiError::Orphaned),
            Err(error) => {
                tracing::debug!(%error, "a broadcast could not be looked for elsewhere");
                Err(ApiError::RegistryUnavailable)
            }
        }
    }
}

fn is_unknown(response: &Response) -> bool {
    response.extensions().get::<ProblemCode>() == Some(&ProblemCode("no_such_broadcast"))
}

/// Ids need no encoding: what is encoded is not looked for.
fn broadcast_of(uri: &Uri) -> Option<BroadcastId> {
    let rest = PREFIXES
        .iter()
        .find_map(|prefix| uri.path().strip_prefix(prefix))?;
    BroadcastId::new(rest.split('/').next()?).ok()
}

/// The same path and query there. The client sends method and body again.
fn redirect(response: Response, url: &str, asked: &Uri) -> Response {
    let path = asked.path_and_query().map_or("/", |path| path.as_str());
    let Ok(location) = HeaderValue::try_from(format!("{url}{path}")) else {
        return replace(response, ApiError::Internal);
    };
    let mut response = if response.status() == StatusCode::TEMPORARY_REDIRECT {
        response
    } else {
        replace(response, ApiError::Elsewhere(url.to_owned()))
    };
    response.headers_mut().insert(header::LOCATION, location);
    response
}

/// Another error, with what CORS and others have added to the first.
fn replace(first: Response, error: ApiError) -> Response {
    let mut response = error.into_response();
    for (name, value) in first.headers() {
        let is_about_body = name == header::CONTENT_LENGTH || name == header::CONTENT_TYPE;
        if !is_about_body && !response.headers().contains_key(name) {
            response.headers_mut().append(name.clone(), value.clone());
        }
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_broadcast_is_found_in_every_path_that_names_one() {
        for path in [
            "/api/v1/broadcasts/show",
            "/api/v1/broadcasts/show/events?x=y",
            "/whip/show",
            "/whip/show/a-session",
            "/whep/show",
            "/api/daily/broadcasts/show/room",
        ] {
            let found = broadcast_of(&path.parse().unwrap());
            assert_eq!(found.unwrap().as_str(), "show", "{path}");
        }
        for path in [
            "/api/v1/broadcasts",
            "/api/v1/broadcasts/",
            "/whip/a%20b",
            "/",
        ] {
            assert_eq!(broadcast_of(&path.parse().unwrap()), None, "{path}");
        }
    }

    #[test]
    fn an_answer_for_another_node_keeps_what_cors_has_said() {
        let mut first = ApiError::NoSuchBroadcast.into_response();
        let origin = HeaderValue::from_static("https://studio.example");
        first
            .headers_mut()
            .insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());

        let answer = redirect(
            first,
            "https://two.example/media",
            &"/whip/show?codec=h264".parse().unwrap(),
        );

        assert_eq!(answer.status(), StatusCode::TEMPORARY_REDIRECT);
        assert_eq!(
            answer.headers()[header::LOCATION],
            "https://two.example/media/whip/show?codec=h264"
        );
        assert_eq!(
            answer.headers()[header::ACCESS_CONTROL_ALLOW_ORIGIN],
            origin
        );
        assert_eq!(
            answer
                .headers()
                .get_all(header::CONTENT_TYPE)
                .iter()
                .count(),
            1
        );
    }
}
