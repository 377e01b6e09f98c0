//! The key that signs checkpoints, and the public key that checks them.

use std::fmt;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use ed25519_dalek::pkcs8::spki::der::pem::LineEnding;
use ed25519_dalek::pkcs8::{
    DecodePrivateKey, DecodePublicKey, EncodePrivateKey, EncodePublicKey, KeypairBytes,
};
use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};
use freehold_types::audit::{
    CHECKPOINT_CONTEXT, Checkpoint, CheckpointStatement, HexBytes, KeyId, PublicKeyBytes,
};
use sha2::{Digest as _, Sha256};

use super::AuditLogError;
use super::line::RawCheckpoint;

/// A public key of an audit trail: PEM as openssl writes it, or 64 hex digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PublicKey(VerifyingKey);

/// A text that is no public key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an Ed25519 public key: give its PEM text or 64 hex digits")]
pub struct NotAPublicKey;

impl PublicKey {
    pub(crate) fn from_bytes(bytes: PublicKeyBytes) -> Option<Self> {
        VerifyingKey::from_bytes(&bytes.0).ok().map(Self)
    }

    /// Reads the key from a file.
    ///
    /// # Errors
    /// When the file cannot be read or holds no key.
    pub fn read(path: &Path) -> Result<Self, AuditLogError> {
        let text = fs::read_to_string(path)
            .map_err(AuditLogError::io("cannot read the public key", path))?;
        text.parse().map_err(|error| {
            AuditLogError::io("cannot read the public key", path)(io::Error::other(
                NotAPublicKey::clone(&error),
            ))
        })
    }

    /// The 32 bytes of the key.
    pub fn bytes(&self) -> PublicKeyBytes {
        HexBytes(self.0.to_bytes())
    }

    /// What names the key in checkpoints: the first 16 bytes of its SHA-256.
    pub fn id(&self) -> KeyId {
        let hash = Sha256::digest(self.0.as_bytes());
        let mut id = [0; 16];
        id.copy_from_slice(hash.get(..16).unwrap_or(&[0; 16]));
        HexBytes(id)
    }

    /// The key as PEM, for `openssl pkey -pubin` and the like.
    pub fn to_pem(&self) -> String {
        // 32 bytes always fit the structure.
        self.0.to_public_key_pem(LineEnding::LF).unwrap_or_default()
    }

    /// True when this key made the checkpoint's signature.
    pub(crate) fn signed(&self, checkpoint: &RawCheckpoint<'_>) -> bool {
        let message = message(checkpoint.statement.get().as_bytes());
        let signature = Signature::from_bytes(&checkpoint.signature.0);
        self.0.verify_strict(&message, &signature).is_ok()
    }
}

fn message(statement: &[u8]) -> Vec<u8> {
    [CHECKPOINT_CONTEXT, statement].concat()
}

impl FromStr for PublicKey {
    type Err = NotAPublicKey;

    fn from_str(text: &str) -> Result<Self, NotAPublicKey> {
        let text = text.trim();
        if text.starts_with("-----") {
            let key = VerifyingKey::from_public_key_pem(text);
            return key.map(Self).map_err(|_| NotAPublicKey);
        }
        let bytes = text.to_ascii_lowercase().parse().ok();
        bytes.and_then(Self::from_bytes).ok_or(NotAPublicKey)
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.bytes().fmt(f)
    }
}

/// Signs checkpoints.
pub(crate) struct Signer {
    key: SigningKey,
    public: PublicKey,
    id: KeyId,
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signer({})", self.id)
    }
}

impl Signer {
    fn new(key: SigningKey) -> Self {
        let public = PublicKey(key.verifying_key());
        Self {
            key,
            public,
            id: public.id(),
        }
    }

    /// Reads the key, or makes one.
    pub(crate) fn open(path: &Path) -> Result<Self, AuditLogError> {
        let signer = match fs::read_to_string(path) {
            Ok(pem) => {
                warn_of_readers(path);
                let key = SigningKey::from_pkcs8_pem(&pem).map_err(|_| {
                    AuditLogError::NotASigningKey {
                        path: path.to_owned(),
                    }
                })?;
                Self::new(key)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Self::create(path)?,
            Err(error) => {
                return Err(AuditLogError::io("cannot read the signing key", path)(
                    error,
                ));
            }
        };
        let public_file = public_file(path);
        if !public_file.exists()
            && let Err(error) = fs::write(&public_file, signer.public.to_pem())
        {
            // The key file's folder may be read-only; the key stands in every checkpoint.
            tracing::warn!(path = %public_file.display(), %error, "the audit trail's public key cannot be written");
        }
        Ok(signer)
    }

    fn create(path: &Path) -> Result<Self, AuditLogError> {
        let mut secret = [0; 32];
        getrandom::fill(&mut secret)
            .map_err(|error| AuditLogError::NoRandomness(error.to_string()))?;
        let signer = Self::new(SigningKey::from_bytes(&secret));
        // Without the public key, which openssl does not expect in this structure.
        let keypair = KeypairBytes {
            secret_key: secret,
            public_key: None,
        };
        let failed = AuditLogError::io("cannot write the signing key", path);
        write_private(path, &keypair).map_err(failed)?;
        tracing::info!(path = %path.display(), key = %signer.id, "a key to sign the audit trail was made");
        Ok(signer)
    }

    pub(crate) fn public(&self) -> PublicKey {
        self.public
    }

    pub(crate) fn id(&self) -> KeyId {
        self.id
    }

    pub(crate) fn sign(
        &self,
        statement: CheckpointStatement,
    ) -> Result<Checkpoint, serde_json::Error> {
        let bytes = serde_json::to_vec(&statement)?;
        Ok(Checkpoint {
            public_key: self.public.bytes(),
            signature: HexBytes(self.key.sign(&message(&bytes)).to_bytes()),
            statement,
        })
    }
}

/// Where the public key of this key file lies.
fn public_file(key_file: &Path) -> PathBuf {
    let mut name = key_file.as_os_str().to_owned();
    name.push(".pub");
    PathBuf::from(name)
}

/// Written whole or not at all: half a key would keep the gateway from starting.
fn write_private(path: &Path, keypair: &KeypairBytes) -> io::Result<()> {
    let pem = keypair
        .to_pkcs8_pem(LineEnding::LF)
        .map_err(io::Error::other)?;
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    let mut new = path.as_os_str().to_owned();
    new.push(".new");
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(&new)?;
    file.write_all(pem.as_bytes())?;
    file.sync_all()?;
    fs::rename(&new, path)
}

fn warn_of_readers(path: &Path) {
    #[cfg(unix)]
    if let Ok(metadata) = fs::metadata(path) {
        let mode = std::os::unix::fs::PermissionsExt::mode(&metadata.permissions());
        if mode & 0o077 != 0 {
            tracing::warn!(
                path = %path.display(),
                mode = format!("{:o}", mode & 0o777),
                "others than the owner may read the key that signs the audit trail; chmod 600 it",
            );
        }
    }
    #[cfg(not(unix))]
    let _ = path;
}
