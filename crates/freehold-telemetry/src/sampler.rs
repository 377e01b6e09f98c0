//! Which requests are traced.

use freehold_types::{TraceId, TraceParent};

/// Bits of a trace id that are random.
const RANDOM_BITS: u32 = 56;

/// What happens to traces that begin here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Root {
    /// All are sampled.
    Always,
    /// None is.
    Never,
    /// Those whose id's last 56 bits are at least this: the rejection threshold of OpenTelemetry's
    /// probability sampling, so that all who sample the same share sample the same traces.
    Threshold(u64),
}

impl Root {
    /// A share of all traces; `None` when it is not between 0 and 1.
    pub fn share(share: f64) -> Option<Self> {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "between 0 and 2^56, which a float holds exactly"
        )]
        let threshold = ((1.0 - share) * (1_u64 << RANDOM_BITS) as f64).round() as u64;
        match share {
            _ if !(0.0..=1.0).contains(&share) => None,
            _ if threshold == 0 => Some(Self::Always),
            _ if threshold >= 1 << RANDOM_BITS => Some(Self::Never),
            _ => Some(Self::Threshold(threshold)),
        }
    }

    fn samples(self, trace: TraceId) -> bool {
        match self {
            Self::Always => true,
            Self::Never => false,
            Self::Threshold(threshold) => trace.randomness() >= threshold,
        }
    }
}

/// Which requests are traced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sampler {
    /// A caller's own decision holds for its requests.
    pub parent_based: bool,
    /// For the others.
    pub root: Root,
}

impl Sampler {
    pub(crate) fn samples(&self, trace: TraceId, caller: Option<TraceParent>) -> bool {
        match caller {
            Some(caller) if self.parent_based => caller.is_sampled(),
            _ => self.root.samples(trace),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use freehold_types::{RequestId, Trace};

    fn share(share: f64) -> Sampler {
        Sampler {
            parent_based: true,
            root: Root::share(share).unwrap(),
        }
    }

    #[test]
    fn a_share_of_the_requests_is_sampled() {
        let sampler = share(0.25);
        let ids = (0..20_000).map(|_| Trace::of(RequestId::at(1_700_000_000_000), None).id);
        let sampled = ids.filter(|id| sampler.samples(*id, None)).count();
        // Six standard deviations (61) of 20,000 draws.
        assert!((4_633..=5_367).contains(&sampled), "{sampled}");
        assert_eq!(Root::share(1.0), Some(Root::Always));
        assert_eq!(Root::share(0.0), Some(Root::Never));
        for no_share in [-0.1, 1.1, f64::NAN, f64::INFINITY] {
            assert_eq!(Root::share(no_share), None, "{no_share}");
        }
    }

    #[test]
    fn a_callers_decision_holds() {
        let caller = |flags: &str| {
            let text = format!("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-{flags}");
            TraceParent::parse(&text).unwrap()
        };
        for (given, based, followed) in
            [("01", true, true), ("00", true, false), ("00", false, true)]
        {
            let sampler = Sampler {
                parent_based: based,
                root: Root::Always,
            };
            let caller = caller(given);
            assert_eq!(sampler.samples(caller.trace, Some(caller)), followed);
        }
        let never = share(0.0);
        let caller = caller("01");
        assert!(never.samples(caller.trace, Some(caller)));
        assert!(!never.samples(caller.trace, None));
    }
}
