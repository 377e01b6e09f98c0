//! Sums: by whom, by what, in which time; from the database, the spool, and both.

use std::time::Instant;

use freehold_ports::Ledger;
use freehold_store::{
    AgentTotals, DurableLedger, Edges, Filters, GroupBy, Reader, RecentQuery, Totals, UsageQuery,
    UsageReport,
};
use freehold_types::outcome::CostGap;
use freehold_types::usage::UsageDoubt;
use freehold_types::{
    AgentSignals, ErrorKind, NanoUsd, Outcome, OutcomeStatus, Perimeter, Sensitivity, Usage,
    UsageBasis,
};

use crate::common::{BASE, BOUND, attempt, outcome, unknown_route};
use crate::homes::{Home, on_both_homes};

on_both_homes!(
    sums_are_right_and_kept_apart,
    a_range_counts_what_began_in_it,
    filters_leave_out_the_rest,
    recent_outcomes_are_newest_first_and_filtered,
    absurd_numbers_of_an_upstream_stay_absurd_and_break_nothing,
    an_attempt_that_was_not_billed_takes_nothing_from_the_one_that_was,
    names_that_clients_invent_do_not_make_reports_grow,
    many_outcomes_are_added_up_at_once,
    a_team_includes_its_parts,
    sums_beyond_all_bounds_stay_readable,
    doubts_are_counted_by_request,
    agents_work_is_counted_by_request,
    a_database_from_before_doubts_were_counted_goes_on,
);

const HOUR: u64 = 3_600_000;

fn by(groups: &[GroupBy]) -> UsageQuery {
    UsageQuery {
        group_by: groups.to_vec(),
        ..UsageQuery::default()
    }
}

/// The sums of the row with these values.
fn row<'a>(report: &'a UsageReport, values: &[Option<&str>]) -> &'a Totals {
    let row = report.rows.iter().find(|row| {
        let found = row.group.iter().map(|(_, value)| value.as_deref());
        found.eq(values.iter().copied())
    });
    &row.unwrap_or_else(|| panic!("no row {values:?} in {report:?}"))
        .totals
}

fn tokens(input: u64, output: u64) -> Usage {
    Usage {
        input_tokens: input,
        output_tokens: output,
        basis: UsageBasis::Reported,
        ..Usage::default()
    }
}

/// Failed over from a rented deployment, which was billed, to an owned one.
fn fallen_back(started_unix_ms: u64) -> Outcome {
    Outcome {
        attempts: vec![
            attempt(
                "openai",
                "gpt",
                Perimeter::Outside,
                tokens(100, 7),
                Some(900),
            ),
            attempt("vllm", "gpt", Perimeter::Inside, tokens(100, 50), Some(100)),
        ],
        usage: tokens(200, 57),
        cost: Some(NanoUsd::from_nanos(1_000)),
        ..outcome(started_unix_ms)
    }
}

/// One of every kind, within three hours.
fn mixture() -> Vec<Outcome> {
    let cancelled = Outcome {
        key: "team-b".into(),
        flow: None,
        status: OutcomeStatus::Cancelled,
        usage: Usage {
            basis: UsageBasis::Estimated,
            ..tokens(10, 3)
        },
        cost: None,
        attempts: vec![attempt(
            "openai",
            "gpt",
            Perimeter::Outside,
            tokens(10, 3),
            None,
        )],
        sensitivity: Sensitivity::Public,
        ..outcome(BASE + HOUR + 1)
    };
    vec![
        outcome(BASE),
        outcome(BASE + HOUR - 1),
        cancelled,
        fallen_back(BASE + HOUR + 2),
        unknown_route(BASE + 2 * HOUR, "junk-1"),
        unknown_route(BASE + 2 * HOUR, "junk-2"),
    ]
}

/// Asks while everything is in the spool, then when everything is in the database: the answers
/// must be the same.
async fn ask_both_ways(
    home: &Home,
    outcomes: &[Outcome],
    queries: &[UsageQuery],
) -> Vec<UsageReport> {
    home.take_away();
    let ledger = home.open();
    for outcome in outcomes {
        ledger.record(outcome).unwrap();
    }
    let only_spool = home.only_spool();
    let mut from_spool = Vec::new();
    for query in queries {
        from_spool.push(only_spool.usage(query).await.unwrap());
    }
    home.bring_back();
    ledger.flush(BOUND).await.unwrap();
    let mut from_database = Vec::new();
    for query in queries {
        from_database.push(ledger.reader().usage(query).await.unwrap());
    }
    assert_eq!(from_spool, from_database);
    ledger.shutdown(BOUND).await.unwrap();
    from_database
}

async fn sums_are_right_and_kept_apart(home: Home) {
    let queries = [
        by(&[]),
        by(&[GroupBy::Key, GroupBy::Flow]),
        by(&[GroupBy::Deployment]),
        by(&[GroupBy::Model]),
        by(&[GroupBy::Perimeter, GroupBy::Sensitivity]),
        by(&[GroupBy::Route, GroupBy::Status]),
        by(&[GroupBy::Day, GroupBy::Hour]),
        by(&[GroupBy::Backend]),
    ];
    let reports = ask_both_ways(&home, &mixture(), &queries).await;
    let [
        all,
        by_key,
        by_deployment,
        by_model,
        by_place,
        by_route,
        by_hour,
        by_backend,
    ] = reports.as_slice()
    else {
        panic!("eight questions");
    };

    let totals = &all.totals;
    assert_eq!(row(all, &[]), totals);
    assert_eq!(
        (
            totals.requests,
            totals.completed,
            totals.cancelled,
            totals.failed,
            totals.refused
        ),
        (6, 3, 1, 0, 2)
    );
    assert_eq!((totals.input_tokens, totals.output_tokens), (450, 120));
    assert_eq!(
        (totals.cached_input_tokens, totals.reasoning_tokens),
        (40, 10)
    );
    assert_eq!(totals.attempts, 5);
    assert_eq!(totals.cost_nano_usd.nanos(), 4_000);
    assert_eq!(
        (totals.estimated_requests, totals.unknown_cost_requests),
        (1, 1)
    );
    assert!(
        totals
            .latency_p50_ms
            .is_some_and(|p50| (20.0..=50.0).contains(&p50))
    );
    for report in &reports {
        assert_eq!(
            &report.totals, totals,
            "the whole does not depend on the grouping"
        );
    }

    assert_eq!(row(by_key, &[Some("team-b"), None]).requests, 1);
    assert_eq!(row(by_key, &[Some("team-a"), Some("support")]).requests, 5);
    // Each deployment answers for what it cost, whoever served in the end.
    let rented = row(by_deployment, &[Some("openai/gpt")]);
    assert_eq!((rented.requests, rented.attempts), (1, 2));
    assert_eq!(
        (rented.input_tokens, rented.cost_nano_usd.nanos()),
        (110, 900)
    );
    let owned = row(by_deployment, &[Some("vllm/gpt")]);
    assert_eq!((owned.requests, owned.attempts), (1, 1));
    assert_eq!(
        (owned.output_tokens, owned.cost_nano_usd.nanos()),
        (50, 100)
    );
    assert_eq!(row(by_deployment, &[None]).refused, 2);
    assert_eq!(row(by_model, &[Some("gpt")]).cost_nano_usd.nanos(), 1_000);
    assert_eq!(row(by_backend, &[Some("embedded")]).requests, 2);
    assert_eq!(
        row(by_place, &[Some("outside"), Some("public")]).cancelled,
        1
    );
    assert_eq!(
        row(by_place, &[Some("outside"), Some("internal")])
            .cost_nano_usd
            .nanos(),
        900
    );
    // Names that do not exist are one name.
    assert_eq!(
        row(by_route, &[Some("(unknown)"), Some("refused")]).requests,
        2
    );
    assert_hours(by_hour);
}

fn assert_hours(by_hour: &UsageReport) {
    let hours: Vec<_> = by_hour
        .rows
        .iter()
        .map(|row| row.group[1].1.as_deref())
        .collect();
    assert_eq!(
        hours,
        [
            Some("2025-11-21T04:00Z"),
            Some("2025-11-21T05:00Z"),
            Some("2025-11-21T06:00Z")
        ]
    );
    assert_eq!(by_hour.rows[0].group[0].1.as_deref(), Some("2025-11-21"));
}

async fn a_range_counts_what_began_in_it(home: Home) {
    let between = |since, until, edges| UsageQuery {
        since_unix_ms: since,
        until_unix_ms: until,
        edges,
        ..UsageQuery::default()
    };
    let cases = [
        (None, None, Edges::Exact, 6),
        (Some(BASE), Some(BASE + 1), Edges::Exact, 1),
        (Some(BASE + 1), None, Edges::Exact, 5),
        (Some(BASE + 1), Some(BASE + HOUR + 2), Edges::Exact, 2),
        (Some(BASE + HOUR), Some(BASE + 2 * HOUR), Edges::Exact, 2),
        (
            Some(BASE + HOUR + 2),
            Some(BASE + 2 * HOUR + 1),
            Edges::Exact,
            3,
        ),
        (Some(BASE + 1), Some(BASE + HOUR + 2), Edges::WholeHours, 4),
        (Some(BASE + 5 * HOUR), None, Edges::Exact, 0),
        (Some(BASE + 9), Some(BASE + 3), Edges::Exact, 0),
    ];
    let queries: Vec<_> = cases
        .iter()
        .map(|(since, until, edges, _)| between(*since, *until, *edges))
        .collect();
    let reports = ask_both_ways(&home, &mixture(), &queries).await;
    for (report, (since, until, edges, requests)) in reports.iter().zip(&cases) {
        assert_eq!(
            report.totals.requests, *requests,
            "{since:?}..{until:?} {edges:?}"
        );
    }
    assert_eq!(reports[6].since_unix_ms, Some(BASE));
    assert_eq!(reports[6].until_unix_ms, Some(BASE + 2 * HOUR));
}

async fn filters_leave_out_the_rest(home: Home) {
    let filters = [
        (
            Filters {
                key: Some("team-b".into()),
                ..Filters::default()
            },
            1,
        ),
        (
            Filters {
                flow: Some("support".into()),
                ..Filters::default()
            },
            5,
        ),
        (
            Filters {
                flow: Some("nothing".into()),
                ..Filters::default()
            },
            0,
        ),
        (
            Filters {
                status: Some(OutcomeStatus::Refused),
                ..Filters::default()
            },
            2,
        ),
        (
            Filters {
                perimeter: Some(Perimeter::Inside),
                ..Filters::default()
            },
            3,
        ),
        (
            Filters {
                deployment: Some("vllm/gpt".into()),
                ..Filters::default()
            },
            1,
        ),
        (
            Filters {
                backend: Some("embedded".into()),
                ..Filters::default()
            },
            2,
        ),
        (
            Filters {
                sensitivity: Some(Sensitivity::Public),
                ..Filters::default()
            },
            1,
        ),
        (
            Filters {
                route: Some("auto".into()),
                ..Filters::default()
            },
            4,
        ),
    ];
    let queries: Vec<_> = filters
        .iter()
        .map(|(filters, _)| UsageQuery {
            filters: filters.clone(),
            ..UsageQuery::default()
        })
        .collect();
    let reports = ask_both_ways(&home, &mixture(), &queries).await;
    for (report, (filters, requests)) in reports.iter().zip(&filters) {
        assert_eq!(report.totals.requests, *requests, "{filters:?}");
    }
}

async fn recent_outcomes_are_newest_first_and_filtered(home: Home) {
    let ledger = home.open();
    let outcomes = mixture();
    for outcome in &outcomes {
        ledger.record(outcome).unwrap();
    }
    let newest = ledger
        .reader()
        .recent(&RecentQuery::newest(10))
        .await
        .unwrap();
    assert_eq!(newest.len(), 6);
    assert!(newest.is_sorted_by(|a, b| a.started_unix_ms >= b.started_unix_ms));
    ledger.flush(BOUND).await.unwrap();
    assert_eq!(
        ledger
            .reader()
            .recent(&RecentQuery::newest(10))
            .await
            .unwrap(),
        newest
    );
    let query = RecentQuery {
        until_unix_ms: Some(BASE + HOUR),
        filters: Filters {
            key: Some("team-a".into()),
            ..Filters::default()
        },
        ..RecentQuery::newest(1)
    };
    let found = ledger.reader().recent(&query).await.unwrap();
    assert_eq!(found, [outcomes[1].clone()]);
    ledger.shutdown(BOUND).await.unwrap();
}

async fn absurd_numbers_of_an_upstream_stay_absurd_and_break_nothing(home: Home) {
    let absurd = Usage {
        input_tokens: u64::MAX,
        cached_input_tokens: u64::MAX,
        output_tokens: u64::MAX,
        basis: UsageBasis::Reported,
        ..Usage::default()
    };
    let mut outcomes: Vec<_> = (0..3)
        .map(|i| Outcome {
            usage: absurd,
            cost: Some(NanoUsd::from_nanos(i64::MAX)),
            attempts: vec![attempt(
                "odd",
                "one",
                Perimeter::Outside,
                absurd,
                Some(i64::MAX),
            )],
            ..outcome(BASE + i)
        })
        .collect();
    outcomes.push(Outcome {
        key: String::new().into(),
        cost: Some(NanoUsd::from_nanos(i64::MIN)),
        attempts: vec![],
        ..outcome(u64::MAX)
    });
    let reports = ask_both_ways(&home, &outcomes, &[by(&[GroupBy::Backend])]).await;
    let odd = row(&reports[0], &[Some("odd")]);
    assert_eq!(odd.input_tokens, 3_000_000_000_000);
    assert_eq!(odd.cost_nano_usd.usd(), 3_000_000.0);
    assert_eq!(row(&reports[0], &[None]).requests, 1);
}

async fn an_attempt_that_was_not_billed_takes_nothing_from_the_one_that_was(home: Home) {
    // The first attempt's tokens were counted but not billed: they are not in the outcome's usage.
    let unbilled = Outcome {
        attempts: vec![
            attempt("openai", "gpt", Perimeter::Outside, tokens(100, 0), None),
            attempt("vllm", "gpt", Perimeter::Inside, tokens(100, 50), Some(100)),
        ],
        usage: tokens(100, 50),
        cost: Some(NanoUsd::from_nanos(100)),
        error: Some(freehold_types::outcome::ErrorSummary {
            kind: ErrorKind::Timeout,
            side: freehold_types::ErrorSource::Upstream,
            upstream_status: None,
            param: None,
        }),
        ..outcome(BASE)
    };
    let reports = ask_both_ways(&home, &[unbilled], &[by(&[GroupBy::Deployment])]).await;
    assert_eq!(
        (
            reports[0].totals.input_tokens,
            reports[0].totals.output_tokens
        ),
        (100, 50)
    );
    assert_eq!(reports[0].totals.cost_nano_usd.nanos(), 100);
    assert_eq!(row(&reports[0], &[Some("openai/gpt")]).attempts, 1);
}

async fn names_that_clients_invent_do_not_make_reports_grow(home: Home) {
    let ledger = home.open();
    for i in 0..6_000 {
        let invented = Outcome {
            flow: Some(format!("flow-{i}").into()),
            decision: None,
            ..outcome(BASE)
        };
        ledger.record(&invented).unwrap();
    }
    ledger.flush(BOUND).await.unwrap();
    let report = ledger.reader().usage(&by(&[GroupBy::Flow])).await.unwrap();
    assert_eq!(report.totals.requests, 6_000);
    assert_eq!(report.rows.len(), 5_001);
    assert_eq!(row(&report, &[Some("(other)")]).requests, 1_000);
    ledger.shutdown(BOUND).await.unwrap();
}

async fn a_team_includes_its_parts(home: Home) {
    let of = |team: Option<&str>| Outcome {
        team: team.map(Into::into),
        ..outcome(BASE)
    };
    let outcomes = [
        of(None),
        of(Some("acme")),
        of(Some("acme/search")),
        of(Some("acme/search/ads")),
        of(Some("acme-2")),
        of(Some("acmé/x")),
        of(Some("ac%/x")),
    ];
    let only = |team: &str| UsageQuery {
        filters: Filters {
            team: Some(team.into()),
            ..Filters::default()
        },
        ..by(&[GroupBy::Team])
    };
    let expected = [
        ("acme", 3),
        ("acme/search", 2),
        ("acme/search/ads", 1),
        ("acmé", 1),
        ("ac", 0),
        ("ac%", 1),
    ];
    let mut queries: Vec<_> = expected.iter().map(|(team, _)| only(team)).collect();
    queries.push(by(&[GroupBy::Team]));
    let reports = ask_both_ways(&home, &outcomes, &queries).await;
    for (report, (team, requests)) in reports.iter().zip(expected) {
        assert_eq!(report.totals.requests, requests, "{team}");
    }
    let all = &reports[expected.len()];
    assert_eq!(all.rows.len(), 7);
    assert_eq!(row(all, &[None]).requests, 1);
    assert_eq!(row(all, &[Some("acme/search")]).requests, 1);
    let recent = RecentQuery {
        filters: only("acme").filters,
        ..RecentQuery::newest(10)
    };
    let ledger = crate::outage::reopen(&home.settings()).await;
    assert_eq!(ledger.reader().recent(&recent).await.unwrap().len(), 3);
    ledger.shutdown(BOUND).await.unwrap();
}

/// An upstream that reports absurd numbers for years must not make a report impossible.
async fn sums_beyond_all_bounds_stay_readable(home: Home) {
    let ledger = home.open();
    for hour in 0..3 {
        ledger.record(&outcome(BASE + hour * HOUR)).unwrap();
    }
    ledger.flush(BOUND).await.unwrap();
    let absurd = format!("UPDATE usage_hourly SET input_tokens = {}", i64::MAX - 9);
    let mut other = home.connect().await;
    other.run(&absurd).await;
    // As much as was ever stored by a version without bounds, for all that is added now.
    other.run(&absurd.replace("hourly", "daily")).await;
    let sum = ledger.reader().usage(&by(&[GroupBy::Hour])).await.unwrap();
    assert!(sum.totals.input_tokens >= i64::MAX as u64, "{sum:?}");
    assert_eq!(sum.totals.requests, 3);
    other
        .run(&format!(
            "UPDATE usage_daily SET input_tokens = {}",
            i64::MAX / 2
        ))
        .await;
    other
        .run(&format!(
            "UPDATE usage_hourly SET input_tokens = {}",
            i64::MAX / 2
        ))
        .await;
    ledger.record(&outcome(BASE)).unwrap();
    ledger.flush(BOUND).await.unwrap();
    assert_eq!(ledger.status().database_error, None);
    let day = ledger.reader().usage(&by(&[])).await.unwrap();
    assert_eq!(day.totals.input_tokens, i64::MAX as u64 / 2);
    assert_eq!(day.totals.requests, 4);
    ledger.shutdown(BOUND).await.unwrap();
}

/// Reports are sums of sums: how much was recorded does not matter.
async fn many_outcomes_are_added_up_at_once(home: Home) {
    let ledger = home.open();
    let count = 20_000;
    for i in 0..count {
        let one = Outcome {
            key: format!("key-{}", i % 7).into(),
            decision: None,
            ..outcome(BASE + i * 300_000)
        };
        ledger.record(&one).unwrap();
    }
    ledger.flush(BOUND).await.unwrap();
    let begin = Instant::now();
    let query = UsageQuery {
        since_unix_ms: Some(BASE + 17),
        ..by(&[GroupBy::Key, GroupBy::Deployment, GroupBy::Day])
    };
    let report = ledger.reader().usage(&query).await.unwrap();
    let took = begin.elapsed();
    assert_eq!(report.totals.requests, count - 1);
    assert!(took.as_secs() < 2, "{took:?}");
    ledger.shutdown(BOUND).await.unwrap();
}

/// Served twice over, with a gap in what the first attempt cost and a doubt about what it used.
fn doubted(started_unix_ms: u64, gap: Option<CostGap>, doubt: Option<UsageDoubt>) -> Outcome {
    let mut outcome = fallen_back(started_unix_ms);
    let first = &mut outcome.attempts[0];
    first.cost.as_mut().unwrap().gap = gap;
    first.usage.doubt = doubt;
    outcome
}

async fn doubts_are_counted_by_request(home: Home) {
    let (gap, doubt) = (Some(CostGap::ToolFee), Some(UsageDoubt::Negative));
    let outcomes = [
        outcome(BASE),
        doubted(BASE + 1, gap, doubt),
        doubted(BASE + 2, Some(CostGap::Interrupted), None),
        doubted(BASE + HOUR, gap, None),
    ];
    let queries = [
        by(&[]),
        by(&[GroupBy::Deployment]),
        by(&[GroupBy::Hour]),
        UsageQuery {
            since_unix_ms: Some(BASE + 2),
            ..by(&[])
        },
    ];
    let reports = ask_both_ways(&home, &outcomes, &queries).await;
    let doubts = |totals: &Totals| (totals.cost_gap_requests, totals.doubtful_usage_requests);
    assert_eq!(doubts(&reports[0].totals), (3, 1));
    // The request counts, not each of its attempts: for the deployment that served it.
    assert_eq!(doubts(row(&reports[1], &[Some("vllm/gpt")])), (3, 1));
    assert_eq!(doubts(row(&reports[1], &[Some("openai/gpt")])), (0, 0));
    let hours: Vec<_> = reports[2]
        .rows
        .iter()
        .map(|row| doubts(&row.totals))
        .collect();
    assert_eq!(hours, [(2, 1), (1, 0)]);
    assert_eq!(doubts(&reports[3].totals), (2, 0));
}

async fn agents_work_is_counted_by_request(home: Home) {
    let with = |started, agent| Outcome {
        agent,
        ..outcome(started)
    };
    let outcomes = [
        outcome(BASE),
        with(
            BASE + 1,
            AgentSignals {
                tool_results: 3,
                tool_errors: 1,
                repeated_calls: 2,
                ..AgentSignals::default()
            },
        ),
        with(
            BASE + HOUR,
            AgentSignals {
                tool_results: 1,
                loop_rounds: 4,
                retries: 2,
                ..AgentSignals::default()
            },
        ),
    ];
    let queries = [by(&[]), by(&[GroupBy::Hour])];
    let reports = ask_both_ways(&home, &outcomes, &queries).await;
    let all = AgentTotals {
        tool_results: 4,
        tool_errors: 1,
        repeated_calls: 2,
        looping_requests: 1,
        retried_requests: 1,
    };
    assert_eq!(reports[0].totals.agent, all);
    let errors: Vec<_> = reports[1]
        .rows
        .iter()
        .map(|row| row.totals.agent.tool_errors)
        .collect();
    assert_eq!(errors, [1, 0]);
}

/// Several gateways of this version start at once where one of the version before has been.
async fn a_database_from_before_doubts_were_counted_goes_on(home: Home) {
    let ledger = home.open();
    ledger
        .record(&doubted(BASE, Some(CostGap::ToolFee), None))
        .unwrap();
    ledger.shutdown(BOUND).await.unwrap();
    drop(ledger);
    let mut other = home.connect().await;
    for table in ["usage_hourly", "usage_daily"] {
        for column in [
            "cost_gap_requests",
            "doubtful_usage_requests",
            "tool_results",
            "tool_errors",
            "repeated_calls",
            "looping_requests",
            "retried_requests",
        ] {
            other
                .run(&format!("ALTER TABLE {table} DROP COLUMN {column}"))
                .await;
        }
    }
    let applied = if home.is_postgres() {
        "freehold_migrations"
    } else {
        "_sqlx_migrations"
    };
    other
        .run(&format!(
            "DELETE FROM {applied} WHERE description IN ('doubts', 'agents')"
        ))
        .await;
    drop(other);
    let settings = ["one", "two", "three"].map(|gateway| home.settings_of(gateway));
    let reader = Reader::open(&settings[0].database, &settings[0].spool.dir);
    let early = reader.usage(&by(&[])).await.unwrap_err();
    assert!(early.to_string().contains("earlier version"), "{early}");

    let ledgers = settings.map(|settings| DurableLedger::open(settings).unwrap());
    for (number, ledger) in ledgers.iter().enumerate() {
        let doubt = Some(UsageDoubt::TooLarge);
        let one = doubted(BASE + 1 + number as u64, None, doubt);
        ledger.record(&one).unwrap();
    }
    for ledger in &ledgers {
        ledger.flush(BOUND).await.unwrap();
    }
    let totals = reader.usage(&by(&[])).await.unwrap().totals;
    assert_eq!(totals.requests, 4);
    assert_eq!(totals.cost_nano_usd.nanos(), 4_000);
    // What the version before has summed up has no doubts.
    assert_eq!(
        (totals.cost_gap_requests, totals.doubtful_usage_requests),
        (0, 3)
    );
    for ledger in &ledgers {
        ledger.shutdown(BOUND).await.unwrap();
    }
}
