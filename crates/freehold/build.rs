//! Tells the linker where the program finds the embedded engine's libraries: in a directory beside
//! itself, which `freehold-llama` fills and names.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=DEP_FREEHOLD_LLAMA_LINK_ARG");
    // Absent without the feature `embedded`, and where the engine is part of the program.
    if let Ok(argument) = std::env::var("DEP_FREEHOLD_LLAMA_LINK_ARG") {
        println!("cargo::rustc-link-arg={argument}");
    }
}
