//! Between the canonical request and the engine's own words.

mod accept;
mod backend;
mod conversation;
mod errors;
mod events;
mod json_scan;
mod model;
mod parse;
mod request;

pub use backend::EmbeddedBackend;
pub use model::EmbeddedModel;

#[cfg(test)]
mod parse_tests;
#[cfg(test)]
mod tests;
