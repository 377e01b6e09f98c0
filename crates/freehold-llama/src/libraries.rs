//! Finds the engine's libraries and opens the CPU kernels that suit this processor best.
//!
//! llama.cpp's kernels are compiled once per processor generation. Each set knows whether the
//! processor it finds itself on can run it, and how good it is; the best one is used. An old
//! processor gets slow kernels, never an illegal instruction.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use llama_cpp_2::llama_backend::LlamaBackend;
use llama_cpp_2::{LogOptions, send_logs_to_tracing};

use crate::error::LoadError;

/// Names the directory of the libraries when they stand elsewhere than beside the program.
pub const DIRECTORY_VARIABLE: &str = "FREEHOLD_LIB_DIR";
/// Name of the directory beside the program; `build.rs` fills the same.
#[cfg(target_os = "linux")]
const DIRECTORY_NAME: &str = "freehold-lib";

/// llama.cpp, initialised. It may be initialised once per process, so all engines share it and the
/// last one to go takes it down.
pub(crate) fn shared() -> Result<Arc<LlamaBackend>, LoadError> {
    static SHARED: Mutex<Weak<LlamaBackend>> = Mutex::new(Weak::new());
    let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(backend) = shared.upgrade() {
        return Ok(backend);
    }
    send_logs_to_tracing(LogOptions::default());
    open_kernels()?;
    let backend = LlamaBackend::init().map_err(|error| LoadError::Initialise(error.to_string()))?;
    let backend = Arc::new(backend);
    *shared = Arc::downgrade(&backend);
    Ok(backend)
}

/// The processors and accelerators that can be used, in words, best first.
///
/// # Errors
/// When the engine's libraries are missing.
pub fn devices() -> Result<Vec<String>, LoadError> {
    let _backend = shared()?;
    Ok(llama_cpp_2::list_llama_ggml_backend_devices()
        .into_iter()
        .map(|device| format!("{}: {}", device.name, device.description))
        .collect())
}

/// Where the libraries are looked for, in order: the directory named by `FREEHOLD_LIB_DIR` (alone,
/// if it is set), beside the program, one level up (test programs), and where packages install.
#[cfg(target_os = "linux")]
pub fn search_path() -> Vec<PathBuf> {
    if let Some(directory) = std::env::var_os(DIRECTORY_VARIABLE) {
        return vec![directory.into()];
    }
    let mut directories = Vec::new();
    if let Some(beside) = std::env::current_exe()
        .ok()
        .and_then(|program| Some(program.parent()?.to_owned()))
    {
        directories.push(beside.join(DIRECTORY_NAME));
        if let Some(above) = beside.parent() {
            directories.push(above.join(DIRECTORY_NAME));
            directories.push(above.join("lib").join(DIRECTORY_NAME));
        }
        directories.push(beside);
    }
    directories
}

/// Where the libraries are looked for: nowhere, they are part of the program.
#[cfg(not(target_os = "linux"))]
pub fn search_path() -> Vec<PathBuf> {
    Vec::new()
}

#[cfg(target_os = "linux")]
fn open_kernels() -> Result<(), LoadError> {
    use std::sync::OnceLock;

    // The kernels stay open for the life of the process; opening them twice would list the
    // processor twice.
    static OPENED: OnceLock<PathBuf> = OnceLock::new();
    if OPENED.get().is_some() {
        return Ok(());
    }
    let searched = search_path();
    let Some(directory) = searched.iter().find(|directory| has_kernels(directory)) else {
        return Err(LoadError::LibrariesMissing { searched });
    };
    llama_cpp_2::llama_backend::load_backends_from_path(directory);
    tracing::debug!(directory = %directory.display(), "opened the engine's kernels");
    let _ = OPENED.set(directory.clone());
    Ok(())
}

#[cfg(not(target_os = "linux"))]
fn open_kernels() -> Result<(), LoadError> {
    Ok(())
}

#[cfg(target_os = "linux")]
fn has_kernels(directory: &std::path::Path) -> bool {
    // The binding panics on a path that is not UTF-8.
    directory.to_str().is_some()
        && std::fs::read_dir(directory).is_ok_and(|entries| {
            entries.flatten().any(|entry| {
                entry
                    .file_name()
                    .to_string_lossy()
                    .starts_with("libggml-cpu")
            })
        })
}
