//! Clients that speak bytes: slow ones, silent ones, and those that want to do harm.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::client::Ask;
use crate::world::KEY;

/// What is written, and how.
#[derive(Clone, Debug)]
pub(crate) struct Words {
    pub(crate) pieces: Vec<Vec<u8>>,
    pub(crate) pause: Duration,
}

/// What came back: everything until the other side closed, or nothing more came for too long.
#[derive(Clone, Debug)]
pub(crate) struct Heard {
    pub(crate) text: String,
    pub(crate) closed: bool,
}

impl Heard {
    pub(crate) fn status(&self) -> Option<u16> {
        self.text.split(' ').nth(1)?.parse().ok()
    }
}

/// A request's head.
pub(crate) fn head(path: &str, headers: &str) -> String {
    format!(
        "POST {path} HTTP/1.1\r\nhost: gateway\r\nauthorization: Bearer {KEY}\r\n\
         content-type: application/json\r\nconnection: close\r\n{headers}\r\n"
    )
}

/// A request as it stands on the wire.
pub(crate) fn request(ask: &Ask) -> Vec<u8> {
    let body = ask.body().to_string();
    let headers = format!(
        "x-freehold-flow: {}\r\ncontent-length: {}\r\n",
        ask.name,
        body.len()
    );
    format!("{}{body}", head(ask.surface.path(), &headers)).into_bytes()
}

/// Says it, and listens.
pub(crate) async fn say(address: String, words: Words) -> Heard {
    let mut heard = Heard {
        text: String::new(),
        closed: true,
    };
    let Ok(stream) = TcpStream::connect(&address).await else {
        return heard;
    };
    let (mut reading, mut writing) = stream.into_split();
    let speaking = tokio::spawn(async move {
        for piece in words.pieces {
            if writing.write_all(&piece).await.is_err() {
                return None;
            }
            tokio::time::sleep(words.pause).await;
        }
        // Dropped, it would say that it has nothing more to say.
        Some(writing)
    });
    let mut bytes = vec![];
    let listening = reading.read_to_end(&mut bytes);
    let ended = tokio::time::timeout(Duration::from_secs(40), listening).await;
    heard.closed = ended.is_ok();
    heard.text = String::from_utf8_lossy(&bytes).into_owned();
    speaking.abort();
    heard
}

/// The host and port of a URL.
pub(crate) fn address(url: &str) -> String {
    url.trim_start_matches("http://").to_owned()
}
