//! The HTTP surfaces: OpenAI and Anthropic dialects, health, metrics, and the operator's.
//!
//! Input: HTTP requests. Output: HTTP answers in the client's dialect. Handlers are thin: they
//! authenticate, let `freehold-wire` decode, hand the request to `freehold-pipeline`, and let
//! `freehold-wire` encode what comes back. Nothing here decides where a request goes, and nothing
//! here knows a vendor.

mod admin;
mod admit;
mod feedback;
mod framing;
mod gateway;
mod health;
mod respond;
mod serve;
mod status;
mod stream;
mod surfaces;
mod tls;

pub use admin::{Desk, Door, SessionKey, router as admin_router};
pub use gateway::{Gateway, Settings};
pub use serve::{ServeError, Server, ServerSettings};
pub use status::status as status_of;
pub use surfaces::router;
pub use tls::{Tls, TlsError, TlsSettings};
