//! A value in every place that a request has: strings and keys, known and unknown.

use crate::canary::Kind;
use crate::disguise::DISGUISES;
use crate::places::places;
use crate::siege::{Attack, Siege};
use crate::support::Surface;

/// What each place holds when there is nothing to hide: it must get through, or its refusal proves
/// nothing.
const HARMLESS: &str = "harmless-7f3k";

#[tokio::test]
async fn every_place_gets_through_when_it_is_harmless() {
    let siege = Siege::start().await;
    for surface in Surface::BOTH {
        for stream in [false, true] {
            for (place, body) in places(surface, surface.route(), stream, HARMLESS) {
                let seen = siege.bench.ask(surface, &body).await;
                assert_eq!(seen.status, 200, "{surface:?} {place}: {seen:?}");
                let out = siege.went_out();
                assert_eq!(out.len(), 1, "{surface:?} {place}");
                let sent = String::from_utf8_lossy(&out[0].body);
                assert!(sent.contains(HARMLESS), "{surface:?} {place}: {sent}");
            }
        }
    }
}

#[tokio::test]
async fn no_place_gets_a_value_out() {
    let mut siege = Siege::start().await;
    let mut missed = Vec::new();
    for surface in Surface::BOTH {
        for stream in [false, true] {
            let count = places(surface, "", stream, "").len();
            for place in 0..count {
                let canary = siege.canary(Kind::ALL[place % Kind::ALL.len()]);
                let body =
                    places(surface, surface.route(), stream, &canary.sentence()).swap_remove(place);
                if !siege
                    .is_refused(&canary, Attack::new(surface, &body.1))
                    .await
                {
                    missed.push(format!("{}: {}", body.0, body.1));
                }
            }
        }
    }
    assert!(missed.is_empty(), "{missed:#?}");
    siege.lift().await;
}

#[tokio::test]
async fn no_place_gets_a_disguised_value_out() {
    let mut siege = Siege::start().await;
    let mut missed = Vec::new();
    for surface in Surface::BOTH {
        let count = places(surface, "", false, "").len();
        for place in 0..count {
            let canary = siege.canary(Kind::ALL[(place + 1) % Kind::ALL.len()]);
            let (_, disguise) = *siege.random.pick(&DISGUISES);
            let text = format!("note {} too", disguise(&canary.value));
            let body = places(surface, surface.route(), false, &text).swap_remove(place);
            if !siege
                .is_refused(&canary, Attack::new(surface, &body.1))
                .await
            {
                missed.push(format!("{}: {}", body.0, body.1));
            }
        }
    }
    assert!(missed.is_empty(), "{missed:#?}");
    siege.lift().await;
}

/// The same requests are served where something inside may serve them.
#[tokio::test]
async fn what_may_not_leave_is_served_inside() {
    let mut siege = Siege::start().await;
    for surface in Surface::BOTH {
        for stream in [false, true] {
            for kind in Kind::ALL {
                let canary = siege.canary(kind);
                let body = surface.body("home", stream, &canary.sentence());
                let (seen, out) = siege.attack(&canary, Attack::new(surface, &body)).await;
                assert_eq!((seen.status, out), (200, 0), "{seen:?}");
                assert_eq!(seen.header("x-freehold-deployment"), "house/qwen");
                let stayed = siege.stayed();
                assert_eq!(stayed.len(), 1);
                let sent = String::from_utf8_lossy(&stayed[0].body);
                assert!(sent.contains(&canary.value), "{sent}");
            }
        }
    }
    siege.lift().await;
}
