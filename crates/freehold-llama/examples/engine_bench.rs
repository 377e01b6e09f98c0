//! Measures the embedded engine: reading a prompt, and writing one and eight answers at a time; and,
//! given a `llama-server` program, the same on that, with the same file and threads. Then a conversation whose turns
//! each send all that was said, with and without kept prefixes.
//!
//! `cargo run --release -p freehold-llama --example engine_bench -- MODEL.gguf [--threads 2]
//! [--server path/to/llama-server] [--rounds 3]`
//!
//! Figures are tokens per second of wall-clock time, as a client sees it: the best of the rounds, which the two go
//! through in turn, and the median of the rounds' ratios. The server's figures include a request over loopback HTTP
//! each, a millisecond or so.
#![expect(clippy::print_stdout, reason = "the figures are its output")]

use std::collections::BTreeMap;
use std::error::Error;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use freehold_llama::{Engine, EngineSettings, GenerateRequest, Output, Prompt, devices};
use serde_json::{Value, json};

type Failure = Box<dyn Error + Send + Sync>;

const PROMPT_TOKENS: i32 = 512;
const ANSWER_TOKENS: u64 = 128;
const STREAMS: usize = 8;
/// Turns of the conversation, and tokens of each answer in it.
const TURNS: u32 = 6;
const TURN_TOKENS: u64 = 32;
const CONTEXT_TOKENS: u32 = 4096;
/// Tokens that end an answer in most vocabularies; measured answers must not end early.
const END_TOKENS: [i32; 3] = [0, 1, 2];

struct Options {
    model: PathBuf,
    threads: NonZeroUsize,
    server: Option<PathBuf>,
    rounds: u32,
}

/// Something that continues token prompts.
trait Subject: Sync {
    /// Continues `prompt` by exactly `count` tokens.
    fn generate(&self, prompt: &[i32], count: u64) -> Result<(), Failure>;
}

fn main() -> Result<(), Failure> {
    let options = options()?;
    let mut settings = EngineSettings::new(&options.model);
    settings.threads = Some(options.threads);
    settings.context_tokens = Some(CONTEXT_TOKENS);
    settings.kept_prefixes = 0;
    println!("devices: {}", devices()?.join("; "));
    let engine = Embedded(Engine::load(&settings)?);
    println!(
        "model: {}, {} threads",
        engine.0.info().name,
        options.threads
    );
    let server = options.server.as_ref();
    let server = server.map(|program| Server::start(program, &options));
    let server = server.transpose()?;
    let (mut ours, mut theirs) = (vec![], vec![]);
    engine.generate(&prompt(0, 16), 8)?;
    if let Some(server) = &server {
        server.generate(&prompt(0, 16), 8)?;
    }
    for round in 1..=i32::try_from(options.rounds)? {
        ours.push(measure(&engine, round)?);
        if let Some(server) = &server {
            theirs.push(measure(server, round)?);
        }
    }
    report(&ours, &theirs);
    drop(server);
    settings.kept_prefixes = EngineSettings::new(&options.model).kept_prefixes;
    converse(&engine, &Embedded(Engine::load(&settings)?))
}

fn report(ours: &[[f64; 3]], theirs: &[[f64; 3]]) {
    println!(
        "\n{:<34}{:>12}{:>14}{:>8}",
        "tokens per second", "embedded", "llama-server", "ratio"
    );
    let names = [
        format!("read a prompt of {PROMPT_TOKENS}"),
        format!("write {ANSWER_TOKENS}, one answer"),
        format!("write {ANSWER_TOKENS}, {STREAMS} answers together"),
    ];
    for (index, name) in names.iter().enumerate() {
        let best = |rounds: &[[f64; 3]]| {
            let rates = rounds.iter().map(|rates| rates[index]);
            rates.fold(0.0_f64, f64::max)
        };
        let pairs = ours.iter().zip(theirs);
        let mut ratios: Vec<f64> = pairs
            .map(|(ours, theirs)| ours[index] / theirs[index])
            .collect();
        ratios.sort_by(f64::total_cmp);
        match ratios.get(ratios.len() / 2) {
            Some(ratio) => println!(
                "{name:<34}{:>12.1}{:>14.1}{ratio:>8.2}",
                best(ours),
                best(theirs)
            ),
            None => println!("{name:<34}{:>12.1}", best(ours)),
        }
    }
}

/// A conversation on both engines: what each turn finds in the cache, and the time to its first token.
fn converse(without: &Embedded, with: &Embedded) -> Result<(), Failure> {
    println!(
        "\n{:<8}{:>14}{:>14}{:>20}{:>20}",
        "turn", "prompt tokens", "kept tokens", "first token, ms", "nothing kept, ms"
    );
    let mut said = "You are a patient guide through an old town. ".repeat(24);
    for turn in 1..=TURNS {
        said.push_str(
            "\nVisitor: and what do we see on the left, behind the second bridge?\nGuide:",
        );
        let cold = without.turn(&said)?;
        let warm = with.turn(&said)?;
        println!(
            "{turn:<8}{:>14}{:>14}{:>20.1}{:>20.1}",
            warm.prompt_tokens, warm.cached_tokens, warm.first_token_ms, cold.first_token_ms
        );
        said.push_str(&warm.text);
    }
    Ok(())
}

/// What a turn of a conversation took.
struct Turn {
    prompt_tokens: u32,
    cached_tokens: u32,
    first_token_ms: f64,
    text: String,
}

/// One round, in the order of the table.
fn measure(subject: &impl Subject, round: i32) -> Result<[f64; 3], Failure> {
    let long = prompt(round * 100, PROMPT_TOKENS);
    let short = prompt(round * 100 + 50, 8);
    let reading = timed(|| subject.generate(&long, 1))?;
    let writing = timed(|| subject.generate(&short, ANSWER_TOKENS))?;
    let together = timed(|| all_streams(subject, round))?;
    #[expect(clippy::cast_precision_loss, reason = "small numbers")]
    let rates = [
        f64::from(PROMPT_TOKENS) / reading,
        ANSWER_TOKENS as f64 / writing,
        (ANSWER_TOKENS * STREAMS as u64) as f64 / together,
    ];
    Ok(rates)
}

fn all_streams(subject: &impl Subject, round: i32) -> Result<(), Failure> {
    std::thread::scope(|scope| {
        let streams: Vec<_> = (0..i32::try_from(STREAMS)?)
            .map(|stream| {
                let prompt = prompt(round * 100 + 60 + stream, 8);
                scope.spawn(move || subject.generate(&prompt, ANSWER_TOKENS))
            })
            .collect();
        for stream in streams {
            stream.join().map_err(|_| "a stream panicked")??;
        }
        Ok(())
    })
}

fn timed(work: impl FnOnce() -> Result<(), Failure>) -> Result<f64, Failure> {
    let start = Instant::now();
    work()?;
    Ok(start.elapsed().as_secs_f64())
}

/// Tokens without a meaning, other ones for every seed, so that no cache helps.
fn prompt(seed: i32, length: i32) -> Vec<i32> {
    (0..length)
        .map(|index| 100 + (seed * 7_919 + index * 31) % 20_000)
        .collect()
}

struct Embedded(Engine);

impl Embedded {
    /// One turn of a conversation, of which everything is sent.
    fn turn(&self, said: &str) -> Result<Turn, Failure> {
        let mut request = GenerateRequest::new(Prompt::Text(said.to_owned()));
        request.max_tokens = Some(TURN_TOKENS);
        request.sampling.temperature = Some(0.0);
        request.sampling.logit_bias = BTreeMap::from(END_TOKENS.map(|token| (token, -100.0)));
        let begun = Instant::now();
        let mut generation = self.0.generate(&request)?;
        let mut turn = Turn {
            prompt_tokens: 0,
            cached_tokens: 0,
            first_token_ms: 0.0,
            text: String::new(),
        };
        while let Some(output) = generation.blocking_next() {
            match output {
                Output::Started {
                    prompt_tokens,
                    cached_tokens,
                } => (turn.prompt_tokens, turn.cached_tokens) = (prompt_tokens, cached_tokens),
                Output::Text { text, .. } => {
                    if turn.text.is_empty() {
                        turn.first_token_ms = begun.elapsed().as_secs_f64() * 1e3;
                    }
                    turn.text.push_str(&text);
                }
                Output::Done(_) => return Ok(turn),
                Output::Failed(error) => return Err(error.into()),
                Output::Finished { .. } => {}
            }
        }
        Err("the engine ended".into())
    }
}

impl Subject for Embedded {
    fn generate(&self, prompt: &[i32], count: u64) -> Result<(), Failure> {
        let mut request = GenerateRequest::new(Prompt::Tokens(prompt.to_vec()));
        request.max_tokens = Some(count);
        request.sampling.temperature = Some(0.0);
        request.sampling.logit_bias = BTreeMap::from(END_TOKENS.map(|token| (token, -100.0)));
        let mut generation = self.0.generate(&request)?;
        while let Some(output) = generation.blocking_next() {
            match output {
                Output::Done(counts) if u64::from(counts.completion) == count => return Ok(()),
                Output::Done(counts) => return Err(format!("it ended early: {counts:?}").into()),
                Output::Failed(error) => return Err(error.into()),
                _ => {}
            }
        }
        Err("the engine ended".into())
    }
}

struct Server {
    process: Child,
    address: SocketAddr,
}

impl Server {
    fn start(program: &PathBuf, options: &Options) -> Result<Self, Failure> {
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let threads = options.threads.to_string();
        let process = Command::new(program)
            .args(["--host", "127.0.0.1", "-ngl", "0", "--no-webui", "-np"])
            .arg(STREAMS.to_string())
            .args([
                "-t",
                &threads,
                "-tb",
                &threads,
                "--port",
                &address.port().to_string(),
            ])
            .args(["-c", &(CONTEXT_TOKENS * 2).to_string(), "-m"])
            .arg(&options.model)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let mut server = Self { process, address };
        let patience = Instant::now() + Duration::from_secs(120);
        while !server
            .exchange("GET /health HTTP/1.1\r\n", "")
            .is_ok_and(|(status, _)| status == 200)
        {
            if server.process.try_wait()?.is_some() || Instant::now() > patience {
                return Err("llama-server did not start".into());
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        Ok(server)
    }

    fn exchange(&self, head: &str, body: &str) -> Result<(u16, String), Failure> {
        let mut stream = TcpStream::connect(self.address)?;
        write!(
            stream,
            "{head}Host: {}\r\nConnection: close\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\n\r\n{body}",
            self.address,
            body.len()
        )?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        let (head, body) = answer.split_once("\r\n\r\n").ok_or("no HTTP answer")?;
        let status = head.split(' ').nth(1).ok_or("no status")?.parse()?;
        Ok((status, body.to_owned()))
    }
}

impl Subject for Server {
    fn generate(&self, prompt: &[i32], count: u64) -> Result<(), Failure> {
        let body = json!({
            "prompt": prompt,
            "n_predict": count,
            "temperature": 0,
            "ignore_eos": true,
            "cache_prompt": false,
            "stream": false,
        });
        let (status, body) = self.exchange("POST /completion HTTP/1.1\r\n", &body.to_string())?;
        let start = body.find('{').ok_or("no JSON")?;
        let end = body.rfind('}').ok_or("no JSON")?;
        let value: Value = serde_json::from_str(&body[start..=end])?;
        if status != 200 || value["tokens_predicted"] != count {
            return Err(format!("llama-server answered {status}").into());
        }
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn options() -> Result<Options, Failure> {
    let mut options = Options {
        model: PathBuf::new(),
        threads: std::thread::available_parallelism()?,
        server: None,
        rounds: 3,
    };
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut value = || {
            arguments
                .next()
                .ok_or_else(|| format!("{argument} needs a value"))
        };
        match argument.as_str() {
            "--threads" => options.threads = value()?.parse()?,
            "--server" => options.server = Some(value()?.into()),
            "--rounds" => options.rounds = value()?.parse()?,
            _ => options.model = argument.into(),
        }
    }
    if !options.model.is_file() {
        return Err("name a GGUF file: engine_bench MODEL.gguf [--server llama-server]".into());
    }
    Ok(options)
}
