//! The listener's TLS: who is talked to, in which HTTP, and with which certificate.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use freehold_http::{Server, ServerSettings, Tls, TlsError, TlsSettings};
use freehold_testkit::certificates::{Authority, Identity, Validity};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use secrecy::SecretString;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::support::soon;

const REQUEST: &[u8] = b"GET /hello HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";

fn settings(identity: &Identity, clients: Option<&Authority>) -> TlsSettings {
    TlsSettings {
        chain_pem: identity.certificate_pem.clone(),
        key_pem: SecretString::from(identity.key_pem.clone()),
        client_authorities_pem: clients.map(Authority::pem),
    }
}

struct Listener {
    address: std::net::SocketAddr,
    tls: Tls,
    _stop: oneshot::Sender<()>,
}

async fn listen(settings: &TlsSettings, header_timeout: Duration) -> Listener {
    let tls = Tls::new(settings).unwrap();
    let server = Server::bind(ServerSettings {
        address: ([127, 0, 0, 1], 0).into(),
        connections_max: 2,
        header_timeout,
        keep_alive: header_timeout,
        drain: Duration::from_secs(60),
    })
    .await
    .unwrap()
    .with_tls(tls.clone());
    let address = server.address();
    let router = Router::new().route(
        "/hello",
        get(|request: axum::extract::Request| async move { format!("{:?}", request.version()) }),
    );
    let (stop, stopped) = oneshot::channel();
    tokio::spawn(server.run(router, async {
        let _ = stopped.await;
    }));
    Listener {
        address,
        tls,
        _stop: stop,
    }
}

/// Shakes hands as a client that trusts `authority` and shows `identity`.
async fn shake(
    listener: &Listener,
    authority: &Authority,
    identity: Option<&Identity>,
    alpn: &[&[u8]],
) -> std::io::Result<TlsStream<TcpStream>> {
    let mut roots = rustls::RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_slice(authority.pem().as_bytes()).unwrap())
        .unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots);
    let mut config = match identity {
        None => builder.with_no_client_auth(),
        Some(identity) => {
            let certificate = CertificateDer::from_pem_slice(identity.certificate_pem.as_bytes());
            let key = PrivateKeyDer::from_pem_slice(identity.key_pem.as_bytes());
            let config = builder.with_client_auth_cert(vec![certificate.unwrap()], key.unwrap());
            config.unwrap()
        }
    };
    config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
    let stream = TcpStream::connect(listener.address).await.unwrap();
    let name = ServerName::try_from("gateway.lan").unwrap();
    soon(TlsConnector::from(Arc::new(config)).connect(name, stream)).await
}

/// What a GET of `/hello` brings; an error when the listener hangs up.
async fn hello(stream: std::io::Result<TlsStream<TcpStream>>) -> std::io::Result<String> {
    let mut stream = stream?;
    stream.write_all(REQUEST).await?;
    let mut text = String::new();
    soon(stream.read_to_string(&mut text)).await?;
    Ok(text)
}

const PATIENCE: Duration = Duration::from_secs(60);

#[tokio::test]
async fn requests_are_served_over_tls_and_only_over_tls() {
    let house = Authority::new("house").unwrap();
    let identity = house.vouch(&["gateway.lan"], Validity::Now).unwrap();
    let listener = listen(&settings(&identity, None), PATIENCE).await;
    let text = hello(shake(&listener, &house, None, &[]).await)
        .await
        .unwrap();
    assert!(text.starts_with("HTTP/1.1 200 OK"), "{text}");
    assert!(text.ends_with("HTTP/1.1"), "{text}");

    let mut plain = TcpStream::connect(listener.address).await.unwrap();
    plain.write_all(REQUEST).await.unwrap();
    let mut bytes = Vec::new();
    let _ = soon(plain.read_to_end(&mut bytes)).await;
    assert!(!bytes.starts_with(b"HTTP"), "{bytes:?}");

    let strangers = Authority::new("strangers").unwrap();
    assert!(
        hello(shake(&listener, &strangers, None, &[]).await)
            .await
            .is_err()
    );
}

#[tokio::test]
async fn http2_is_offered_to_those_who_want_it() {
    let house = Authority::new("house").unwrap();
    let identity = house.vouch(&["gateway.lan"], Validity::Now).unwrap();
    let listener = listen(&settings(&identity, None), PATIENCE).await;
    for (asked, chosen) in [
        (&[b"h2".as_slice(), b"http/1.1"][..], Some(b"h2".as_slice())),
        (&[b"http/1.1"], Some(b"http/1.1")),
        (&[], None),
    ] {
        let stream = shake(&listener, &house, None, asked).await.unwrap();
        assert_eq!(stream.get_ref().1.alpn_protocol(), chosen);
    }
    // The HTTP/2 preface and empty settings are answered with settings: type 4 of a frame.
    let mut stream = shake(&listener, &house, None, &[b"h2"]).await.unwrap();
    stream
        .write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0")
        .await
        .unwrap();
    let mut frame = [0; 9];
    soon(stream.read_exact(&mut frame)).await.unwrap();
    assert_eq!(frame[3], 4, "{frame:?}");
}

#[tokio::test]
async fn clients_show_a_certificate_where_the_operator_asks() {
    let house = Authority::new("house").unwrap();
    let staff = Authority::new("staff").unwrap();
    let identity = house.vouch(&["gateway.lan"], Validity::Now).unwrap();
    let listener = listen(&settings(&identity, Some(&staff)), PATIENCE).await;
    let alice = staff.vouch(&["alice"], Validity::Now).unwrap();
    let text = hello(shake(&listener, &house, Some(&alice), &[]).await).await;
    assert!(text.unwrap().starts_with("HTTP/1.1 200 OK"));

    let late = staff.vouch(&["alice"], Validity::Past).unwrap();
    let stranger = house.vouch(&["alice"], Validity::Now).unwrap();
    for identity in [None, Some(&late), Some(&stranger)] {
        // In TLS 1.3 the client learns of it when it reads.
        let refused = hello(shake(&listener, &house, identity, &[]).await).await;
        assert!(refused.is_err(), "{refused:?}");
    }
}

#[tokio::test]
async fn a_new_certificate_is_shown_without_a_restart() {
    let [old, new] = [
        Authority::new("old").unwrap(),
        Authority::new("new").unwrap(),
    ];
    let listener = listen(
        &settings(&old.vouch(&["gateway.lan"], Validity::Now).unwrap(), None),
        PATIENCE,
    )
    .await;
    assert!(hello(shake(&listener, &old, None, &[]).await).await.is_ok());
    let renewed = new.vouch(&["gateway.lan"], Validity::Now).unwrap();
    let mut broken = settings(&renewed, None);
    broken.key_pem = SecretString::from("garbled");
    assert!(listener.tls.replace(&broken).is_err());
    assert!(
        hello(shake(&listener, &old, None, &[]).await).await.is_ok(),
        "nothing changed"
    );
    listener.tls.replace(&settings(&renewed, None)).unwrap();
    assert!(hello(shake(&listener, &new, None, &[]).await).await.is_ok());
    assert!(
        hello(shake(&listener, &old, None, &[]).await)
            .await
            .is_err()
    );
}

/// Two connections are all the listener takes; those that never shake hands make room again.
#[tokio::test]
async fn handshakes_that_never_end_are_cut_off() {
    let house = Authority::new("house").unwrap();
    let identity = house.vouch(&["gateway.lan"], Validity::Now).unwrap();
    let listener = listen(&settings(&identity, None), Duration::from_millis(300)).await;
    let mut idle = Vec::new();
    for _ in 0..2 {
        idle.push(TcpStream::connect(listener.address).await.unwrap());
    }
    let text = hello(shake(&listener, &house, None, &[]).await)
        .await
        .unwrap();
    assert!(text.starts_with("HTTP/1.1 200 OK"), "{text}");
    for mut stream in idle {
        assert_eq!(soon(stream.read(&mut [0; 1])).await.unwrap(), 0);
    }
}

#[test]
fn settings_that_cannot_work_say_why() {
    let house = Authority::new("house").unwrap();
    let good = house.vouch(&["gateway.lan"], Validity::Now).unwrap();
    let other = house.vouch(&["gateway.lan"], Validity::Now).unwrap();
    let check = |change: fn(&mut TlsSettings, &Identity)| {
        let mut settings = settings(&good, None);
        change(&mut settings, &other);
        Tls::new(&settings).err().unwrap()
    };
    let error = check(|settings, other| settings.key_pem = other.key_pem.clone().into());
    assert_eq!(
        error,
        TlsError::Key("it does not belong to the certificate".to_owned())
    );
    let error = check(|settings, _| settings.chain_pem = "nothing".to_owned());
    assert!(matches!(error, TlsError::Certificate(_)), "{error}");
    let error = check(|settings, _| settings.key_pem = "nothing".to_owned().into());
    assert!(matches!(error, TlsError::Key(_)), "{error}");
    let error = check(|settings, _| settings.client_authorities_pem = Some(String::new()));
    assert!(matches!(error, TlsError::ClientAuthorities(_)), "{error}");
}
