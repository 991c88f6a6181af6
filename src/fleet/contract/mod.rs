//! What every registry does, run against the one in memory and against real servers.

mod boards;
mod server;
mod suite;

use std::{sync::Arc, time::Duration};

use self::server::Server;
use crate::{MemoryRegistry, RedisRegistry, Registry, Times};

/// Short lives, so that real servers can be waited for.
const TIMES: Times = Times {
    node: Duration::from_millis(400),
    reservation: Duration::from_millis(800),
};

async fn redis(server: &Server, root: &str) -> Arc<dyn Registry> {
    let registry = RedisRegistry::connect_under(&server.url(), root, TIMES).await;
    Arc::new(registry.unwrap())
}

macro_rules! contract {
    ($($clause:ident)*) => {
        mod memory {
            use super::*;
            $(#[tokio::test]
            async fn $clause() {
                suite::$clause(Arc::new(MemoryRegistry::new(TIMES))).await;
            })*
        }

        mod one_server {
            use super::*;
            $(#[tokio::test]
            async fn $clause() {
                let server = Server::start(&[]).await;
                suite::$clause(redis(&server, "{test}").await).await;
            })*
        }

        mod a_cluster {
            use super::*;
            $(#[tokio::test]
            async fn $clause() {
                let server = Server::cluster().await;
                suite::$clause(redis(&server, "{test}").await).await;
            })*
        }
    };
}

contract! {
    a_name_belongs_to_one_living_process
    thirty_who_ask_at_once_never_get_the_same_last_place
    a_place_counts_until_its_node_tells_of_the_broadcast
    a_region_is_preferred_and_not_demanded
    two_nodes_cannot_hold_one_broadcast
    a_dead_nodes_broadcast_is_adopted_by_one_of_many
    a_node_that_was_only_away_is_fenced
    a_key_is_published_with_by_one_broadcast
    a_broadcast_is_handed_over_with_its_state
    a_registry_that_lost_its_memory_is_told_again
    what_the_registry_forgot_is_told_from_what_is_another_nodes
    a_registry_without_memory_is_told_of_keys_before_it_gives_them
    the_fleet_counts_those_that_have_just_died
}

#[tokio::test]
async fn a_wrong_password_is_told_without_showing_it() {
    let server = Server::start(&["--requirepass", "right"]).await;
    let port = server.port();

    for url in [
        format!("redis://127.0.0.1:{port}"),
        format!("redis://:canary@127.0.0.1:{port}"),
    ] {
        let refused = RedisRegistry::connect(&url, TIMES).await.unwrap_err();
        let words = refused.to_string();
        assert!(words.contains("the user or the password"), "{words}");
        assert!(!words.contains("canary"), "{words}");
    }
    let url = format!("redis://:right@127.0.0.1:{port}");
    assert!(RedisRegistry::connect(&url, TIMES).await.is_ok());
}

#[tokio::test]
async fn a_server_that_is_not_there_is_told_and_one_that_comes_back_is_used() {
    let mut server = Server::start(&[]).await;
    let registry = redis(&server, "{test}").await;
    let report = suite::node("a");
    let epoch = registry.register(&report).await.unwrap();

    server.kill();
    let lost = registry.heartbeat(&report, epoch).await;
    server.restart().await;
    let back = registry.heartbeat(&report, epoch).await;

    assert!(
        matches!(lost, Err(crate::RegistryError::Unavailable(_))),
        "{lost:?}"
    );
    assert!(back.is_ok(), "{back:?}");
}

#[tokio::test]
async fn a_master_that_sentinels_name_is_followed_when_it_fails() {
    let mut servers = Server::with_sentinel().await;
    let registry = redis(&servers.sentinel, "{test}").await;
    let report = suite::node("a");
    let epoch = registry.register(&report).await.unwrap();

    servers.master.kill();
    servers.promote().await;
    let mut back = registry.heartbeat(&report, epoch).await;
    for _ in 0..100 {
        if back.is_ok() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
        back = registry.heartbeat(&report, epoch).await;
    }

    assert!(back.is_ok(), "{back:?}");
}

#[tokio::test]
async fn scripts_that_the_server_forgot_are_sent_again() {
    let server = Server::start(&[]).await;
    let registry = redis(&server, "{test}").await;
    let report = suite::node("a");
    let epoch = registry.register(&report).await.unwrap();

    server.command(&["SCRIPT", "FLUSH"]);

    assert!(registry.heartbeat(&report, epoch).await.is_ok());
}
