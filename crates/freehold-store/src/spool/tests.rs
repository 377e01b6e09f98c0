use std::fs;

use proptest::prelude::*;

use super::*;
use crate::spool::frame::Found;

fn settings(dir: &Path) -> SpoolSettings {
    SpoolSettings {
        reserve_bytes: 0,
        ..SpoolSettings::new(dir)
    }
}

fn framed(payload: &[u8]) -> Vec<u8> {
    let mut frame = Vec::new();
    let start = frame::begin(&mut frame);
    frame.extend_from_slice(payload);
    frame::finish(&mut frame, start, frame::VERSION_JSON).unwrap();
    frame
}

fn payload(index: usize) -> Vec<u8> {
    format!(
        "{{\"record\":{index},\"filler\":\"{}\"}}",
        "x".repeat(index % 40)
    )
    .into_bytes()
}

/// Payloads and damaged stretches of all segments, in order.
fn read_all(spool: &Spool) -> (Vec<Vec<u8>>, Vec<Vec<u8>>) {
    let (mut records, mut damaged) = (Vec::new(), Vec::new());
    for segment in spool.reader().segments() {
        let mut from = 0;
        loop {
            let batch = read_batch(&segment, from, 3).unwrap();
            records.extend(batch.records().map(|record| record.payload.to_vec()));
            damaged.extend(batch.damaged().map(|(_, bytes)| bytes.to_vec()));
            if batch.next == from {
                break;
            }
            from = batch.next;
        }
    }
    (records, damaged)
}

/// A directory with one segment that holds these bytes.
fn dir_with(bytes: &[u8]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let id = SegmentId {
        epoch: uuid::Uuid::now_v7(),
        number: 1,
    };
    fs::write(id.path(dir.path()), bytes).unwrap();
    dir
}

#[test]
fn records_come_back_in_order_across_segments() {
    let dir = tempfile::tempdir().unwrap();
    let spool = Spool::open(SpoolSettings {
        segment_bytes: 500,
        ..settings(dir.path())
    })
    .unwrap();
    let written: Vec<_> = (0..100).map(payload).collect();
    for payload in &written {
        spool.append(&framed(payload)).unwrap();
    }
    let segments = spool.reader().segments();
    assert!(segments.len() > 8, "{}", segments.len());
    assert!(segments.iter().all(|segment| segment.end <= 500));
    assert_eq!(read_all(&spool), (written.clone(), vec![]));
    drop(spool);
    let again = Spool::open(settings(dir.path())).unwrap();
    assert_eq!(read_all(&again), (written, vec![]));
}

#[test]
fn a_tail_torn_at_any_byte_costs_the_torn_record_only() {
    let mut bytes = Vec::new();
    let whole: Vec<_> = (0..3).map(payload).collect();
    for payload in &whole {
        bytes.extend(framed(payload));
    }
    let last = framed(b"{\"the\":\"last record\"}");
    for torn in 0..last.len() {
        let mut file = bytes.clone();
        file.extend_from_slice(&last[..torn]);
        let dir = dir_with(&file);
        let spool = Spool::open(settings(dir.path())).unwrap();
        let status = spool.status();
        assert_eq!(status.quarantined, u64::from(torn > 0), "torn at {torn}");
        assert_eq!(status.quarantined_bytes, torn as u64, "torn at {torn}");
        // The next record does not land behind the torn one.
        spool.append(&framed(b"{\"next\":1}")).unwrap();
        let mut expected = whole.clone();
        expected.push(b"{\"next\":1}".to_vec());
        assert_eq!(read_all(&spool), (expected, vec![]), "torn at {torn}");
        assert_eq!(spool.reader().segments()[0].end, bytes.len() as u64);
    }
}

#[test]
fn a_flipped_bit_costs_its_record_only() {
    let records: Vec<_> = (0..3).map(payload).collect();
    let frames: Vec<_> = records.iter().map(|payload| framed(payload)).collect();
    let bytes = frames.concat();
    for position in 0..bytes.len() {
        let mut file = bytes.clone();
        file[position] ^= 1 << (position % 8);
        let hit = usize::from(position >= frames[0].len())
            + usize::from(position >= frames[0].len() + frames[1].len());
        let dir = dir_with(&file);
        let spool = Spool::open(settings(dir.path())).unwrap();
        let (found, damaged) = read_all(&spool);
        let mut expected = records.clone();
        expected.remove(hit);
        assert_eq!(found, expected, "bit flipped in byte {position}");
        // The last record's damage is cut off when the spool is opened, the others' is met here.
        let kept_at_open = spool.status().quarantined_bytes;
        let met: usize = damaged.iter().map(Vec::len).sum();
        assert_eq!(met as u64 + kept_at_open, frames[hit].len() as u64);
        assert_eq!(kept_at_open > 0, hit == 2);
    }
}

#[test]
fn damage_is_kept_for_a_person_to_look_at() {
    let mut bytes = framed(b"{\"a\":1}");
    bytes.extend_from_slice(b"garbage");
    let dir = dir_with(&bytes);
    let spool = Spool::open(settings(dir.path())).unwrap();
    let kept: Vec<_> = fs::read_dir(dir.path().join("quarantine"))
        .unwrap()
        .map(|entry| fs::read(entry.unwrap().path()).unwrap())
        .collect();
    assert_eq!(kept, [b"garbage"]);
    drop(spool);
}

#[test]
fn a_full_spool_says_so_before_work_begins_and_takes_more_once_drained() {
    let dir = tempfile::tempdir().unwrap();
    let spool = Spool::open(SpoolSettings {
        limit_bytes: 4_000,
        reserve_bytes: 500,
        ..settings(dir.path())
    })
    .unwrap();
    let frame = framed(&[b'x'; 87]);
    assert_eq!(frame.len(), 100);
    while spool.ready().is_ok() {
        spool.append(&frame).unwrap();
    }
    // Requests that were let in before it was full can still be recorded.
    for _ in 0..5 {
        spool.append(&frame).unwrap();
    }
    assert!(matches!(
        spool.append(&frame),
        Err(LedgerError::Full { limit_bytes: 4_000 })
    ));
    let reader = spool.reader();
    let segments = reader.segments();
    assert!(
        segments
            .iter()
            .all(|segment| segment.closed && segment.end <= 1_000)
    );
    reader.release(segments[0].id);
    spool.ready().unwrap();
    spool.append(&frame).unwrap();
    assert!(!segments[0].path.exists());
}

#[test]
fn a_spool_has_one_process() {
    let dir = tempfile::tempdir().unwrap();
    let first = Spool::open(settings(dir.path())).unwrap();
    let error = Spool::open(settings(dir.path())).unwrap_err();
    let text = error.to_string();
    assert!(text.contains(&std::process::id().to_string()), "{text}");
    assert!(text.contains("own data directory"), "{text}");
    drop(first);
    Spool::open(settings(dir.path())).unwrap();
}

#[test]
fn every_thread_s_records_are_there_whole_and_in_its_order() {
    for sync in [
        SyncPolicy::Always,
        SyncPolicy::Every(std::time::Duration::from_millis(1)),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let spool = Spool::open(SpoolSettings {
            segment_bytes: 4_096,
            sync,
            ..settings(dir.path())
        })
        .unwrap();
        std::thread::scope(|scope| {
            for thread in 0..8 {
                let spool = &spool;
                scope.spawn(move || {
                    for index in 0..50 {
                        let payload = format!("{{\"thread\":{thread},\"index\":{index}}}");
                        spool.append(&framed(payload.as_bytes())).unwrap();
                    }
                });
            }
        });
        let (records, damaged) = read_all(&spool);
        assert!(damaged.is_empty());
        for thread in 0..8 {
            let prefix = format!("{{\"thread\":{thread},");
            let own: Vec<_> = records
                .iter()
                .map(|record| String::from_utf8(record.clone()).unwrap())
                .filter(|text| text.starts_with(&prefix))
                .collect();
            let expected: Vec<_> = (0..50)
                .map(|index| format!("{prefix}\"index\":{index}}}"))
                .collect();
            assert_eq!(own, expected);
        }
    }
}

#[test]
fn an_epoch_s_numbers_are_never_used_again() {
    let dir = tempfile::tempdir().unwrap();
    let mut places = std::collections::HashSet::new();
    for _ in 0..3 {
        let spool = Spool::open(settings(dir.path())).unwrap();
        spool.append(&framed(b"{}")).unwrap();
        let reader = spool.reader();
        reader.close_active();
        for segment in reader.segments() {
            reader.release(segment.id);
            assert!(places.insert(segment.id));
        }
    }
}

#[test]
fn a_record_longer_than_one_read_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let spool = Spool::open(settings(dir.path())).unwrap();
    let payloads = [vec![b'a'; 3 << 20], b"short".to_vec(), vec![b'b'; 2 << 20]];
    for payload in &payloads {
        spool.append(&framed(payload)).unwrap();
    }
    assert_eq!(read_all(&spool).0, payloads);
}

/// All that `look` finds.
fn scan(bytes: &[u8]) -> (Vec<Vec<u8>>, usize) {
    let (mut records, mut damaged, mut at) = (Vec::new(), 0, 0);
    loop {
        match frame::look(bytes, at, true) {
            Found::Record { payload, .. } => {
                at = payload.end;
                records.push(bytes[payload].to_vec());
            }
            Found::Damaged(range) => {
                assert_eq!(range.start, at);
                assert!(range.end > at);
                damaged += range.len();
                at = range.end;
            }
            Found::Incomplete => unreachable!("the bytes are complete"),
            Found::End => {
                assert_eq!(at, bytes.len());
                return (records, damaged);
            }
        }
    }
}

proptest! {
    #[test]
    fn any_bytes_are_read_to_their_end(bytes in proptest::collection::vec(any::<u8>(), 0..2_000)) {
        scan(&bytes);
    }

    #[test]
    fn garbage_between_records_hides_none(
        parts in proptest::collection::vec((".{0,60}", proptest::collection::vec(any::<u8>(), 0..40)), 1..8)
    ) {
        let (mut file, mut garbage) = (Vec::new(), 0);
        for (text, noise) in &parts {
            file.extend_from_slice(noise);
            garbage += noise.len();
            file.extend(framed(text.as_bytes()));
        }
        let texts: Vec<_> = parts.iter().map(|(text, _)| text.clone().into_bytes()).collect();
        prop_assert_eq!(scan(&file), (texts, garbage));
    }
}
