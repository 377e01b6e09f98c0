//! Keeps the turns of a conversation on one of several equal deployments, for its prompt cache.

use freehold_types::{Message, Part, Request, Role};

use crate::hash::Fnv;

/// How much of a text takes part: enough to tell conversations apart.
const LOOKED_AT_BYTES: usize = 512;

/// The bucket of a conversation: the same for all its turns, because they all begin alike.
///
/// Sixteen bits spread load well and tell nothing about the text.
pub(crate) fn bucket(request: &Request) -> u64 {
    let mut hash = Fnv::default();
    begins(&mut hash, request);
    let folded = hash.0 ^ (hash.0 >> 32);
    (folded ^ (folded >> 16)) & 0xffff
}

/// The user, the instructions and the first question.
fn begins(hash: &mut Fnv, request: &Request) {
    text(hash, request.user.as_deref().unwrap_or_default());
    let is_standing = |message: &&Message| matches!(message.role, Role::System | Role::Developer);
    let standing = request.messages.iter().find(is_standing);
    let first = request.messages.iter().find(|m| m.role == Role::User);
    for message in standing.into_iter().chain(first) {
        for part in &message.parts {
            if let Part::Text { text, .. } = part {
                self::text(hash, text);
            }
        }
    }
}

/// Where a conversation falls between 0 and 1: the same for all its turns, and for another salt elsewhere. Without a
/// name, a conversation is known by how it begins.
#[must_use]
pub fn fraction(salt: &str, conversation: Option<&str>, request: &Request) -> f64 {
    let mut hash = Fnv::default();
    hash.bytes(salt.as_bytes());
    hash.bytes(&[0xff]);
    match conversation {
        Some(name) => hash.bytes(name.as_bytes()),
        None => begins(&mut hash, request),
    }
    unit(hash.mixed())
}

/// Where a text falls between 0 and 1.
#[must_use]
pub fn fraction_of(salt: &str, bytes: &[u8]) -> f64 {
    let mut hash = Fnv::default();
    hash.bytes(salt.as_bytes());
    hash.bytes(&[0xff]);
    hash.bytes(bytes);
    unit(hash.mixed())
}

/// The high 53 bits: what a number between 0 and 1 can hold.
#[expect(clippy::cast_precision_loss, reason = "53 bits fit")]
fn unit(hash: u64) -> f64 {
    (hash >> 11) as f64 / (1_u64 << 53) as f64
}

/// How much a deployment draws a bucket; the highest wins (rendezvous hashing).
pub(crate) fn draw(bucket: u64, deployment: &str) -> u64 {
    let mut hash = Fnv::default();
    hash.bytes(&bucket.to_le_bytes());
    hash.bytes(deployment.as_bytes());
    // FNV's last bytes hardly reach the high bits that decide the comparison.
    hash.mixed()
}

fn text(hash: &mut Fnv, text: &str) {
    let bytes = text.as_bytes();
    hash.bytes(&bytes[..bytes.len().min(LOOKED_AT_BYTES)]);
    hash.bytes(&[0xff]);
}
