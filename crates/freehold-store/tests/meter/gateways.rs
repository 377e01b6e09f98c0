//! Many gateways at one server, and gateways that die.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use freehold_ports::{Limits, ReserveError, Used};
use freehold_store::meter::Lapsed;
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
    let found = lapsed(&other).await;
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].id, found[0].reserved), (asked.id, usd(0.6)));
    assert!(found[0].life.is_some());
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

/// The next requests of dead gateways that a gateway is told of.
async fn lapsed(desk: &Desk) -> Vec<Lapsed> {
    loop {
        let lapsed = desk.shared_meter().take_lapsed();
        if !lapsed.is_empty() {
            return lapsed;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_of_many_lapsed_requests_is_told_of_in_its_turn() {
    let server = server();
    let bounds = [key(daily(10.0))];
    let dead = Desk::beside(Arc::clone(&server));
    dead.open(&bounds).await;
    let asked: Vec<_> = (0..250).map(|_| dead.ask(&bounds, 1, usd(0.01))).collect();
    for admitted in join_all(asked.iter().map(|asked| dead.meter.reserve(asked))).await {
        admitted.unwrap();
    }
    drop(dead);
    let other = Desk::beside(Arc::clone(&server));
    other.advance(Duration::from_secs(4));
    // Nobody settles them, and each is told of all the same; then they come again.
    let mut told = HashSet::new();
    while told.len() < asked.len() {
        told.extend(lapsed(&other).await.iter().map(|lapsed| lapsed.id));
    }
    let ids: HashSet<_> = asked.iter().map(|asked| asked.id).collect();
    assert_eq!(told, ids);
    assert!(ids.contains(&lapsed(&other).await[0].id));
    // After a month nobody knows them any more: what they reserved stays spent.
    other.advance(Duration::from_secs(31 * 24 * 3_600));
    let meter = other.shared_meter();
    while meter.census(&[]).await.unwrap().lapsed > 0 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A reservation that was long on its way, behind what was to give it back.
#[tokio::test(flavor = "multi_thread")]
async fn what_has_ended_is_not_reserved_any_more() {
    let desk = Desk::shared();
    let bounds = [key(daily(1.0))];
    desk.open(&bounds).await;
    let asked = desk.ask(&bounds, 1, usd(0.6));
    let meter = desk.shared_meter();
    meter.settle_lapsed(asked.id, Used::default());
    meter.flush().await;
    let refused = desk.meter.reserve(&asked).await.unwrap_err();
    assert!(matches!(refused, ReserveError::Unreachable(_)), "{refused}");
    assert_eq!(desk.held().await, 0);
    assert_eq!(desk.spent(&bounds[0].scope).await, Default::default());
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
    assert_eq!(desk.shared_meter().census(&[]).await.unwrap().lapsed, 0);
    desk.settle(&asked, 1, usd(0.1)).await;
    assert_eq!(
        desk.spent(&bounds[0].scope).await,
        (usd(0.1), NanoUsd::ZERO)
    );
}
