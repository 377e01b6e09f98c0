//! The engine and its backend with a real model.

mod backend;
mod common;
mod engine;
