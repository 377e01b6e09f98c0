//! Whatever is read becomes a workload that holds its promises, or an error; and a workload is read
//! back as it was written.
#![no_main]

use freehold_workload::{ImportOptions, import, statistics, write_csv, write_jsonl};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let options = ImportOptions {
        requests_max: 20_000,
        ..ImportOptions::default()
    };
    let Ok(imported) = import(bytes, &options) else {
        return;
    };
    let workload = imported.workload;
    assert_eq!(workload.check(), Ok(()));
    let told = statistics(&workload, &[1_000]);
    assert_eq!(told.all.requests, workload.arrivals.len() as u64);
    let notes = imported.report.notes;
    let mut lines = Vec::new();
    write_jsonl(&workload, &notes, &mut lines).expect("memory takes everything");
    let mut table = Vec::new();
    write_csv(&workload, &notes, &mut table).expect("memory takes everything");
    for written in [lines, table] {
        let read = import(&written[..], &options).expect("what was written can be read");
        assert_eq!(read.report.bad_rows, 0);
        assert_eq!(read.workload.arrivals.len(), workload.arrivals.len());
    }
});
