use freehold_testkit::certificates::{Authority, Identity, Validity};

use super::*;
use crate::settings::Settings;
use crate::{ConfigError, Overrides, Source};

/// What a configuration means where these variables are set.
fn read(
    text: &str,
    variables: &'static [(&'static str, &'static str)],
) -> Result<Settings, Complaint> {
    let source = Source {
        path: None,
        text: text.to_owned(),
    };
    let environment = Environment {
        variable: Box::new(|asked| {
            let found = variables.iter().find(|(name, _)| *name == asked);
            found.map(|(_, value)| (*value).to_owned())
        }),
        ..Environment::bare("/nonexistent")
    };
    Settings::from_raw(source.parse().unwrap(), &environment)
}

#[track_caller]
fn refused(text: &str, path: &str, words: &str) {
    let complaint = read(text, &[]).err().unwrap();
    assert_eq!(complaint.path.join("."), path, "{complaint:?}");
    let all = format!(
        "{} {}",
        complaint.message,
        complaint.hint.unwrap_or_default()
    );
    assert!(all.contains(words), "{all}");
}

#[test]
fn a_sealed_gateway_has_no_outside_backend() {
    for (backends, path, host) in [
        (
            "openai: {api_key: sk-0123456789}",
            "backends.openai",
            "api.openai.com",
        ),
        (
            "far: {type: vllm, base_url: 'https://models.example/v1', perimeter: outside}",
            "backends.far.perimeter",
            "models.example",
        ),
    ] {
        let text = format!("perimeter: sealed\nbackends:\n  {backends}\n");
        refused(&text, path, host);
        refused(&text, path, "the perimeter is sealed");
        refused(&text, path, "remove it");
        read(&text.replace("sealed", "open"), &[]).unwrap();
    }
}

#[test]
fn the_place_of_an_outside_backend_is_shown() {
    let source = Source {
        path: Some("freehold.yaml".into()),
        text: "backends:\n  house: {type: vllm, base_url: 'http://127.0.0.1:1/v1'}\n  \
               rented:\n    type: openai\n    api_key: sk-0123456789\n"
            .to_owned(),
    };
    let overrides = Overrides {
        listen: None,
        sealed: true,
    };
    let error: ConfigError = source
        .settings(&overrides, &Environment::bare("/nonexistent"))
        .err()
        .unwrap();
    let report = format!("{:?}", miette::Report::new(error));
    assert!(report.contains("freehold.yaml:4:"), "{report}");
    assert!(report.contains("rented"), "{report}");
}

#[test]
fn a_vendors_own_server_is_never_inside() {
    for text in [
        "backends: {openai: {api_key: sk-0123456789, perimeter: inside}}",
        "backends: {mine: {type: openai, api_key: sk-0123456789, perimeter: inside, base_url: 'https://API.openai.com/v1'}}",
    ] {
        for mode in ["open", "sealed"] {
            let name = if text.contains("mine") {
                "mine"
            } else {
                "openai"
            };
            let path = format!("backends.{name}.perimeter");
            refused(
                &format!("perimeter: {mode}\n{text}"),
                &path,
                "outside whatever is written",
            );
        }
    }
    let own = "perimeter: sealed\nbackends: {mine: {type: openai, api_key: sk-0123456789, perimeter: inside, base_url: 'http://10.0.0.9/v1'}}";
    read(own, &[]).unwrap();
}

#[test]
fn vendors_keys_in_the_environment_are_ignored_when_sealed() {
    const KEYS: &[(&str, &str)] = &[("OPENAI_API_KEY", "sk-1"), ("ANTHROPIC_API_KEY", "sk-2")];
    let settings = read("perimeter: sealed", KEYS).unwrap();
    assert!(settings.hosted.is_empty());
    for variable in ["OPENAI_API_KEY", "ANTHROPIC_API_KEY"] {
        let hint = settings
            .hints
            .iter()
            .find(|hint| hint.starts_with(variable));
        assert!(hint.unwrap().contains("ignored"), "{:?}", settings.hints);
    }
    assert_eq!(read("perimeter: open", KEYS).unwrap().hosted.len(), 2);
}

#[test]
fn the_allow_list_is_checked_against_literal_addresses() {
    let backend = |url: &str| format!("backends: {{gpu: {{type: vllm, base_url: '{url}'}}}}\n");
    let allow = "outbound: {allow: [10.20.0.0/16, 'fd12::/16']}\n";
    for url in [
        "http://10.20.3.4:8000/v1",
        "http://0x0a140304/v1",
        "http://gpu.lan/v1",
        "http://[fd12::7]/v1",
    ] {
        read(&(backend(url) + allow), &[]).unwrap();
    }
    for url in [
        "http://10.21.0.1/v1",
        "http://127.0.0.1/v1",
        "http://2130706433/v1",
        "http://[::ffff:10.0.0.1]/v1",
    ] {
        refused(
            &(backend(url) + allow),
            "backends.gpu.base_url",
            "outbound.allow",
        );
        read(&backend(url), &[]).unwrap();
    }
    for url in [
        "http://169.254.169.254/v1",
        "http://0xa9fea9fe/v1",
        "http://[fd00:ec2::254]/v1",
    ] {
        refused(&backend(url), "backends.gpu.base_url", "credentials");
    }
    refused(
        "outbound: {allow: [10.0.0.0/8, nonsense]}",
        "outbound.allow.1",
        "nonsense",
    );
}

#[test]
fn proxies_of_the_environment_are_named_and_not_used() {
    const PROXY: &[(&str, &str)] = &[("HTTPS_PROXY", "http://proxy.example:3128")];
    let text = "backends: {gpu: {type: vllm, base_url: 'http://10.0.0.9/v1'}}";
    let settings = read(text, PROXY).unwrap();
    assert!(
        settings
            .hints
            .iter()
            .any(|hint| hint.contains("HTTPS_PROXY is set and ignored"))
    );
    assert!(
        !read(text, &[])
            .unwrap()
            .hints
            .iter()
            .any(|hint| hint.contains("PROXY"))
    );
}

struct Files {
    folder: tempfile::TempDir,
    house: Authority,
}

impl Files {
    fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            house: Authority::new("house").unwrap(),
        }
    }

    fn put(&self, name: &str, text: &str) -> String {
        let path = self.folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    }

    fn identity(&self, name: &str, validity: Validity) -> (String, String) {
        let Identity {
            certificate_pem,
            key_pem,
        } = self.house.vouch(&["gateway.lan"], validity).unwrap();
        (
            self.put(&format!("{name}.pem"), &certificate_pem),
            self.put(&format!("{name}.key"), &key_pem),
        )
    }
}

#[test]
fn the_listeners_certificate_is_checked_at_load() {
    let files = Files::new();
    let (certificate, key) = files.identity("good", Validity::Now);
    let (_, other_key) = files.identity("other", Validity::Now);
    let (late, late_key) = files.identity("late", Validity::Past);
    let ca = files.put("ca.pem", &files.house.pem());
    let text = |certificate: &str, key: &str, more: &str| {
        format!("server: {{tls: {{certificate: '{certificate}', key: '{key}'{more}}}}}")
    };
    let settings = read(
        &text(&certificate, &key, &format!(", client_ca: '{ca}'")),
        &[],
    )
    .unwrap();
    assert!(
        settings
            .tls
            .unwrap()
            .settings
            .client_authorities_pem
            .is_some()
    );
    refused(
        &text(&late, &late_key, ""),
        "server.tls.certificate",
        "late.pem: the certificate expired on 2021-01-01",
    );
    refused(
        &text(&certificate, &other_key, ""),
        "server.tls.key",
        "other.key: the private key: it does not belong to the certificate",
    );
    refused(
        &text(&key, &key, ""),
        "server.tls.certificate",
        "no certificate",
    );
    refused(
        &text("/nonexistent", &key, ""),
        "server.tls.certificate",
        "No such file",
    );
    refused(
        &text(&certificate, &certificate, ""),
        "server.tls.key",
        "no private key",
    );
    refused(
        &text(&certificate, &key, &format!(", client_ca: '{key}'")),
        "server.tls.client_ca",
        "no certificate",
    );
}

#[test]
fn a_backends_certificates_are_checked_at_load() {
    let files = Files::new();
    let (certificate, key) = files.identity("good", Validity::Now);
    let (_, other_key) = files.identity("other", Validity::Now);
    let ca = files.put("ca.pem", &files.house.pem());
    let text = |tls: &str| {
        format!("backends: {{gpu: {{type: vllm, base_url: 'https://gpu.lan/v1', tls: {{{tls}}}}}}}")
    };
    let all = format!(
        "ca: '{ca}', only_ca: true, certificate: '{certificate}', key: '{key}', server_name: gpu"
    );
    let settings = read(&text(&all), &[]).unwrap();
    let tls = &settings.hosted[0].settings.tls;
    assert!(!tls.system_roots && tls.client.is_some() && tls.extra_roots_pem.is_some());
    assert_eq!(tls.server_name.as_deref(), Some("gpu"));
    for (tls, field, words) in [
        (
            format!("certificate: '{certificate}'"),
            "tls.certificate",
            "key",
        ),
        (format!("key: '{key}'"), "tls.key", "certificate"),
        ("only_ca: true".to_owned(), "tls.only_ca", "no `ca`"),
        (format!("ca: '{key}'"), "tls.ca", "no certificate"),
        (
            format!("ca: '{ca}', certificate: '{certificate}', key: '{other_key}'"),
            "tls",
            "do not belong together",
        ),
        (
            format!("ca: '{ca}', server_name: 'a b'"),
            "tls",
            "no server's name",
        ),
    ] {
        refused(&text(&tls), &format!("backends.gpu.{field}"), words);
    }
    let plain = text(&format!("ca: '{ca}'")).replace("https:", "http:");
    refused(&plain, "backends.gpu.tls", "http");
}

#[test]
fn files_of_certificates_are_known_to_the_reloader() {
    let files = Files::new();
    let (certificate, key) = files.identity("good", Validity::Now);
    let ca = files.put("ca.pem", &files.house.pem());
    let source = Source {
        path: None,
        text: format!(
            "discover: false\nserver: {{tls: {{certificate: '{certificate}', key: '{key}'}}}}\n\
             backends: {{gpu: {{type: vllm, base_url: 'https://gpu.lan/v1', ca_file: '{ca}'}}}}"
        ),
    };
    let environment = Environment::bare("/nonexistent");
    let settings = source
        .settings(&Overrides::default(), &environment)
        .unwrap();
    let named: Vec<String> = settings
        .files
        .iter()
        .map(|path| path.display().to_string())
        .collect();
    assert_eq!(named, [certificate, key, ca]);
}

#[test]
fn listening_for_others_in_the_clear_is_mentioned() {
    let text = "server: {listen: '0.0.0.0:4000'}\nkeys: [{name: a, key: 0123456789abcdef0}]";
    let hints = read(text, &[]).unwrap().hints;
    assert!(
        hints.iter().any(|hint| hint.contains("without TLS")),
        "{hints:?}"
    );
}
