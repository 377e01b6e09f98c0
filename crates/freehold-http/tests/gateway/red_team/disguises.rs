//! Values in disguise, and in encodings within encodings.

use crate::canary::Kind;
use crate::disguise::{DISGUISES, ENCODINGS};
use crate::siege::{Attack, Siege};
use crate::support::Surface;

#[tokio::test]
async fn no_disguise_gets_a_value_out() {
    let mut siege = Siege::start().await;
    let mut missed = Vec::new();
    for surface in Surface::BOTH {
        for kind in Kind::ALL {
            for (place, (name, disguise)) in DISGUISES.into_iter().enumerate() {
                let canary = siege.canary(kind);
                let text = format!("Hello, note {} for later.", disguise(&canary.value));
                let body = surface.body(surface.route(), place % 2 == 0, &text);
                if !siege.is_refused(&canary, Attack::new(surface, &body)).await {
                    missed.push(format!("{name}: {text}"));
                }
            }
        }
    }
    assert!(missed.is_empty(), "{missed:#?}");
    siege.lift().await;
}

#[tokio::test]
async fn no_nesting_of_encodings_gets_a_value_out() {
    let mut siege = Siege::start().await;
    let mut missed = Vec::new();
    for surface in Surface::BOTH {
        for (place, (_, inner)) in ENCODINGS.into_iter().enumerate() {
            for (_, middle) in ENCODINGS {
                for (_, outer) in ENCODINGS {
                    let canary = siege.canary(Kind::ALL[place % Kind::ALL.len()]);
                    let text = format!("take {}", outer(&middle(&inner(&canary.value))));
                    let body = surface.body(surface.route(), place % 2 == 1, &text);
                    if !siege.is_refused(&canary, Attack::new(surface, &body)).await {
                        missed.push(text);
                    }
                }
            }
        }
    }
    assert!(missed.is_empty(), "{missed:#?}");
    siege.lift().await;
}

/// What lies deeper than the guard follows is unknown, and so stays inside.
#[tokio::test]
async fn encodings_deeper_than_the_guard_follows_stay_inside() {
    let mut siege = Siege::start().await;
    for surface in Surface::BOTH {
        for (_, encode) in ENCODINGS {
            let canary = siege.canary(Kind::Token);
            let deep = (0..4).fold(canary.value.clone(), |text, _| encode(&text));
            let body = surface.body(surface.route(), false, &deep);
            siege.refused(&canary, Attack::new(surface, &body)).await;
            let body = surface.body("home", false, &deep);
            let (seen, out) = siege.attack(&canary, Attack::new(surface, &body)).await;
            assert_eq!((seen.status, out), (200, 0), "{seen:?}");
            assert_eq!(siege.stayed().len(), 1);
        }
    }
    siege.lift().await;
}
