//! Writes a workload in our own form, which is read back exactly.

use std::io::{self, Write};

use crate::import::canonical::{CSV_MARK, CsvLine, Head, Line, VERSION, unformulaic};
use crate::{NO_SESSION, Workload};

fn head(workload: &Workload, notes: &[String]) -> Head {
    Head {
        freehold_workload: VERSION,
        began_unix_ms: workload.began_unix_ms,
        duration_us: workload.duration_us,
        prefix_block_tokens: workload.prefix_block_tokens,
        is_generated: workload.is_generated,
        flows: workload.flows.clone(),
        models: workload.models.clone(),
        notes: notes.to_vec(),
    }
}

fn lines(workload: &Workload) -> impl Iterator<Item = Line> {
    let arrivals = workload.arrivals.iter().enumerate();
    arrivals.map(|(index, arrival)| Line {
        at_us: arrival.at_us,
        input_tokens: arrival.input_tokens,
        output_tokens: arrival.output_tokens,
        cached_tokens: arrival.cached_tokens,
        flow: workload.flows[arrival.flow.0 as usize].clone(),
        model: workload.model_of(arrival).map(str::to_owned),
        session: (arrival.session != NO_SESSION).then_some(arrival.session),
        cost_nano_usd: workload.cost_of(index),
        prefix: workload.prefix_of(arrival).to_vec(),
    })
}

/// Writes a head and a request a line, as JSON. The notes say what was assumed, and stay with it.
///
/// # Errors
/// When it cannot be written.
pub fn write_jsonl(workload: &Workload, notes: &[String], mut out: impl Write) -> io::Result<()> {
    serde_json::to_writer(&mut out, &head(workload, notes))?;
    out.write_all(b"\n")?;
    for line in lines(workload) {
        serde_json::to_writer(&mut out, &line)?;
        out.write_all(b"\n")?;
    }
    out.flush()
}

/// Writes a comment with the head, a header, and a request a line, as CSV. The notes say what was
/// assumed, and stay with it.
///
/// # Errors
/// When it cannot be written.
pub fn write_csv(workload: &Workload, notes: &[String], mut out: impl Write) -> io::Result<()> {
    out.write_all(CSV_MARK.as_bytes())?;
    serde_json::to_writer(&mut out, &head(workload, notes))?;
    out.write_all(b"\n")?;
    let mut csv = csv::Writer::from_writer(out);
    for line in lines(workload) {
        let prefix: Vec<String> = line.prefix.iter().map(u64::to_string).collect();
        csv.serialize(CsvLine {
            at_us: line.at_us,
            input_tokens: line.input_tokens,
            output_tokens: line.output_tokens,
            cached_tokens: line.cached_tokens,
            flow: unformulaic(&line.flow),
            model: line.model.as_deref().map(unformulaic),
            session: line.session,
            cost_nano_usd: line.cost_nano_usd,
            prefix: prefix.join(" "),
        })
        .map_err(io::Error::other)?;
    }
    csv.flush()
}
