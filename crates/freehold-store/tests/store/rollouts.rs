//! Rollouts and feedback, in both homes.

use std::sync::Arc;

use freehold_store::{FeedbackRow, PairRow, Rollouts, StartError};

use crate::homes::{Home, on_both_homes};

on_both_homes!(
    a_flow_has_one_rollout_at_a_time,
    of_those_who_change_one_at_once_one_does,
    evidence_and_rows_come_together_and_once,
    feedback_is_kept_once,
    doors_to_one_database_do_not_wait_for_ever,
);

fn door(home: &Home) -> Rollouts {
    Rollouts::new(home.database())
}

async fn a_flow_has_one_rollout_at_a_time(home: Home) {
    let (one, other) = (door(&home), door(&home));
    assert_eq!(one.list(false).await.unwrap(), []);
    one.start("r-1", "support", "{}").await.unwrap();
    assert!(matches!(
        other.start("r-2", "support", "{}").await,
        Err(StartError::Busy)
    ));
    other.start("r-3", "sales", "{}").await.unwrap();
    assert!(one.change("r-1", 1, false, "over").await.unwrap());
    other.start("r-2", "support", "{}").await.unwrap();
    let ids = |rollouts: Vec<freehold_store::StoredRollout>| {
        let mut ids: Vec<_> = rollouts.into_iter().map(|one| one.id).collect();
        ids.sort();
        ids
    };
    assert_eq!(ids(one.list(true).await.unwrap()), ["r-2", "r-3"]);
    let all = one.list(false).await.unwrap();
    let over = all.iter().find(|one| one.id == "r-1").unwrap();
    assert_eq!(
        (over.version, over.active, over.body.as_str()),
        (2, false, "over")
    );
    assert_eq!(ids(all), ["r-1", "r-2", "r-3"]);
}

async fn of_those_who_change_one_at_once_one_does(home: Home) {
    let first = door(&home);
    first.start("r-1", "support", "0").await.unwrap();
    let changing = (0..8).map(|number: u32| {
        let door = door(&home);
        tokio::spawn(async move {
            door.change("r-1", 1, true, &number.to_string())
                .await
                .unwrap()
        })
    });
    let mut changed = 0;
    for one in changing.collect::<Vec<_>>() {
        changed += u32::from(one.await.unwrap());
    }
    assert_eq!(changed, 1);
    let kept = first.list(true).await.unwrap().remove(0);
    assert_eq!(kept.version, 2);
    assert!(!first.change("r-1", 1, true, "late").await.unwrap());
    assert!(!first.change("nobody", 1, true, "").await.unwrap());
}

fn row(request: &str, body: &str) -> PairRow {
    PairRow {
        request: request.to_owned(),
        period: 0,
        at_unix_ms: 7,
        body: body.to_owned(),
    }
}

async fn evidence_and_rows_come_together_and_once(home: Home) {
    let door = door(&home);
    let place = |source| ("r-1", 0, source);
    door.put_evidence(place("a"), "first", &[row("1", "x")])
        .await
        .unwrap();
    // What is written again after a doubt is there once.
    let rows = [row("1", "another"), row("2", "y")];
    door.put_evidence(place("a"), "second", &rows)
        .await
        .unwrap();
    door.put_evidence(place("b"), "third", &[]).await.unwrap();
    let evidence = door.evidence("r-1").await.unwrap();
    let wanted = [(0, "a", "second"), (0, "b", "third")]
        .map(|(period, source, body)| (period, source.to_owned(), body.to_owned()));
    assert_eq!(evidence, wanted);
    let mut pairs = door.pairs("r-1", 10).await.unwrap();
    pairs.sort_by(|one, other| one.request.cmp(&other.request));
    assert_eq!(pairs, [row("1", "x"), row("2", "y")]);
    assert_eq!(door.pairs("r-1", 1).await.unwrap().len(), 1);
    assert_eq!(door.evidence("r-2").await.unwrap(), []);
}

async fn feedback_is_kept_once(home: Home) {
    let door = door(&home);
    let said = |id: &str, at_unix_ms| FeedbackRow {
        id: id.to_owned(),
        request: "req".to_owned(),
        at_unix_ms,
        body: "{}".to_owned(),
    };
    assert!(door.add_feedback(&said("1", 5)).await.unwrap());
    assert!(!door.add_feedback(&said("1", 6)).await.unwrap());
    assert!(door.add_feedback(&said("2", 9)).await.unwrap());
    assert_eq!(
        door.feedback(0, 10).await.unwrap(),
        [said("2", 9), said("1", 5)]
    );
    assert_eq!(door.feedback(6, 10).await.unwrap(), [said("2", 9)]);
}

async fn doors_to_one_database_do_not_wait_for_ever(home: Home) {
    // The drainer writes into the same file, or to the same server.
    let doors: Vec<_> = (0..4).map(|_| Arc::new(door(&home))).collect();
    let writing = doors.iter().enumerate().map(|(number, door)| {
        let door = Arc::clone(door);
        tokio::spawn(async move {
            for round in 0..25 {
                let source = format!("s{number}");
                let rows = [row(&format!("{number}/{round}"), "z")];
                door.put_evidence(("r-1", 0, &source), &round.to_string(), &rows)
                    .await
                    .unwrap();
            }
        })
    });
    for one in writing.collect::<Vec<_>>() {
        one.await.unwrap();
    }
    assert_eq!(doors[0].pairs("r-1", 1_000).await.unwrap().len(), 100);
    assert_eq!(doors[0].evidence("r-1").await.unwrap().len(), 4);
}
