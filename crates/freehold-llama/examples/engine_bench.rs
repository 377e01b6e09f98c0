//! Measures the embedded engine: reading a prompt, and writing one and eight answers at a time; and,
//! given a `llama-server` program, the same on that, with the same file and threads.
//!
//! `cargo run --release -p freehold-llama --example engine_bench -- MODEL.gguf [--threads 2]
//! [--server path/to/llama-server] [--rounds 3]`
//!
//! Every figure is tokens per second of wall-clock time, as a client sees it; the best of the rounds.
//! The server's figures include a request over loopback HTTP each, a millisecond or so.
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
    let engine = Engine::load(&settings)?;
    println!("model: {}, {} threads", engine.info().name, options.threads);
    let ours = measure(&Embedded(engine), options.rounds)?;
    let theirs = match &options.server {
        None => None,
        Some(program) => Some(measure(&Server::start(program, &options)?, options.rounds)?),
    };
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
        match &theirs {
            Some(theirs) => println!(
                "{name:<34}{:>12.1}{:>14.1}{:>8.2}",
                ours[index],
                theirs[index],
                ours[index] / theirs[index]
            ),
            None => println!("{name:<34}{:>12.1}", ours[index]),
        }
    }
    Ok(())
}

/// The best of the rounds, in the order of the table.
fn measure(subject: &impl Subject, rounds: u32) -> Result<[f64; 3], Failure> {
    subject.generate(&prompt(0, 16), 8)?;
    let mut best = [0.0_f64; 3];
    for round in 1..=i32::try_from(rounds)? {
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
        for (best, rate) in best.iter_mut().zip(rates) {
            *best = best.max(rate);
        }
    }
    Ok(best)
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
