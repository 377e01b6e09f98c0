//! One module per command.

pub(crate) mod advise;
pub(crate) mod audit;
pub(crate) mod calibrate;
pub(crate) mod chat;
pub(crate) mod config_command;
pub(crate) mod demo;
pub(crate) mod doctor;
pub(crate) mod erase;
pub(crate) mod eval;
pub(crate) mod explain;
pub(crate) mod export;
pub(crate) mod flows;
pub(crate) mod guard;
pub(crate) mod keys;
mod model_server;
pub(crate) mod models;
pub(crate) mod outcomes;
pub(crate) mod policy;
pub(crate) mod prices;
pub(crate) mod prompts;
pub(crate) mod proof;
pub(crate) mod rollout;
pub(crate) mod serve;
pub(crate) mod sim;
pub(crate) mod time_range;
pub(crate) mod usage;
pub(crate) mod workload;
