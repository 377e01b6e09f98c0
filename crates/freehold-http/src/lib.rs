//! The HTTP surfaces: OpenAI and Anthropic dialects, health, metrics.
//!
//! Input: HTTP requests. Output: HTTP answers in the client's dialect. Handlers are thin: they
//! authenticate, let `freehold-wire` decode, hand the request to `freehold-pipeline`, and let
//! `freehold-wire` encode what comes back. Nothing here decides where a request goes, and nothing
//! here knows a vendor.

mod admit;
mod framing;
mod gateway;
mod health;
mod respond;
mod serve;
mod status;
mod stream;
mod surfaces;
mod tls;

pub use gateway::{Gateway, Settings};
pub use serve::{ServeError, Server, ServerSettings};
pub use surfaces::{admin_router, router};
pub use tls::{Tls, TlsError, TlsSettings};
