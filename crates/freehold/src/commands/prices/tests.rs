use std::path::PathBuf;

use freehold_config::{Overrides, Source};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;
use crate::home;
use crate::money::book_file::file_in;

/// A book with `openai/gpt-4o-mini` at a price of its own.
fn book(input_usd: f64) -> String {
    let model = |id: String, input: f64| json!({"id": id, "match": {"equals": id}, "prices": {"input_mtok": input, "output_mtok": 2}});
    let names = ["openai", "anthropic", "mistral"].map(str::to_owned);
    let names = names
        .into_iter()
        .chain((0..9).map(|index| format!("vendor-{index}")));
    let providers: Value = names
        .map(|id| {
            let mut models: Vec<Value> =
                (0..30).map(|index| model(format!("model-{index}"), 1.0)).collect();
            if id == "openai" {
                models.push(model("gpt-4o-mini".to_owned(), input_usd));
            }
            json!({"id": id, "name": id, "api_pattern": format!("https://{id}\\.example"), "models": models})
        })
        .collect();
    providers.to_string()
}

fn settings(yaml: &str) -> Settings {
    let source = Source {
        path: None,
        text: yaml.to_owned(),
    };
    source
        .settings(&Overrides::default(), &home::environment())
        .unwrap()
}

const WITH_OPENAI: &str = "discover: false\nbackends: {openai: {api_key: sk-0123456789, models: [{name: gpt-4o-mini}]}}\n";

fn from(url: Option<String>, file: Option<PathBuf>) -> PricesUpdateArgs {
    PricesUpdateArgs {
        source: BookSource { url, file },
        bundled: false,
        json: true,
    }
}

/// Answers every request with these bytes; its address.
async fn serve(answer: Vec<u8>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut connection, _)) = listener.accept().await {
            let mut head = [0; 4_096];
            let _ = connection.read(&mut head).await;
            let _ = connection.write_all(&answer).await;
        }
    });
    format!("http://{address}/data.json")
}

fn answer(status: &str, body: &str) -> Vec<u8> {
    format!(
        "HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

async fn updated(args: &PricesUpdateArgs, yaml: &str, home: &Path) -> Result<Value, String> {
    let mut out = Vec::new();
    // As `main` does; an error means that another test has.
    let _ = rustls::crypto::ring::default_provider().install_default();
    update(args, &settings(yaml), home, &mut out)
        .await
        .map_err(|error| format!("{error:#}"))?;
    Ok(serde_json::from_slice(&out).unwrap())
}

fn listed(yaml: &str, home: &Path, model: Option<&str>) -> Value {
    let args = PricesListArgs {
        model: model.map(str::to_owned),
        all: false,
        at: Some("2026-10-20".to_owned()),
        json: true,
    };
    let mut out = Vec::new();
    list(&args, &settings(yaml), home, &mut out).unwrap();
    serde_json::from_slice(&out).unwrap()
}

#[tokio::test]
async fn a_fetched_book_is_stored_and_used_and_can_be_given_back() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    let before = listed(WITH_OPENAI, home, None);
    assert_eq!(before["book"]["origin"], "bundled with this version");
    let rates = |told: &Value| told["deployments"][0]["prices"]["rates"]["input"].clone();
    assert_eq!(rates(&before), 150_000_000);
    let url = serve(answer("200 OK", &book(0.25))).await;
    let told = updated(&from(Some(url), None), WITH_OPENAI, home)
        .await
        .unwrap();
    assert_eq!(told["changes"][0]["model"], "gpt-4o-mini");
    assert_eq!(told["changes"][0]["after"]["rates"]["input"], 250_000_000);
    let after = listed(WITH_OPENAI, home, None);
    assert_eq!(rates(&after), 250_000_000);
    assert_eq!(after["book"]["id"], told["book"]["id"]);
    // Nothing but the book is left behind.
    assert_eq!(std::fs::read_dir(home).unwrap().count(), 1);
    let back = PricesUpdateArgs {
        bundled: true,
        ..from(None, None)
    };
    updated(&back, WITH_OPENAI, home).await.unwrap();
    assert_eq!(rates(&listed(WITH_OPENAI, home, None)), 150_000_000);
    updated(&back, WITH_OPENAI, home).await.unwrap();
}

#[tokio::test]
async fn a_sealed_gateway_fetches_nothing_and_takes_a_file() {
    let home = tempfile::tempdir().unwrap();
    let sealed = "perimeter: sealed\n";
    // Nobody listens there: the address must not even be tried.
    let error = updated(
        &from(Some("http://127.0.0.1:1/".to_owned()), None),
        sealed,
        home.path(),
    )
    .await
    .unwrap_err();
    assert!(
        error.contains("sealed") && error.contains("--file"),
        "{error}"
    );
    let file = home.path().join("newer.json");
    std::fs::write(&file, book(0.3)).unwrap();
    updated(&from(None, Some(file)), sealed, home.path())
        .await
        .unwrap();
    let told = listed(sealed, home.path(), Some("4o-MINI"));
    assert_eq!(told["models"][0]["prices"]["rates"]["input"], 300_000_000);
}

#[tokio::test]
async fn what_is_no_book_leaves_the_stored_one_alone() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("good.json");
    std::fs::write(&file, book(0.3)).unwrap();
    updated(&from(None, Some(file)), WITH_OPENAI, home.path())
        .await
        .unwrap();
    let kept = std::fs::read(file_in(home.path())).unwrap();
    let huge = " ".repeat(freehold_cost::BOOK_BYTES_MAX + 1);
    let moved = b"HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n";
    for (sent, part) in [
        (answer("200 OK", "<html>"), "not price data"),
        (answer("200 OK", "[]"), "0 providers"),
        (answer("404 Not Found", "no"), "404"),
        (answer("200 OK", &huge), "more than"),
        (moved.to_vec(), "302"),
        (
            b"HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\n[".to_vec(),
            "broke off",
        ),
    ] {
        let url = serve(sent).await;
        let error = updated(&from(Some(url), None), WITH_OPENAI, home.path()).await;
        let error = error.unwrap_err();
        assert!(error.contains(part), "{part}: {error}");
        assert_eq!(std::fs::read(file_in(home.path())).unwrap(), kept);
    }
    for (url, part) in [
        ("http://prices.example/data.json", "https"),
        ("ftp://127.0.0.1/data.json", "https"),
        ("not an address", "no address"),
        ("http://127.0.0.1:1/", "cannot reach"),
    ] {
        let error = updated(&from(Some(url.to_owned()), None), WITH_OPENAI, home.path()).await;
        let error = error.unwrap_err();
        assert!(error.contains(part), "{part}: {error}");
    }
}

#[tokio::test]
async fn a_comparison_stores_nothing() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("newer.json");
    std::fs::write(&file, book(0.25)).unwrap();
    let args = |json| PricesDiffArgs {
        source: BookSource {
            url: None,
            file: Some(file.clone()),
        },
        all: false,
        json,
    };
    let mut out = Vec::new();
    let settings = settings(WITH_OPENAI);
    diff(&args(true), &settings, home.path(), &mut out)
        .await
        .unwrap();
    let told: Value = serde_json::from_slice(&out).unwrap();
    let [change] = &told["changes"].as_array().unwrap()[..] else {
        panic!("{told}")
    };
    assert_eq!(change["before"]["rates"]["input"], 150_000_000);
    assert_eq!(change["after"]["rates"]["input"], 250_000_000);
    let mut out = Vec::new();
    diff(&args(false), &settings, home.path(), &mut out)
        .await
        .unwrap();
    let table = String::from_utf8(out).unwrap();
    assert!(
        table.contains("gpt-4o-mini") && table.contains("0.25"),
        "{table}"
    );
    assert!(!file_in(home.path()).exists());
}

#[test]
fn a_damaged_file_is_told_and_the_bundled_book_is_used() {
    let home = tempfile::tempdir().unwrap();
    let whole = book(0.25);
    for damage in ["", "[", "null", &whole[..whole.len() / 2]] {
        std::fs::write(file_in(home.path()), damage).unwrap();
        let loaded = book_file::load(&file_in(home.path()));
        assert_eq!(loaded.origin, Origin::Bundled, "{damage:.20}");
        assert_eq!(loaded.book.id(), PriceBook::bundled().id());
    }
    std::fs::write(file_in(home.path()), whole).unwrap();
    let loaded = book_file::load(&file_in(home.path()));
    assert_ne!(loaded.origin, Origin::Bundled);
}

#[test]
fn every_kind_of_price_is_shown() {
    let yaml = "discover: false
backends:
  openai:
    api_key: sk-0123456789
    models:
      - name: gpt-5
      - name: nobody-knows
      - name: agreed
        price: {input_usd_per_million: 1.5, output_usd_per_million: 3, cache_write_usd_per_million: 2, flex_percent: 60}
  vllm:
    base_url: http://127.0.0.1:8000/v1
    usd_per_hour: 2.5
    models: [{name: mine}]
";
    let settings = settings(yaml);
    let book = PriceBook::bundled();
    let priced = show::deployments(&book, &configured(&settings), 1_792_497_600_000);
    let table = show::table_of_deployments(&priced);
    for part in [
        "openai/gpt-5",
        "0.125",
        "flex 0.625 / 5",
        "no price for nobody-knows",
        "flex 60 %",
        "2.5 $ per hour",
    ] {
        assert!(table.contains(part), "{part} is not in\n{table}");
    }
}

#[test]
fn what_requests_carry_and_idle_time_are_the_time() {
    let machine: crate::money::machines::Machine = serde_json::from_value(json!({
        "since_unix_ms": 1_792_497_600_000_u64,
        "until_unix_ms": 1_792_504_800_000_u64,
        "per_hour_nano_usd": 3_000_000_000_u64,
        "running_nano_usd": 6_000_000_000_u64,
        "away_nano_usd": 1_000_000_000_u64,
    }))
    .unwrap();
    let carried = freehold_types::NanoUsd::from_nanos(2_500_000_000);
    let row = owned::OwnedRow::new("gpu", &machine, carried, 7);
    let told = serde_json::to_value(&row).unwrap();
    assert_eq!(told["wall_nano_usd"], 7_000_000_000_u64);
    assert_eq!(told["idle_nano_usd"], 4_500_000_000_u64);
    assert_eq!(told["since"], "2026-10-20T12:00:00Z");
}
