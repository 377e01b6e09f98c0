//! The engine with a real model. Nothing here asserts what the model says, only that what it says
//! is delivered, counted, bounded and repeated as promised.

use std::collections::BTreeMap;

use crate::common::{chat, collect, engine, greedy, settings};
use freehold_llama::{
    Constraint, EndReason, Engine, EngineSettings, EngineStats, GenerateRequest, LoadError, Output,
    Prompt, RequestError, ShutDown,
};
use serde_json::{Value, json};

const STORY: &str = "Write a long story about a lighthouse and the people who live in it.";

fn wait_until(engine: &Engine, condition: impl FnMut(&EngineStats) -> bool) -> EngineStats {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("a runtime");
    let mut stats = engine.stats();
    let found = runtime
        .block_on(stats.wait_for(condition))
        .expect("the engine lives");
    *found
}

#[test]
fn eight_ragged_requests_run_together_and_all_complete() {
    let engine = engine();
    let generations: Vec<_> = (0..8_usize)
        .map(|index| {
            let prompt = chat(&"Tell me something about numbers. ".repeat(1 + index * 5));
            engine
                .generate(&greedy(prompt, 8 + index as u64 * 4))
                .expect("accepted")
        })
        .collect();
    wait_until(&engine, |stats| stats.active == 8);
    for (index, generation) in generations.into_iter().enumerate() {
        let answer = collect(generation);
        assert_eq!(answer.error, None);
        let counts = answer.counts.expect("counted");
        let limit = 8 + u32::try_from(index).expect("small") * 4;
        match answer.ends[0].as_ref().expect("ended") {
            EndReason::Length => assert_eq!(counts.completion, limit),
            EndReason::Stop => assert!((1..=limit).contains(&counts.completion)),
            other @ EndReason::StopText(_) => panic!("{other:?}"),
        }
        assert!(!answer.texts[0].is_empty());
    }
    wait_until(&engine, |stats| stats.active == 0);
}

#[test]
fn more_requests_than_slots_are_all_served() {
    let engine = Engine::load(&EngineSettings {
        slots: 2,
        ..settings()
    })
    .expect("loads");
    let generations: Vec<_> = (0..6)
        .map(|index| engine.generate(&greedy(chat(&format!("Count from {index}.")), 6)))
        .collect();
    for generation in generations {
        assert!(collect(generation.expect("accepted")).counts.is_some());
    }
}

#[test]
fn a_client_that_leaves_frees_its_slot_at_once() {
    let engine = Engine::load(&EngineSettings {
        slots: 1,
        ..settings()
    })
    .expect("loads");
    let mut first = engine
        .generate(&greedy(chat(STORY), 1_000))
        .expect("accepted");
    assert!(matches!(
        first.blocking_next(),
        Some(Output::Started { .. })
    ));
    let second = engine
        .generate(&greedy(chat("Hello!"), 4))
        .expect("accepted");
    drop(first);
    assert!(collect(second).counts.is_some());
    let stats = wait_until(&engine, |stats| stats.active == 0);
    assert_eq!((stats.cancelled, stats.requests), (1, 2));
}

#[test]
fn a_client_that_leaves_the_queue_is_never_begun() {
    let engine = Engine::load(&EngineSettings {
        slots: 1,
        ..settings()
    })
    .expect("loads");
    let first = engine.generate(&greedy(chat(STORY), 30)).expect("accepted");
    drop(
        engine
            .generate(&greedy(chat("Hello!"), 4))
            .expect("accepted"),
    );
    assert!(collect(first).counts.is_some());
    let stats = wait_until(&engine, |stats| stats.active == 0 && stats.waiting == 0);
    assert_eq!(stats.requests, 1);
}

#[test]
fn a_slow_reader_does_not_hold_up_the_others() {
    let settings = EngineSettings {
        output_buffer: 1,
        ..settings()
    };
    let engine = Engine::load(&settings).expect("loads");
    let slow = engine.generate(&greedy(chat(STORY), 40)).expect("accepted");
    // Nothing is read from `slow` until the other one is done.
    assert!(
        collect(
            engine
                .generate(&greedy(chat("Hello!"), 12))
                .expect("accepted")
        )
        .counts
        .is_some()
    );
    let answer = collect(slow);
    assert_eq!(answer.error, None);
    assert!(answer.counts.is_some());
    assert!(!answer.texts[0].is_empty());
}

#[test]
fn the_next_turn_reuses_the_conversation() {
    let engine = engine();
    let opening = format!(
        "{STORY} Mind the following rules. {}",
        "Be kind. ".repeat(30)
    );
    let first = collect(
        engine
            .generate(&greedy(chat(&opening), 6))
            .expect("accepted"),
    );
    assert_eq!(first.cached, Some(0));
    let Prompt::Text(text) = chat(&opening) else {
        unreachable!("a text")
    };
    let next = Prompt::Text(format!(
        "{text}{}<|im_end|>\n<|im_start|>user\nGo on.<|im_end|>\n<|im_start|>assistant\n",
        first.texts[0]
    ));
    let second = collect(engine.generate(&greedy(next, 6)).expect("accepted"));
    let (first, second) = (
        first.counts.expect("counted"),
        second.counts.expect("counted"),
    );
    assert!(
        second.cached + 8 >= first.prompt,
        "{second:?} after {first:?}"
    );
    assert!(second.cached < second.prompt);

    let same = collect(
        engine
            .generate(&greedy(chat(&opening), 6))
            .expect("accepted"),
    );
    let same = same.counts.expect("counted");
    assert!(
        same.cached < same.prompt && same.cached + 8 >= same.prompt,
        "{same:?}"
    );
}

#[test]
fn a_seed_alone_and_deterministic_requests_repeat_themselves() {
    let engine = engine();
    let mut seeded = GenerateRequest::new(chat(STORY));
    seeded.max_tokens = Some(24);
    seeded.sampling.temperature = Some(1.0);
    seeded.sampling.seed = Some(42);
    let run =
        |request: &GenerateRequest| collect(engine.generate(request).expect("accepted")).texts;
    let first = run(&seeded);
    // What ran in between must not matter.
    run(&greedy(chat(STORY), 3));
    assert_eq!(run(&seeded), first);
    seeded.sampling.seed = Some(43);
    assert_ne!(run(&seeded), first);

    seeded.deterministic = true;
    let alone = run(&seeded);
    let others: Vec<_> = (0..3)
        .map(|_| {
            engine
                .generate(&greedy(chat("Count."), 10))
                .expect("accepted")
        })
        .collect();
    assert_eq!(
        run(&seeded),
        alone,
        "other requests came before and waited behind it"
    );
    for other in others {
        assert!(collect(other).counts.is_some());
    }
}

#[test]
fn output_follows_a_schema() {
    let engine = engine();
    let schema = json!({
        "type": "object",
        "properties": {
            "name": {"type": "string", "maxLength": 20},
            "age": {"type": "integer", "minimum": 0, "maximum": 150},
            "tags": {"type": "array", "items": {"enum": ["a", "b"]}, "maxItems": 2},
        },
        "required": ["name", "age", "tags"],
        "additionalProperties": false,
    });
    for temperature in [0.0, 1.5] {
        let mut request = greedy(chat("Describe a person."), 200);
        request.sampling.temperature = Some(temperature);
        request.constraint = Some(Constraint::JsonSchema {
            schema: schema.clone(),
            lenient: false,
        });
        let answer = collect(engine.generate(&request).expect("accepted"));
        assert_eq!(answer.ends[0], Some(EndReason::Stop), "{answer:?}");
        let value: Value = serde_json::from_str(&answer.texts[0]).expect("JSON");
        assert!(
            value["name"]
                .as_str()
                .is_some_and(|name| name.chars().count() <= 20)
        );
        assert!(value["age"].as_u64().is_some_and(|age| age <= 150));
        let tags = value["tags"].as_array().expect("an array");
        assert!(tags.len() <= 2 && tags.iter().all(|tag| tag == "a" || tag == "b"));
        assert_eq!(value.as_object().expect("an object").len(), 3);
    }
}

#[test]
fn a_json_object_is_one_as_far_as_it_goes() {
    let engine = engine();
    let mut request = greedy(chat("Give me a JSON object."), 120);
    request.constraint = Some(Constraint::JsonObject);
    let answer = collect(engine.generate(&request).expect("accepted"));
    match answer.ends[0].as_ref().expect("ended") {
        EndReason::Stop => {
            let value: Value = serde_json::from_str(&answer.texts[0]).expect("JSON");
            assert!(value.is_object());
        }
        _ => assert!(answer.texts[0].starts_with('{')),
    }
}

#[test]
fn a_grammar_can_begin_in_mid_answer() {
    let engine = engine();
    let mut request = greedy(chat("Say something."), 60);
    // Whatever the model says first, sooner or later it writes an "e".
    request.constraint = Some(Constraint::LarkAfter {
        triggers: vec!["e".into()],
        grammar: "start: \"XYZZY\"".into(),
    });
    let answer = collect(engine.generate(&request).expect("accepted"));
    assert_eq!(answer.ends[0], Some(EndReason::Stop), "{answer:?}");
    assert!(answer.texts[0].ends_with("XYZZY"), "{answer:?}");
}

#[test]
fn a_schema_that_cannot_be_enforced_is_refused_unless_lenient() {
    let engine = engine();
    let schema = json!({"type": "object", "not": {"required": ["x"]}});
    let mut request = greedy(chat("Hello!"), 4);
    request.constraint = Some(Constraint::JsonSchema {
        schema: schema.clone(),
        lenient: false,
    });
    let refused = engine.generate(&request).expect_err("refused");
    assert!(
        matches!(refused, RequestError::Constraint(_)),
        "{refused:?}"
    );
    request.constraint = Some(Constraint::JsonSchema {
        schema,
        lenient: true,
    });
    assert!(
        collect(engine.generate(&request).expect("accepted"))
            .counts
            .is_some()
    );
}

#[test]
fn stop_texts_end_the_answer_and_are_not_part_of_it() {
    let engine = engine();
    let free = collect(engine.generate(&greedy(chat(STORY), 40)).expect("accepted"));
    let text = &free.texts[0];
    // A piece from the middle that begins and ends inside words, so it spans tokens.
    let middle: Vec<char> = text.chars().collect();
    let stop: String = middle[middle.len() / 3..middle.len() / 3 + 9]
        .iter()
        .collect();
    let expected = &text[..text.find(&stop).expect("it is in there")];
    let mut request = greedy(chat(STORY), 40);
    // The prefix of the first answer is kept; without it both runs see the same scores.
    request.deterministic = true;
    let mut reference = request.clone();
    reference.stop = vec![];
    let reference = collect(engine.generate(&reference).expect("accepted"));
    request.stop = vec!["never in there \u{1}".into(), stop.clone()];
    let answer = collect(engine.generate(&request).expect("accepted"));
    if reference.texts[0] == *text {
        assert_eq!(answer.ends[0], Some(EndReason::StopText(stop)));
        assert_eq!(answer.texts[0], expected);
    }
    assert!(reference.texts[0].starts_with(&answer.texts[0]));
    assert!(answer.counts.expect("counted").completion <= 40);
}

#[test]
fn a_prompt_beyond_the_context_is_refused_with_the_numbers() {
    let engine = Engine::load(&EngineSettings {
        context_tokens: Some(64),
        ..settings()
    })
    .expect("loads");
    let long = chat(&"word ".repeat(200));
    let tokens = engine.count_tokens(&long).expect("counted");
    match engine.generate(&greedy(long, 4)) {
        Err(RequestError::ContextOverflow {
            prompt_tokens,
            limit_tokens,
            ..
        }) => {
            assert_eq!((prompt_tokens, limit_tokens), (tokens, 64));
        }
        other => panic!("{other:?}"),
    }
    match engine.generate(&greedy(chat("Hello!"), 1_000_000_000_000)) {
        Err(RequestError::ContextOverflow {
            limit_tokens: 64, ..
        }) => {}
        other => panic!("{other:?}"),
    }
    // An answer that would reach beyond the context ends with it.
    let mut request = greedy(chat(STORY), 64);
    request.sampling.logit_bias = BTreeMap::from([(2, -100.0), (0, -100.0)]);
    let answer = collect(engine.generate(&request).expect("accepted"));
    assert_eq!(answer.ends[0], Some(EndReason::Length));
    let counts = answer.counts.expect("counted");
    assert_eq!(counts.prompt + counts.completion, 64);
}

#[test]
fn a_full_queue_is_refused_with_a_hint() {
    let settings = EngineSettings {
        slots: 1,
        queue_length: 2,
        ..settings()
    };
    let engine = Engine::load(&settings).expect("loads");
    let mut running = engine
        .generate(&greedy(chat(STORY), 500))
        .expect("accepted");
    assert!(matches!(
        running.blocking_next(),
        Some(Output::Started { .. })
    ));
    let waiting: Vec<_> = (0..2)
        .map(|_| {
            engine
                .generate(&greedy(chat("Hello!"), 2))
                .expect("accepted")
        })
        .collect();
    match engine.generate(&greedy(chat("Hello!"), 2)) {
        Err(RequestError::QueueFull {
            waiting: 2,
            retry_after,
        }) => {
            assert!(retry_after.as_secs() >= 1);
        }
        other => panic!("{other:?}"),
    }
    drop(running);
    for generation in waiting {
        assert!(collect(generation).counts.is_some());
    }
    assert!(engine.generate(&greedy(chat("Hello!"), 2)).is_ok());
}

#[test]
fn choices_share_the_prompt_and_differ() {
    let engine = engine();
    let mut request = GenerateRequest::new(chat(STORY));
    request.choices = 3;
    request.max_tokens = Some(16);
    request.sampling.temperature = Some(1.5);
    request.sampling.seed = Some(1);
    let answer = collect(engine.generate(&request).expect("accepted"));
    assert_eq!(answer.texts.len(), 3);
    assert!(answer.ends.iter().all(Option::is_some));
    assert!(answer.texts[0] != answer.texts[1] || answer.texts[1] != answer.texts[2]);
    let counts = answer.counts.expect("counted");
    assert_eq!(
        counts.prompt,
        engine.count_tokens(&request.prompt).expect("counted")
    );
    assert!(
        counts.completion > 16 && counts.completion <= 48,
        "{counts:?}"
    );
}

#[test]
fn log_probabilities_are_sane_and_spell_the_text() {
    let engine = engine();
    let mut request = greedy(chat(STORY), 12);
    request.logprobs = Some(5);
    let answer = collect(engine.generate(&request).expect("accepted"));
    let bytes: Vec<u8> = answer.logprobs[0]
        .iter()
        .flat_map(|token| token.bytes.iter().copied())
        .collect();
    assert_eq!(
        String::from_utf8(bytes).expect("whole characters"),
        answer.texts[0]
    );
    for token in &answer.logprobs[0] {
        assert_eq!(token.top.len(), 5);
        assert!(token.top.is_sorted_by(|left, right| left.1 >= right.1));
        let mass: f64 = token.top.iter().map(|(_, logprob)| logprob.exp()).sum();
        assert!(mass > 0.0 && mass <= 1.0 + 1e-6, "{mass}");
        // Greedy: the chosen token is the likeliest.
        assert!((token.top[0].1 - token.logprob).abs() < 1e-9);
    }
}

#[test]
fn a_full_cache_makes_requests_wait_and_go_on() {
    let settings = EngineSettings {
        context_tokens: Some(200),
        cache_tokens: Some(256),
        kept_prefixes: 0,
        slots: 3,
        ..settings()
    };
    let engine = Engine::load(&settings).expect("loads");
    let generations: Vec<_> = (0..3)
        .map(|index| {
            let mut request = greedy(chat(&format!("{STORY} Number {index}.")), 150);
            request.sampling.logit_bias = BTreeMap::from([(2, -100.0), (0, -100.0)]);
            engine.generate(&request).expect("accepted")
        })
        .collect();
    for generation in generations {
        let answer = collect(generation);
        assert_eq!(answer.error, None);
        assert_eq!(answer.counts.expect("counted").completion, 150);
    }
}

#[test]
fn values_that_make_no_sense_are_refused() {
    let engine = engine();
    let mut request = greedy(chat("Hello!"), 4);
    request.sampling.top_p = Some(-1.0);
    let refused = engine.generate(&request).expect_err("refused");
    assert!(matches!(
        refused,
        RequestError::Invalid { field: "top_p", .. }
    ));
    let refused = engine
        .generate(&greedy(Prompt::Tokens(vec![i32::MAX]), 4))
        .expect_err("refused");
    assert!(matches!(
        refused,
        RequestError::Invalid {
            field: "prompt",
            ..
        }
    ));
}

#[test]
fn token_prompts_and_text_prompts_agree() {
    let engine = engine();
    let mut request = greedy(Prompt::Tokens(vec![1, 2, 3]), 3);
    let answer = collect(engine.generate(&request).expect("accepted"));
    assert_eq!(answer.counts.expect("counted").prompt, 3);
    request.prompt = Prompt::Text(String::new());
    // An empty text is the beginning of a text, for models that know one.
    assert!(engine.generate(&request).is_ok());
}

#[test]
fn shutting_down_drains_or_cuts() {
    let engine = engine();
    let generation = engine
        .generate(&greedy(chat("Hello!"), 8))
        .expect("accepted");
    engine.shut_down(ShutDown::Drain);
    assert!(collect(generation).counts.is_some());
    assert_eq!(
        engine
            .generate(&greedy(chat("Hello!"), 8))
            .expect_err("it has ended"),
        RequestError::ShutDown
    );

    let engine = crate::common::engine();
    let generation = engine
        .generate(&greedy(chat(STORY), 1_000))
        .expect("accepted");
    engine.shut_down(ShutDown::AtOnce);
    assert_eq!(collect(generation).counts, None);
}

#[test]
fn two_engines_live_side_by_side() {
    let (left, right) = (engine(), engine());
    let answers = [&left, &right].map(|engine| {
        collect(
            engine
                .generate(&greedy(chat("Hello!"), 4))
                .expect("accepted"),
        )
        .texts
    });
    assert_eq!(answers[0], answers[1]);
}

#[test]
fn files_that_are_no_models_are_refused() {
    let directory = tempfile::tempdir().expect("a directory");
    let model = std::fs::read(crate::common::model_path()).expect("the model");
    let cut = directory.path().join("cut.gguf");
    std::fs::write(&cut, &model[..model.len() / 2]).expect("written");
    let other = directory.path().join("other.gguf");
    std::fs::write(&other, b"not a model at all").expect("written");
    for path in [cut, other, directory.path().join("missing.gguf")] {
        let error = Engine::load(&EngineSettings::new(&path)).expect_err("refused");
        assert!(
            matches!(error, LoadError::Gguf(_)),
            "{}: {error:?}",
            path.display()
        );
    }
    let absurd = EngineSettings {
        context_tokens: Some(4_000_000),
        cache_tokens: Some(4_000_000),
        ..settings()
    };
    let error = Engine::load(&absurd).expect_err("refused");
    assert!(
        matches!(error, LoadError::NotEnoughMemory { .. }),
        "{error:?}"
    );
}

#[test]
fn the_model_describes_itself() {
    let info = freehold_llama::ModelInfo::read(&crate::common::model_path()).expect("read");
    assert!(!info.name.is_empty() && info.is_supported);
    assert!(info.parameters > 1_000_000 && info.context_tokens_trained >= 512);
    let small = info.memory(1_024, 128).total_bytes();
    let large = info.memory(8_192, 128).total_bytes();
    assert!(small > info.file_bytes && large > small);
    assert!(!freehold_llama::devices().expect("kernels").is_empty());
}
