//! TLS of the listener: one certificate, HTTP/2 by ALPN, and clients' certificates where the
//! operator asks for them. What is shown can be replaced while the listener runs.

use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use secrecy::{ExposeSecret as _, SecretString};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// What the listener shows, and whom it lets in.
#[derive(Clone, Debug)]
pub struct TlsSettings {
    /// The certificate and those that vouch for it, as PEM text.
    pub chain_pem: String,
    /// Its private key, as PEM text.
    pub key_pem: SecretString,
    /// Authorities of clients' certificates, as PEM text. With them, a client without a
    /// certificate of theirs gets no connection.
    pub client_authorities_pem: Option<String>,
}

/// Why TLS cannot be set up.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TlsError {
    /// The certificate cannot be used.
    #[error("the certificate: {0}")]
    Certificate(String),
    /// The key cannot be used.
    #[error("the private key: {0}")]
    Key(String),
    /// The authorities of clients cannot be used.
    #[error("the authorities of clients' certificates: {0}")]
    ClientAuthorities(String),
    /// The TLS library refuses it for another reason.
    #[error("{0}")]
    Other(String),
}

/// The TLS side of a listener. Clones share what is shown.
#[derive(Clone)]
pub struct Tls {
    config: Arc<ArcSwap<ServerConfig>>,
}

impl Tls {
    /// Checks the settings.
    ///
    /// # Errors
    /// What cannot be used, and why.
    pub fn new(settings: &TlsSettings) -> Result<Self, TlsError> {
        Ok(Self {
            config: Arc::new(ArcSwap::from_pointee(config(settings)?)),
        })
    }

    /// Shows something else from the next connection on. Nothing changes on an error.
    ///
    /// # Errors
    /// As [`Tls::new`].
    pub fn replace(&self, settings: &TlsSettings) -> Result<(), TlsError> {
        self.config.store(Arc::new(config(settings)?));
        Ok(())
    }

    /// Shakes hands.
    pub(crate) async fn accept(&self, stream: TcpStream) -> std::io::Result<TlsStream<TcpStream>> {
        TlsAcceptor::from(self.config.load_full())
            .accept(stream)
            .await
    }
}

fn config(settings: &TlsSettings) -> Result<ServerConfig, TlsError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| TlsError::Other(error.to_string()))?;
    let builder = match &settings.client_authorities_pem {
        None => builder.with_no_client_auth(),
        Some(pem) => {
            let mut roots = RootCertStore::empty();
            for authority in certificates(pem).map_err(TlsError::ClientAuthorities)? {
                roots
                    .add(authority)
                    .map_err(|error| TlsError::ClientAuthorities(error.to_string()))?;
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
            builder.with_client_cert_verifier(
                verifier
                    .build()
                    .map_err(|error| TlsError::ClientAuthorities(error.to_string()))?,
            )
        }
    };
    let chain = certificates(&settings.chain_pem).map_err(TlsError::Certificate)?;
    let key = PrivateKeyDer::from_pem_slice(settings.key_pem.expose_secret().as_bytes())
        .map_err(|_| TlsError::Key("it is not PEM".to_owned()))?;
    let mut config = builder
        .with_single_cert(chain, key)
        .map_err(|error| match error {
            rustls::Error::InconsistentKeys(_) => {
                TlsError::Key("it does not belong to the certificate".to_owned())
            }
            rustls::Error::InvalidCertificate(error) => TlsError::Certificate(error.to_string()),
            error => TlsError::Other(error.to_string()),
        })?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

fn certificates(pem: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    let found: Vec<_> = CertificateDer::pem_slice_iter(pem.as_bytes())
        .collect::<Result<_, _>>()
        .map_err(|error| format!("not PEM: {error}"))?;
    if found.is_empty() {
        return Err("there is none in it".to_owned());
    }
    Ok(found)
}
