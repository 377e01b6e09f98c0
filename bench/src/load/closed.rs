//! The closed loop: every connection sends its next request when it has its answer.

use std::{rc::Rc, time::Duration};

use super::{
    Load,
    report::Report,
    worker::{Recorder, Shared, measure},
};

/// A pause after a failure, so that a dead server is not hammered.
const AFTER_FAILURE: Duration = Duration::from_millis(5);

/// Runs the load on this thread.
pub(crate) async fn run(load: Load) -> anyhow::Result<Report> {
    let recorder = Recorder::new(&load)?;
    let server = load.server;
    let load = Rc::new(load);
    let mut workers = tokio::task::JoinSet::new();
    for index in 0..load.connections {
        workers.spawn_local(work(Rc::clone(&load), Rc::clone(&recorder), index));
    }
    // The window's end drops the set, and with it what is still under way.
    measure(&recorder, server, async {
        while workers.join_next().await.is_some() {}
    })
    .await
}

async fn work(load: Rc<Load>, recorder: Shared, index: usize) {
    let share =
        f64::from(u32::try_from(index).unwrap_or(u32::MAX)) / load.connections.max(1) as f64;
    tokio::time::sleep(load.stagger.mul_f64(share)).await;
    let mut connection = None;
    while recorder.borrow_mut().may_start() {
        let mut open = match connection.take() {
            Some(open) => open,
            None => match load.target.connect().await {
                Ok(open) => open,
                Err(failure) => {
                    recorder.borrow_mut().record(Err(failure), Duration::ZERO);
                    tokio::time::sleep(AFTER_FAILURE).await;
                    continue;
                }
            },
        };
        let result = load.target.exchange(&mut open, load.timeout).await;
        if result.is_ok() {
            connection = Some(open);
        }
        let failed = result.is_err();
        recorder.borrow_mut().record(result, Duration::ZERO);
        if failed {
            tokio::time::sleep(AFTER_FAILURE).await;
        }
    }
}
