//! The guard: a canonical request in, findings out.
//!
//! Input: a [`freehold_types::Request`], or a text. Output: a [`Scan`], the entity types seen and
//! where, never the text itself. Pure; it never calls a model, never decides (that is policy) and never
//! reports less than it could not finish: an incomplete scan says so, and policy treats it as
//! `restricted`.
//!
//! A [`Guard`] is made once from [`Settings`] and shared. For each request it
//! 1. walks every string, key and long number,
//! 2. looks at each as it stands and, where a disguise is seen, in further views: normalised
//!    (compatibility forms, lookalikes, what cannot be seen), with escapes undone, decoded (base64 and
//!    hexadecimal, three deep), with spacing undone,
//! 3. looks at what neighbouring strings give when they are joined,
//! 4. reports each finding once, where it stands in the original, with the label that its type
//!    deserves.
//!
//! What nobody can read is opaque, and makes the scan incomplete unless the operator says otherwise
//! ([`settings::Opaque`]): pictures, sounds, documents, token lists, encrypted thoughts, and in a text
//! any blob of 768 or more characters of base64 that looks random and holds no text. Shorter ones are
//! ids, hashes and signatures; longer ones that are certificates, public keys or pieces of a JWT are
//! known by what stands before them.
//!
//! The work is linear in the text, and bounded for all views together; encodings nested deeper than
//! what is followed make the scan incomplete as well.

mod answer;
mod bytes;
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

pub use answer::{AnswerGuard, AnswerRestorer, KnownValues, Unwanted};
pub use detect::Hit;
pub use detect::injection::injection_score;
pub use finding::{Entity, Finding, Scan};
pub use guard::{Classifier, Guard, TextScan, Unread};
pub use mask::{
    MaskError, MaskRules, MaskStyle, Masked, Restorer, SealError, SealKey, Vault, VaultLimits, mask,
};
pub use scan::scan;
pub use settings::{Limits, Settings, SettingsError};

/// What the training program shares with the detectors; no part of the product's surface.
pub mod training {
    pub use crate::detect::injection;
    pub use crate::detect::names::*;
    pub use crate::detect::secrets_only;
}
