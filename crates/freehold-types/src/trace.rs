//! Which trace a request belongs to, by W3C Trace Context, and the ids of its spans.
//!
//! A caller's `traceparent` is the one text of a header that goes on to other machines. As it is read
//! into numbers, nothing but numbers can go on.

use std::fmt;

use crate::RequestId;

/// The id of a trace: 16 bytes, not all of them zero. Shown as 32 hex digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TraceId([u8; 16]);

/// The id of a span in its trace: 8 bytes, not all of them zero. Shown as 16 hex digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SpanId([u8; 8]);

macro_rules! id {
    ($type:ident, $bytes:literal) => {
        impl $type {
            /// The id of these bytes; `None` when all are zero.
            pub fn new(bytes: [u8; $bytes]) -> Option<Self> {
                (bytes != [0; $bytes]).then_some(Self(bytes))
            }

            /// Its bytes.
            pub const fn as_bytes(&self) -> &[u8; $bytes] {
                &self.0
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }

        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }
    };
}

id!(TraceId, 16);
id!(SpanId, 8);

impl TraceId {
    /// The last 56 bits, which are random in every trace id that keeps to W3C Trace Context level 2.
    pub fn randomness(self) -> u64 {
        let [.., a, b, c, d, e, f, g] = self.0;
        u64::from_be_bytes([0, a, b, c, d, e, f, g])
    }
}

/// A `traceparent`: <https://www.w3.org/TR/trace-context/>.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TraceParent {
    /// The trace.
    pub trace: TraceId,
    /// The span that the next one is a part of.
    pub span: SpanId,
    /// The flags: bit 0 says that the trace is sampled, bit 1 that its id is random.
    pub flags: u8,
}

impl TraceParent {
    /// The flag of a sampled trace.
    pub const SAMPLED: u8 = 1;
    /// The flag of a trace whose id is random.
    pub const RANDOM: u8 = 2;

    /// Reads version, trace, span and flags in lower-case hexadecimal. Anything else, and anything
    /// more, is no trace context: it could carry out what the body may not.
    pub fn parse(text: &str) -> Option<Self> {
        let mut fields = text.split('-');
        let [version] = bytes::<1>(fields.next()?)?;
        let trace = TraceId::new(bytes(fields.next()?)?)?;
        let span = SpanId::new(bytes(fields.next()?)?)?;
        let [flags] = bytes::<1>(fields.next()?)?;
        let whole = version != u8::MAX && fields.next().is_none();
        whole.then_some(Self {
            trace,
            span,
            flags: flags & (Self::SAMPLED | Self::RANDOM),
        })
    }

    /// Whether whoever made it records the trace.
    pub const fn is_sampled(&self) -> bool {
        self.flags & Self::SAMPLED != 0
    }
}

impl fmt::Display for TraceParent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{}-{}-{:02x}", self.trace, self.span, self.flags)
    }
}

/// Exactly `N` bytes in lower-case hexadecimal.
fn bytes<const N: usize>(hex: &str) -> Option<[u8; N]> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    if hex.len() != 2 * N {
        return None;
    }
    let mut read = [0; N];
    for (byte, pair) in read.iter_mut().zip(hex.as_bytes().chunks_exact(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(read)
}

/// A request that is traced: its place in the trace, and the ids of its spans. All of them follow
/// from the request's id, so that nothing has to be remembered while the request is on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trace {
    /// The trace: the caller's, else one with the bytes of the request's id.
    pub id: TraceId,
    /// The caller's span.
    pub parent: Option<SpanId>,
    /// The span of the request as a whole.
    pub span: SpanId,
    /// The flags that go on: it is sampled, and perhaps its id is random.
    flags: u8,
}

impl Trace {
    /// The place of a request in its caller's trace, or in one of its own.
    pub fn of(request: RequestId, caller: Option<TraceParent>) -> Self {
        let own = request.as_bytes();
        let [.., a, b, c, d, e, f, g, h] = *own;
        Self {
            // A UUID's variant is never zero.
            id: caller.map_or(TraceId(*own), |caller| caller.trace),
            parent: caller.map(|caller| caller.span),
            span: SpanId([a, b, c, d, e, f, g, h]),
            flags: TraceParent::SAMPLED | caller.map_or(TraceParent::RANDOM, |caller| caller.flags),
        }
    }

    /// The span of an attempt, by its place in the request's attempts.
    pub fn attempt(&self, number: usize) -> SpanId {
        // SplitMix64 (Steele et al. 2014): a bijection, so that attempts never share an id.
        const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;
        let number = u64::try_from(number).unwrap_or(u64::MAX).wrapping_add(1);
        let mut z = u64::from_be_bytes(self.span.0).wrapping_add(number.wrapping_mul(GOLDEN));
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^= z >> 31;
        SpanId::new(z.to_be_bytes()).unwrap_or(self.span)
    }

    /// What an upstream is told, so that its spans become parts of `span`.
    pub const fn context(&self, span: SpanId) -> TraceParent {
        TraceParent {
            trace: self.id,
            span,
            flags: self.flags,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    const GOOD: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn only_a_trace_context_is_one() {
        for (text, read) in [
            (GOOD.to_owned(), Some(GOOD)),
            (GOOD.replace("00-4b", "cc-4b"), Some(GOOD)),
            (GOOD.replace("-01", "-fd"), Some(GOOD)),
            (GOOD.replace("00-4b", "ff-4b"), None),
            (GOOD.to_uppercase(), None),
            (format!("{GOOD}-more"), None),
            (format!("{GOOD} "), None),
            (GOOD.replace('f', "é"), None),
            (
                GOOD.replace("4bf92f3577b34da6a3ce929d0e0e4736", &"0".repeat(32)),
                None,
            ),
            (GOOD.replace("00f067aa0ba902b7", &"0".repeat(16)), None),
            (GOOD[..GOOD.len() - 1].to_owned(), None),
            (GOOD[..52].to_owned(), None),
            (String::new(), None),
            ("my card is 4111 1111 1111 1111".to_owned(), None),
        ] {
            let parsed = TraceParent::parse(&text).map(|parent| parent.to_string());
            assert_eq!(parsed.as_deref(), read, "{text}");
        }
        assert!(TraceParent::parse(GOOD).unwrap().is_sampled());
        let unsampled = TraceParent::parse(&GOOD.replace("-01", "-02")).unwrap();
        assert!(!unsampled.is_sampled());
        assert_eq!(unsampled.flags, TraceParent::RANDOM);
    }

    #[test]
    fn a_request_without_a_caller_has_the_trace_of_its_id() {
        let id = RequestId::at(1_700_000_000_000);
        let trace = Trace::of(id, None);
        assert_eq!(format!("req_{}", trace.id), id.to_string());
        assert_eq!(trace.parent, None);
        let caller = TraceParent::parse(GOOD).unwrap();
        let called = Trace::of(id, Some(caller));
        assert_eq!(
            (called.id, called.parent),
            (caller.trace, Some(caller.span))
        );
        assert_eq!(called.span, trace.span);
    }

    #[test]
    fn no_two_spans_of_a_request_share_an_id() {
        let trace = Trace::of(RequestId::at(1_700_000_000_000), None);
        let attempts = (0..1_000).map(|number| trace.attempt(number));
        let spans: HashSet<_> = attempts.chain([trace.span]).collect();
        assert_eq!(spans.len(), 1_001);
        let told = trace.context(trace.attempt(0)).to_string();
        assert_eq!(told, format!("00-{}-{}-03", trace.id, trace.attempt(0)));
        assert!(TraceParent::parse(&told).is_some());
    }
}
