//! What is wrong is counted, located and said in words that help.

use freehold_workload::{Field, ImportError, ImportOptions, Importer, import};

use super::{read, told};

const HEAD: &str = "timestamp,input_tokens,output_tokens\n";

/// The message of a file that cannot be read at all.
fn refusal(text: &str) -> String {
    read(text)
        .expect_err("nothing can be made of it")
        .to_string()
}

#[test]
fn bad_rows_are_counted_located_and_left_out() {
    let imported = read(&format!(
        "{HEAD}2026-11-01T10:00:00Z,1,2\n\
         2026-11-01T10:00:01Z,-1,2\n\
         yesterday,1,2\n\
         2026-11-01T10:00:02Z,1.5,2\n\
         2026-11-01T10:00:02Z,many,2\n\
         2026-11-01T10:00:02Z,1\n\
         2026-11-01T10:00:02Z,900000000,2\n\
         1926-11-01T10:00:02Z,1,2\n\
         ,1,2\n\
         2026-11-01T10:00:05Z,3,4\n"
    ))
    .unwrap();
    assert_eq!(told(&imported), [(0.0, 1, 2, 0), (5.0, 3, 4, 0)]);
    let report = &imported.report;
    assert_eq!((report.rows, report.requests, report.bad_rows), (10, 2, 8));
    let described: Vec<(u64, &str, &str)> = report
        .bad
        .iter()
        .map(|bad| {
            let column = bad.column.as_deref().unwrap_or("-");
            (bad.line.unwrap(), column, bad.reason.as_str())
        })
        .collect();
    assert_eq!(
        described,
        [
            (3, "input_tokens", "is negative"),
            (
                4,
                "timestamp",
                "is no time: write 2026-11-21T12:00:00Z or Unix seconds"
            ),
            (5, "input_tokens", "is no whole number"),
            (6, "input_tokens", "is no number"),
            (7, "-", "has 2 fields where the header has 3"),
            (
                8,
                "input_tokens",
                "is absurd: more than 100,000,000 tokens in one request"
            ),
            (
                9,
                "timestamp",
                "is no time: write 2026-11-21T12:00:00Z or Unix seconds"
            ),
            (10, "timestamp", "is missing"),
        ]
    );
    assert_eq!(report.bad_reasons.get("input_tokens is negative"), Some(&1));
}

#[test]
fn only_the_first_bad_rows_are_kept_and_all_are_counted() {
    let mut text = HEAD.to_owned();
    for second in 0..100 {
        text.push_str(&format!("{second},x,1\n"));
    }
    text.push_str("100,1,1\n101,1,1\n");
    let imported = read(&text).unwrap();
    assert_eq!(
        (imported.report.bad.len(), imported.report.bad_rows),
        (20, 100)
    );
    assert_eq!(imported.report.bad_reasons.len(), 1);
}

#[test]
fn what_is_written_in_a_bad_cell_is_not_repeated() {
    let imported = read(&format!("{HEAD}0,my secret prompt,1\n1,1,1\n2,1,1\n")).unwrap();
    let told = serde_json::to_string(&imported.report).unwrap();
    assert!(!told.contains("secret"), "{told}");
}

#[test]
fn reversed_and_negative_times() {
    let imported = read(
        "start_time,end_time,prompt_tokens,completion_tokens\n\
         2026-11-01T10:00:05Z,2026-11-01T10:00:01Z,1,1\n\
         2026-11-01T10:00:05Z,2026-11-01T10:00:09Z,1,1\n\
         2026-11-01T10:00:06Z,,1,1\n",
    )
    .unwrap();
    assert_eq!(imported.report.bad_rows, 1);
    assert!(imported.report.bad[0].reason.contains("reversed"));
    let imported = read(&format!("{HEAD}0,1,1\n-5,1,1\n7,1,1\n")).unwrap();
    assert_eq!(imported.report.bad_rows, 1);
    assert!(imported.report.bad[0].reason.contains("negative"));
}

#[test]
fn rows_out_of_order_are_put_in_order() {
    let imported = read(&format!("{HEAD}9,1,1\n3,2,2\n6,3,3\n")).unwrap();
    assert_eq!(
        told(&imported),
        [(3.0, 2, 2, 0), (6.0, 3, 3, 0), (9.0, 1, 1, 0)]
    );
}

#[test]
fn empty_files_and_traces() {
    assert!(refusal("").contains("empty: export it again"));
    assert!(refusal("  \n \n").contains("empty"));
    assert!(refusal(HEAD).contains("it has no rows; export a longer time"));
    assert!(refusal("[]").contains("empty; export a longer time"));
    assert!(refusal("{\"object\":\"page\",\"data\":[],\"has_more\":false}").contains("empty"));
    let all_bad = refusal(&format!("{HEAD}x,1,1\ny,1,1\n"));
    assert!(
        all_bad.contains("2 of 2 rows are bad") && all_bad.contains("line 2"),
        "{all_bad}"
    );
}

#[test]
fn a_single_request_has_no_rate() {
    let one = refusal(&format!("{HEAD}2026-11-01,1,1\n"));
    assert!(one.contains("1 request(s), all at one moment"), "{one}");
    let together = refusal(&format!("{HEAD}2026-11-01,1,1\n2026-11-01,1,1\n"));
    assert!(together.contains("take a longer export"), "{together}");
}

#[test]
fn missing_columns_say_what_is_there_and_how_to_name_it() {
    let no_time = refusal("when_it_was,input_tokens,output_tokens\n1,2,3\n");
    assert!(no_time.contains("no column for time"), "{no_time}");
    assert!(
        no_time.contains("it has when_it_was, input_tokens, output_tokens"),
        "{no_time}"
    );
    assert!(no_time.contains("--map time=COLUMN"), "{no_time}");
    let no_output = refusal("timestamp,input_tokens\n1,2\n");
    assert!(no_output.contains("no column for output"), "{no_output}");
    let options = ImportOptions {
        map: vec![(Field::Time, "moment".to_owned())],
        ..ImportOptions::default()
    };
    let unknown = import(
        &b"timestamp,input_tokens,output_tokens\n1,2,3\n"[..],
        &options,
    );
    let unknown = unknown.unwrap_err().to_string();
    assert!(unknown.contains("no column `moment`"), "{unknown}");
}

#[test]
fn what_is_no_record_is_named() {
    assert!(refusal("PAR1....").contains("is Parquet"));
    assert!(refusal("PK\u{3}\u{4}....").contains("ZIP archive: unpack it"));
    assert!(refusal("hello\nworld\n").contains("none of the known formats"));
    assert!(refusal("{\"a\": [1, 2").contains("is no JSON that holds records"));
    let utf16 = import(&b"\xff\xfet\0i\0"[..], &ImportOptions::default()).unwrap_err();
    assert!(utf16.to_string().contains("save it as UTF-8"));
}

#[test]
fn a_document_that_is_cut_is_told_with_its_place() {
    let cut = "[{\"timestamp\":0,\"input_tokens\":1,\"output_tokens\":1},\n{\"timestamp\":1,\"inp";
    let told = refusal(cut);
    assert!(
        told.contains("line 2") && told.contains("after 1 rows"),
        "{told}"
    );
    assert!(told.contains("ends in the middle"), "{told}");
}

#[test]
fn a_broken_line_is_one_bad_row() {
    let line = |second: u32| {
        format!("{{\"timestamp\":{second},\"input_tokens\":1,\"output_tokens\":1}}\n")
    };
    for broken_at in 0..3 {
        let lines = (0..4).map(|at| {
            if at == broken_at {
                "{oops\n".to_owned()
            } else {
                line(at)
            }
        });
        let imported = read(&lines.collect::<String>()).unwrap();
        let report = &imported.report;
        assert_eq!((report.requests, report.bad_rows), (3, 1));
        assert_eq!(report.bad[0].line, Some(u64::from(broken_at) + 1));
    }
}

#[test]
fn limits_and_contradictions() {
    let limited = |options: ImportOptions| {
        import(format!("{HEAD}0,1,1\n1,1,1\n2,1,1\n").as_bytes(), &options).unwrap_err()
    };
    let two = ImportOptions {
        requests_max: 2,
        ..ImportOptions::default()
    };
    assert_eq!(limited(two), ImportError::TooMany { max: 2 });
    for share in [0.0, 1.5, f64::NAN] {
        let options = ImportOptions {
            share,
            ..ImportOptions::default()
        };
        assert!(matches!(limited(options), ImportError::Options(_)));
    }
    let mut importer = Importer::new(ImportOptions::default()).unwrap();
    importer
        .add(format!("{HEAD}2026-11-01,1,1\n").as_bytes(), "dated")
        .unwrap();
    let mixed = importer
        .add(format!("{HEAD}5,1,1\n").as_bytes(), "undated")
        .unwrap_err();
    assert!(mixed.to_string().contains("import them apart"), "{mixed}");
}

#[test]
fn a_share_keeps_whole_conversations() {
    let mut text = "timestamp,input_tokens,output_tokens,session_id\n".to_owned();
    for second in 0..3_000 {
        text.push_str(&format!("{second},1,1,s{}\n", second % 300));
    }
    let options = ImportOptions {
        share: 0.3,
        ..ImportOptions::default()
    };
    let imported = import(text.as_bytes(), &options).unwrap();
    let mut turns = std::collections::BTreeMap::<u32, u32>::new();
    for arrival in &imported.workload.arrivals {
        *turns.entry(arrival.session).or_default() += 1;
    }
    assert!(turns.values().all(|turns| *turns == 10));
    assert!((60..120).contains(&turns.len()), "{}", turns.len());
    assert!(
        imported
            .report
            .notes
            .iter()
            .any(|note| note.contains("a share of 0.3"))
    );
}
