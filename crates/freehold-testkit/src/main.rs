//! `freehold-fake-upstream`: the fake upstream as a process, for test suites in other languages.

use std::{io::Write as _, net::SocketAddr};

use clap::Parser;
use freehold_testkit::FakeUpstream;
use tokio::io::{AsyncReadExt as _, stdin};

/// A fake OpenAI and Anthropic upstream for tests; see the crate's README for scripts and faults.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// Loopback address to listen on; port 0 takes a free one.
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// Answer 401 unless requests carry this key.
    #[arg(long)]
    key: Option<String>,
    /// A model to list (repeatable).
    #[arg(long)]
    model: Vec<String>,
    /// Exit when standard input closes, so that a crashed test suite leaves no process behind.
    #[arg(long)]
    until_stdin_closes: bool,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments = Arguments::parse();
    let mut builder = FakeUpstream::builder().address(arguments.listen);
    if let Some(key) = arguments.key {
        builder = builder.key(key);
    }
    if !arguments.model.is_empty() {
        builder = builder.models(arguments.model);
    }
    let fake = builder.start().await?;
    writeln!(std::io::stdout(), "{}", fake.url())?;
    if arguments.until_stdin_closes {
        let mut ignored = [0_u8; 64];
        while stdin().read(&mut ignored).await? > 0 {}
    } else {
        tokio::signal::ctrl_c().await?;
    }
    Ok(())
}
