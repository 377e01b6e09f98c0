//! Reports of an [`Advice`](crate::Advice): one screen of text, and one HTML page that needs nothing else.

mod chart;
mod html;
mod numbers;
mod text;

pub use html::html;
pub use text::text;
