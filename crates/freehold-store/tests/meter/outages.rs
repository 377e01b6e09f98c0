//! A server that is away, hangs, or has lost its data.

use std::sync::Arc;
use std::time::{Duration, Instant};

use freehold_ports::{Limits, ReserveError, Used};
use freehold_store::meter::{MeterError, SharedMeter, SharedSettings, Stance};
use freehold_testkit::redis::{Persistence, Server};
use freehold_types::NanoUsd;

use super::desk::{ClockAt, Desk, daily, key, usd};

fn server(persistence: Persistence) -> Arc<Server> {
    Arc::new(Server::start(persistence).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn by_default_nothing_is_admitted_without_an_answer() {
    let server = server(Persistence::AppendOnly);
    let desk = Desk::beside(Arc::clone(&server));
    let bounds = [key(daily(1.0))];
    desk.open(&bounds).await;
    server.freeze();
    let begun = Instant::now();
    let refused = desk.meter.reserve(&desk.ask(&bounds, 1, usd(0.1))).await;
    assert!(matches!(refused, Err(ReserveError::Unreachable(_))));
    assert!(
        begun.elapsed() < Duration::from_secs(5),
        "a hang is bounded"
    );
    server.thaw();
    // What it may have taken all the same is given back.
    desk.shared_meter().flush().await;
    let asked = desk.ask(&bounds, 1, usd(1.0));
    assert_eq!(desk.denial(&asked).await, None);
    desk.settle(&asked, 1, usd(0.3)).await;
    assert_eq!(
        desk.spent(&bounds[0].scope).await,
        (usd(0.3), NanoUsd::ZERO)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_allowance_is_bounded_and_charged_afterwards() {
    let server = server(Persistence::AppendOnly);
    let stance = Stance::Allow {
        share: 0.1,
        spend: usd(0.5),
    };
    let desk = Desk::with(Arc::clone(&server), stance);
    let bounds = [key(Limits {
        requests_per_minute: Some(100),
        ..daily(100.0)
    })];
    desk.open(&bounds).await;
    server.kill();
    let mut admitted = vec![];
    for _ in 0..20 {
        let asked = desk.ask(&bounds, 1, usd(0.1));
        if desk.meter.reserve(&asked).await.is_ok() {
            admitted.push(asked);
        }
    }
    assert_eq!(admitted.len(), 5);
    for asked in &admitted[..4] {
        let cost = usd(0.01);
        desk.meter.settle(asked.clone(), Used { tokens: 1, cost });
    }
    server.restart().unwrap();
    desk.settle(&admitted[4], 1, usd(0.02)).await;
    assert_eq!(
        desk.spent(&bounds[0].scope).await,
        (usd(0.06), NanoUsd::ZERO)
    );
    // The next outage has an allowance of its own.
    let asked = desk.ask(&bounds, 1, usd(0.1));
    assert_eq!(desk.denial(&asked).await, None);
    desk.settle(&asked, 1, NanoUsd::ZERO).await;
    server.kill();
    assert!(
        desk.meter
            .reserve(&desk.ask(&bounds, 1, usd(0.5)))
            .await
            .is_ok()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_lost_its_data_admits_nothing_until_it_is_told() {
    let server = server(Persistence::None);
    let desk = Desk::beside(Arc::clone(&server));
    let bounds = [key(daily(1.0))];
    desk.open(&bounds).await;
    let asked = desk.ask(&bounds, 1, usd(0.6));
    assert_eq!(desk.denial(&asked).await, None);
    server.kill();
    server.restart().unwrap();
    desk.settle(&asked, 1, usd(0.6)).await;
    let refused = desk.meter.reserve(&desk.ask(&bounds, 1, usd(0.1))).await;
    let error = refused.unwrap_err().to_string();
    assert!(error.contains("not known"), "{error}");
    // From the ledger.
    let unknown = desk.unknown(&bounds).await;
    for (scope, period) in unknown {
        desk.meter.restore(scope, period, usd(0.6)).await.unwrap();
    }
    assert!(desk.denial(&desk.ask(&bounds, 1, usd(0.5))).await.is_some());
    assert_eq!(desk.denial(&desk.ask(&bounds, 1, usd(0.4))).await, None);
}

#[tokio::test]
async fn an_address_that_is_none_is_told_without_its_password() {
    let clock = Arc::new(ClockAt::default());
    let settings = SharedSettings::new("redis//:hunter2@host".to_owned());
    let error = SharedMeter::new(settings, clock).err().unwrap();
    assert!(matches!(error, MeterError::Address { .. }));
    assert!(!format!("{error} {error:?}").contains("hunter2"));
}
