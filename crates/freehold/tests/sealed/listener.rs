//! The program's TLS, from the files on.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;

use freehold_testkit::certificates::{Authority, Identity, Validity};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tempfile::TempDir;

use crate::gateway::{Gateway, freehold, told};

fn put(folder: &TempDir, name: &str, text: &str) -> String {
    let path = folder.path().join(name);
    std::fs::write(&path, text).unwrap();
    path.display().to_string()
}

fn config(folder: &TempDir, identity: &Identity, clients: Option<&Authority>) -> String {
    let certificate = put(folder, "tls.pem", &identity.certificate_pem);
    let key = put(folder, "tls.key", &identity.key_pem);
    let clients = clients.map_or(String::new(), |authority| {
        format!(
            ", client_ca: '{}'",
            put(folder, "clients.pem", &authority.pem())
        )
    });
    format!(
        "perimeter: sealed\nserver: {{admin: null, tls: {{certificate: '{certificate}', key: '{key}'{clients}}}}}\n\
         backends: {{house: {{type: vllm, base_url: 'http://127.0.0.1:9/v1', models: [{{name: m}}]}}}}\n"
    )
}

/// The status of `GET /health/liveliness` over TLS, as a client that trusts `authority`.
fn alive(
    gateway: &Gateway,
    authority: &Authority,
    identity: Option<&Identity>,
) -> std::io::Result<String> {
    let mut roots = rustls::RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_slice(authority.pem().as_bytes()).unwrap())
        .unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots);
    let config = match identity {
        None => builder.with_no_client_auth(),
        Some(identity) => {
            let certificate = CertificateDer::from_pem_slice(identity.certificate_pem.as_bytes());
            let key = PrivateKeyDer::from_pem_slice(identity.key_pem.as_bytes());
            let config = builder.with_client_auth_cert(vec![certificate.unwrap()], key.unwrap());
            config.unwrap()
        }
    };
    let name = ServerName::try_from("gateway.lan").unwrap();
    let mut tls = rustls::ClientConnection::new(Arc::new(config), name).unwrap();
    let mut socket = TcpStream::connect(gateway.address).unwrap();
    let mut stream = rustls::Stream::new(&mut tls, &mut socket);
    stream.write_all(b"GET /health/liveliness HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    Ok(text)
}

#[test]
fn a_renewed_certificate_is_shown_after_a_reload() {
    let [old, new, staff] = ["old", "new", "staff"].map(|name| Authority::new(name).unwrap());
    let alice = staff.vouch(&["alice"], Validity::Now).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let first = old.vouch(&["gateway.lan"], Validity::Now).unwrap();
    let text = config(&folder, &first, Some(&staff));
    let gateway = Gateway::start_in(folder, &text, &[]);
    assert!(
        gateway.notice().contains("https://127.0.0.1"),
        "{}",
        gateway.notice()
    );
    assert!(
        alive(&gateway, &old, Some(&alice))
            .unwrap()
            .starts_with("HTTP/1.1 200")
    );
    assert!(
        alive(&gateway, &old, None).is_err(),
        "no certificate, no connection"
    );
    assert!(alive(&gateway, &new, Some(&alice)).is_err());

    // Half of a renewal is refused, and the old certificate stays.
    let second = new.vouch(&["gateway.lan"], Validity::Now).unwrap();
    put(&gateway.folder, "tls.pem", &second.certificate_pem);
    gateway.signal("HUP");
    gateway.wait_for("NOT reloaded");
    assert!(alive(&gateway, &old, Some(&alice)).is_ok());
    // The other half is noticed without a signal.
    put(&gateway.folder, "tls.key", &second.key_pem);
    gateway.wait_for("configuration reloaded");
    assert!(
        alive(&gateway, &new, Some(&alice))
            .unwrap()
            .starts_with("HTTP/1.1 200")
    );
    assert!(alive(&gateway, &old, Some(&alice)).is_err());
}

#[test]
fn certificates_that_cannot_work_are_refused_at_the_start() {
    let house = Authority::new("house").unwrap();
    let good = house.vouch(&["gateway.lan"], Validity::Now).unwrap();
    let late = house.vouch(&["gateway.lan"], Validity::Past).unwrap();
    let mut mixed = good.clone();
    mixed.key_pem = house
        .vouch(&["gateway.lan"], Validity::Now)
        .unwrap()
        .key_pem;
    for (identity, words) in [(late, "expired on 2021-01-01"), (mixed, "does not belong")] {
        let folder = tempfile::tempdir().unwrap();
        let text = config(&folder, &identity, None);
        let mut command = freehold(&folder, &text);
        command.arg("serve").args(["--listen", "127.0.0.1:0"]);
        let (output, told) = told(&mut command);
        assert!(!output.status.success());
        let flat = told
            .split_whitespace()
            .filter(|word| *word != "│")
            .collect::<Vec<_>>()
            .join(" ");
        assert!(
            flat.contains(words) && flat.contains("freehold.yaml:2:"),
            "{told}"
        );
    }
}
