use freehold_types::{Dialect, Message, Role};

use super::*;

const TEXT: &str = "Notwithstanding unprecedented growth, administrators hadn't anticipated 1,775 \
                    inhabitants; der Bürgermeister schwieg.";

fn request() -> Request {
    Request {
        stream: true,
        ..Request::new(
            Dialect::OpenaiChat,
            "route",
            vec![Message::text(Role::User, "hello")],
        )
    }
}

fn piece(choice: u32, text: &str) -> Chunk {
    let delta = Delta::Text {
        text: text.to_owned(),
        logprobs: vec![],
    };
    let event = Event::PartDelta {
        choice,
        part: 0,
        delta,
    };
    Chunk {
        events: [event].into_iter().collect(),
        ..Chunk::default()
    }
}

fn tally(pieces: &[&str]) -> Tally {
    let mut tally = Tally::default();
    for text in pieces {
        tally.see(&piece(0, text));
    }
    tally
}

/// Pieces of so many characters.
fn cut(text: &str, chars: usize) -> Vec<String> {
    let all: Vec<char> = text.chars().collect();
    all.chunks(chars)
        .map(|piece| piece.iter().collect())
        .collect()
}

#[tokio::test]
async fn a_known_tokenizer_counts_exactly_however_the_text_is_cut() {
    for model in ["gpt-4.1-mini", "openai/gpt-4o", "o3-mini", "gpt-oss-20b"] {
        for chars in [1, 7, 1_000] {
            let pieces = cut(TEXT, chars);
            let pieces: Vec<&str> = pieces.iter().map(String::as_str).collect();
            let mut tally = tally(&pieces);
            tally.count(model).await;
            let usage = tally.usage(&request());
            assert_eq!(usage.output_tokens, tokens::count_text(TEXT));
            assert_eq!(usage.basis, UsageBasis::Estimated);
        }
    }
}

#[tokio::test]
async fn answers_side_by_side_are_counted_apart() {
    let mut tally = Tally::default();
    for text in cut(TEXT, 5) {
        tally.see(&piece(0, &text));
        tally.see(&piece(1, &text));
    }
    tally.count("gpt-4o").await;
    let usage = tally.usage(&request());
    assert_eq!(usage.output_tokens, 2 * tokens::count_text(TEXT));
}

/// The pieces of a server that sends each token by itself tell their number, whatever the tokenizer.
#[tokio::test]
async fn pieces_count_where_they_are_tokens() {
    let words: Vec<&str> = TEXT.split_inclusive(' ').collect();
    // As a tokenizer of another model may cut them.
    let pieces: Vec<String> = words.iter().flat_map(|word| cut(word, 5)).collect();
    let pieces: Vec<&str> = pieces.iter().map(String::as_str).collect();
    let mut tally = tally(&pieces);
    tally.count("qwen3-8b").await;
    let usage = tally.usage(&request());
    assert_eq!(usage.output_tokens, pieces.len() as u64);
}

#[test]
fn pieces_do_not_count_where_they_are_letters_or_sentences() {
    let guess = tokens::estimate_text(TEXT);
    for chars in [1, 1_000] {
        let pieces = cut(TEXT, chars);
        let pieces: Vec<&str> = pieces.iter().map(String::as_str).collect();
        assert_eq!(tally(&pieces).usage(&request()).output_tokens, guess);
    }
}

#[tokio::test]
async fn a_long_answer_is_guessed_and_not_kept() {
    let long = TEXT.repeat(40);
    let mut tally = Tally::default();
    for _ in 0..100 {
        tally.see(&piece(0, &long));
        assert!(tally.kept_bytes <= KEPT_BYTES_MAX);
    }
    tally.count("gpt-4o").await;
    let usage = tally.usage(&request());
    let truth = 4_000 * tokens::count_text(TEXT);
    assert!(usage.output_tokens.abs_diff(truth) * 4 < truth);
}

#[tokio::test]
async fn what_the_upstream_reports_of_a_whole_answer_stands() {
    let mut tally = tally(&[TEXT]);
    let reported = Usage {
        input_tokens: 3,
        output_tokens: 1_000,
        basis: UsageBasis::Reported,
        ..Usage::default()
    };
    let end = [Event::Usage(reported), Event::End];
    tally.see(&Chunk {
        events: end.into_iter().collect(),
        ..Chunk::default()
    });
    tally.count("gpt-4o").await;
    assert_eq!(tally.exact_tokens, None, "nothing had to be counted");
    assert_eq!(tally.usage(&request()), reported);
}

fn usage_of(input_tokens: u64, output_tokens: u64, basis: UsageBasis) -> Usage {
    Usage {
        input_tokens,
        output_tokens,
        basis,
        ..Usage::default()
    }
}

fn finish() -> Event {
    Event::Finish {
        choice: 0,
        reason: freehold_types::FinishReason::Stop,
        stop_sequence: None,
    }
}

fn chunk(events: impl IntoIterator<Item = Event>) -> Chunk {
    Chunk {
        events: events.into_iter().collect(),
        ..Chunk::default()
    }
}

/// Told to be zero is zero, and told nothing is not.
#[test]
fn explicit_zeros_count_and_silence_does_not() {
    let zero = usage_of(0, 0, UsageBasis::Reported);
    let mut told = tally(&[TEXT]);
    told.see(&chunk([finish(), Event::Usage(zero), Event::End]));
    assert_eq!(told.usage(&request()), zero);
    let mut silent = tally(&[TEXT]);
    silent.see(&chunk([finish(), Event::End]));
    let usage = silent.usage(&request());
    assert!(usage.input_tokens > 0 && usage.output_tokens > 0);
    assert_eq!(usage.basis, UsageBasis::Estimated);
}

/// A client that leaves between the usage and the end of the stream leaves an exact usage behind.
#[test]
fn a_usage_behind_the_finish_is_final_although_the_end_is_missing() {
    for usage in [
        usage_of(0, 0, UsageBasis::Reported),
        usage_of(9, 3, UsageBasis::Reported),
    ] {
        for events in [
            vec![chunk([finish()]), chunk([Event::Usage(usage)])],
            vec![chunk([Event::Usage(usage), finish()])],
        ] {
            let mut cut = tally(&[TEXT]);
            events.iter().for_each(|chunk| cut.see(chunk));
            assert_eq!(cut.usage(&request()), usage);
        }
    }
    // One that came while the model was still writing is only what was used until then.
    let mut running = tally(&["one"]);
    running.see(&chunk([Event::Usage(usage_of(9, 1, UsageBasis::Reported))]));
    running.see(&piece(0, TEXT));
    let usage = running.usage(&request());
    assert_eq!(
        (usage.input_tokens, usage.basis),
        (9, UsageBasis::Estimated)
    );
    assert!(usage.output_tokens > 1);
}

/// What the decoder doubts is filled up by counting, and the doubt stays for the record.
#[tokio::test]
async fn doubtful_usage_is_counted_and_marked() {
    use freehold_types::usage::UsageDoubt;
    let wrong = Usage {
        doubt: Some(UsageDoubt::Negative),
        ..usage_of(7, 0, UsageBasis::Estimated)
    };
    let mut doubtful = tally(&[TEXT]);
    doubtful.see(&chunk([finish(), Event::Usage(wrong), Event::End]));
    doubtful.count("gpt-4o").await;
    let usage = doubtful.usage(&request());
    assert_eq!(usage.input_tokens, 7);
    assert_eq!(usage.output_tokens, tokens::count_text(TEXT));
    assert_eq!(usage.basis, UsageBasis::Estimated);
    assert_eq!(usage.doubt, Some(UsageDoubt::Negative));
}

#[test]
fn parts_beyond_their_whole_are_cut_and_doubted() {
    use freehold_types::usage::UsageDoubt;
    let mut slip = tally(&[TEXT]);
    let usage = Usage {
        cached_input_tokens: 50,
        ..usage_of(9, 3, UsageBasis::Reported)
    };
    slip.see(&chunk([finish(), Event::Usage(usage), Event::End]));
    let cut = slip.usage(&request());
    assert_eq!(
        (cut.cached_input_tokens, cut.basis),
        (9, UsageBasis::Reported)
    );
    assert_eq!(cut.doubt, Some(UsageDoubt::PartsExceedWhole));
}

/// A charge that was told before the answer was cut is not the charge.
#[test]
fn a_cut_answers_charge_is_not_believed() {
    let mut cut = tally(&[TEXT]);
    let usage = Usage {
        reported_cost: Some(freehold_types::NanoUsd::from_nanos(5)),
        ..usage_of(9, 1, UsageBasis::Reported)
    };
    cut.see(&chunk([Event::Usage(usage)]));
    assert_eq!(cut.usage(&request()).reported_cost, None);
}
