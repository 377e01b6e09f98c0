//! Checks what is often claimed about renting and owning, and prints docs/claims.md:
//!
//! ```sh
//! cargo run --quiet -p freehold-planner --example claims > docs/claims.md
//! ```

#[path = "page.rs"]
mod page;

use std::io::Write;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let page = page::page()?;
    std::io::stdout().write_all(page.as_bytes())?;
    Ok(())
}
