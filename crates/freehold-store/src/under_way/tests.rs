use super::*;
use crate::record;

/// An outcome with this number for an id.
fn outcome(number: u8) -> Outcome {
    let golden = include_bytes!("../../tests/golden/format-1.spool");
    let Found::Record { payload, .. } = frame::look(golden, 0, true) else {
        panic!("no record");
    };
    let mut outcome = record::parse(std::str::from_utf8(&golden[payload]).unwrap()).unwrap();
    outcome.id = format!("req_{number:032x}").parse().unwrap();
    outcome
}

/// What an open journal finds.
fn left(dir: &Path) -> Vec<Outcome> {
    let mut left = vec![];
    let journal = Journal::open(dir, |outcome| {
        left.push(outcome.clone());
        Ok(())
    });
    drop(journal.unwrap());
    left
}

#[test]
fn what_has_not_ended_is_found_once() {
    let dir = tempfile::tempdir().unwrap();
    let journal = Journal::open(dir.path(), |_| panic!("nothing is left")).unwrap();
    let all: Vec<_> = (0..5).map(outcome).collect();
    let mut slots: Vec<_> = all
        .iter()
        .map(|outcome| journal.begin(outcome).unwrap())
        .collect();
    journal.end(slots.remove(1));
    journal.end(slots.remove(2));
    // A freed place is taken again, also by something shorter.
    let mut short = outcome(9);
    short.attempts.clear();
    let again = journal.begin(&short).unwrap();
    assert!(again.number() < 5);
    // Killed: nothing is dropped in order.
    std::mem::forget((journal, again, slots));
    let mut found = left(dir.path());
    found.sort_by_key(|outcome| outcome.id);
    let expected = [&all[0], &all[2], &all[4], &short];
    assert_eq!(found.iter().collect::<Vec<_>>(), expected);
    assert!(left(dir.path()).is_empty());
}

#[test]
fn a_torn_or_foreign_slot_hides_no_other() {
    let dir = tempfile::tempdir().unwrap();
    let journal = Journal::open(dir.path(), |_| Ok(())).unwrap();
    let slots = [1, 2, 3].map(|number| journal.begin(&outcome(number)).unwrap());
    drop((journal, slots));
    let path = dir.path().join("under-way.journal");
    let mut bytes = std::fs::read(&path).unwrap();
    // A bit of the second, and the end of the third.
    bytes[4_096 + 40] ^= 1;
    bytes.truncate(2 * 4_096 + 100);
    std::fs::write(&path, bytes).unwrap();
    assert_eq!(left(dir.path()), [outcome(1)]);
}

#[test]
fn what_cannot_be_recorded_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    let journal = Journal::open(dir.path(), |_| Ok(())).unwrap();
    let slot = journal.begin(&outcome(1)).unwrap();
    drop((journal, slot));
    let full = |_: &Outcome| Err(LedgerError::Full { limit_bytes: 1 });
    let error = Journal::open(dir.path(), full).unwrap_err();
    assert!(error.to_string().contains("under-way.journal"), "{error}");
    assert_eq!(left(dir.path()), [outcome(1)]);
}

#[test]
fn what_does_not_fit_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let journal = Journal::open(dir.path(), |_| Ok(())).unwrap();
    let mut large = outcome(1);
    large.route = freehold_types::RouteName::from("x".repeat(5_000));
    assert!(journal.begin(&large).is_err());
    assert!(left(dir.path()).is_empty());
}
