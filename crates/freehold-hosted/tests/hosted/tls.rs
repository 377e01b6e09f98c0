//! HTTP/2 by ALPN, and certificates.

use std::sync::Arc;

use freehold_hosted::{ClientCertificate, HostedBackend, SettingsError, Tls};
use freehold_ports::Backend as _;
use freehold_testkit::certificates::{Authority, Identity, Validity};
use freehold_types::{Error, ErrorKind};
use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::WebPkiClientVerifier;
use secrecy::SecretString;
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
        ..Tls::default()
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
        ..Tls::default()
    };
    let error = HostedBackend::new(settings.clone()).unwrap_err();
    assert!(matches!(error, SettingsError::Tls(_)), "{error}");
    settings.tls.extra_roots_pem = Some("no certificate in here".to_owned());
    let error = HostedBackend::new(settings).unwrap_err();
    assert!(matches!(error, SettingsError::Tls(_)), "{error}");
}

/// A server that shows `identity` and, where clients' authorities are named, asks who is there.
async fn strict(identity: &Identity, clients: Option<&Authority>) -> Canned {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .unwrap();
    let builder = match clients {
        None => builder.with_no_client_auth(),
        Some(authority) => {
            let mut roots = rustls::RootCertStore::empty();
            let pem = authority.pem();
            roots
                .add(CertificateDer::from_pem_slice(pem.as_bytes()).unwrap())
                .unwrap();
            let verifier =
                WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
            builder.with_client_cert_verifier(verifier.unwrap())
        }
    };
    let certificate = CertificateDer::from_pem_slice(identity.certificate_pem.as_bytes()).unwrap();
    let key = PrivateKeyDer::from_pem_slice(identity.key_pem.as_bytes()).unwrap();
    let config = builder.with_single_cert(vec![certificate], key).unwrap();
    let answers = [("/v1/models", json(MODELS))];
    Canned::start(answers, Some(TlsAcceptor::from(Arc::new(config)))).await
}

fn shown(identity: &Identity) -> ClientCertificate {
    ClientCertificate {
        chain_pem: identity.certificate_pem.clone(),
        key_pem: SecretString::from(identity.key_pem.clone()),
    }
}

fn trusting(
    server: &Canned,
    authority: &Authority,
    change: impl FnOnce(&mut Tls),
) -> HostedBackend {
    let mut settings = settings("openai", &format!("https://{}/v1", server.authority));
    settings.tls = Tls {
        system_roots: false,
        extra_roots_pem: Some(authority.pem()),
        ..Tls::default()
    };
    change(&mut settings.tls);
    HostedBackend::new(settings).unwrap()
}

#[track_caller]
fn assert_tls_failure(error: &Error, words: &str) {
    assert_eq!(error.kind, ErrorKind::Unavailable, "{error:?}");
    assert_eq!(error.code.as_deref(), Some("tls_failure"), "{error:?}");
    assert!(error.message.contains(words), "{error:?}");
}

#[tokio::test]
async fn a_server_that_asks_for_a_certificate_gets_the_configured_one() {
    let authority = Authority::new("house").unwrap();
    let server = authority.vouch(&["127.0.0.1"], Validity::Now).unwrap();
    let server = strict(&server, Some(&authority)).await;
    let gateway = authority.vouch(&["gateway"], Validity::Now).unwrap();
    let backend = trusting(&server, &authority, |tls| {
        tls.client = Some(shown(&gateway))
    });
    assert_eq!(backend.probe().await.unwrap().models, ["m"]);

    let nobody = trusting(&server, &authority, |_| ());
    let error = nobody.probe().await.unwrap_err();
    assert_tls_failure(&error, "client certificate");

    let strangers = Authority::new("strangers").unwrap();
    for identity in [
        strangers.vouch(&["gateway"], Validity::Now).unwrap(),
        authority.vouch(&["gateway"], Validity::Past).unwrap(),
    ] {
        let backend = trusting(&server, &authority, |tls| {
            tls.client = Some(shown(&identity))
        });
        assert_tls_failure(&backend.probe().await.unwrap_err(), "it refused us");
    }
    assert_eq!(server.paths(), ["/v1/models"], "only the first got through");
}

#[tokio::test]
async fn bad_server_certificates_are_told_apart() {
    let authority = Authority::new("house").unwrap();
    for (names, validity, words) in [
        (["127.0.0.1"], Validity::Past, "expired"),
        (["127.0.0.1"], Validity::Future, "not valid yet"),
        (["gpu.lan"], Validity::Now, "for another name"),
    ] {
        let server = strict(&authority.vouch(&names, validity).unwrap(), None).await;
        let error = trusting(&server, &authority, |_| ())
            .probe()
            .await
            .unwrap_err();
        assert_tls_failure(&error, words);
        assert!(server.paths().is_empty());
    }
    let strangers = Authority::new("strangers").unwrap();
    let server = strict(
        &strangers.vouch(&["127.0.0.1"], Validity::Now).unwrap(),
        None,
    )
    .await;
    let error = trusting(&server, &authority, |_| ())
        .probe()
        .await
        .unwrap_err();
    assert_tls_failure(&error, "no trusted authority");
}

#[tokio::test]
async fn another_name_can_be_expected() {
    let authority = Authority::new("house").unwrap();
    let server = strict(&authority.vouch(&["gpu.lan"], Validity::Now).unwrap(), None).await;
    let named = |name: &str| {
        let name = name.to_owned();
        trusting(&server, &authority, |tls| tls.server_name = Some(name))
    };
    assert_eq!(named("gpu.lan").probe().await.unwrap().models, ["m"]);
    let error = named("cpu.lan").probe().await.unwrap_err();
    assert_tls_failure(&error, "for another name");
}

#[test]
fn unusable_certificates_are_refused_at_once() {
    let authority = Authority::new("house").unwrap();
    let ours = authority.vouch(&["gateway"], Validity::Now).unwrap();
    let theirs = authority.vouch(&["gateway"], Validity::Now).unwrap();
    let check = |client: ClientCertificate, words: &str| {
        let mut settings = settings("openai", "https://127.0.0.1:1/v1");
        settings.tls.extra_roots_pem = Some(authority.pem());
        settings.tls.client = Some(client);
        let error = HostedBackend::new(settings).unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
    };
    let mut mixed = shown(&ours);
    mixed.key_pem = SecretString::from(theirs.key_pem.clone());
    check(mixed, "do not belong together");
    let mut swapped = shown(&ours);
    swapped.chain_pem.clone_from(&ours.key_pem);
    check(swapped, "there is none in it");
    let mut garbled = shown(&ours);
    garbled.key_pem = SecretString::from("not a key");
    check(garbled, "is not PEM");
    let mut settings = settings("openai", "https://127.0.0.1:1/v1");
    settings.tls.extra_roots_pem = Some(authority.pem());
    settings.tls.server_name = Some("not a name".to_owned());
    assert!(HostedBackend::new(settings).is_err());
}
