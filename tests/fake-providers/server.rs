//! The part of all fakes that is a server: it records what it is asked, and does wrong what the script says.

use std::{io, net::SocketAddr, sync::Arc};

use axum::{
    Router,
    body::{Body, to_bytes},
    extract::{ConnectInfo, Request, State},
    http::{Method, StatusCode, header},
    middleware::{Next, from_fn_with_state},
    response::{IntoResponse, Response},
};
use serde_json::Value;
use tokio::{net::TcpListener, task::JoinSet, time::sleep};
use url::Url;

use crate::{
    Action, Faults, Media, NoMedia, Recorded, Records,
    line::{Line, Lines},
    record::kept_header,
};

/// The longest document that a fake takes, in bytes.
const REQUEST_LIMIT_BYTES: usize = 1024 * 1024;

/// How long an answer of [`Action::Endless`] is, in bytes: more than any client reads.
const ENDLESS_BYTES: usize = 4 * 1024 * 1024;

/// What every fake is told.
#[derive(Debug, Clone)]
pub struct FakeSettings {
    /// Where it listens; port 0 takes a free one.
    pub address: SocketAddr,
    /// What goes wrong.
    pub faults: Faults,
    /// What moves its media.
    pub media: Arc<dyn Media>,
    /// Where its webhooks go; without it they are only kept.
    pub webhooks: Option<Url>,
}

impl Default for FakeSettings {
    /// A free port of the loopback; nothing goes wrong, and every show arrives at once.
    fn default() -> Self {
        Self {
            address: SocketAddr::from(([127, 0, 0, 1], 0)),
            faults: Faults::none(),
            media: Arc::new(NoMedia::arriving()),
            webhooks: None,
        }
    }
}

/// The name of what a request asks for, from its method and path; `None`: nothing that the provider has.
pub type Operations = fn(&Method, &str) -> Option<String>;

/// A server that ends when it is dropped.
#[derive(Debug)]
pub struct Server {
    base: Url,
    records: Records,
    _tasks: JoinSet<()>,
}

impl Server {
    /// Serves `router` with the faults and the records around it.
    pub async fn start(
        settings: &FakeSettings,
        operations: Operations,
        router: Router,
    ) -> io::Result<Self> {
        let listener = TcpListener::bind(settings.address).await?;
        let base =
            Url::parse(&format!("http://{}", listener.local_addr()?)).map_err(io::Error::other)?;
        let records = Records::default();
        let desk = Desk {
            faults: settings.faults.clone(),
            records: records.clone(),
            operations,
        };
        let service = router
            .layer(from_fn_with_state(desk, attend))
            .into_make_service_with_connect_info::<Line>();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            // It ends with its task only.
            drop(axum::serve(Lines(listener), service).await);
        });
        Ok(Self {
            base,
            records,
            _tasks: tasks,
        })
    }

    /// Where it listens: `http://ADDRESS:PORT/`.
    pub const fn base(&self) -> &Url {
        &self.base
    }

    /// What it was asked.
    pub const fn records(&self) -> &Records {
        &self.records
    }
}

#[derive(Clone)]
struct Desk {
    faults: Faults,
    records: Records,
    operations: Operations,
}

/// Records a request, and answers it as the script wants.
async fn attend(
    State(desk): State<Desk>,
    ConnectInfo(line): ConnectInfo<Line>,
    request: Request,
    next: Next,
) -> Response {
    let (parts, body) = request.into_parts();
    let Ok(body) = to_bytes(body, REQUEST_LIMIT_BYTES).await else {
        return StatusCode::PAYLOAD_TOO_LARGE.into_response();
    };
    let path = parts.uri.path().to_owned();
    let operation = (desk.operations)(&parts.method, &path);
    let name = operation.unwrap_or_else(|| "unknown".to_owned());
    desk.records.keep(Recorded {
        operation: name.clone(),
        method: parts.method.to_string(),
        path,
        query: parts.uri.query().unwrap_or_default().to_owned(),
        headers: parts
            .headers
            .iter()
            .filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?)))
            .map(|(name, value)| (name.to_owned(), kept_header(name, value)))
            .collect(),
        body: serde_json::from_slice(&body).unwrap_or(Value::Null),
    });
    let action = desk.faults.next(&name);
    match &action {
        Some(Action::Status(status, retry_after)) => return refusal(*status, *retry_after),
        Some(Action::Answer(status, body)) => {
            let status = StatusCode::from_u16(*status).unwrap_or(StatusCode::BAD_REQUEST);
            let json = [(header::CONTENT_TYPE, "application/json")];
            return (status, json, body.clone()).into_response();
        }
        Some(Action::Reset) => {
            line.reset();
            return StatusCode::OK.into_response();
        }
        Some(Action::Hang) => std::future::pending().await,
        Some(Action::WrongContentType) => {
            let page = [(header::CONTENT_TYPE, "text/html; charset=utf-8")];
            return (page, "<!doctype html><title>Log in</title>").into_response();
        }
        Some(Action::Late(delay)) => sleep(*delay).await,
        _ => {}
    }
    let response = next.run(Request::from_parts(parts, Body::from(body))).await;
    spoilt(action, response, &line).await
}

fn refusal(status: u16, retry_after: Option<u64>) -> Response {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = (status, "refused by the script").into_response();
    if let Some(seconds) = retry_after {
        response
            .headers_mut()
            .insert(header::RETRY_AFTER, seconds.into());
    }
    response
}

/// What is left of an answer to what was done.
async fn spoilt(action: Option<Action>, response: Response, line: &Line) -> Response {
    let Some(
        action @ (Action::LostAnswer
        | Action::SlowBody
        | Action::TruncatedJson
        | Action::Garbage
        | Action::Endless),
    ) = action
    else {
        return response;
    };
    let json = [(header::CONTENT_TYPE, "application/json")];
    if action == Action::LostAnswer {
        line.reset();
        return StatusCode::OK.into_response();
    }
    if action == Action::Garbage {
        return (json, vec![0xff, 0x00, b'{', 0xfe, 0x7f]).into_response();
    }
    if action == Action::Endless {
        return (json, vec![b' '; ENDLESS_BYTES]).into_response();
    }
    if action == Action::SlowBody {
        line.slow_down();
        return response;
    }
    let status = response.status();
    let whole = to_bytes(response.into_body(), usize::MAX)
        .await
        .unwrap_or_default();
    (status, json, whole.slice(..whole.len() / 2)).into_response()
}
