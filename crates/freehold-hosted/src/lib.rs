//! The one outbound HTTP adapter: every hosted API and every self-hosted server.
//!
//! A vendor is data, a [`Row`] of the [`Catalogue`]: address, credentials, dialects, quirks, known
//! models. [`HostedBackend`] is the code for all of them: it takes a [`freehold_ports::Call`], writes
//! it in a dialect the backend speaks (`freehold-wire`), sends it, and gives back chunks of events
//! with the upstream's own bytes, or one [`freehold_types::Error`] that says what went wrong, on whose
//! side, and whether trying again helps.
//!
//! It dials the backend's configured address and nothing else ([`Networks`]), never follows a redirect, never fetches what a request refers to, never forwards a client's
//! headers, never decompresses, never retries, and never lets the backend's key out: not in an error,
//! not in an answer, not in a log. It never matches on a vendor.

mod answer;
mod backend;
mod catalogue;
mod connection;
mod count;
mod dial;
mod exchange;
mod failure;
mod post;
mod probe;
mod secret;
mod settings;

pub use backend::HostedBackend;
pub use catalogue::{
    Auth, AuthScheme, Catalogue, CatalogueError, ContextSource, Endpoint, Family, KnownModel,
    Listing, PriceReference, Prior, Row, TokenCount,
};
pub use dial::{NetworkError, Networks};
pub use failure::{MODEL_LOADING, retry_after};
pub use post::{PostSettings, Posted, Poster};
pub use settings::{ClientCertificate, Limits, Settings, SettingsError, Tls};
