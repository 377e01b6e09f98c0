//! The guard: a canonical request in, findings out.
//!
//! Input: a [`freehold_types::Request`]. Output: a [`Scan`], the entity types seen and where, never
//! the text itself. Pure and byte-level; it never calls a model, never decides (that is policy) and
//! never reports less than it could not finish: an incomplete scan says so, and policy treats it as
//! `restricted`.
//!
//! Looked for: private keys, vendors' API keys and tokens, passwords in URLs, payment cards, IBANs,
//! US social security numbers next to their name. Each is verified (checksum, alphabet, length,
//! boundaries), so that code, hashes and ids do not raise alarms.
//!
//! Pictures, sounds and documents are not looked into; [`Limits::opaque_is_restricted`] makes a
//! request that carries them count as incomplete.

mod detect;
pub mod evaluate;
mod finding;
mod guard;
mod labels;
mod mask;
mod path;
mod scan;
pub mod settings;
mod view;

pub use detect::Hit;
pub use finding::{Entity, Finding, Scan};
pub use guard::{Classifier, Guard, TextScan, Unread};
pub use mask::{
    AnswerRestorer, MaskError, MaskRules, MaskStyle, Masked, Restorer, SealError, SealKey, Vault,
    VaultLimits, mask,
};
pub use scan::scan;
pub use settings::{Limits, Settings, SettingsError};
