//! HTTP/2 by ALPN, and certificates.

use std::sync::Arc;

use freehold_hosted::{HostedBackend, SettingsError, Tls};
use freehold_ports::Backend as _;
use freehold_types::ErrorKind;
use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio_rustls::TlsAcceptor;

use crate::canned::{Canned, json};
use crate::support::settings;

const MODELS: &str = r#"{"data":[{"id":"m"}]}"#;

/// A certificate authority as PEM, and a server that it vouches for.
pub(crate) fn authority() -> (String, Arc<rustls::ServerConfig>) {
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed(["localhost".to_owned(), "127.0.0.1".to_owned()]).unwrap();
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(signing_key.serialize_der()));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![cert.der().clone()], key)
        .unwrap();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    (cert.pem(), Arc::new(config))
}

async fn server() -> (String, Canned) {
    let (pem, config) = authority();
    let answers = [("/v1/models", json(MODELS))];
    let server = Canned::start(answers, Some(TlsAcceptor::from(config))).await;
    (pem, server)
}

fn backend(server: &Canned, roots: Option<String>) -> HostedBackend {
    let url = format!("https://{}/v1", server.authority);
    let mut settings = settings("openai", &url);
    settings.tls = Tls {
        system_roots: false,
        extra_roots_pem: roots,
    };
    HostedBackend::new(settings).unwrap()
}

#[tokio::test]
async fn http2_is_spoken_where_the_server_offers_it() {
    let (pem, server) = server().await;
    let backend = backend(&server, Some(pem));
    for _ in 0..3 {
        assert_eq!(backend.probe().await.unwrap().models, ["m"]);
    }
    let versions: Vec<_> = {
        let seen = server.log.seen.lock().unwrap();
        seen.iter().map(|seen| seen.version).collect()
    };
    assert_eq!(versions, [http::Version::HTTP_2; 3]);
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn a_stranger_is_not_talked_to() {
    let (_, server) = server().await;
    let (other, _) = authority();
    let error = backend(&server, Some(other)).probe().await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unavailable);
    assert_eq!(error.code.as_deref(), Some("tls_failure"), "{error:?}");
    assert!(server.paths().is_empty());
}

#[test]
fn https_needs_somebody_to_trust() {
    let mut settings = settings("openai", "https://api.openai.com/v1");
    settings.tls = Tls {
        system_roots: false,
        extra_roots_pem: None,
    };
    let error = HostedBackend::new(settings.clone()).unwrap_err();
    assert!(matches!(error, SettingsError::Tls(_)), "{error}");
    settings.tls.extra_roots_pem = Some("no certificate in here".to_owned());
    let error = HostedBackend::new(settings).unwrap_err();
    assert!(matches!(error, SettingsError::Tls(_)), "{error}");
}
