//! Requests made from parameters.

use freehold_workload::{ImportError, ImportOptions, Imported, Importer, statistics, write_jsonl};

const RATES: &str = "client,window_s,rate,cv,pattern,shape,scale\n\
                     0,0,0.5,1.0,Gamma,1.0,2.0\n\
                     0,600,0.25,3.0,Weibull,0.4,1.0\n\
                     7,0,0.1,9.0,Gamma,0.02,70.0\n";
const LENGTHS: &str = "{\"client\": 0, \"window_s\": 0, \"input_tokens\": {\"100\": 1.0}, \
                       \"output_tokens\": {\"10\": 0.5, \"20\": 0.5}, \"reason_ratio\": {\"1\": 1}}\n";

fn generated(lengths_name: &str, seed: u64, share: f64) -> Result<Imported, ImportError> {
    let mut importer = Importer::new(ImportOptions {
        seed,
        share,
        ..ImportOptions::default()
    })?;
    importer.add(RATES.as_bytes(), "s_rates.csv")?;
    importer.add(LENGTHS.as_bytes(), lengths_name)?;
    importer.finish()
}

#[test]
fn as_many_requests_as_the_rates_say_and_labelled() {
    let imported = generated("s_lengths.jsonl", 1, 1.0).unwrap();
    let workload = &imported.workload;
    assert!(workload.is_generated);
    // 0.5 x 600, 0.25 x 600 and 0.1 x 600.
    assert_eq!(workload.arrivals.len(), 300 + 150 + 60);
    assert_eq!(workload.duration_us, 1_200_000_000);
    assert_eq!(workload.flows, ["client-0", "client-7"]);
    let in_second = workload
        .arrivals
        .iter()
        .filter(|one| one.at_us >= 600_000_000)
        .count();
    assert_eq!(in_second, 150);
    let told = statistics(workload, &[]);
    assert_eq!((told.all.input.p50, told.all.output.max), (100, 20));
    assert!((told.all.output.mean - 15.0).abs() < 1.0);
    // A shape of 0.02 is far burstier than a Poisson process.
    assert!(told.flows[1].traffic.inter_arrival_cv.unwrap() > 3.0);
}

#[test]
fn borrowed_lengths_are_told() {
    let notes = generated("s_lengths.jsonl", 1, 1.0)
        .unwrap()
        .report
        .notes
        .join("\n");
    assert!(
        notes.contains("60 of them (11.8 %) have borrowed lengths"),
        "{notes}"
    );
    assert!(notes.contains("they are no record"), "{notes}");
    let notes = generated("other_lengths.jsonl", 1, 1.0)
        .unwrap()
        .report
        .notes
        .join("\n");
    assert!(
        notes.contains("510 of them (100.0 %)") && notes.contains("another service"),
        "{notes}"
    );
}

#[test]
fn the_same_seed_makes_the_same_bytes() {
    let bytes = |seed| {
        let mut bytes = Vec::new();
        write_jsonl(
            &generated("s_lengths.jsonl", seed, 1.0).unwrap().workload,
            &[],
            &mut bytes,
        )
        .unwrap();
        bytes
    };
    assert_eq!(bytes(4), bytes(4));
    assert_ne!(bytes(4), bytes(5));
}

#[test]
fn a_share_is_of_the_rates() {
    let imported = generated("s_lengths.jsonl", 1, 0.1).unwrap();
    assert_eq!(imported.workload.arrivals.len(), 51);
}

#[test]
fn both_halves_are_needed_and_bad_rows_are_told() {
    let one = |text: &str| {
        let mut importer = Importer::new(ImportOptions::default()).unwrap();
        importer.add(text.as_bytes(), "x").unwrap();
        importer.finish().unwrap_err().to_string()
    };
    assert!(one(RATES).contains("the lengths"));
    assert!(one(LENGTHS).contains("the rates"));
    let mut importer = Importer::new(ImportOptions::default()).unwrap();
    let rates = format!("{RATES}1,0,-1,1,Gamma,1,1\n1,0,1,1,Pareto,1,1\n1,0,1,1,Gamma,0,1\n");
    importer.add(rates.as_bytes(), "s_rates.csv").unwrap();
    importer.add(LENGTHS.as_bytes(), "s_lengths.jsonl").unwrap();
    importer
        .add(&b"{\"client\": 1, \"window_s\": 0, \"input_tokens\": {\"a\": 1}, \"output_tokens\": {\"1\": 1}}\n"[..], "l")
        .unwrap();
    let report = importer.finish().unwrap().report;
    assert_eq!(report.bad_rows, 4);
    let columns: Vec<_> = report
        .bad
        .iter()
        .filter_map(|bad| bad.column.as_deref())
        .collect();
    assert_eq!(columns, ["rate", "pattern", "shape", "input_tokens"]);
}
