use super::*;

fn answers(pairs: &[(&str, &str)]) -> Answers {
    let mut answers = Answers::default();
    for (key, choice) in pairs {
        answers.give(key, choice).unwrap();
    }
    answers
}

const MEASURED: Measured = Measured {
    tokens_per_month: 1e9,
    api_usd_per_month: 1_000.0,
    peak_to_mean: 4.0,
    people_usd_per_month: 5_000.0,
    gpus: 2,
};

fn rules(answers: &Answers) -> Vec<&'static str> {
    let told = conclusions(answers, &MEASURED);
    told.iter().map(|conclusion| conclusion.rule).collect()
}

#[test]
fn answers_survive_their_own_file() {
    let given = answers(&[("core", "yes"), ("pinning", "no"), ("team", "none")]);
    let read = Answers::from_yaml(&given.to_yaml()).unwrap();
    for question in QUESTIONS {
        assert_eq!(read.of(question.key), given.of(question.key));
    }
}

#[test]
fn what_nobody_asked_is_refused() {
    let told = Answers::from_yaml("teem: none").unwrap_err().to_string();
    assert!(told.contains("teem") && told.contains("team"), "{told}");
    let told = Answers::from_yaml("team: robots").unwrap_err().to_string();
    assert!(told.contains("choose some, none, experienced"), "{told}");
    assert!(Answers::from_yaml("- team").is_err());
}

#[test]
fn what_must_stay_inside_wins() {
    let both = answers(&[("sensitivity", "restricted"), ("team", "none")]);
    let told = rules(&both);
    assert!(told.contains(&"restricted-stays-inside") && told.contains(&"answers-conflict"));
    assert!(both.bounds().must_own.is_some() && both.bounds().no_other_host);
    assert_eq!(Answers::default().bounds(), Bounds::default());
}

#[test]
fn measured_figures_weigh_in() {
    let told = rules(&Answers::default());
    assert!(told.contains(&"people-cost-more-than-the-api"));
    assert!(told.contains(&"bursty-traffic"));
    let told = rules(&answers(&[("budget", "capital")]));
    assert!(told.contains(&"too-small-to-buy"));
}

#[test]
fn the_budget_says_how_gpus_are_come_by() {
    let ways = |pairs: &[(&str, &str)]| answers(pairs).procurements();
    assert_eq!(ways(&[]), Procurement::ALL);
    assert_eq!(
        ways(&[("budget", "hourly")]),
        [Procurement::OnDemand, Procurement::Spot]
    );
    assert_eq!(ways(&[("residency", "premises")]), [Procurement::Buy]);
    assert!(!ways(&[("availability", "critical")]).contains(&Procurement::Spot));
}

#[test]
fn own_figures_are_stronger_than_answers() {
    let bundled = Assumptions::bundled().unwrap();
    let experienced = answers(&[("team", "experienced")]);
    let adjusted = experienced.adjusted(bundled.clone()).unwrap();
    assert_ne!(adjusted.range(Input::RunFte), bundled.range(Input::RunFte));
    let own = bundled.with_yaml("run_fte: 0.7").unwrap();
    let adjusted = experienced.adjusted(own).unwrap();
    assert_eq!(adjusted.range(Input::RunFte), Some(Range::exactly(0.7)));
}
