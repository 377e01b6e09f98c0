//! A vault encrypted for storage beside its conversation.

use aes_gcm_siv::aead::{Aead, KeyInit, Payload};
use aes_gcm_siv::{Aes256GcmSiv, Nonce};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use zeroize::{Zeroize, Zeroizing};

use super::vault::{Entry, EntryKind, Vault};

/// The format's version, the first byte.
const VERSION: u8 = 1;
const NONCE_BYTES: usize = 12;

/// A key to seal vaults with: 32 random bytes, overwritten when it is dropped.
pub struct SealKey(Zeroizing<[u8; 32]>);

impl SealKey {
    /// A key of these bytes.
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(Zeroizing::new(bytes))
    }
}

impl std::fmt::Debug for SealKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SealKey(..)")
    }
}

/// Why a vault could not be sealed or opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// The bytes are no sealed vault of a version known here.
    #[error("not a sealed vault of a known version")]
    Format,
    /// Another key, tenant or conversation, or changed bytes.
    #[error("the sealed vault is not of this key, tenant and conversation, or was changed")]
    Refused,
    /// The vault is too large to be sealed.
    #[error("the vault cannot be sealed")]
    Unsealable,
}

#[derive(Serialize, Deserialize)]
struct Stored {
    seed: [u8; 32],
    tag: String,
    entries: Vec<StoredEntry>,
}

#[derive(Serialize, Deserialize)]
struct StoredEntry {
    entity: String,
    label: String,
    number: u32,
    kind: EntryKind,
    value: String,
    surrogate: Option<String>,
}

impl Drop for Stored {
    fn drop(&mut self) {
        self.seed.zeroize();
        for entry in &mut self.entries {
            entry.value.zeroize();
        }
    }
}

impl Vault {
    /// The vault encrypted, bound to its tenant and conversation: AES-256-GCM-SIV (RFC 8452), its
    /// nonce derived from the contents, so that the same vault gives the same bytes and no nonce
    /// serves two.
    ///
    /// # Errors
    ///
    /// When it is larger than the cipher allows.
    pub fn seal(&self, key: &SealKey) -> Result<Vec<u8>, SealError> {
        let stored = Stored {
            seed: *self.seed,
            tag: self.tag.clone(),
            entries: self.entries.iter().map(StoredEntry::of).collect(),
        };
        let plain = serde_json::to_vec(&stored).map_err(|_| SealError::Unsealable)?;
        let plain = Zeroizing::new(plain);
        let bound = bound_to(&self.tenant, &self.conversation);
        let digest: [u8; 32] = Sha256::new()
            .chain_update(b"freehold vault nonce")
            .chain_update(key.0.as_slice())
            .chain_update((bound.len() as u64).to_le_bytes())
            .chain_update(&bound)
            .chain_update(plain.as_slice())
            .finalize()
            .into();
        let nonce = &digest[..NONCE_BYTES];
        let payload = Payload {
            msg: &plain,
            aad: &bound,
        };
        let encrypted = cipher(key)
            .encrypt(Nonce::from_slice(nonce), payload)
            .map_err(|_| SealError::Unsealable)?;
        let mut sealed = Vec::with_capacity(1 + NONCE_BYTES + encrypted.len());
        sealed.push(VERSION);
        sealed.extend_from_slice(nonce);
        sealed.extend_from_slice(&encrypted);
        Ok(sealed)
    }

    /// Opens a sealed vault of this tenant and conversation.
    ///
    /// # Errors
    ///
    /// When the key, the tenant or the conversation is another, or a bit was changed.
    pub fn open(
        sealed: &[u8],
        key: &SealKey,
        tenant: &str,
        conversation: &str,
    ) -> Result<Self, SealError> {
        let (&[VERSION], rest) = sealed.split_at_checked(1).ok_or(SealError::Format)? else {
            return Err(SealError::Format);
        };
        let (nonce, encrypted) = rest
            .split_at_checked(NONCE_BYTES)
            .ok_or(SealError::Format)?;
        let payload = Payload {
            msg: encrypted,
            aad: &bound_to(tenant, conversation),
        };
        let plain = cipher(key)
            .decrypt(Nonce::from_slice(nonce), payload)
            .map_err(|_| SealError::Refused)?;
        let plain = Zeroizing::new(plain);
        let stored: Stored = serde_json::from_slice(&plain).map_err(|_| SealError::Format)?;
        let seed = Zeroizing::new(stored.seed);
        let mut vault = Self::of_parts(tenant, conversation, seed, stored.tag.clone());
        for entry in &stored.entries {
            let key = vault.key(&entry.entity, &entry.value);
            let surrogate = entry.surrogate.clone();
            let place = vault
                .insert(key, entry.unsealed())
                .map_err(|_| SealError::Format)?;
            if let Some(made_up) = surrogate {
                vault.set_surrogate(place, made_up);
            }
        }
        Ok(vault)
    }
}

impl StoredEntry {
    fn of(entry: &Entry) -> Self {
        Self {
            entity: entry.entity.clone(),
            label: entry.label.clone(),
            number: entry.number,
            kind: entry.kind,
            value: entry.value.as_str().to_owned(),
            surrogate: entry.surrogate.clone(),
        }
    }

    fn unsealed(&self) -> Entry {
        Entry {
            entity: self.entity.clone(),
            label: self.label.clone(),
            number: self.number,
            kind: self.kind,
            value: Zeroizing::new(self.value.clone()),
            surrogate: None,
        }
    }
}

fn cipher(key: &SealKey) -> Aes256GcmSiv {
    Aes256GcmSiv::new(key.0.as_slice().into())
}

fn bound_to(tenant: &str, conversation: &str) -> Vec<u8> {
    let mut bound = b"freehold vault v1".to_vec();
    for piece in [tenant, conversation] {
        bound.extend_from_slice(&(piece.len() as u64).to_le_bytes());
        bound.extend_from_slice(piece.as_bytes());
    }
    bound
}
