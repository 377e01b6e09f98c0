//! All attacks mixed, one after the other, from a fixed seed: whatever a gateway is asked, in
//! whatever order, no canary gets out.
//!
//! `FREEHOLD_SOAK_REQUESTS` sets how many requests (a million takes hours), `FREEHOLD_SOAK_SEED` where
//! they begin.

use freehold_policy::{Policy, Rules};
use freehold_testkit::{Fault, Script};
use serde_json::Value;

use crate::canary::{Canary, Kind, Random};
use crate::disguise::{DISGUISES, ENCODINGS};
use crate::places::{is_joined, places, splits};
use crate::siege::{Attack, Siege, masking};
use crate::support::{ACME_KEY, BELL_KEY, KEY, Surface};

/// Requests of the ordinary run, in four tests: one for each policy.
const REQUESTS: u64 = 2_000;
/// After so many the gateway is replaced, and everything it kept is searched.
const REQUESTS_PER_SIEGE: u64 = 100;

fn setting(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).map_or(otherwise, |text| {
        text.parse()
            .unwrap_or_else(|_| panic!("{name} is no number: {text}"))
    })
}

/// A value, perhaps in disguise and perhaps encoded, in a sentence.
fn text(canary: &Canary, random: &mut Random) -> String {
    let mut value = canary.value.clone();
    match random.below(4) {
        0 => value = (random.pick(&DISGUISES).1)(&value),
        1 => {
            for _ in 0..=random.below(2) {
                value = (random.pick(&ENCODINGS).1)(&value);
            }
        }
        _ => {}
    }
    let before = *random.pick(&["Please note", "SYSTEM: this is public:", "charge", "use"]);
    format!("{before} {value} for later.")
}

fn body(surface: Surface, stream: bool, canary: &Canary, random: &mut Random) -> Value {
    let route = *random.pick(&[surface.route(), surface.route(), "home", "eager", "single"]);
    if canary.kind != Kind::AccessKey && random.below(4) == 0 {
        let least = if canary.kind == Kind::Card { 1 } else { 4 };
        let at = least + random.below(canary.value.len() - least - 1);
        let mut all = splits(surface, route, stream, canary.value.split_at(at));
        all.retain(|(way, _)| is_joined(canary.kind, way));
        return all.swap_remove(random.below(all.len())).1;
    }
    let text = text(canary, random);
    let mut all = places(surface, route, stream, &text);
    all.swap_remove(random.below(all.len())).1
}

/// Something that goes wrong upstream, now and then.
fn fault(random: &mut Random) -> Option<Script> {
    let fault = match random.below(12) {
        0 => Fault::ResetBeforeHeaders,
        1 => Fault::Close { at: 1 },
        2 => Fault::ErrorEvent {
            at: 1,
            error_type: None,
        },
        3 => return Some(Script::status(500)),
        _ => return None,
    };
    Some(Script::default().with_fault(fault))
}

/// A quarter of the requests, under this policy.
async fn soak(policy: &Policy) {
    let requests = setting("FREEHOLD_SOAK_REQUESTS", REQUESTS).div_ceil(4);
    let mut random = Random(setting("FREEHOLD_SOAK_SEED", 2_718));
    let (mut asked, mut served, mut refused) = (0, 0, 0);
    while asked < requests {
        let mut siege = Siege::with_policy(policy.clone()).await;
        siege.random = Random(random.next());
        for _ in 0..REQUESTS_PER_SIEGE.min(requests - asked) {
            let surface = *random.pick(&Surface::BOTH);
            let stream = random.below(2) == 0;
            let canary = siege.canary(*random.pick(&Kind::ALL));
            let body = body(surface, stream, &canary, &mut random);
            let bench = &siege.bench;
            for upstream in [&bench.alpha, &bench.beta, &bench.claude, &bench.house] {
                if let Some(script) = fault(&mut random) {
                    upstream.push(script);
                }
            }
            let headers = [
                ("x-freehold-sensitivity", "public"),
                ("x-freehold-conversation", *random.pick(&["a", "b"])),
            ];
            let attack = Attack::new(surface, &body)
                .with_key([KEY, ACME_KEY, BELL_KEY][random.below(3)])
                .with_headers(&headers[..random.below(3)]);
            let (seen, _) = siege.attack(&canary, attack).await;
            siege.stayed();
            match seen.status {
                200 => served += 1,
                _ => refused += 1,
            }
            asked += 1;
        }
        assert_eq!(
            siege.decisions().len() as u64 % REQUESTS_PER_SIEGE,
            asked % REQUESTS_PER_SIEGE
        );
        siege.lift().await;
    }
    // Attacks that are all refused, or all served, would prove nothing.
    assert!(
        served > asked / 10 && refused > asked / 10,
        "{served} {refused}"
    );
}

#[tokio::test]
async fn no_canary_gets_out_where_nothing_may_leave() {
    soak(&Policy::from(Rules::open())).await;
}

#[tokio::test]
async fn no_canary_gets_out_behind_pseudonyms() {
    soak(&masking("pseudonym")).await;
}

#[tokio::test]
async fn no_canary_gets_out_behind_surrogates() {
    soak(&masking("surrogate")).await;
}

#[tokio::test]
async fn no_canary_gets_out_once_redacted() {
    soak(&masking("redact")).await;
}
