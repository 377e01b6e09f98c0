//! The only place that writes results to standard output.

use std::io::Write as _;

/// Writes one block of text and a line break.
pub(crate) fn line(text: &str) -> anyhow::Result<()> {
    writeln!(std::io::stdout().lock(), "{text}")?;
    Ok(())
}

/// Writes a line about progress to standard error, so that it stays out of redirected results.
pub(crate) fn progress(text: &str) {
    // Nobody is left to tell when standard error is closed.
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}
