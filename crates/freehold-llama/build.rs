//! Puts the engine's shared libraries into one directory beside the program, and tells the linker
//! to look for them there.
//!
//! The program links `libllama.so`, `libggml.so` and `libggml-base.so`; at run time `libggml.so`
//! opens the one `libggml-cpu-*.so` that suits the processor best.

use std::env;
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

/// Name of the directory; `src/libraries.rs` looks for the same.
const DIRECTORY_NAME: &str = "freehold-lib";

/// Kept in step with `cmake/cpu_variants.cmake`, which leaves these empty.
const UNSHIPPED_VARIANTS: [&str; 5] = [
    "sandybridge",
    "ivybridge",
    "piledriver",
    "cannonlake",
    "cooperlake",
];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=DEP_LLAMA_BACKENDS_DIR");
    if env::var("CARGO_CFG_TARGET_OS")? != "linux" {
        return Ok(());
    }
    let backends = PathBuf::from(
        env::var("DEP_LLAMA_BACKENDS_DIR")
            .map_err(|_| "llama-cpp-sys-2 did not say where it put the CPU kernels")?,
    );
    let install_dir = backends
        .parent()
        .ok_or("the kernels' directory has no parent")?;

    // .../target/<profile>/build/<crate>-<hash>/out
    let out_dir = PathBuf::from(env::var("OUT_DIR")?);
    let profile_dir = out_dir
        .ancestors()
        .nth(3)
        .ok_or("OUT_DIR is not deep enough")?;
    let destination = profile_dir.join(DIRECTORY_NAME);
    fs::create_dir_all(&destination)?;
    for directory in ["lib", "lib64", "backends"] {
        copy_libraries(&install_dir.join(directory), &destination)?;
    }

    let search_path = format!(
        "-Wl,-rpath,$ORIGIN/{DIRECTORY_NAME}:$ORIGIN/../{DIRECTORY_NAME}:$ORIGIN/../lib/{DIRECTORY_NAME}"
    );
    println!("cargo::rustc-link-arg={search_path}");
    // For the build script of a dependent with a program: DEP_FREEHOLD_LLAMA_LINK_ARG.
    println!("cargo::metadata=link_arg={search_path}");
    Ok(())
}

fn copy_libraries(source: &Path, destination: &Path) -> Result<(), Box<dyn Error>> {
    let Ok(entries) = fs::read_dir(source) else {
        return Ok(());
    };
    for entry in entries {
        let path = entry?.path();
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else {
            continue;
        };
        if !name.starts_with("lib") || !name.contains(".so") || is_unshipped(name) {
            continue;
        }
        println!("cargo::rerun-if-changed={}", path.display());
        // A running program may hold the old file: replace the name, not the contents.
        let temporary = destination.join(format!(".{name}.new"));
        fs::copy(&path, &temporary)?;
        fs::rename(&temporary, destination.join(name))?;
    }
    Ok(())
}

fn is_unshipped(name: &str) -> bool {
    UNSHIPPED_VARIANTS
        .iter()
        .any(|variant| name.starts_with(&format!("libggml-cpu-{variant}.")))
}
