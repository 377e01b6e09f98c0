//! Clients that mean harm do not make the program grow.

use std::io::Write as _;
use std::net::TcpStream;

use crate::gateway::{Gateway, Surface};
use crate::upstream::{Upstream, chat};

fn start(house: &Upstream) -> Gateway {
    let config = format!(
        "perimeter: sealed\nserver: {{admin: null, header_timeout_s: 1, body_timeout_s: 1, \
         connections_max: 64}}\nbackends:\n  house: {{type: vllm, base_url: \
         'http://127.0.0.1:{}/v1', models: [{{name: m}}]}}\n",
        house.port
    );
    Gateway::start(&config, &[])
}

/// A gzip stream of zeros: a quarter of a MiB that stands for 256 MiB.
fn bomb() -> Vec<u8> {
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    let zeros = vec![0; 1024 * 1024];
    for _ in 0..256 {
        packer.write_all(&zeros).unwrap();
    }
    packer.finish().unwrap()
}

#[test]
fn bombs_and_depths_cost_nothing() {
    let house = Upstream::start(chat());
    let gateway = start(&house);
    let plain = Surface::Chat.body("house/m", "hello");
    assert_eq!(gateway.post(Surface::Chat, &[], &plain).status, 200);
    let before_kib = gateway.peak_kib();
    let bomb = bomb();
    for surface in Surface::BOTH {
        let path = surface.path();
        let mut packed = format!(
            "POST {path} HTTP/1.1\r\nHost: a\r\nContent-Encoding: gzip\r\nContent-Length: {}\r\n\r\n",
            bomb.len()
        )
        .into_bytes();
        packed.extend(&bomb);
        assert_eq!(gateway.tell(&packed).status, 415);
        for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
            let deep = format!("{}0{}", open.repeat(100_000), close.repeat(100_000));
            for body in [
                format!(r#"{{"model":"house/m","max_tokens":5,"messages":[],"x":{deep}}}"#),
                deep,
                open.repeat(100_000),
            ] {
                let reply = gateway.post_at(path, &[], &body);
                assert_eq!(reply.status, 400, "{reply:?}");
                assert!(reply.text.contains("\"error\""), "{reply:?}");
            }
        }
        let huge =
            format!("POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999\r\n\r\n");
        assert_eq!(gateway.tell(huge.as_bytes()).status, 413);
    }
    assert_eq!(gateway.post(Surface::Chat, &[], &plain).status, 200);
    assert_eq!(house.connections(), 2);
    let grown_kib = gateway.peak_kib() - before_kib;
    assert!(grown_kib < 64 * 1024, "{grown_kib} KiB more");
}

/// All places are taken by clients that dribble; when their time is up, others are served.
#[test]
fn dribbling_clients_make_room_again() {
    let house = Upstream::start(chat());
    let gateway = start(&house);
    let beginnings: [&[u8]; 4] = [
        b"",
        b"POST /v1/messages HTTP/1.1\r\nHost: a\r\nX: ",
        b"PRI * HTTP/2.0\r\n",
        b"POST /v1/messages HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n{",
    ];
    let dribbling: Vec<TcpStream> = (0..64)
        .map(|index| {
            let mut stream = TcpStream::connect(gateway.address).unwrap();
            stream
                .write_all(beginnings[index % beginnings.len()])
                .unwrap();
            stream
        })
        .collect();
    let body = Surface::Messages.body("house/m", "hello");
    let reply = gateway.post(Surface::Messages, &[], &body);
    assert_eq!(reply.status, 200, "{reply:?}");
    drop(dribbling);
}
