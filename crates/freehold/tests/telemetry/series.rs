//! Metrics: the registry's own, under the names of the conventions, and no more of them whatever
//! clients name.

use std::collections::BTreeSet;

use freehold_testkit::attribute;
use freehold_testkit::opentelemetry_proto::tonic::common::v1::KeyValue;
use freehold_testkit::opentelemetry_proto::tonic::metrics::v1::Metric;
use freehold_testkit::opentelemetry_proto::tonic::metrics::v1::metric::Data;
use serde_json::json;

use crate::program::{Site, soon};

/// Each series: its metric's name and its labels.
fn series(metrics: &[Metric]) -> BTreeSet<String> {
    let mut series = BTreeSet::new();
    for metric in metrics {
        let lists: Vec<&[KeyValue]> = match metric.data.as_ref().unwrap() {
            Data::Sum(sum) => sum.data_points.iter().map(|p| &p.attributes[..]).collect(),
            Data::Gauge(gauge) => gauge
                .data_points
                .iter()
                .map(|p| &p.attributes[..])
                .collect(),
            Data::Histogram(all) => all.data_points.iter().map(|p| &p.attributes[..]).collect(),
            other => panic!("{other:?}"),
        };
        series.extend(
            lists
                .iter()
                .map(|labels| format!("{} {labels:?}", metric.name)),
        );
    }
    series
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_are_the_registrys() {
    let site = Site::new().await;
    let endpoint = site.collector.url();
    let telemetry = json!({"endpoint": endpoint, "traces": false, "metrics_interval_s": 3600});
    site.configure(&telemetry, &[]);
    let gateway = site.serve(&[]).await;
    gateway.ask("in/fake", true, &[]).await;
    gateway.ask("in/fake", false, &[]).await;
    gateway.ask("no-such-model", false, &[]).await;
    // The interval is an hour: what arrives was sent at the end.
    gateway.stop().await;
    assert!(site.collector.spans().is_empty());
    let metrics = site.collector.metrics();
    let names: BTreeSet<_> = metrics.iter().map(|metric| metric.name.as_str()).collect();
    for name in [
        "gen_ai.client.operation.duration",
        "gen_ai.client.token.usage",
        "gen_ai.server.request.duration",
        "gen_ai.server.time_to_first_token",
        "gen_ai.server.time_per_output_token",
        "freehold.requests",
        "freehold.tokens",
        "freehold.cost_nano_usd",
        "freehold.overhead",
    ] {
        assert!(names.contains(name), "{name} in {names:?}");
    }
    let find = |name: &str| metrics.iter().find(|metric| metric.name == name).unwrap();
    let Some(Data::Histogram(duration)) = &find("gen_ai.client.operation.duration").data else {
        panic!("{metrics:?}");
    };
    let [point] = &duration.data_points[..] else {
        panic!("{duration:?}");
    };
    assert_eq!(point.count, 2);
    assert_eq!(point.bucket_counts.iter().sum::<u64>(), 2);
    assert_eq!(attribute(&point.attributes, "gen_ai.provider.name"), "in");
    assert_eq!(attribute(&point.attributes, "gen_ai.request.model"), "fake");
    assert_eq!(
        attribute(&point.attributes, "gen_ai.operation.name"),
        "chat"
    );
    let Some(Data::Sum(requests)) = &find("freehold.requests").data else {
        panic!("{metrics:?}");
    };
    let statuses: BTreeSet<_> = requests
        .data_points
        .iter()
        .map(|point| attribute(&point.attributes, "status").to_string())
        .collect();
    assert_eq!(
        statuses,
        BTreeSet::from(["\"completed\"".to_owned(), "\"refused\"".to_owned()])
    );
}

/// The registry itself is tried with 100,000 names; here it is shown that a report has its series.
#[tokio::test(flavor = "multi_thread")]
async fn junk_names_add_no_series() {
    let site = Site::new().await;
    let telemetry = json!({"endpoint": site.collector.url(), "traces": false});
    site.configure(&telemetry, &[]);
    let gateway = site.serve(&[("OTEL_METRIC_EXPORT_INTERVAL", "1000")]).await;
    // `out` serves any model's name, `in` only its own.
    for names in [["out/junk-0", "junk-0"], ["out/junk-1", "junk-1"]] {
        for model in names {
            gateway.ask(model, false, &[]).await;
            gateway.ask(model, true, &[]).await;
        }
    }
    let counted = |metrics: &[Metric], at_least: u64| {
        let overhead = metrics
            .iter()
            .find(|metric| metric.name == "freehold.overhead");
        overhead.is_some_and(|metric| match &metric.data {
            Some(Data::Histogram(all)) => all.data_points[0].count >= at_least,
            _ => false,
        })
    };
    soon(
        site.collector
            .wait_until(|collector| counted(&collector.metrics(), 8)),
    )
    .await;
    let few = series(&site.collector.metrics());
    for number in 2..60 {
        let flow = format!("flow-{number}");
        let headers = [("x-freehold-flow", flow.as_str())];
        let model = format!("out/junk-{number}");
        gateway.ask(&model, number % 2 == 0, &headers).await;
        gateway
            .ask(&format!("junk-{number}"), false, &headers)
            .await;
    }
    gateway.stop().await;
    let many = series(&site.collector.metrics());
    assert!(counted(&site.collector.metrics(), 124));
    assert_eq!(few, many);
    assert!(
        many.iter().any(|series| series.contains("unlisted")),
        "{many:?}"
    );
    assert!(
        many.iter().all(|series| !series.contains("junk")),
        "{many:?}"
    );
}
