//! TLS towards one backend: whom to trust, which name to expect, which certificate to show.

use std::sync::{Arc, OnceLock};

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ConfigBuilder, RootCertStore};
use secrecy::ExposeSecret as _;

use crate::settings::{ClientCertificate, Dialled, SettingsError, Tls};

type Trusting = ConfigBuilder<ClientConfig, rustls::client::WantsClientCert>;

pub(crate) fn config(settings: &Dialled<'_>) -> Result<ClientConfig, SettingsError> {
    let https = settings.base_url.trim_start().starts_with("https:");
    // A plaintext server on a machine without certificate authorities must work too.
    let roots = if https {
        roots(settings.tls)?
    } else {
        Arc::new(RootCertStore::empty())
    };
    // Named, not taken from the process: another crate may have installed none, or a different one.
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let trusting = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| SettingsError::Tls(error.to_string()))?
        .with_root_certificates(roots);
    match &settings.tls.client {
        None => Ok(trusting.with_no_client_auth()),
        Some(client) => showing(trusting, client),
    }
}

/// The name that the server's certificate must be for, when it is not the host of the URL.
pub(crate) fn server_name(tls: &Tls) -> Result<Option<ServerName<'static>>, SettingsError> {
    let Some(name) = &tls.server_name else {
        return Ok(None);
    };
    ServerName::try_from(name.clone())
        .map(Some)
        .map_err(|_| SettingsError::Tls(format!("`{name}` is no server's name")))
}

fn showing(trusting: Trusting, client: &ClientCertificate) -> Result<ClientConfig, SettingsError> {
    let chain = certificates(&client.chain_pem, "the client certificate")?;
    let key = PrivateKeyDer::from_pem_slice(client.key_pem.expose_secret().as_bytes());
    let key = key.map_err(|_| {
        SettingsError::Tls("the client certificate's private key is not PEM".to_owned())
    })?;
    trusting
        .with_client_auth_cert(chain, key)
        .map_err(|error| match error {
            rustls::Error::InconsistentKeys(_) => SettingsError::Tls(
                "the client certificate and the private key do not belong together".to_owned(),
            ),
            error => SettingsError::Tls(format!("the client certificate: {error}")),
        })
}

fn certificates(pem: &str, what: &str) -> Result<Vec<CertificateDer<'static>>, SettingsError> {
    let found: Vec<_> = CertificateDer::pem_slice_iter(pem.as_bytes())
        .collect::<Result<_, _>>()
        .map_err(|error| SettingsError::Tls(format!("{what} is not PEM: {error}")))?;
    if found.is_empty() {
        return Err(SettingsError::Tls(format!("{what}: there is none in it")));
    }
    Ok(found)
}

fn roots(tls: &Tls) -> Result<Arc<RootCertStore>, SettingsError> {
    let system = tls.system_roots.then(system_roots);
    let Some(pem) = &tls.extra_roots_pem else {
        return match system {
            Some(roots) if !roots.is_empty() => Ok(roots),
            _ => Err(SettingsError::Tls(
                "no certificate authority is trusted: install the system's (package ca-certificates) \
                 or name some in the settings"
                    .to_owned(),
            )),
        };
    };
    let mut roots = system.map_or_else(RootCertStore::empty, |roots| (*roots).clone());
    for certificate in certificates(pem, "the file of certificate authorities")? {
        roots
            .add(certificate)
            .map_err(|error| SettingsError::Tls(format!("a certificate authority: {error}")))?;
    }
    Ok(Arc::new(roots))
}

/// The machine's certificate authorities, read once: there are many and they change rarely.
fn system_roots() -> Arc<RootCertStore> {
    static ROOTS: OnceLock<Arc<RootCertStore>> = OnceLock::new();
    let load = || {
        let found = rustls_native_certs::load_native_certs();
        for error in &found.errors {
            tracing::warn!(%error, "a system certificate store could not be read");
        }
        let mut roots = RootCertStore::empty();
        let (valid, invalid) = roots.add_parsable_certificates(found.certs);
        tracing::debug!(valid, invalid, "read the system's certificate authorities");
        Arc::new(roots)
    };
    Arc::clone(ROOTS.get_or_init(load))
}
