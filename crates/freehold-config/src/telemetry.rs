//! Where traces and metrics are sent: the section `telemetry`, and the variables that OpenTelemetry has
//! names for. What the file says comes first. What is wrong in the environment is said and left out,
//! as the specification asks; what is wrong in the file is an error.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use freehold_hosted::{Networks, PostSettings, Poster, Tls};
use freehold_telemetry::{MetricSettings, Root, Sampler, Settings, TraceSettings};
use freehold_types::Perimeter;
use schemars::JsonSchema;
use secrecy::SecretString;
use serde::Deserialize;

use super::settings::Environment;
use super::text::Text;
use super::transport::{self, BackendTls};
use super::{Complaint, raw};

/// Where collectors listen, by the specification.
const DEFAULT_ENDPOINT: &str = "http://localhost:4318";
const PROTOBUF: &str = "application/x-protobuf";

/// Traces and metrics for an OpenTelemetry collector (OTLP): off, unless an address is written here or
/// in `OTEL_EXPORTER_OTLP_ENDPOINT`. No text of a request is sent.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RawTelemetry {
    /// Whether anything is sent. Default: when there is an address. `false` also turns off what the
    /// environment asks for.
    pub(crate) enabled: Option<bool>,
    /// The collector's address, e.g. `http://127.0.0.1:4318`; `/v1/traces` and `/v1/metrics` are added.
    pub(crate) endpoint: Option<Text>,
    /// How it is spoken to.
    pub(crate) protocol: Option<Protocol>,
    /// What each report carries beside its body, e.g. `{authorization: "Bearer ${TOKEN}"}`.
    pub(crate) headers: BTreeMap<String, Text>,
    /// On whose machines it runs. `inside`: its name must resolve into `outbound.allow`. Default:
    /// `inside` when the perimeter is sealed.
    pub(crate) perimeter: Option<raw::Perimeter>,
    /// TLS towards it: own authorities, a client certificate, another server's name.
    pub(crate) tls: BackendTls,
    /// How bodies are compressed.
    pub(crate) compression: Option<Compression>,
    /// Whether spans of requests are sent. Default: true.
    pub(crate) traces: Option<bool>,
    /// Whether metrics are sent. Default: true.
    pub(crate) metrics: Option<bool>,
    /// The share of requests that are traced, 0 to 1, where the caller has not decided. Default: 1.
    pub(crate) sample: Option<f64>,
    /// What this gateway is called. Default: `freehold`.
    pub(crate) service_name: Option<String>,
    /// What else is said of it, e.g. `{deployment.environment.name: production}`.
    pub(crate) resource: BTreeMap<String, String>,
    /// How often metrics are sent, in seconds. Default: 60.
    pub(crate) metrics_interval_s: Option<u32>,
    /// How long a report may take, in seconds. Default: 10.
    pub(crate) timeout_s: Option<u32>,
    /// Traced requests that may wait to be sent; more are dropped and counted. Default: 2,048.
    pub(crate) queue: Option<u32>,
}

/// How the collector is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
pub(crate) enum Protocol {
    /// Protobuf over HTTP.
    #[serde(rename = "http/protobuf")]
    HttpProtobuf,
}

/// How bodies are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Compression {
    /// Not at all.
    None,
    /// With gzip.
    Gzip,
}

/// What the section means beside the environment, whether the perimeter is sealed, and the networks
/// that count as inside; `None` when nothing is sent.
///
/// # Errors
/// The first thing in the file that cannot be run, with the path of the value.
pub(crate) fn settings(
    raw: &RawTelemetry,
    (environment, sealed, inside): (&Environment, bool, &Networks),
    hints: &mut Vec<String>,
) -> Result<Option<Settings>, Complaint> {
    let mut reader = Reader {
        raw,
        variables: Variables(environment),
        sealed,
        inside,
        hints,
    };
    if raw.enabled == Some(false) || reader.variables.is_true("OTEL_SDK_DISABLED") {
        return Ok(None);
    }
    let sampler = reader.sampler()?;
    let traces = reader.signal(&TRACES)?.map(|report| TraceSettings {
        post: report.post,
        gzip: report.gzip,
        sampler,
        queue_max: reader.number(raw.queue, "OTEL_BSP_MAX_QUEUE_SIZE", 2_048),
        batch_max: reader.number(None, "OTEL_BSP_MAX_EXPORT_BATCH_SIZE", 512),
        delay: reader.millis(None, "OTEL_BSP_SCHEDULE_DELAY", 5_000),
    });
    let interval = reader.millis(
        raw.metrics_interval_s,
        "OTEL_METRIC_EXPORT_INTERVAL",
        60_000,
    );
    let metrics = reader.signal(&METRICS)?.map(|report| MetricSettings {
        post: report.post,
        gzip: report.gzip,
        interval,
    });
    let resource = reader.resource();
    Ok((traces.is_some() || metrics.is_some()).then_some(Settings {
        traces,
        metrics,
        resource,
    }))
}

/// What is sent, by the names that the specification has for it.
struct Signal {
    /// As the file has it.
    field: &'static str,
    /// As variables have it.
    variable: &'static str,
    path: &'static str,
}

const TRACES: Signal = Signal {
    field: "traces",
    variable: "TRACES",
    path: "v1/traces",
};
const METRICS: Signal = Signal {
    field: "metrics",
    variable: "METRICS",
    path: "v1/metrics",
};

/// How one signal is sent.
struct Report {
    post: PostSettings,
    gzip: bool,
}

/// An address, and who wrote it.
struct Endpoint {
    url: String,
    /// The variable; `None` when it is the file's.
    variable: Option<String>,
}

struct Reader<'a> {
    raw: &'a RawTelemetry,
    variables: Variables<'a>,
    sealed: bool,
    /// The networks that count as inside.
    inside: &'a Networks,
    hints: &'a mut Vec<String>,
}

impl Reader<'_> {
    /// How a signal is sent, if it is.
    fn signal(&mut self, signal: &Signal) -> Result<Option<Report>, Complaint> {
        let wanted = match signal.field {
            "traces" => self.raw.traces,
            _ => self.raw.metrics,
        };
        let exporter = format!("OTEL_{}_EXPORTER", signal.variable);
        let named = self.variables.get(&exporter);
        match (wanted, named.as_deref()) {
            (Some(false), _) | (None, Some("none")) => return Ok(None),
            (None, Some(other)) if other != "otlp" => {
                self.hints.push(format!(
                    "{exporter}={other} is ignored: {} are sent to an OTLP collector or not at all",
                    signal.field
                ));
            }
            _ => {}
        }
        let Some(endpoint) = self.endpoint(signal)? else {
            return Ok(None);
        };
        match self.report(signal, &endpoint) {
            Ok(report) => Ok(Some(report)),
            Err(complaint) => match endpoint.variable {
                None => Err(complaint),
                Some(variable) => {
                    let message = complaint.message;
                    self.hints.push(format!(
                        "{variable} is set and ignored, so that no {} are sent: {message}",
                        signal.field
                    ));
                    Ok(None)
                }
            },
        }
    }

    /// The address of a signal. One that is written for it alone is taken as it is.
    fn endpoint(&self, signal: &Signal) -> Result<Option<Endpoint>, Complaint> {
        let below = |base: &str| format!("{}/{}", base.trim().trim_end_matches('/'), signal.path);
        if let Some(written) = &self.raw.endpoint {
            if written.as_str().trim().is_empty() {
                return Err(Complaint::new(["telemetry", "endpoint"], "it is empty"));
            }
            let url = below(written.as_str());
            return Ok(Some(Endpoint {
                url,
                variable: None,
            }));
        }
        let own = format!("OTEL_EXPORTER_OTLP_{}_ENDPOINT", signal.variable);
        if let Some(url) = self.variables.get(&own) {
            let variable = Some(own);
            return Ok(Some(Endpoint { url, variable }));
        }
        let shared = "OTEL_EXPORTER_OTLP_ENDPOINT";
        Ok(match self.variables.get(shared) {
            Some(base) => Some(Endpoint {
                url: below(&base),
                variable: Some(shared.to_owned()),
            }),
            None if self.raw.enabled == Some(true) => Some(Endpoint {
                url: below(DEFAULT_ENDPOINT),
                variable: None,
            }),
            None => None,
        })
    }

    fn report(&mut self, signal: &Signal, endpoint: &Endpoint) -> Result<Report, Complaint> {
        self.check_protocol(signal)?;
        let perimeter = self.perimeter(&endpoint.url)?;
        let timeout = self
            .variables
            .of(signal, "TIMEOUT")
            .and_then(|ms| ms.parse().ok());
        let timeout = match (self.raw.timeout_s, timeout) {
            (Some(seconds), _) => Duration::from_secs(seconds.max(1).into()),
            (None, timeout) => Duration::from_millis(timeout.unwrap_or(10_000).max(1)),
        };
        let gzip = match self.raw.compression {
            Some(compression) => compression == Compression::Gzip,
            None => self.variables.of(signal, "COMPRESSION").as_deref() == Some("gzip"),
        };
        let post = PostSettings {
            name: "telemetry".to_owned(),
            url: endpoint.url.clone(),
            perimeter,
            inside: self.inside.clone(),
            tls: self.tls(signal, &endpoint.url)?,
            headers: self.headers(signal),
            content_type: PROTOBUF,
            timeout,
        };
        Poster::new(&post).map_err(|error| complain(&error))?;
        Ok(Report { post, gzip })
    }

    fn check_protocol(&self, signal: &Signal) -> Result<(), Complaint> {
        let asked = self.variables.of(signal, "PROTOCOL");
        match asked.as_deref().filter(|_| self.raw.protocol.is_none()) {
            None | Some("http/protobuf") => Ok(()),
            Some(other) => Err(Complaint::new(
                ["telemetry", "protocol"],
                format!(
                    "OTEL_EXPORTER_OTLP_PROTOCOL={other} is not spoken here; collectors speak \
                     http/protobuf too, on port 4318"
                ),
            )
            .hint("write `protocol: http/protobuf`, and the collector's port for it")),
        }
    }

    /// On whose machines the collector runs. A sealed gateway reports inside only.
    fn perimeter(&self, url: &str) -> Result<Perimeter, Complaint> {
        let sealed = self.sealed;
        let outside = || {
            let host = url::Url::parse(url).ok();
            let host = host.as_ref().and_then(url::Url::host_str).unwrap_or("it");
            let message = format!("{host} is outside, and the perimeter is sealed");
            let field = match self.raw.perimeter {
                Some(_) => "perimeter",
                None => "endpoint",
            };
            Complaint::new(["telemetry", field], message).hint(
                "name a collector on your own machines, and its network in `outbound.allow`; \
                 or drop `perimeter: sealed` and --sealed",
            )
        };
        match self.raw.perimeter {
            Some(raw::Perimeter::Inside) => return Ok(Perimeter::Inside),
            Some(raw::Perimeter::Outside) if sealed => return Err(outside()),
            Some(raw::Perimeter::Outside) => return Ok(Perimeter::Outside),
            None => {}
        }
        match literal(url) {
            Some(address) if self.inside.hold(address) => Ok(Perimeter::Inside),
            Some(_) if sealed => Err(outside()),
            // What a name resolves to is looked at when it is dialled.
            None if sealed => Ok(Perimeter::Inside),
            Some(_) | None => Ok(Perimeter::Outside),
        }
    }

    fn tls(&mut self, signal: &Signal, url: &str) -> Result<Tls, Complaint> {
        let mut raw = self.raw.tls.clone();
        let https = url.starts_with("https:");
        if raw == BackendTls::default() && https {
            let file = |name| self.variables.of(signal, name).map(PathBuf::from);
            raw.ca = file("CERTIFICATE");
            raw.certificate = file("CLIENT_CERTIFICATE");
            raw.key = file("CLIENT_KEY");
        }
        if !https && raw != BackendTls::default() {
            return Err(Complaint::new(
                ["telemetry", "tls"],
                "`endpoint` begins with http:, so that nothing is encrypted",
            )
            .hint("begin it with https:"));
        }
        transport::towards(&["telemetry", "tls"], &raw, SystemTime::now(), self.hints)
    }

    fn headers(&self, signal: &Signal) -> Vec<(String, SecretString)> {
        if !self.raw.headers.is_empty() || self.raw.endpoint.is_some() {
            // Credentials of the environment are for the environment's address.
            let written = self.raw.headers.iter();
            let secret = |value: &Text| SecretString::from(value.as_str().to_owned());
            return written
                .map(|(name, value)| (name.clone(), secret(value)))
                .collect();
        }
        let written = self.variables.of(signal, "HEADERS").unwrap_or_default();
        let pairs = pairs(&written).into_iter();
        pairs
            .map(|(name, value)| (name, SecretString::from(value)))
            .collect()
    }

    fn sampler(&mut self) -> Result<Sampler, Complaint> {
        let parent_based = true;
        if let Some(share) = self.raw.sample {
            let root = Root::share(share).ok_or_else(|| {
                Complaint::new(["telemetry", "sample"], "a share lies between 0 and 1")
            })?;
            return Ok(Sampler { parent_based, root });
        }
        let named = self.variables.get("OTEL_TRACES_SAMPLER");
        let named = named.as_deref().unwrap_or("parentbased_always_on");
        let (parent_based, root) = match named.strip_prefix("parentbased_") {
            Some(root) => (true, root),
            None => (false, named),
        };
        let root = match root {
            "always_on" => Some(Root::Always),
            "always_off" => Some(Root::Never),
            "traceidratio" => {
                let share = self.variables.get("OTEL_TRACES_SAMPLER_ARG");
                // By the specification, no share or no number means all.
                let share = share.map_or(Some(1.0), |share| share.parse().ok());
                share.and_then(Root::share)
            }
            _ => None,
        };
        if root.is_none() {
            self.hints.push(format!(
                "OTEL_TRACES_SAMPLER={named} with its argument is ignored: every request is traced \
                 unless its caller says otherwise"
            ));
        }
        Ok(Sampler {
            parent_based: parent_based || root.is_none(),
            root: root.unwrap_or(Root::Always),
        })
    }

    /// Who tells. Later words replace earlier ones.
    fn resource(&self) -> Vec<(String, String)> {
        let mut said = BTreeMap::from([("service.name".to_owned(), "freehold".to_owned())]);
        let written = self.variables.get("OTEL_RESOURCE_ATTRIBUTES");
        said.extend(pairs(&written.unwrap_or_default()));
        let named = self.variables.get("OTEL_SERVICE_NAME");
        said.extend(named.map(|name| ("service.name".to_owned(), name)));
        said.extend(self.raw.resource.clone());
        let named = self.raw.service_name.clone();
        said.extend(named.map(|name| ("service.name".to_owned(), name)));
        let version = env!("CARGO_PKG_VERSION").to_owned();
        said.entry("service.version".to_owned()).or_insert(version);
        said.into_iter().collect()
    }

    fn number(&self, written: Option<u32>, variable: &str, default: usize) -> usize {
        let named = || self.variables.get(variable)?.parse().ok();
        let written = written.map(|number| number as usize);
        written.or_else(named).unwrap_or(default).max(1)
    }

    fn millis(&self, written_s: Option<u32>, variable: &str, default: u64) -> Duration {
        let named = || self.variables.get(variable)?.parse().ok();
        let written = written_s.map(|seconds| u64::from(seconds) * 1_000);
        Duration::from_millis(written.or_else(named).unwrap_or(default).max(1))
    }
}

/// The environment. A variable that is empty is not set, by the specification.
struct Variables<'a>(&'a Environment);

impl Variables<'_> {
    fn get(&self, name: &str) -> Option<String> {
        let value = (self.0.variable)(name)?;
        let value = value.trim();
        (!value.is_empty()).then(|| value.to_owned())
    }

    /// What is said of one signal, else of all.
    fn of(&self, signal: &Signal, name: &str) -> Option<String> {
        let own = format!("OTEL_EXPORTER_OTLP_{}_{name}", signal.variable);
        let shared = format!("OTEL_EXPORTER_OTLP_{name}");
        self.get(&own).or_else(|| self.get(&shared))
    }

    fn is_true(&self, name: &str) -> bool {
        self.get(name)
            .is_some_and(|value| value.eq_ignore_ascii_case("true"))
    }
}

/// `name=value` with commas between, values percent-encoded.
fn pairs(written: &str) -> Vec<(String, String)> {
    let pairs = written.split(',').filter_map(|pair| pair.split_once('='));
    pairs
        .map(|(name, value)| {
            let value = percent_encoding::percent_decode_str(value.trim());
            (
                name.trim().to_owned(),
                value.decode_utf8_lossy().into_owned(),
            )
        })
        .filter(|(name, _)| !name.is_empty())
        .collect()
}

fn literal(url: &str) -> Option<IpAddr> {
    match url::Url::parse(url.trim()).ok()?.host()? {
        url::Host::Ipv4(address) => Some(address.into()),
        url::Host::Ipv6(address) => Some(address.into()),
        url::Host::Domain(_) => None,
    }
}

/// A collector that cannot be used, at the place in the file that says so.
fn complain(error: &freehold_hosted::SettingsError) -> Complaint {
    use freehold_hosted::SettingsError as E;
    let message = error.to_string();
    match error {
        E::Header { .. } => Complaint::new(["telemetry", "headers"], message),
        E::Tls(_) => Complaint::new(["telemetry", "tls"], message),
        E::PlaintextKey { .. } => Complaint::new(
            ["telemetry", "endpoint"],
            "the collector is outside and its address is not https: the headers would be readable \
             on the way",
        )
        .hint("begin it with https:, or write `perimeter: inside` if it runs on your own machines"),
        _ => Complaint::new(["telemetry", "endpoint"], message),
    }
}

#[cfg(test)]
#[path = "telemetry_tests.rs"]
mod tests;
