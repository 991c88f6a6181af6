//! The methods that the fake has.

use serde_json::{Value, json};
use tokio::sync::Mutex;

use super::{
    grants::Grants,
    state::{Refused, State},
};

/// Calls a method.
pub(super) async fn call(
    state: &Mutex<State>,
    service: &str,
    method: &str,
    grants: &Grants,
    request: &Value,
) -> Result<Value, Refused> {
    grants.allow(service, method)?;
    let text = |name: &str| request[name].as_str().unwrap_or_default();
    let list = |name: &str| -> Vec<String> {
        let items = request[name].as_array().into_iter().flatten();
        items.filter_map(Value::as_str).map(str::to_owned).collect()
    };
    let mut state = state.lock().await;
    match (service, method) {
        ("RoomService", "CreateRoom") => state.create_room(request),
        ("RoomService", "ListRooms") => Ok(json!({ "rooms": state.rooms(&list("names")) })),
        ("RoomService", "DeleteRoom") => state.delete_room(text("room")),
        ("Ingress", "CreateIngress") => state.create_ingress(request).await,
        ("Ingress", "ListIngress") => {
            let items = state.ingresses(text("room_name"), text("ingress_id"))?;
            Ok(json!({ "items": items, "next_page_token": null }))
        }
        ("Ingress", "DeleteIngress") => state.delete_ingress(text("ingress_id")).await,
        ("Egress", "StartParticipantEgress") => state.start_egress(request),
        ("Egress", "UpdateStream") => {
            let add = list("add_output_urls");
            let remove = list("remove_output_urls");
            let id = text("egress_id");
            state.update_stream(id, &add, &remove).await
        }
        ("Egress", "ListEgress") => {
            let active = request["active"].as_bool().unwrap_or_default();
            let items = state.egresses(text("room_name"), text("egress_id"), active);
            Ok(json!({ "items": items, "next_page_token": null }))
        }
        ("Egress", "StopEgress") => state.stop_egress(text("egress_id")),
        _ => Err(Refused::new(
            "bad_route",
            &format!("no handler for path \"/twirp/livekit.{service}/{method}\""),
        )),
    }
}
