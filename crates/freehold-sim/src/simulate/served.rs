//! One calibrated replica serves the requests of a run, one by one to look at.

use std::collections::VecDeque;

use freehold_workload::{Arrival, Workload};

use super::replica::{Ended, Replica};
use super::{Shared, shared_calibrated};
use crate::calibrate::{CalibratedServer, LoadRun, ServedRequest};
use crate::error::SimError;

/// What `server` does with the requests of `run`: with as many clients as it had, each of which asks again when it has
/// its answer, or, when it had none, at the times at which they were sent. Requests are taken in their order.
///
/// # Errors
/// As [`CalibratedServer::check`], and [`SimError::DoesNotFit`] for a request longer than the cache.
pub(crate) fn serve(
    server: &CalibratedServer,
    run: &LoadRun,
) -> Result<Vec<ServedRequest>, SimError> {
    server.check()?;
    let workload = workload_of(run);
    let shared = shared_calibrated(&workload, server, false);
    if let Some(request) = workload.arrivals.iter().find(|a| !shared.can_serve(a)) {
        let tokens = request.input_tokens + request.output_tokens;
        return Err(SimError::DoesNotFit {
            model: server.model.clone(),
            why: format!("a request has {tokens} tokens"),
            hint: "give the tokens that its cache really holds".to_owned(),
        });
    }
    let clients = run.clients.map_or(usize::MAX, |clients| clients as usize);
    Ok(Client::new(run, &shared, clients.max(1)).run())
}

/// Requests in the order of the record. What was read from a prefix cache cost nothing: it is left out of the prompt,
/// and of the context that is read at every step, which is little beside it.
fn workload_of(run: &LoadRun) -> Workload {
    let arrivals: Vec<Arrival> = run
        .requests
        .iter()
        .map(|request| Arrival {
            at_us: request.sent_us as u64,
            input_tokens: request.input_tokens.saturating_sub(request.cached_tokens),
            output_tokens: request.output_tokens,
            ..Arrival::default()
        })
        .collect();
    let duration_us = arrivals.iter().map(|arrival| arrival.at_us).max();
    Workload {
        arrivals,
        duration_us: duration_us.unwrap_or(0),
        flows: vec!["run".to_owned()],
        ..Workload::default()
    }
}

/// Who sends the requests.
struct Client<'a> {
    shared: &'a Shared<'a>,
    replica: Replica,
    served: Vec<ServedRequest>,
    /// When a request reaches the engine, and which, sorted by time.
    coming: VecDeque<(f64, u32)>,
    /// The next one to be sent.
    next: usize,
    is_closed: bool,
}

impl<'a> Client<'a> {
    fn new(run: &LoadRun, shared: &'a Shared<'a>, clients: usize) -> Self {
        let is_closed = run.clients.is_some();
        let mut client = Self {
            shared,
            replica: Replica::new(0.0),
            served: run.requests.clone(),
            coming: VecDeque::new(),
            next: 0,
            is_closed,
        };
        if is_closed {
            for _ in 0..clients.min(run.requests.len()) {
                client.send(0.0);
            }
        } else {
            for index in 0..run.requests.len() {
                client.send(run.requests[index].sent_us);
            }
            // Records are in the order of sending, but nothing is lost when they are not.
            client
                .coming
                .make_contiguous()
                .sort_by(|a, b| a.0.total_cmp(&b.0));
        }
        client
    }

    fn send(&mut self, now_us: f64) {
        if self.next < self.served.len() {
            self.served[self.next].sent_us = now_us;
            self.coming.push_back((now_us, self.next as u32));
            self.next += 1;
        }
    }

    fn run(mut self) -> Vec<ServedRequest> {
        loop {
            let work_us = self.replica.next_us();
            match self.coming.front().copied() {
                Some((at_us, request)) if at_us <= work_us => {
                    self.coming.pop_front();
                    self.replica.push(self.shared, request, at_us);
                }
                _ if work_us.is_finite() => self.work(work_us),
                _ => return self.served,
            }
        }
    }

    fn work(&mut self, until_us: f64) {
        let mut ended: Vec<Ended> = Vec::new();
        let mut told = |end: Ended| ended.push(end);
        self.replica.advance(self.shared, until_us, &mut told);
        for end in ended {
            let request = &mut self.served[end.request as usize];
            request.first_us = end.first_us;
            request.last_us = end.last_us;
            if self.is_closed {
                self.send(end.last_us);
            }
        }
    }
}
