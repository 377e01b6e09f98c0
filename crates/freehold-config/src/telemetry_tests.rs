use std::collections::HashMap;

use freehold_telemetry::{Root, Sampler, Settings};
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};

use super::*;

struct Read {
    settings: Result<Option<Settings>, Complaint>,
    hints: Vec<String>,
}

impl Read {
    fn on(self) -> Settings {
        assert_eq!(self.hints, Vec::<String>::new());
        self.settings.unwrap().unwrap()
    }

    #[track_caller]
    fn off(&self, hint: &str) {
        assert!(self.settings.as_ref().unwrap().is_none());
        assert!(self.hints.concat().contains(hint), "{:?}", self.hints);
    }

    #[track_caller]
    fn complains(self, path: &str, words: &str) {
        let complaint = self.settings.unwrap_err();
        assert_eq!(complaint.path.join("."), path);
        assert!(complaint.message.contains(words), "{complaint:?}");
    }
}

fn read_in(written: Value, variables: &[(&str, &str)], sealed: bool) -> Read {
    let raw: RawTelemetry = serde_json::from_value(written).unwrap();
    let variables: HashMap<String, String> = variables
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    let environment = Environment {
        variable: Box::new(move |name| variables.get(name).cloned()),
        ..Environment::bare("/data")
    };
    let mut hints = vec![];
    let beside = (&environment, sealed, &Networks::private());
    let settings = settings(&raw, beside, &mut hints);
    Read { settings, hints }
}

fn read(written: Value, variables: &[(&str, &str)]) -> Read {
    read_in(written, variables, false)
}

fn urls(settings: &Settings) -> Vec<String> {
    let traces = settings.traces.iter().map(|traces| &traces.post.url);
    let metrics = settings.metrics.iter().map(|metrics| &metrics.post.url);
    traces.chain(metrics).cloned().collect()
}

const SHARED: (&str, &str) = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4318/base/");

#[test]
fn addresses_come_from_the_file_then_from_the_environment() {
    read(json!({}), &[]).off("");
    read(json!({"enabled": false}), &[SHARED]).off("");
    read(json!({}), &[SHARED, ("OTEL_SDK_DISABLED", "TRUE")]).off("");
    read(json!({}), &[("OTEL_EXPORTER_OTLP_ENDPOINT", " ")]).off("");
    let shared = read(json!({}), &[SHARED]).on();
    assert_eq!(
        urls(&shared),
        [
            "http://127.0.0.1:4318/base/v1/traces",
            "http://127.0.0.1:4318/base/v1/metrics"
        ]
    );
    let own = (
        "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
        "http://127.0.0.1:9/spans",
    );
    assert_eq!(
        urls(&read(json!({}), &[own]).on()),
        ["http://127.0.0.1:9/spans"]
    );
    assert_eq!(
        urls(&read(json!({}), &[SHARED, own]).on()),
        [
            "http://127.0.0.1:9/spans",
            "http://127.0.0.1:4318/base/v1/metrics"
        ]
    );
    let written = json!({"endpoint": "http://127.0.0.1:1", "metrics": false});
    assert_eq!(
        urls(&read(written, &[SHARED, own]).on()),
        ["http://127.0.0.1:1/v1/traces"]
    );
    let default = read(json!({"enabled": true, "traces": false}), &[]).on();
    assert_eq!(urls(&default), ["http://localhost:4318/v1/metrics"]);
    let none = [
        SHARED,
        ("OTEL_TRACES_EXPORTER", "none"),
        ("OTEL_METRICS_EXPORTER", "none"),
    ];
    read(json!({}), &none).off("");
}

#[test]
fn what_cannot_be_spoken_or_dialled_is_said() {
    let grpc = ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc");
    read(json!({}), &[SHARED, grpc]).off("http/protobuf");
    let written = json!({"endpoint": "http://127.0.0.1:1", "protocol": "http/protobuf"});
    read(written, &[grpc]).on();
    for (endpoint, words) in [
        ("127.0.0.1:4318", "not a base URL"),
        ("ftp://127.0.0.1", "http:// or https://"),
        ("http://me:secret@127.0.0.1", "no user and no password"),
        ("http://169.254.169.254", "never dialled"),
    ] {
        read(json!({"endpoint": endpoint}), &[]).complains("telemetry.endpoint", words);
    }
    read(json!({"endpoint": " "}), &[]).complains("telemetry.endpoint", "empty");
    read(json!({}), &[("OTEL_EXPORTER_OTLP_ENDPOINT", "nonsense")]).off("is set and ignored");
    let headers = json!({"endpoint": "http://10.0.0.1", "headers": {"host": "x"}});
    read(headers, &[]).complains("telemetry.headers", "belongs to the connection");
    let tls = json!({"endpoint": "http://10.0.0.1", "tls": {"server_name": "x"}});
    read(tls, &[]).complains("telemetry.tls", "nothing is encrypted");
}

#[test]
fn credentials_do_not_cross_other_peoples_networks_readable() {
    let with = |endpoint: &str, more: &str| {
        let mut written = json!({"endpoint": endpoint, "headers": {"authorization": "Bearer x"}});
        if !more.is_empty() {
            written["perimeter"] = json!(more);
        }
        read(written, &[])
    };
    with("http://collector.example", "").complains("telemetry.endpoint", "readable");
    for (endpoint, perimeter) in [
        ("http://collector.example", "inside"),
        ("http://10.0.0.1:4318", ""),
        ("http://localhost:4318", ""),
    ] {
        with(endpoint, perimeter).on();
    }
}

#[test]
fn a_sealed_perimeter_holds_for_reports() {
    let sealed = |written: Value| read_in(written, &[], true);
    for endpoint in [
        "http://8.8.8.8",
        "http://[2606:4700::1111]",
        "http://0x08080808/",
    ] {
        let refused = sealed(json!({"endpoint": endpoint}));
        refused.complains(
            "telemetry.endpoint",
            "is outside, and the perimeter is sealed",
        );
    }
    let outside = sealed(json!({"endpoint": "http://10.0.0.1", "perimeter": "outside"}));
    outside.complains("telemetry.perimeter", "sealed");
    for endpoint in [
        "http://10.0.0.1",
        "http://127.0.0.1:4318",
        "http://collector.house",
    ] {
        let settings = sealed(json!({"endpoint": endpoint})).on();
        let post = settings.traces.unwrap().post;
        assert_eq!(post.perimeter, Perimeter::Inside, "{endpoint}");
    }
    let variables = [("OTEL_EXPORTER_OTLP_ENDPOINT", "http://8.8.8.8")];
    let ignored = read_in(json!({}), &variables, true);
    ignored.off("the perimeter is sealed");
    assert_eq!(ignored.hints.len(), 2);
}

#[test]
fn sampling_is_as_the_specification_names_it() {
    let sampler = |variables: &[(&str, &str)]| {
        let variables: Vec<_> = variables.iter().copied().chain([SHARED]).collect();
        let read = read(json!({}), &variables);
        (
            read.settings.unwrap().unwrap().traces.unwrap().sampler,
            read.hints.len(),
        )
    };
    let quarter = Root::share(0.25).unwrap();
    let name = "OTEL_TRACES_SAMPLER";
    let argument = ("OTEL_TRACES_SAMPLER_ARG", "0.25");
    for (variables, parent_based, root, hints) in [
        (vec![], true, Root::Always, 0),
        (vec![(name, "always_on")], false, Root::Always, 0),
        (vec![(name, "always_off")], false, Root::Never, 0),
        (vec![(name, "parentbased_always_off")], true, Root::Never, 0),
        (vec![(name, "traceidratio"), argument], false, quarter, 0),
        (
            vec![(name, "parentbased_traceidratio"), argument],
            true,
            quarter,
            0,
        ),
        (vec![(name, "traceidratio")], false, Root::Always, 0),
        (vec![(name, "xray")], true, Root::Always, 1),
        (
            vec![(name, "traceidratio"), ("OTEL_TRACES_SAMPLER_ARG", "2")],
            true,
            Root::Always,
            1,
        ),
    ] {
        assert_eq!(
            sampler(&variables),
            (Sampler { parent_based, root }, hints),
            "{variables:?}"
        );
    }
    let written = read(
        json!({"enabled": true, "sample": 0.25}),
        &[(name, "always_off")],
    )
    .on();
    assert_eq!(
        written.traces.unwrap().sampler,
        Sampler {
            parent_based: true,
            root: quarter
        }
    );
    read(json!({"sample": 1.5}), &[]).complains("telemetry.sample", "between 0 and 1");
}

#[test]
fn who_tells_and_with_which_credentials() {
    let variables = [
        SHARED,
        ("OTEL_SERVICE_NAME", "from-env"),
        (
            "OTEL_RESOURCE_ATTRIBUTES",
            "service.name=lost,team=a%20b,odd,=x",
        ),
        (
            "OTEL_EXPORTER_OTLP_HEADERS",
            "authorization=Basic%20abc%3D%3D, x-two = 2 ",
        ),
        ("OTEL_EXPORTER_OTLP_METRICS_HEADERS", "x-three=3"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "250"),
        ("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip"),
        ("OTEL_METRIC_EXPORT_INTERVAL", "1500"),
    ];
    let settings = read(json!({"resource": {"team": "c"}}), &variables).on();
    let said: HashMap<_, _> = settings.resource.iter().cloned().collect();
    assert_eq!(said["service.name"], "from-env");
    assert_eq!(said["team"], "c");
    assert_eq!(said.len(), 3, "{said:?}");
    let (traces, metrics) = (settings.traces.unwrap(), settings.metrics.unwrap());
    let headers = |post: &PostSettings| -> Vec<(String, String)> {
        let headers = post.headers.iter();
        headers
            .map(|(name, value)| (name.clone(), value.expose_secret().to_owned()))
            .collect()
    };
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    assert_eq!(
        headers(&traces.post),
        [pair("authorization", "Basic abc=="), pair("x-two", "2")]
    );
    assert_eq!(headers(&metrics.post), [pair("x-three", "3")]);
    assert_eq!(traces.post.timeout, Duration::from_millis(250));
    assert_eq!(metrics.interval, Duration::from_millis(1_500));
    assert!(traces.gzip && metrics.gzip);
    assert_eq!((traces.queue_max, traces.batch_max), (2_048, 512));

    // The environment's credentials are not for an address of the file's.
    let elsewhere = json!({"endpoint": "http://127.0.0.1:1", "service_name": "mine", "queue": 7});
    let settings = read(elsewhere, &variables).on();
    let traces = settings.traces.unwrap();
    assert_eq!(headers(&traces.post), []);
    assert_eq!(traces.queue_max, 7);
    assert!(settings.resource.contains(&pair("service.name", "mine")));
    assert!(!format!("{:?}", traces.post).contains("abc"));
}
