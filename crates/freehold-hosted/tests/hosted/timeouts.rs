//! Each phase of an attempt has its own deadline. Time is paused once the upstream is known to stall, so the
//! deadlines pass at once and in order.

use std::time::Duration;

use freehold_hosted::{HostedBackend, Tls};
use freehold_ports::{Backend, Timeouts};
use freehold_testkit::{Fault, Script};
use freehold_types::{Dialect, Error, ErrorKind, Retry};
use futures_util::StreamExt as _;

use crate::support::{Bench, call, hello, settings};

const TIMEOUTS: Timeouts = Timeouts {
    connect: Duration::from_secs(11),
    first_byte: Duration::from_secs(60),
    idle: Duration::from_millis(7_500),
};

fn assert_timeout(error: &Error, code: &str, limit: &str) {
    assert_eq!(error.kind, ErrorKind::Timeout, "{error:?}");
    assert_eq!(error.retry, Retry::Soon);
    assert_eq!(error.code.as_deref(), Some(code), "{}", error.message);
    assert!(error.message.contains(limit), "{}", error.message);
}

#[tokio::test]
async fn silence_before_the_head_is_a_first_byte_timeout() {
    for stream in [false, true] {
        let bench = Bench::new("openai").await;
        bench.fake.push(Script::fault(Fault::StallHeaders));
        let mut call = bench.call(Dialect::OpenaiChat, hello(stream));
        call.timeouts = TIMEOUTS;
        let mut start = bench.backend.start(call);
        tokio::select! {
            _ = &mut start => panic!("there are no headers"),
            () = bench.fake.wait_for_waiting(1) => (),
        }
        let begun = tokio::time::Instant::now();
        tokio::time::pause();
        let error = start.await.err().unwrap();
        assert_timeout(&error, "first_byte_timeout", "60 s");
        let waited = begun.elapsed();
        assert!(
            waited <= Duration::from_secs(61) && waited > Duration::from_secs(40),
            "{waited:?}"
        );
        tokio::time::resume();
    }
}

#[tokio::test]
async fn silence_after_the_head_is_a_first_byte_timeout_too() {
    let bench = Bench::new("openai").await;
    bench
        .fake
        .push(Script::tokens(5).with_fault(Fault::Stall { at: 0 }));
    let mut call = bench.call(Dialect::OpenaiChat, hello(true));
    call.timeouts = TIMEOUTS;
    let mut answer = bench.backend.start(call).await.unwrap();
    bench.fake.wait_for_waiting(1).await;
    tokio::time::pause();
    let error = answer.next().await.unwrap().unwrap_err();
    assert_timeout(&error, "first_byte_timeout", "60 s");
    assert!(answer.next().await.is_none());
}

#[tokio::test]
async fn silence_in_the_middle_is_an_idle_timeout() {
    for at in [1, 2, 4] {
        let bench = Bench::new("openai").await;
        bench
            .fake
            .push(Script::tokens(5).with_fault(Fault::Stall { at }));
        let mut call = bench.call(Dialect::OpenaiChat, hello(true));
        call.timeouts = TIMEOUTS;
        let mut answer = bench.backend.start(call).await.unwrap();
        // All that was sent must be read before time may jump.
        let mut raw = 0;
        while raw < at {
            let chunk = answer.next().await.unwrap().unwrap();
            let (_, bytes) = chunk.raw.unwrap();
            raw += bytes.windows(2).filter(|pair| pair == b"\n\n").count();
        }
        bench.fake.wait_for_waiting(1).await;
        tokio::time::pause();
        let begun = tokio::time::Instant::now();
        let error = answer.next().await.unwrap().unwrap_err();
        assert_timeout(&error, "idle_timeout", "7.5 s");
        assert!(
            begun.elapsed() < Duration::from_secs(9),
            "{:?}",
            begun.elapsed()
        );
        assert!(answer.next().await.is_none());
        tokio::time::resume();
        bench.fake.wait_for_abort(1).await;
    }
}

#[tokio::test]
async fn a_slow_reader_is_no_idle_upstream() {
    let bench = Bench::new("openai").await;
    bench.fake.push(Script::tokens(5).with_gate(3));
    let mut call = bench.call(Dialect::OpenaiChat, hello(true));
    call.timeouts = TIMEOUTS;
    let mut answer = bench.backend.start(call).await.unwrap();
    answer.next().await.unwrap().unwrap();
    bench.fake.wait_for_waiting(1).await;
    tokio::time::pause();
    // Nobody asks for an hour.
    tokio::time::advance(Duration::from_secs(3_600)).await;
    tokio::time::resume();
    bench.fake.release_all();
    let (_, error) = crate::support::drain(&mut answer).await;
    assert!(error.is_none(), "{error:?}");
}

#[tokio::test]
async fn a_whole_answer_that_stalls_is_an_idle_timeout() {
    let bench = Bench::new("openai").await;
    bench
        .fake
        .push(Script::tokens(5).with_fault(Fault::Stall { at: 1 }));
    let mut call = bench.call(Dialect::OpenaiChat, hello(false));
    call.timeouts = TIMEOUTS;
    let mut start = bench.backend.start(call);
    tokio::select! {
        _ = &mut start => panic!("only half of the body is there"),
        () = bench.fake.wait_for_waiting(1) => (),
    }
    tokio::time::pause();
    let error = start.await.err().unwrap();
    assert_eq!(error.kind, ErrorKind::Timeout, "{error:?}");
    // Whether the first half had been read when time jumped decides which deadline passed first.
    assert!(matches!(
        error.code.as_deref(),
        Some("idle_timeout" | "first_byte_timeout")
    ));
}

#[tokio::test]
async fn a_handshake_that_never_ends_is_a_connect_timeout() {
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0))
        .await
        .unwrap();
    let url = format!("https://{}/v1", listener.local_addr().unwrap());
    let mut settings = settings("openai", &url);
    settings.tls = Tls {
        system_roots: false,
        extra_roots_pem: Some(crate::tls::authority().0),
        ..Tls::default()
    };
    let backend = HostedBackend::new(settings).unwrap();
    let mut call = call(&backend, "gpt-4o", Dialect::OpenaiChat, hello(true));
    call.timeouts = TIMEOUTS;
    let mut start = backend.start(call);
    let accepted = tokio::select! {
        _ = &mut start => panic!("nobody shakes hands"),
        accepted = listener.accept() => accepted.unwrap(),
    };
    tokio::time::pause();
    let error = start.await.err().unwrap();
    assert_timeout(&error, "connect_timeout", "11 s");
    drop(accepted);
}

#[tokio::test]
async fn absurd_timeouts_do_not_overflow() {
    let bench = Bench::new("openai").await;
    let mut call = bench.call(Dialect::OpenaiChat, hello(true));
    call.timeouts = Timeouts {
        connect: Duration::MAX,
        first_byte: Duration::MAX,
        idle: Duration::MAX,
    };
    let answer = bench.backend.start(call).await.unwrap();
    crate::support::collect(answer).await.unwrap();
}
