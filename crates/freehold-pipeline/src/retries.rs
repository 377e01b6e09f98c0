//! Requests that come again: a client, or an agent, that tries the same once more.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use freehold_types::{KeyName, Request};
use parking_lot::Mutex;

/// Requests remembered at a time; another one with the same place takes it over.
const PLACES: usize = 8_192;
/// The same request later than this after the last time is no retry.
const WITHIN: Duration = Duration::from_secs(10 * 60);
/// So much of a body's begin and of its end is looked at, beside its length: two requests that differ only between are
/// taken for one. It is a count for people, and no body of any size may cost more.
const HEAD_BYTES: usize = 512;
const TAIL_BYTES: usize = 2_048;

/// Which requests came of late, in memory, as hashes with a key of this process.
pub(crate) struct Retries {
    hasher: RandomState,
    places: Mutex<Box<[Place]>>,
}

#[derive(Clone, Copy, Default)]
struct Place {
    hash: u64,
    times: u32,
    last: Duration,
}

impl Retries {
    pub(crate) fn new() -> Self {
        Self {
            hasher: RandomState::new(),
            places: Mutex::new(vec![Place::default(); PLACES].into_boxed_slice()),
        }
    }

    /// Counts a request; says how often the same key has sent it before. `now` is monotonic.
    pub(crate) fn count(&self, key: &KeyName, request: &Request, now: Duration) -> u32 {
        let Some(raw) = &request.raw else {
            return 0;
        };
        let bytes = &raw.bytes[..];
        let head = &bytes[..bytes.len().min(HEAD_BYTES)];
        let tail = &bytes[bytes.len().saturating_sub(TAIL_BYTES)..];
        let hash = self
            .hasher
            .hash_one((key.as_str(), bytes.len(), head, tail));
        let mut places = self.places.lock();
        let at = usize::try_from(hash % PLACES as u64).unwrap_or(0);
        let Some(place) = places.get_mut(at) else {
            return 0;
        };
        let is_known = place.hash == hash && place.times > 0;
        let times = if is_known && now.saturating_sub(place.last) <= WITHIN {
            place.times
        } else {
            0
        };
        *place = Place {
            hash,
            times: times.saturating_add(1),
            last: now,
        };
        times
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use freehold_types::Dialect;
    use freehold_types::request::RawBody;

    use super::*;

    fn request(body: &[u8]) -> Request {
        let mut request = Request::new(Dialect::OpenaiChat, "m", vec![]);
        request.raw = Some(RawBody {
            bytes: Bytes::copy_from_slice(body),
            model_span: 0..0,
        });
        request
    }

    #[test]
    fn the_same_body_of_the_same_key_counts_within_ten_minutes() {
        let retries = Retries::new();
        let (one, other) = (KeyName::from("one"), KeyName::from("other"));
        let at = Duration::from_secs;
        assert_eq!(retries.count(&one, &request(b"{1}"), at(0)), 0);
        assert_eq!(retries.count(&one, &request(b"{1}"), at(5)), 1);
        assert_eq!(retries.count(&one, &request(b"{1}"), at(300)), 2);
        assert_eq!(retries.count(&other, &request(b"{1}"), at(300)), 0);
        assert_eq!(retries.count(&one, &request(b"{2}"), at(300)), 0);
        assert_eq!(retries.count(&one, &request(b"{1}"), at(1_000)), 0);
        assert_eq!(
            retries.count(
                &one,
                &Request::new(Dialect::OpenaiChat, "m", vec![]),
                at(1_000)
            ),
            0
        );
    }

    #[test]
    fn long_bodies_differ_by_begin_end_and_length() {
        let retries = Retries::new();
        let key = KeyName::from("k");
        let mut body = vec![b'a'; 100_000];
        assert_eq!(retries.count(&key, &request(&body), Duration::ZERO), 0);
        body[99_999] = b'b';
        assert_eq!(retries.count(&key, &request(&body), Duration::ZERO), 0);
        body[0] = b'b';
        assert_eq!(retries.count(&key, &request(&body), Duration::ZERO), 0);
        body.push(b'b');
        assert_eq!(retries.count(&key, &request(&body), Duration::ZERO), 0);
        assert_eq!(retries.count(&key, &request(&body), Duration::ZERO), 1);
    }
}
