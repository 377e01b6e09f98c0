//! Reads certificates and keys, and says in an operator's words what is wrong with a file.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use secrecy::SecretString;
use x509_parser::prelude::{ASN1Time, FromDer as _, X509Certificate};

use super::Complaint;

/// Larger than any bundle of authorities; a device has no end at all.
const BYTES_MAX: u64 = 4 * 1024 * 1024;

/// What is wrong with a file.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) message: String,
    pub(super) hint: Option<&'static str>,
}

impl Fault {
    fn new(path: &Path, what: impl std::fmt::Display) -> Self {
        Self {
            message: format!("{}: {what}", path.display()),
            hint: None,
        }
    }

    fn hint(mut self, hint: &'static str) -> Self {
        self.hint = Some(hint);
        self
    }

    /// The fault at its place in the configuration.
    pub(super) fn complain<'a>(self, path: impl AsRef<[&'a str]>) -> Complaint {
        let complaint = Complaint::new(path, self.message);
        match self.hint {
            Some(hint) => complaint.hint(hint),
            None => complaint,
        }
    }
}

/// A certificate and those that vouch for it. All of them must hold now.
pub(super) fn chain(path: &Path, now: SystemTime) -> Result<String, Fault> {
    let (pem, certificates) = certificates(path)?;
    for (index, certificate) in certificates.iter().enumerate() {
        if let Some(ended) = not_valid(path, certificate, now)? {
            let which = match index {
                0 => "the certificate".to_owned(),
                _ => format!("certificate {} of the chain", index + 1),
            };
            return Err(Fault::new(path, format!("{which} {ended}")).hint("renew it"));
        }
    }
    Ok(pem)
}

/// Authorities. Of a bundle, some may have expired; one must hold.
pub(super) fn authorities(path: &Path, now: SystemTime) -> Result<String, Fault> {
    let (pem, certificates) = certificates(path)?;
    let mut last = None;
    for certificate in &certificates {
        match not_valid(path, certificate, now)? {
            None => return Ok(pem),
            Some(ended) => last = Some(ended),
        }
    }
    let ended = last.unwrap_or_default();
    Err(Fault::new(path, format!("the authority {ended}")))
}

/// A private key.
pub(super) fn key(path: &Path, hints: &mut Vec<String>) -> Result<SecretString, Fault> {
    let text = read(path)?;
    if text.contains("BEGIN ENCRYPTED PRIVATE KEY") || text.contains("Proc-Type: 4,ENCRYPTED") {
        return Err(Fault::new(
            path,
            "the private key is locked with a passphrase, and nobody is there to type it",
        )
        .hint("unlock it with: openssl pkey -in FILE -out UNLOCKED"));
    }
    if PrivateKeyDer::from_pem_slice(text.as_bytes()).is_err() {
        return Err(Fault::new(path, "there is no private key in it (PEM)")
            .hint("a private key begins with -----BEGIN PRIVATE KEY-----"));
    }
    if readable_by_all(path) {
        hints.push(format!(
            "{} can be read by every user of this machine: chmod 600 it",
            path.display()
        ));
    }
    Ok(SecretString::from(text))
}

#[cfg(unix)]
fn readable_by_all(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::metadata(path).is_ok_and(|metadata| metadata.permissions().mode() & 0o004 != 0)
}

#[cfg(not(unix))]
fn readable_by_all(_: &Path) -> bool {
    false
}

fn read(path: &Path) -> Result<String, Fault> {
    let mut bytes = Vec::new();
    let file = File::open(path);
    let read = file.and_then(|file| file.take(BYTES_MAX + 1).read_to_end(&mut bytes));
    read.map_err(|error| {
        let fault = Fault::new(path, &error);
        match error.kind() {
            std::io::ErrorKind::PermissionDenied => {
                fault.hint("let the user that runs the gateway read it")
            }
            _ => fault,
        }
    })?;
    if bytes.len() as u64 > BYTES_MAX {
        return Err(Fault::new(path, "it is larger than 4 MiB, and no PEM file"));
    }
    let form = "convert it with: openssl x509 -inform der -in FILE -out FILE.pem";
    String::from_utf8(bytes).map_err(|_| Fault::new(path, "it is not PEM, perhaps DER").hint(form))
}

fn certificates(path: &Path) -> Result<(String, Vec<CertificateDer<'static>>), Fault> {
    let text = read(path)?;
    let found: Vec<_> = CertificateDer::pem_slice_iter(text.as_bytes())
        .collect::<Result<_, _>>()
        .map_err(|error| Fault::new(path, format!("it is not PEM: {error}")))?;
    if found.is_empty() {
        let what = if text.contains("PRIVATE KEY-----") {
            "it holds a private key and no certificate"
        } else {
            "there is no certificate in it (PEM)"
        };
        return Err(
            Fault::new(path, what).hint("a certificate begins with -----BEGIN CERTIFICATE-----")
        );
    }
    Ok((text, found))
}

/// Why a certificate does not hold now; `None` when it does.
fn not_valid(
    path: &Path,
    certificate: &CertificateDer<'_>,
    now: SystemTime,
) -> Result<Option<String>, Fault> {
    let (_, parsed) = X509Certificate::from_der(certificate)
        .map_err(|error| Fault::new(path, format!("a certificate cannot be read: {error}")))?;
    let now_s = now
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs());
    let now_s = i64::try_from(now_s).unwrap_or(i64::MAX);
    let validity = parsed.validity();
    Ok(if now_s > validity.not_after.timestamp() {
        Some(format!("expired on {}", day(&validity.not_after)))
    } else if now_s < validity.not_before.timestamp() {
        Some(format!("is not valid before {}", day(&validity.not_before)))
    } else {
        None
    })
}

fn day(time: &ASN1Time) -> String {
    time.to_datetime().date().to_string()
}

#[cfg(test)]
#[path = "certificates_tests.rs"]
mod tests;
