//! Collectors that are away, slow or full: requests do not notice, the loss is counted and said once.

use freehold_testkit::{Taking, unreachable_url};
use serde_json::json;

use crate::program::{Site, soon};

fn value(metrics: &str, series: &str) -> u64 {
    let line = metrics.lines().find_map(|line| line.strip_prefix(series));
    line.map_or(0, |value| value.trim().parse().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_is_away_costs_nothing_but_a_count_and_a_line() {
    let site = Site::new().await;
    let away = unreachable_url().unwrap();
    site.configure(&json!({"endpoint": away}), &[]);
    let gateway = site.serve(&[("OTEL_METRIC_EXPORT_INTERVAL", "1000")]).await;
    for _ in 0..20 {
        assert_eq!(gateway.ask("in/fake", true, &[]).await.0, 200);
    }
    let log = gateway.stop().await;
    assert_eq!(
        log.matches("traces do not reach the collector").count(),
        1,
        "{log}"
    );
    assert_eq!(
        log.matches("metrics do not reach the collector").count(),
        1,
        "{log}"
    );
    assert!(log.contains("it refused the connection"), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_stalls_holds_nobody_up() {
    let site = Site::new().await;
    site.collector.take(Taking::Stalled);
    let telemetry = json!({"endpoint": site.collector.url(), "metrics": false, "queue": 2});
    site.configure(&telemetry, &[]);
    // Each report is one request: the first stalls, two wait, and what comes then is lost.
    let gateway = site.serve(&[("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "1")]).await;
    for _ in 0..6 {
        assert_eq!(gateway.ask("in/fake", false, &[]).await.0, 200);
    }
    let full = "freehold_telemetry_lost_spans_total{reason=\"queue_full\"}";
    let metrics = gateway.metrics().await;
    // Two spans each; how far the first had got when the others came is chance.
    assert!((4..=8).contains(&value(&metrics, full)), "{metrics}");
    // The end has a bound, also with a collector that never answers.
    let log = gateway.stop().await;
    assert!(log.contains("spans were not sent before the end"), "{log}");
    assert!(site.collector.spans().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_is_sent_before_the_end() {
    let site = Site::new().await;
    let telemetry = json!({"endpoint": site.collector.url(), "metrics": false});
    site.configure(&telemetry, &[]);
    let gateway = site.serve(&[("OTEL_BSP_SCHEDULE_DELAY", "3600000")]).await;
    for _ in 0..5 {
        gateway.ask("in/fake", false, &[]).await;
    }
    assert!(site.collector.reports().is_empty());
    gateway.stop().await;
    assert_eq!(site.collector.spans().len(), 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_is_tried_again_when_the_collector_says_so() {
    let site = Site::new().await;
    let telemetry = json!({"endpoint": site.collector.url(), "metrics": false});
    site.configure(&telemetry, &[]);
    let gateway = site.serve(&[]).await;
    site.collector.take(Taking::Refused(503));
    gateway.ask("in/fake", false, &[]).await;
    soon(
        site.collector
            .wait_until(|collector| !collector.reports().is_empty()),
    )
    .await;
    site.collector.take(Taking::All);
    soon(
        site.collector
            .wait_until(|collector| !collector.spans().is_empty()),
    )
    .await;
    let bodies: Vec<_> = site
        .collector
        .reports()
        .into_iter()
        .map(|one| one.body)
        .collect();
    assert_eq!(bodies[0], bodies[1]);

    // What it calls wrong is not tried again.
    site.collector.take(Taking::Refused(400));
    let before = site.collector.reports().len();
    gateway.ask("in/fake", false, &[]).await;
    soon(
        site.collector
            .wait_until(|collector| collector.reports().len() > before),
    )
    .await;
    site.collector.take(Taking::All);
    let (_, id) = gateway.ask("in/fake", false, &[]).await;
    let trace = |collector: &freehold_testkit::FakeCollector| {
        collector.spans().iter().any(|span| span.trace() == id)
    };
    soon(site.collector.wait_until(trace)).await;
    assert_eq!(site.collector.reports().len(), before + 2);
    let lost = "freehold_telemetry_lost_spans_total{reason=\"not_sent\"}";
    assert_eq!(value(&gateway.metrics().await, lost), 2);
    let log = gateway.stop().await;
    assert_eq!(
        log.matches("traces do not reach the collector").count(),
        1,
        "{log}"
    );
    assert_eq!(
        log.matches("traces reach the collector again").count(),
        1,
        "{log}"
    );
    assert!(log.contains("status 400"), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_doctor_asks_the_collector() {
    let site = Site::new().await;
    site.configure(&json!({"endpoint": site.collector.url()}), &[]);
    let check = |output: std::process::Output, end: &str| {
        let checks: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        let checks = checks.as_array().unwrap().clone();
        let found = checks.into_iter().find(|check| {
            check["what"] == "telemetry" && check["found"].as_str().unwrap().contains(end)
        });
        found.unwrap_or_else(|| panic!("{end} in {output:?}"))["grade"].clone()
    };
    let doctor = || site.run(&["doctor", "--json"], &[]);
    assert_eq!(check(doctor().await, "/v1/traces takes traces"), "ok");
    assert_eq!(check(doctor().await, "/v1/metrics takes metrics"), "ok");
    site.collector.take(Taking::Refused(404));
    assert_eq!(check(doctor().await, "answered with status 404"), "bad");
    let offline = site.run(&["doctor", "--json", "--offline"], &[]).await;
    assert_eq!(check(offline, "not asked"), "note");
    assert!(site.collector.spans().is_empty());
}
