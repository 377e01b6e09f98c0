//! Keys: what they are called, how they are wrapped, and what is made of them.

use std::fmt;

use aes_gcm_siv::aead::{Aead, KeyInit, Payload};
use aes_gcm_siv::{Aes256GcmSiv, Nonce};
use ring::{hkdf, hmac};
use zeroize::Zeroizing;

use super::PromptError;

/// Bytes of a key.
pub(crate) const KEY_BYTES: usize = 32;
const NONCE_BYTES: usize = 12;

/// 32 secret bytes, overwritten when they are dropped.
#[derive(Clone)]
pub(crate) struct Secret(Zeroizing<[u8; KEY_BYTES]>);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

impl Secret {
    pub(crate) fn random() -> Result<Self, PromptError> {
        let mut bytes = Zeroizing::new([0; KEY_BYTES]);
        fill(bytes.as_mut_slice())?;
        Ok(Self(bytes))
    }

    pub(crate) fn from_slice(bytes: &[u8]) -> Option<Self> {
        let mut secret = Zeroizing::new([0; KEY_BYTES]);
        (bytes.len() == KEY_BYTES).then(|| {
            secret.copy_from_slice(bytes);
            Self(secret)
        })
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        self.0.as_slice()
    }

    /// A keyed hash (HMAC-SHA-256): equal for equal texts, and telling nothing without the key.
    pub(crate) fn hash(&self, purpose: &str, text: &[u8]) -> [u8; 32] {
        let key = hmac::Key::new(hmac::HMAC_SHA256, self.bytes());
        let mut context = hmac::Context::with_key(&key);
        context.update(purpose.as_bytes());
        context.update(b"\n");
        context.update(text);
        let mut hash = [0; 32];
        hash.copy_from_slice(context.sign().as_ref());
        hash
    }

    /// Encrypts, bound to `about`: AES-256-GCM-SIV (RFC 8452) under a random nonce, which stands in
    /// front.
    pub(crate) fn seal(&self, about: &[u8], plain: &[u8]) -> Result<Vec<u8>, PromptError> {
        let mut nonce = [0; NONCE_BYTES];
        fill(&mut nonce)?;
        let payload = Payload {
            msg: plain,
            aad: about,
        };
        let sealed = self
            .cipher()
            .encrypt(Nonce::from_slice(&nonce), payload)
            .map_err(|_| PromptError::Unreadable {
                action: "written",
                why: "it is too large to be encrypted".to_owned(),
            })?;
        Ok([nonce.as_slice(), &sealed].concat())
    }

    /// Decrypts; `None` when key, bytes or `about` are not those of the sealing.
    pub(crate) fn open(&self, about: &[u8], sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        let (nonce, sealed) = sealed.split_at_checked(NONCE_BYTES)?;
        let payload = Payload {
            msg: sealed,
            aad: about,
        };
        let plain = self.cipher().decrypt(Nonce::from_slice(nonce), payload);
        plain.ok().map(Zeroizing::new)
    }

    fn cipher(&self) -> Aes256GcmSiv {
        Aes256GcmSiv::new(self.bytes().into())
    }
}

/// Random bytes from the system.
pub(crate) fn fill(bytes: &mut [u8]) -> Result<(), PromptError> {
    getrandom::fill(bytes).map_err(|error| PromptError::NoRandomness(error.to_string()))
}

/// The id of a key: 16 random bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct KeyId(pub(crate) [u8; 16]);

impl KeyId {
    pub(crate) fn random() -> Result<Self, PromptError> {
        let mut id = [0; 16];
        fill(&mut id)?;
        Ok(Self(id))
    }

    pub(crate) fn from_slice(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What a key is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum KeyKind {
    /// Wraps the other keys of its tenant.
    Tenant,
    /// Of everything of a tenant that expires in the same hour.
    Expiry,
    /// Of everything of one end user of a tenant.
    Subject,
    /// Of everything of one conversation of a tenant.
    Conversation,
}

impl KeyKind {
    /// Its name in the database. Never change one.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Tenant => "tenant",
            Self::Expiry => "expiry",
            Self::Subject => "subject",
            Self::Conversation => "conversation",
        }
    }
}

/// Where a key stands.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Address {
    pub(crate) tenant: String,
    pub(crate) kind: KeyKind,
    pub(crate) name: Vec<u8>,
}

impl Address {
    pub(crate) fn tenant(tenant: &str) -> Self {
        Self {
            tenant: tenant.to_owned(),
            kind: KeyKind::Tenant,
            name: Vec::new(),
        }
    }

    pub(crate) fn expiry(tenant: &str, hour: u64) -> Self {
        Self {
            tenant: tenant.to_owned(),
            kind: KeyKind::Expiry,
            name: hour.to_be_bytes().to_vec(),
        }
    }

    /// Of a subject or conversation: its name is hashed under its tenant's key.
    pub(crate) fn hashed(tenant: &str, key: &Secret, kind: KeyKind, name: &str) -> Self {
        Self {
            tenant: tenant.to_owned(),
            kind,
            name: key.hash(kind.as_str(), name.as_bytes()).to_vec(),
        }
    }

    /// What a wrapped key is bound to: rows of the table cannot be swapped.
    pub(crate) fn about(&self, id: KeyId) -> Vec<u8> {
        let mut about = b"freehold prompt key 1".to_vec();
        put(&mut about, &id.0);
        put(&mut about, self.kind.as_str().as_bytes());
        put(&mut about, self.tenant.as_bytes());
        put(&mut about, &self.name);
        about
    }
}

/// Appends a field so that no two lists of fields give the same bytes.
pub(crate) fn put(bytes: &mut Vec<u8>, field: &[u8]) {
    bytes.extend_from_slice(&(field.len() as u64).to_be_bytes());
    bytes.extend_from_slice(field);
}

/// The keys that a record needs, all of them.
pub(crate) struct RecordKeys<'a> {
    pub(crate) expiry: &'a Secret,
    pub(crate) subject: Option<&'a Secret>,
    pub(crate) conversation: Option<&'a Secret>,
}

impl RecordKeys<'_> {
    /// The record's own key, made of all of them (HKDF-SHA-256): without any one it cannot be made.
    pub(crate) fn combine(&self, request: &[u8; 16]) -> Result<Secret, PromptError> {
        let mut material = Zeroizing::new(Vec::with_capacity(3 * (KEY_BYTES + 1)));
        for key in [Some(self.expiry), self.subject, self.conversation] {
            material.push(u8::from(key.is_some()));
            material.extend_from_slice(key.map_or(&[0; KEY_BYTES], Secret::bytes));
        }
        let mut key = Zeroizing::new([0; KEY_BYTES]);
        hkdf::Salt::new(hkdf::HKDF_SHA256, request)
            .extract(&material)
            .expand(&[b"freehold prompt record 1"], hkdf::HKDF_SHA256)
            .and_then(|output| output.fill(key.as_mut_slice()))
            .map_err(|_| PromptError::Unreadable {
                action: "written",
                why: "its key cannot be made".to_owned(),
            })?;
        Ok(Secret(key))
    }
}
