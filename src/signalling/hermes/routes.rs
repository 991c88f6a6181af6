//! The requests of `/sessions`.

use std::sync::Arc;

use axum::{
    Json,
    extract::{Path, Request, State, rejection::PathRejection},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};

use super::{
    session::Session,
    sessions::{Opened, Sessions},
    words::camel,
};
use crate::{
    rest::{Refusal, Tongue, guest, ice_servers, object},
    socketio::Payload,
};

type Shared = Arc<Sessions>;
type Id = Result<Path<String>, PathRejection>;

/// `POST /sessions`.
pub(super) async fn create(State(sessions): State<Shared>, request: Request) -> Response {
    let created = async {
        let guest = guest(sessions.rooms(), request.headers()).await?;
        let body = payload(request).await?;
        let opened = sessions.open(&guest, &body).await?;
        match begin(&opened, &body).await {
            Ok(answer) => Ok((StatusCode::CREATED, Json(answer)).into_response()),
            Err(refusal) => {
                sessions.end(&opened.session).await;
                Err(refusal)
            }
        }
    };
    told(created.await)
}

/// `POST /sessions/{id}/connect`.
pub(super) async fn connect(State(sessions): State<Shared>, id: Id, request: Request) -> Response {
    let connected = async {
        let (session, body) = session_and_body(&sessions, id, request).await?;
        session.connect(body.dtls()?).await?;
        Ok(Json(json!({ "connected": true, "session_id": session.id })).into_response())
    };
    told(connected.await)
}

/// `POST /sessions/{id}/publish`.
pub(super) async fn publish(State(sessions): State<Shared>, id: Id, request: Request) -> Response {
    let published = async {
        let (session, body) = session_and_body(&sessions, id, request).await?;
        if let Some(sdp) = body.text("sdp") {
            return Ok(Json(session.take_offer(&body, sdp).await?).into_response());
        }
        session.connect_if_told(&body).await?;
        let producer = session.publish(&body).await?;
        let answer = json!({ "track_id": producer.id, "kind": producer.kind });
        Ok((StatusCode::CREATED, Json(answer)).into_response())
    };
    told(published.await)
}

/// `POST /sessions/{id}/subscribe`.
pub(super) async fn subscribe(
    State(sessions): State<Shared>,
    id: Id,
    request: Request,
) -> Response {
    let subscribed = async {
        let (session, body) = session_and_body(&sessions, id, request).await?;
        if let Some(sdp) = body.text("sdp") {
            return Ok(Json(session.take_offer(&body, sdp).await?).into_response());
        }
        session.connect_if_told(&body).await?;
        let consumer = session.subscribe(&body).await?;
        let answer = json!({
            "consumer_id": consumer.id,
            "track_id": consumer.producer,
            "kind": consumer.kind,
            "rtp_parameters": consumer.rtp,
            "paused": consumer.producer_paused,
            "participant_id": consumer.producer_participant,
        });
        Ok((StatusCode::CREATED, Json(answer)).into_response())
    };
    told(subscribed.await)
}

/// `GET /sessions/{id}/stats`.
pub(super) async fn statistics(
    State(sessions): State<Shared>,
    id: Id,
    headers: HeaderMap,
) -> Response {
    let read = async {
        let guest = guest(sessions.rooms(), &headers).await?;
        let session = sessions.find(&guest, &name(id)?)?;
        Ok(Json(session.statistics().await?).into_response())
    };
    told(read.await)
}

/// `DELETE /sessions/{id}`. A session that has ended, as it does when its client closes its connection first, is no error.
pub(super) async fn close(State(sessions): State<Shared>, id: Id, headers: HeaderMap) -> Response {
    let closed = async {
        let guest = guest(sessions.rooms(), &headers).await?;
        if let Ok(session) = sessions.find(&guest, &name(id)?) {
            sessions.end(&session).await;
        }
        Ok(StatusCode::NO_CONTENT.into_response())
    };
    told(closed.await)
}

/// `POST /channels/{id}/recording/start` and `stop`.
pub(super) async fn no_recording() -> Response {
    Refusal::NoRecording.told(Tongue::Error)
}

async fn session_and_body(
    sessions: &Shared,
    id: Id,
    request: Request,
) -> Result<(Arc<Session>, Payload), Refusal> {
    let guest = guest(sessions.rooms(), request.headers()).await?;
    let session = sessions.find(&guest, &name(id)?)?;
    Ok((session, payload(request).await?))
}

fn name(id: Id) -> Result<String, Refusal> {
    let Path(id) = id.map_err(|_| Refusal::NoSuchSession)?;
    Ok(id)
}

async fn payload(request: Request) -> Result<Payload, Refusal> {
    Ok(Payload::of(vec![camel(object(request).await?)]))
}

/// What a session that has begun is told, with what came of the certificate or offer that the client sent along.
async fn begin(opened: &Opened, body: &Payload) -> Result<Value, Refusal> {
    let mut told = told_of(opened);
    if let Some(sdp) = body.text("sdp") {
        let answer = opened.session.take_offer(body, sdp).await?;
        for name in ["sdp_answer", "tracks"] {
            told[name] = answer[name].clone();
        }
    } else {
        opened.session.connect_if_told(body).await?;
    }
    Ok(told)
}

fn told_of(opened: &Opened) -> Value {
    let transport = &opened.session.transport;
    json!({
        "session_id": opened.session.id,
        "transport_id": transport.id,
        "ice_servers": ice_servers(&opened.ice_servers),
        "ice_parameters": transport.ice_parameters,
        "ice_candidates": transport.ice_candidates,
        "dtls_parameters": transport.dtls_parameters,
        "router_rtp_capabilities": opened.session.capabilities,
    })
}

fn told(result: Result<Response, Refusal>) -> Response {
    result.unwrap_or_else(|refusal| refusal.told(Tongue::Error))
}
