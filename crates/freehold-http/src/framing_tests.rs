use super::*;

/// Feeds the text whole, and cut at every byte; all must agree.
#[track_caller]
fn check(text: &str, expected: Result<(), Fault>) {
    let whole = Framing::new().feed(text.as_bytes());
    assert_eq!(whole, expected, "{text:?}");
    for cut in 0..=text.len() {
        let mut framing = Framing::new();
        let (before, after) = text.as_bytes().split_at(cut);
        let result = framing.feed(before).and_then(|()| framing.feed(after));
        assert_eq!(result, expected, "{text:?} cut at {cut}");
    }
    let mut framing = Framing::new();
    let drop_by_drop = text.bytes().try_for_each(|byte| framing.feed(&[byte]));
    assert_eq!(drop_by_drop, expected, "{text:?} byte by byte");
}

#[test]
fn plain_requests_pass_one_after_another() {
    let get = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    let sized = "POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 20\r\n\r\nContent-Length: 5\r\n\n";
    let chunked = "POST /x HTTP/1.1\r\nhost: a\r\ntransfer-encoding: Chunked\r\n\r\n\
                   13;note=x\r\nContent-Length: 5\r\n\r\n0\r\nTrailer: x\r\n\r\n";
    for texts in [
        vec![get, get],
        vec![sized, get, chunked, get, sized],
        vec!["\r\n\r\n", get],
        vec!["GET / HTTP/1.0\n\n", get],
        vec!["POST / HTTP/1.1\r\nContent-Length: 0\r\n\r\n", get],
    ] {
        check(&texts.concat(), Ok(()));
    }
}

#[test]
fn ambiguous_heads_are_found() {
    let both = Err("both Content-Length and Transfer-Encoding are given");
    let twice = Err("Content-Length is given twice");
    let other = Err("Transfer-Encoding is something else than `chunked`");
    let number = Err("Content-Length is no number");
    for (lines, expected) in [
        ("Content-Length: 5\r\nTransfer-Encoding: chunked", both),
        ("Transfer-Encoding: chunked\r\nContent-Length: 5", both),
        (
            "transfer-encoding:chunked\r\nX: y\r\ncontent-length:5",
            both,
        ),
        ("Transfer-Encoding : chunked\r\nContent-Length : 5", both),
        ("Transfer-Encoding: chunked\nContent-Length: 5", both),
        ("Content-Length: 5\r\nContent-Length: 5", twice),
        ("Content-Length: 5\r\nContent-Length: 6", twice),
        ("Content-Length: 5, 5", number),
        ("Content-Length: +5", number),
        ("Content-Length: 0x5", number),
        ("Content-Length: 99999999999999999999999", number),
        ("Content-Length:", number),
        ("Transfer-Encoding: chunked, identity", other),
        ("Transfer-Encoding: gzip, chunked", other),
        ("Transfer-Encoding: xchunked", other),
        ("Transfer-Encoding: \x0bchunked", other),
        (
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
            Err("Transfer-Encoding is given twice"),
        ),
        ("X: y\r\n folded", Err("a header line is folded")),
        (
            "X: y\r\n\tContent-Length: 5",
            Err("a header line is folded"),
        ),
        ("Host: a\r\nHost: b", Err("Host is given twice")),
    ] {
        check(&format!("POST / HTTP/1.1\r\n{lines}\r\n\r\n"), expected);
        // In a later request of the connection, too.
        let first = "POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\n{}\n";
        check(
            &format!("{first}POST / HTTP/1.1\r\n{lines}\r\n\r\n"),
            expected,
        );
    }
}

#[test]
fn long_lines_and_http2_are_let_be() {
    let long = "x".repeat(100_000);
    let text = format!(
        "GET /{long} HTTP/1.1\r\nX: {long}\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n"
    );
    let mut framing = Framing::new();
    assert_eq!(
        framing.feed(text.as_bytes()),
        Err("Content-Length is given twice")
    );
    assert!(framing.line.capacity() <= 2 * LINE_BYTES_MAX);
    check(
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nHost: a\r\nHost: b\r\n\r\n",
        Ok(()),
    );
}

/// Writes until the other end of a small pipe, which nobody reads, takes no more.
async fn write_all(pipe_reads: bool) -> std::io::Result<()> {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    let (ours, mut theirs) = tokio::io::duplex(64);
    let mut followed = Followed::new(ours, FirstFault::default(), Duration::from_secs(1));
    let slow = async {
        let mut piece = [0; 64];
        while pipe_reads && theirs.read(&mut piece).await.is_ok_and(|read| read > 0) {
            tokio::time::sleep(WRITE_STALL / 2).await;
        }
        std::future::pending::<()>().await;
    };
    tokio::select! {
        written = followed.write_all(&[0; 1_000]) => written,
        () = slow => Ok(()),
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_takes_nothing_loses_its_connection() {
    let before = tokio::time::Instant::now();
    let error = write_all(false).await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::TimedOut);
    assert_eq!(before.elapsed().as_secs(), WRITE_STALL.as_secs());
    write_all(true).await.unwrap();
    assert!(
        before.elapsed() > 5 * WRITE_STALL,
        "slow clients are served"
    );
}
