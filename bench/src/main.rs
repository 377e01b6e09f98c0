//! `freehold-bench`: what a gateway adds, measured against the machine's limit.
//!
//! A mock upstream with very low overhead, a bare reverse proxy that only copies bytes, a load generator, and one
//! command that runs the same load through all of them and through any gateway. Everything stays on loopback.

mod answers;
mod cases;
mod children;
mod compare;
mod endurance;
mod instructions;
mod load;
mod loopback;
mod mock;
mod process;
mod proxy;
mod render;
mod scale;
mod serve;
mod table;

use clap::{Parser, Subcommand};

/// Measures what a gateway adds.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serve canned OpenAI and Anthropic answers with as little work as possible.
    MockUpstream(mock::Options),
    /// Copy bytes to an upstream and back: the machine's limit for any gateway.
    BareProxy(proxy::Options),
    /// Send load to one URL and report latencies, throughput and the server's CPU time.
    Load(load::Options),
    /// Run the standard set direct, through the bare proxy and through gateways, interleaved, and print ratios.
    Compare(compare::Options),
    /// Count the instructions that a gateway executes for a request and for a stream event, and hold them to limits.
    Instructions(instructions::Options),
    /// Look at memory, throughput and files after many requests, or while the ledger's database is away.
    Endurance(endurance::Options),
    /// Measure what a request costs against cores, connections, and the size of ledger and configuration.
    Scale(scale::Options),
}

fn main() -> anyhow::Result<()> {
    // One thread: the tool shares a core with nothing that is being measured.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    match Arguments::parse().command {
        Command::MockUpstream(options) => runtime.block_on(mock::run(options)),
        Command::BareProxy(options) => runtime.block_on(proxy::run(options)),
        Command::Load(options) => runtime.block_on(load::run(options)),
        Command::Compare(options) => runtime.block_on(compare::run(options)),
        Command::Instructions(options) => runtime.block_on(instructions::run(options)),
        Command::Endurance(options) => runtime.block_on(endurance::run(options)),
        Command::Scale(options) => runtime.block_on(scale::run(options)),
    }
}
