//! The control endpoints, for suites in other languages: what the Rust handle can do, over HTTP.

use std::sync::Arc;

use bytes::Bytes;
use hyper::{Response, http::request::Parts};
use serde_json::{Value, json};

use crate::{
    exchange::{Body, full},
    record::{RequestEnd, RequestRecord, Shared},
    script::Script,
};

/// Answers a request to a path that starts with `/__`.
pub(crate) async fn respond(head: &Parts, body: &Bytes, shared: &Arc<Shared>) -> Response<Body> {
    let query = head.uri.query().unwrap_or_default();
    match (head.method.as_str(), head.uri.path()) {
        ("POST", "/__script") => match scripts(body) {
            Ok(scripts) => {
                scripts.into_iter().for_each(|script| shared.push(script));
                full(200, &json!({ "queued": shared.scripts_left() }))
            }
            Err(error) => full(400, &json!({ "error": error.to_string() })),
        },
        ("GET", "/__log") => full(200, &log(shared)),
        ("POST", "/__reset") => {
            shared.reset();
            full(200, &json!({}))
        }
        ("POST", "/__release") => {
            match parameter(query, "count") {
                Some("all") => shared.release_all(),
                count => shared.release(count.and_then(|count| count.parse().ok()).unwrap_or(1)),
            }
            full(200, &json!({}))
        }
        ("GET", "/__wait") => wait(query, shared).await,
        _ => full(404, &json!({ "error": "no such control endpoint" })),
    }
}

/// One script or an array of them.
fn scripts(body: &Bytes) -> Result<Vec<Script>, serde_json::Error> {
    match serde_json::from_slice::<Value>(body)? {
        array @ Value::Array(_) => serde_json::from_value(array),
        one => serde_json::from_value(one).map(|script| vec![script]),
    }
}

fn log(shared: &Shared) -> Value {
    json!({ "requests": shared.records(), "totals": shared.totals(), "scripts_left": shared.scripts_left() })
}

/// Answers with the log once `count` requests are in the state `for`.
async fn wait(query: &str, shared: &Shared) -> Response<Body> {
    let count = parameter(query, "count")
        .and_then(|count| count.parse().ok())
        .unwrap_or(1_usize);
    let state: fn(&RequestRecord) -> bool = match parameter(query, "for") {
        Some("request") => |_| true,
        Some("waiting") => |record| record.waiting,
        Some("abort") => |record| record.end == RequestEnd::ClientAborted,
        Some("complete") => |record| record.end == RequestEnd::Complete,
        Some("fault") => |record| record.end == RequestEnd::Faulted,
        Some("end") => |record| record.end != RequestEnd::InFlight,
        _ => {
            let known = "`for` must be request, waiting, abort, complete, fault or end";
            return full(400, &json!({ "error": known }));
        }
    };
    shared
        .wait_until(|records| records.iter().filter(|record| state(record)).count() >= count)
        .await;
    full(200, &log(shared))
}

fn parameter<'q>(query: &'q str, name: &str) -> Option<&'q str> {
    let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    pairs.find(|pair| pair.0 == name).map(|pair| pair.1)
}
