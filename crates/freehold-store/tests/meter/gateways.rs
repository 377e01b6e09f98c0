//! Many gateways at one server, and gateways that die.

use std::sync::Arc;
use std::time::Duration;

use freehold_ports::{Limits, Used};
use freehold_testkit::redis::{Persistence, Server};
use freehold_types::NanoUsd;
use futures_util::future::join_all;

use super::desk::{Desk, daily, key, usd};

fn server() -> Arc<Server> {
    Arc::new(Server::start(Persistence::AppendOnly).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn three_gateways_together_admit_no_more_than_the_limits() {
    let server = server();
    let desks = [(); 3].map(|()| Desk::beside(Arc::clone(&server)));
    let limits = Limits {
        requests_per_minute: Some(60),
        tokens_per_minute: Some(1_000),
        concurrent: Some(40),
        ..daily(1.0)
    };
    let bounds = [key(limits)];
    desks[0].open(&bounds).await;
    // The budget holds 30, the tokens 50, the places 40.
    let asking = desks.iter().flat_map(|desk| {
        let bounds = &bounds;
        (0..100).map(move |_| async move {
            let asked = desk.ask(bounds, 20, usd(1.0 / 30.0 - 1e-6));
            desk.meter.reserve(&asked).await.is_ok().then_some(asked)
        })
    });
    let admitted: Vec<_> = join_all(asking).await.into_iter().flatten().collect();
    assert_eq!(admitted.len(), 30);
    assert_eq!(desks[1].held().await, 30);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_dies_and_returns_has_forgotten_nothing() {
    let desk = Desk::shared();
    let bounds = [key(daily(1.0))];
    desk.open(&bounds).await;
    let asked = desk.ask(&bounds, 1, usd(0.6));
    assert_eq!(desk.denial(&asked).await, None);
    let server = desk.server.clone().unwrap();
    server.kill();
    // What is used meanwhile waits.
    let used = Used {
        tokens: 1,
        cost: usd(0.5),
    };
    desk.meter.settle(asked, used);
    let refused = desk.meter.reserve(&desk.ask(&bounds, 1, usd(0.1))).await;
    assert!(refused.is_err());
    server.restart().unwrap();
    desk.shared_meter().flush().await;
    assert_eq!(
        desk.spent(&bounds[0].scope).await,
        (usd(0.5), NanoUsd::ZERO)
    );
    assert_eq!(desk.held().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_dead_gateway_reserved_is_spent_until_somebody_knows_better() {
    let server = server();
    let bounds = [key(Limits {
        concurrent: Some(1),
        ..daily(1.0)
    })];
    let dead = Desk::beside(Arc::clone(&server));
    dead.open(&bounds).await;
    let asked = dead.ask(&bounds, 1, usd(0.6));
    assert_eq!(dead.denial(&asked).await, None);
    drop(dead);

    let other = Desk::beside(server);
    assert!(
        other
            .denial(&other.ask(&bounds, 1, usd(0.1)))
            .await
            .is_some()
    );
    other.advance(Duration::from_secs(4));
    // Its place is free, and its money is not.
    let next = other.ask(&bounds, 1, usd(0.1));
    assert_eq!(other.denial(&next).await, None);
    assert_eq!(other.spent(&bounds[0].scope).await, (usd(0.6), usd(0.1)));
    other.settle(&next, 1, usd(0.1)).await;
    let meter = other.shared_meter();
    while meter.lapsed().is_empty() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(meter.lapsed(), [asked.id]);
    // Its outcome is found in the ledger: told as often as one likes, it counts once.
    for _ in 0..2 {
        let cost = usd(0.25);
        meter.settle_lapsed(asked.id, Used { tokens: 1, cost });
        meter.flush().await;
    }
    assert_eq!(
        other.spent(&bounds[0].scope).await,
        (usd(0.35), NanoUsd::ZERO)
    );
    assert_eq!(other.held().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_request_of_a_living_gateway_does_not_lapse() {
    let desk = Desk::shared();
    let bounds = [key(daily(1.0))];
    desk.open(&bounds).await;
    let asked = desk.ask(&bounds, 1, usd(0.6));
    assert_eq!(desk.denial(&asked).await, None);
    // Three times the lease, in real time between signs of life.
    for _ in 0..6 {
        tokio::time::sleep(Duration::from_millis(1_050)).await;
        desk.advance(Duration::from_millis(500));
    }
    assert_eq!(
        desk.spent(&bounds[0].scope).await,
        (NanoUsd::ZERO, usd(0.6))
    );
    assert_eq!(desk.shared_meter().lapsed(), []);
    desk.settle(&asked, 1, usd(0.1)).await;
    assert_eq!(
        desk.spent(&bounds[0].scope).await,
        (usd(0.1), NanoUsd::ZERO)
    );
}
