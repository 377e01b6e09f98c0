//! Where Freehold keeps its data on this machine.

use std::path::PathBuf;

use freehold_config::Environment;

/// `$FREEHOLD_HOME`, else `freehold` below the user's data directory.
pub(crate) fn directory() -> PathBuf {
    let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty());
    if let Some(home) = variable("FREEHOLD_HOME") {
        return PathBuf::from(home);
    }
    let data = variable("XDG_DATA_HOME")
        .map(PathBuf::from)
        .or_else(|| variable("HOME").map(|home| PathBuf::from(home).join(".local").join("share")));
    data.unwrap_or_else(|| PathBuf::from(".")).join("freehold")
}

/// Whether the model store has a model of this name.
pub(crate) fn has_model(name: &str) -> bool {
    let Ok(store) = freehold_models::Store::from_environment() else {
        return false;
    };
    name.parse().is_ok_and(|name| store.resolve(&name).is_ok())
}

/// What a configuration is read together with.
pub(crate) fn environment() -> Environment {
    Environment {
        variable: Box::new(|name| std::env::var(name).ok()),
        home: directory(),
        has_model: Box::new(has_model),
        has_engine: cfg!(feature = "embedded"),
    }
}
