//! Long work on the disk, off the runtime's threads, that stops when its future is dropped.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Tells blocking work that nobody waits for it any more.
#[derive(Clone, Debug, Default)]
pub(crate) struct Cancelled(Arc<AtomicBool>);

impl Cancelled {
    pub(crate) fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Sets the flag when the waiting side is dropped before the work has ended.
#[derive(Debug)]
pub(crate) struct SetOnDrop(pub(crate) Cancelled);

impl Drop for SetOnDrop {
    fn drop(&mut self) {
        self.0.0.store(true, Ordering::Relaxed);
    }
}

/// Runs `work` on the blocking pool. A panic in it continues in the caller.
pub(crate) async fn run<T: Send + 'static>(
    work: impl FnOnce(&Cancelled) -> T + Send + 'static,
) -> T {
    let cancelled = Cancelled::default();
    let guard = SetOnDrop(cancelled.clone());
    let joined = tokio::task::spawn_blocking(move || work(&cancelled)).await;
    drop(guard);
    match joined {
        Ok(value) => value,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // The pool drops a task only when the runtime shuts down; the caller is dropped with it.
            Err(_) => std::future::pending().await,
        },
    }
}
