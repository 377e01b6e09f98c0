use metrics::{counter, describe_counter, gauge, histogram};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder};

use super::*;

const SPAN: Span = Span { start: 1, now: 2 };

fn labels(attributes: &[KeyValue]) -> Vec<(String, String)> {
    let text = |value: &KeyValue| {
        format!(
            "{:?}",
            value.value.as_ref().unwrap().value.as_ref().unwrap()
        )
    };
    attributes
        .iter()
        .map(|one| (one.key.clone(), text(one)))
        .collect()
}

fn find<'a>(metrics: &'a [Metric], name: &str) -> &'a Metric {
    let found = metrics.iter().find(|metric| metric.name == name);
    found.unwrap_or_else(|| panic!("{name} in {metrics:?}"))
}

#[test]
fn the_registry_is_told_as_it_is() {
    let recorder = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &[0.1, 1.0])
        .unwrap()
        .build_recorder();
    let _guard = metrics::set_default_local_recorder(&recorder);
    describe_counter!("freehold_requests_total", "Requests by how they ended");
    let odd = "a\"b\\c\nd,e=\"}";
    counter!("freehold_requests_total", "deployment" => odd, "status" => "completed").increment(7);
    counter!("freehold_requests_total", "deployment" => "x", "status" => "failed").increment(2);
    counter!("freehold_failed_reloads_total").increment(1);
    gauge!("freehold_owned_idle_nano_usd", "backend" => "gpu").set(2.5);
    histogram!("freehold_overhead_seconds").record(0.05);
    for (model, seconds) in [("m", 0.05), ("m", 0.5), ("m", 5.0), ("n", 0.5)] {
        let labels = [
            ("gen_ai_operation_name", "chat".to_owned()),
            ("gen_ai_request_model", model.to_owned()),
            ("error_type", String::new()),
        ];
        histogram!("gen_ai_client_operation_duration_seconds", &labels).record(seconds);
    }
    let found = metrics(&recorder.handle().render(), SPAN);
    assert_eq!(found.len(), 5, "{found:?}");

    let requests = find(&found, "freehold.requests");
    assert_eq!(requests.description, "Requests by how they ended");
    let Some(Data::Sum(sum)) = &requests.data else {
        panic!("{requests:?}");
    };
    assert!(sum.is_monotonic);
    assert_eq!(sum.aggregation_temporality, 2);
    let mut values: Vec<_> = sum.data_points.iter().map(|point| point.value).collect();
    values.sort_by_key(|value| format!("{value:?}"));
    assert_eq!(values, [Some(Value::AsInt(2)), Some(Value::AsInt(7))]);
    let deployments = sum.data_points.iter().flat_map(|point| &point.attributes);
    let odd = format!("{:?}", format!("{odd}"));
    assert!(
        deployments
            .clone()
            .any(|one| format!("{one:?}").contains(&odd)),
        "{odd} in {sum:?}"
    );
    assert_eq!(sum.data_points[0].start_time_unix_nano, 1);
    assert_eq!(sum.data_points[0].time_unix_nano, 2);
    find(&found, "freehold.failed_reloads");
    assert_eq!(find(&found, "freehold.overhead").unit, "s");
    let Some(Data::Gauge(idle)) = &find(&found, "freehold.owned_idle_nano_usd").data else {
        panic!("{found:?}");
    };
    assert_eq!(idle.data_points[0].value, Some(Value::AsDouble(2.5)));

    let duration = find(&found, "gen_ai.client.operation.duration");
    assert_eq!(duration.unit, "s");
    let Some(Data::Histogram(histogram)) = &duration.data else {
        panic!("{duration:?}");
    };
    assert_eq!(histogram.data_points.len(), 2);
    let of_m = |point: &&HistogramDataPoint| {
        labels(&point.attributes).contains(&(
            "gen_ai.request.model".to_owned(),
            "StringValue(\"m\")".to_owned(),
        ))
    };
    let point = histogram.data_points.iter().find(of_m).unwrap();
    assert_eq!(point.bucket_counts, [1, 1, 1]);
    assert_eq!(point.explicit_bounds, [0.1, 1.0]);
    assert_eq!((point.count, point.sum), (3, Some(5.55)));
    // What succeeded has no type of error.
    assert_eq!(labels(&point.attributes).len(), 2);
}

#[test]
fn every_name_of_the_conventions_is_known() {
    for (name, _, _) in NAMES {
        assert!(name.starts_with("gen_ai_"), "{name}");
        let (meant, unit) = renamed(name, false);
        assert!(meant.starts_with("gen_ai.") && !unit.is_empty());
        // A collector's Prometheus exporter makes of it what the registry says.
        let mut back = meant.replace('.', "_");
        if unit == "s" {
            back.push_str("_seconds");
        }
        assert_eq!(back, *name);
    }
    let page = include_str!("../../../docs/metrics.md");
    let documented = page.lines().filter_map(|line| {
        let (name, _) = line.strip_prefix("| `gen_ai_")?.split_once('`')?;
        Some(format!("gen_ai_{name}"))
    });
    for name in documented {
        assert!(NAMES.iter().any(|(known, _, _)| *known == name), "{name}");
    }
}

#[test]
fn what_is_no_metric_is_left_out() {
    for text in [
        "",
        "\n\n",
        "# TYPE x summary\nx{quantile=\"0.5\"} 1\n",
        "# TYPE x\nx 1\n",
        "x 1\n",
    ] {
        assert_eq!(metrics(text, SPAN), [], "{text}");
    }
    for text in [
        "# TYPE x counter\nx{a=\"b 1\n",
        "# TYPE x counter\nx{a=\"b\" 1\n",
        "# TYPE x counter\nx\n",
    ] {
        let found = metrics(text, SPAN);
        let Some(Data::Sum(sum)) = &found[0].data else {
            panic!("{found:?}");
        };
        assert_eq!(sum.data_points, [], "{text}");
    }
}
