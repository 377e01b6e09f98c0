use super::interval::Draws;
use super::*;

fn sample(text: &str, spans: &[(usize, usize, &str)]) -> Sample {
    Sample {
        id: text.to_owned(),
        text: text.to_owned(),
        spans: spans
            .iter()
            .map(|(start, end, kind)| Span {
                start: *start,
                end: *end,
                kind: (*kind).to_owned(),
            })
            .collect(),
        unlocated: 0,
    }
}

fn found(kind: &str, range: std::ops::Range<usize>) -> Predicted {
    Predicted {
        kind: kind.to_owned(),
        range,
    }
}

#[test]
fn wilson_interval_agrees_with_the_published_example() {
    // Newcombe, "Two-sided confidence intervals for the single proportion", 1998, table I:
    // 81 of 263 gives .2553 to .3662, 0 of 20 gives 0 to .1611.
    let share = Proportion::new(81, 263);
    assert!((share.low - 0.2553).abs() < 5e-5 && (share.high - 0.3662).abs() < 5e-5);
    let none = Proportion::new(0, 20);
    assert!(none.low < 1e-12 && (none.high - 0.1611).abs() < 5e-5);
    assert_eq!(Proportion::new(0, 0).share, None);
}

#[test]
fn offsets_are_code_points_and_bytes() {
    let samples = [sample("Zoë Müller rief an", &[(0, 10, "PERSON")])];
    let whole = evaluate_pii(&samples, &[], &mut |_| vec![found("person", 0..12)]);
    assert_eq!(whole.residual.hits, 0);
    assert_eq!(whole.classes[0].recall.hits, 1);
    assert_eq!(whole.classes[0].precision.hits, 1);
    let part = evaluate_pii(&samples, &[], &mut |_| vec![found("person", 0..4)]);
    assert_eq!(part.residual.hits, 1);
    assert_eq!(part.classes[0].recall.hits, 0, "three of nine letters");
    assert_eq!(part.kinds[0].seen.hits, 1);
    assert_eq!(part.kinds[0].covered.hits, 0);
}

#[test]
fn prompts_are_missed_flagged_or_neither() {
    let mut listed = sample("nothing located", &[]);
    listed.unlocated = 2;
    let samples = [
        sample("clean and quiet", &[]),
        sample("clean but noisy", &[]),
        sample("missed a@b.example", &[(7, 18, "EMAIL")]),
        listed,
    ];
    let report = evaluate_pii(&samples, &[], &mut |sample| {
        if sample.text.contains("noisy") {
            vec![found("person", 0..5)]
        } else {
            Vec::new()
        }
    });
    assert_eq!((report.flagged.hits, report.flagged.total), (1, 2));
    assert_eq!((report.missed.hits, report.missed.total), (1, 1));
    assert_eq!((report.residual.hits, report.residual.total), (1, 1));
}

#[test]
fn a_wrong_type_covers_but_is_not_found() {
    let samples = [sample("mail a@b.example", &[(5, 16, "EMAIL")])];
    let report = evaluate_pii(&samples, &[], &mut |_| vec![found("phone_number", 5..16)]);
    assert_eq!(report.residual.hits, 0);
    assert_eq!(report.kinds[0].covered.hits, 1);
    assert_eq!(report.kinds[0].found.map(|share| share.hits), Some(0));
    assert_eq!(report.classes.len(), 1, "phones are not annotated here");
}

#[test]
fn ignored_types_are_neither_sensitive_nor_clean() {
    let samples = [sample("Dr. Who", &[(0, 3, "TITLE")])];
    let ignored = ["title".to_owned()];
    let report = evaluate_pii(&samples, &ignored, &mut |_| Vec::new());
    assert_eq!((report.missed.total, report.flagged.total), (0, 0));
    assert!(report.kinds.is_empty());
}

#[test]
fn f2_weighs_recall_and_its_interval_holds_it() {
    let samples: Vec<_> = (0..40)
        .map(|index| sample(&format!("{index:04} Ann"), &[(5, 8, "PERSON")]))
        .collect();
    let report = evaluate_pii(&samples, &[], &mut |sample| {
        // Half found, nothing wrong: P = 1, R = .5, F1 = 2/3, F2 = 5/9.
        if sample.text.as_bytes()[3] % 2 == 0 {
            vec![found("person", 5..8)]
        } else {
            Vec::new()
        }
    });
    let row = &report.classes[0];
    assert!((row.f1 - 2.0 / 3.0).abs() < 1e-9 && (row.f2 - 5.0 / 9.0).abs() < 1e-9);
    assert!(row.f2_interval.0 < row.f2 && row.f2 < row.f2_interval.1);
}

#[test]
fn injection_recall_at_one_percent_of_false_alarms() {
    let text = |label: &str, score: f32| Labelled {
        text: score.to_string(),
        label: label.to_owned(),
    };
    let mut samples = vec![text("benign", 0.95), text("benign", 0.4)];
    samples.extend((0..198).map(|_| text("benign", 0.1)));
    samples.extend([
        text("injection", 0.9),
        text("injection", 0.45),
        text("injection", 0.2),
    ]);
    let report = evaluate_injection(&samples, 0.5, &mut |text| text.parse().unwrap());
    assert_eq!((report.precision.hits, report.precision.total), (1, 2));
    assert_eq!((report.recall.hits, report.recall.total), (1, 3));
    // Two of two hundred may be called injections: everything above .1 is.
    assert_eq!(report.recall_at_1_percent.hits, 3);
}

#[test]
fn draws_are_even() {
    let mut draws = Draws(7);
    let mut counts = [0_u32; 5];
    for _ in 0..50_000 {
        counts[draws.below(5)] += 1;
    }
    assert!(
        counts.iter().all(|count| (9_500..10_500).contains(count)),
        "{counts:?}"
    );
}
