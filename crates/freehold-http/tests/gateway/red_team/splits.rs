//! A value cut over messages, turns, parts, lines, words, values and keys, at every offset.

use crate::canary::Kind;
use crate::places::{is_joined, splits};
use crate::siege::{Attack, Siege};
use crate::support::Surface;

/// Cuts values of this kind, the first piece so long at least, and each so much longer.
async fn cut(kind: Kind, least: usize, step: usize) {
    let mut siege = Siege::start().await;
    let mut missed = Vec::new();
    for surface in Surface::BOTH {
        let length = siege.canary(kind).value.len();
        for at in (least..length).step_by(step) {
            let canary = siege.canary(kind);
            let pieces = canary.value.split_at(at);
            let mut splits = splits(surface, surface.route(), at % 2 == 0, pieces);
            splits.retain(|(way, _)| is_joined(kind, way));
            for (way, body) in splits {
                if !siege.is_refused(&canary, Attack::new(surface, &body)).await {
                    missed.push(format!("{surface:?} {way}: {pieces:?}"));
                }
            }
        }
    }
    assert!(missed.is_empty(), "{}: {missed:#?}", missed.len());
    siege.lift().await;
}

#[tokio::test]
async fn a_card_cut_at_every_offset_does_not_leave() {
    cut(Kind::Card, 1, 1).await;
}

#[tokio::test]
async fn a_cut_account_number_does_not_leave() {
    cut(Kind::Iban, 1, 2).await;
}

/// Cut within its prefix, a token is no more than random letters.
#[tokio::test]
async fn a_cut_token_does_not_leave() {
    cut(Kind::Token, 4, 3).await;
}
