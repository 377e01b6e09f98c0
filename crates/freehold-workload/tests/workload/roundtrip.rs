//! What we write is what we read.

use freehold_workload::{
    Arrival, FlowIndex, ImportOptions, ModelIndex, NO_SESSION, PrefixRange, UNKNOWN_COST, Workload,
    import, write_csv, write_jsonl,
};
use proptest::prelude::*;

/// One request: gap, input, output, cached, flow, model, session, cost, blocks.
type Drawn = (
    u64,
    u32,
    u32,
    u32,
    u32,
    Option<u32>,
    Option<u32>,
    Option<i64>,
    Vec<u64>,
);

fn request() -> impl Strategy<Value = Drawn> {
    (
        0_u64..5_000_000,
        0_u32..200_000,
        0_u32..20_000,
        0_u32..1_000,
        0_u32..3,
        prop::option::of(0_u32..2),
        prop::option::of(0_u32..9),
        prop::option::of(-5_i64..1_000_000_000_000),
        prop::collection::vec(any::<u64>(), 0..5),
    )
}

fn workload() -> impl Strategy<Value = Workload> {
    let names = prop::collection::hash_set("[ -~\\n]{1,8}", 3);
    let began = prop::option::of(946_684_800_000_u64..4_000_000_000_000);
    let all = (
        prop::collection::vec(request(), 1..40),
        names,
        began,
        any::<bool>(),
        1_u64..9_000,
    );
    all.prop_map(|(drawn, names, began_unix_ms, is_generated, more_us)| {
        let mut workload = Workload {
            began_unix_ms,
            flows: names.into_iter().collect(),
            models: vec!["=small".to_owned(), "'large".to_owned()],
            prefix_block_tokens: 64,
            is_generated,
            ..Workload::default()
        };
        let mut at_us = 0;
        for (gap, input, output, cached, flow, model, session, cost, blocks) in drawn {
            at_us += gap;
            let start = u32::try_from(workload.prefix_blocks.len()).unwrap();
            let length = u32::try_from(blocks.len()).unwrap();
            workload.prefix_blocks.extend(&blocks);
            workload.costs_nano_usd.push(cost.unwrap_or(UNKNOWN_COST));
            workload.arrivals.push(Arrival {
                at_us,
                input_tokens: input,
                output_tokens: output,
                cached_tokens: cached.min(input),
                flow: FlowIndex(flow),
                model: model.map_or(ModelIndex::NONE, ModelIndex),
                session: session.unwrap_or(NO_SESSION),
                prefix: if length == 0 {
                    PrefixRange::default()
                } else {
                    PrefixRange { start, length }
                },
            });
        }
        if workload
            .costs_nano_usd
            .iter()
            .all(|cost| *cost == UNKNOWN_COST)
        {
            workload.costs_nano_usd.clear();
        }
        workload.duration_us = at_us + more_us;
        workload
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn json_lines_are_read_back_exactly(workload in workload()) {
        let mut written = Vec::new();
        let notes = vec!["assumed much".to_owned()];
        write_jsonl(&workload, &notes, &mut written).unwrap();
        let read = import(&written[..], &ImportOptions::default()).unwrap();
        prop_assert_eq!(&read.workload, &workload);
        prop_assert_eq!(&read.report.notes, &notes);
        prop_assert_eq!(read.report.bad_rows, 0);
    }

    #[test]
    fn csv_is_read_back_exactly(workload in workload()) {
        let mut written = Vec::new();
        write_csv(&workload, &[], &mut written).unwrap();
        let read = import(&written[..], &ImportOptions::default()).unwrap();
        prop_assert_eq!(&read.workload, &workload);
        // No cell is a formula to a spreadsheet.
        let mut rows = csv::ReaderBuilder::new().comment(Some(b'#')).from_reader(&written[..]);
        for row in rows.records() {
            let row = row.unwrap();
            prop_assert!(!row.iter().any(|cell| cell.starts_with('=')), "{:?}", row);
        }
    }

    #[test]
    fn reading_anything_gives_a_workload_or_says_why(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        match import(&bytes[..], &ImportOptions::default()) {
            Ok(read) => prop_assert_eq!(read.workload.check(), Ok(())),
            Err(error) => prop_assert!(!error.to_string().is_empty()),
        }
    }
}

#[test]
fn a_later_version_is_not_guessed_at() {
    let text = "{\"freehold_workload\":2,\"duration_us\":5,\"flows\":[]}\n";
    let error = import(text.as_bytes(), &ImportOptions::default()).unwrap_err();
    assert!(error.to_string().contains("of version 2"), "{error}");
}

#[test]
fn a_line_beyond_the_head_is_a_bad_row() {
    let text = "{\"freehold_workload\":1,\"duration_us\":5,\"flows\":[\"a\"]}\n\
                {\"at_us\":1,\"input_tokens\":1,\"output_tokens\":1,\"flow\":\"a\"}\n\
                {\"at_us\":9,\"input_tokens\":1,\"output_tokens\":1,\"flow\":\"a\"}\n\
                {\"at_us\":2,\"input_tokens\":-1,\"output_tokens\":1,\"flow\":\"a\"}\n";
    let read = import(text.as_bytes(), &ImportOptions::default()).unwrap();
    assert_eq!((read.report.requests, read.report.bad_rows), (1, 2));
    assert_eq!(read.report.bad[0].line, Some(3));
    assert_eq!(read.workload.duration_us, 5);
}
