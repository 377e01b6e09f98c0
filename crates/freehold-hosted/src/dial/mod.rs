//! Where connections may go.
//!
//! In: a backend's configured address, its perimeter, and the networks that the operator calls
//! inside. Out: a connector that dials this one address and nothing else. The name is resolved by
//! [`resolver`] for every new connection, and every answer must pass the [`gate`], so a name that
//! changes its mind (DNS rebinding) leads nowhere. What was checked is what is dialled: nothing
//! resolves a second time.
//!
//! It follows no redirect, asks no proxy (`HTTP_PROXY` and its kin are not read), and never sees
//! a URL that stands in a request.

pub(crate) mod connector;
pub(crate) mod gate;
pub(crate) mod networks;
pub(crate) mod resolver;
pub(crate) mod tls;

pub use networks::{NetworkError, Networks};
