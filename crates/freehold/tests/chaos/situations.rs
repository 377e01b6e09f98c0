//! What goes wrong.

use std::io::Write as _;
use std::time::Duration;

use freehold_testkit::{Pace, Script};
use tokio::task::{JoinHandle, JoinSet};

use crate::client::{Ask, Asked, Manner, Surface, faults};
use crate::gateway::Gateway;
use crate::process::{Bounds, MODELS, command};
use crate::raw::{self, Words};
use crate::world::{World, client};

/// Requests of one situation.
const REQUESTS: usize = 60;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Situation {
    /// Every fault at every place, on every surface.
    Faults,
    /// Upstreams that are there, and not, and there.
    Flapping,
    /// An upstream is gone, and everybody comes when it is back.
    Herd,
    /// Clients that read slowly, and leave at any moment.
    SlowReaders,
    /// Clients that write slowly, some for ever.
    SlowWriters,
    /// More connections than are taken.
    Flood,
    /// Bodies that are too large, too deep, packed, or endless.
    Bombs,
    /// The gateway is killed under load.
    Kill,
    /// The gateway is told to stop under load.
    Stop,
    /// The machine stands still for a while.
    Pause,
    /// The disk is full, and then it is not.
    FullDisk,
    /// The wall clock jumps, forwards and backwards.
    Clock,
    /// A backend's name leads nowhere.
    Dns,
    /// There are too few file descriptors.
    FewFiles,
}

impl Situation {
    pub(crate) const ALL: [Self; 14] = [
        Self::Faults,
        Self::Flapping,
        Self::Herd,
        Self::SlowReaders,
        Self::SlowWriters,
        Self::Flood,
        Self::Bombs,
        Self::Kill,
        Self::Stop,
        Self::Pause,
        Self::FullDisk,
        Self::Clock,
        Self::Dns,
        Self::FewFiles,
    ];

    pub(crate) fn of(seed: u64) -> Self {
        let at = seed % Self::ALL.len() as u64;
        Self::ALL[usize::try_from(at).unwrap()]
    }

    /// What the program must get by with.
    pub(crate) fn bounds(self) -> Bounds {
        Bounds {
            files: (self == Self::FewFiles).then_some(100),
            file_bytes: (self == Self::FullDisk).then_some(64 * 1_024 * 1_024),
            clock: self == Self::Clock,
        }
    }

    /// Whether a connection may break without any answer.
    pub(crate) fn may_lose_connections(self) -> bool {
        matches!(self, Self::Kill | Self::Stop | Self::FewFiles)
    }

    /// Whether the ledger may be unable to write, so that requests are refused and not sent.
    pub(crate) fn may_fail_to_record(self) -> bool {
        self == Self::FullDisk
    }

    pub(crate) async fn happen(self, world: &mut World) -> Vec<Asked> {
        match self {
            Self::Faults => faulty(world).await,
            Self::Flapping => flapping(world).await,
            Self::Herd => herd(world).await,
            Self::SlowReaders => slow_readers(world).await,
            Self::SlowWriters => slow_writers(world).await,
            Self::Flood => flood(world).await,
            Self::Bombs => bombs(world).await,
            Self::Kill => killed(world).await,
            Self::Stop => stopped(world).await,
            Self::Pause => paused(world).await,
            Self::FullDisk => full_disk(world).await,
            Self::Clock => clock_jumps(world).await,
            Self::Dns => astray(world).await,
            Self::FewFiles => few_files(world).await,
        }
    }
}

fn asks(world: &mut World, many: usize) -> Vec<Ask> {
    (0..many).map(|_| world.draw()).collect()
}

async fn faulty(world: &mut World) -> Vec<Asked> {
    let faults = faults();
    let mut asks = asks(world, REQUESTS);
    for (number, ask) in asks.iter_mut().enumerate() {
        // Whether the gateway serves is asked of the first, which nobody may tell to wait.
        ask.model = 1 + number % (MODELS - 1);
        ask.script.fault = Some(faults[world.dice.usize(0..faults.len())].clone());
    }
    let at_once = world.dice.usize(30..=REQUESTS);
    world.load(asks, at_once).await
}

async fn flapping(world: &mut World) -> Vec<Asked> {
    let mut asked = vec![];
    for _ in 0..4 {
        // The next comers get these.
        for number in 0..3 {
            for _ in 0..world.dice.usize(0..12) {
                let script = match world.dice.u8(0..4) {
                    0 => Script::status(503),
                    1 => Script::rate_limited(world.dice.u64(0..3)),
                    2 => Script::fault(freehold_testkit::Fault::ResetBeforeHeaders),
                    _ => Script::tokens(3),
                };
                world.upstream(number).push(script);
            }
        }
        let mut asks = asks(world, REQUESTS / 4);
        for ask in &mut asks {
            // Scripts in a message win over those that wait.
            ask.script = Script::default();
        }
        asked.extend(world.storm(asks).await);
    }
    asked
}

async fn herd(world: &mut World) -> Vec<Asked> {
    let number = world.dice.usize(0..3);
    let address = world.take_away(number);
    let first = asks(world, REQUESTS);
    let mut asked = world.storm(first).await;
    world.bring_back(number, address).await;
    let all = asks(world, 3 * REQUESTS);
    asked.extend(world.storm(all).await);
    asked
}

fn unsteady(ask: &mut Ask, dice: &mut fastrand::Rng) {
    ask.script.tokens = Some(dice.usize(20..200));
    ask.manner = match dice.u8(0..4) {
        0 => Manner::LeavesAt(dice.usize(0..20)),
        1 => Manner::LeavesAfter(dice.u64(0..300)),
        2 => Manner::Slow(dice.u64(1..40)),
        _ => Manner::Patient,
    };
}

async fn slow_readers(world: &mut World) -> Vec<Asked> {
    let mut asks = asks(world, REQUESTS);
    for ask in &mut asks {
        unsteady(ask, &mut world.dice);
        // More than any buffer on the way holds.
        if world.dice.u8(0..6) == 0 {
            ask.script.tokens = Some(30_000);
            ask.stream = true;
            ask.manner = Manner::LeavesAfter(world.dice.u64(100..3_000));
        }
    }
    world.storm(asks).await
}

/// Says all of it at the same time; everybody must be let go.
async fn say_all(world: &World, all: Vec<Words>) -> Vec<raw::Heard> {
    let mut saying = JoinSet::new();
    for words in all {
        saying.spawn(raw::say(raw::address(&world.gateway.url), words));
    }
    let heard = saying.join_all().await;
    let held = heard.iter().filter(|heard| !heard.closed).count();
    assert_eq!(held, 0, "connections that nobody closes");
    heard
}

async fn slow_writers(world: &mut World) -> Vec<Asked> {
    let mut all = vec![];
    for _ in 0..20 {
        let name = format!("crawling-{}", world.dice.u32(..));
        let surface = Surface::ALL[world.dice.usize(0..3)];
        let bytes = raw::request(&Ask::plain(name, surface, world.dice.bool()));
        let (pieces, pause_ms) = if world.dice.bool() {
            // Slow, but done within the second.
            (5, 100)
        } else {
            (200, world.dice.u64(50..2_000))
        };
        let length = bytes.len().div_ceil(pieces);
        all.push(Words {
            pieces: bytes.chunks(length).map(<[u8]>::to_vec).collect(),
            pause: Duration::from_millis(pause_ms),
        });
    }
    let asks = asks(world, REQUESTS / 2);
    let (asked, heard) = tokio::join!(world.storm(asks), say_all(world, all));
    let odd = heard.iter().find(|heard| {
        let status = heard.status();
        !matches!(status, None | Some(200 | 400 | 408))
    });
    assert!(odd.is_none(), "{odd:?}");
    let served = heard.iter().filter(|heard| heard.status() == Some(200));
    assert!(served.count() > 0, "{heard:?}");
    asked
}

async fn flood(world: &mut World) -> Vec<Asked> {
    let silent = Words {
        pieces: vec![b"POST /v1/chat".to_vec()],
        pause: Duration::ZERO,
    };
    let all = vec![silent; 500];
    let asks = asks(world, REQUESTS / 2);
    let (asked, _) = tokio::join!(world.storm(asks), say_all(world, all));
    asked
}

fn bomb(dice: &mut fastrand::Rng) -> Vec<Vec<u8>> {
    let path = Surface::ALL[dice.usize(0..3)].path();
    let head = |headers: &str| raw::head(path, headers).into_bytes();
    let sized = |body: Vec<u8>, headers: &str| {
        let length = format!("{headers}content-length: {}\r\n", body.len());
        vec![head(&length), body]
    };
    match dice.u8(0..7) {
        // Larger than is taken, announced and not.
        0 => vec![head("content-length: 40000000\r\n"), vec![b' '; 1_000]],
        1 => {
            let mut pieces = vec![head("transfer-encoding: chunked\r\n")];
            let chunk = [
                b"10000\r\n".to_vec(),
                vec![b'['; 0x1_0000],
                b"\r\n".to_vec(),
            ]
            .concat();
            pieces.extend(vec![chunk; 64]);
            pieces
        }
        // Deep.
        2 => sized(vec![b'['; 900_000], ""),
        3 => sized(br#"{"a":"#.repeat(100_000), ""),
        // A gzip member of a thousand zeros, and no gzip at all.
        4 => sized(
            vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3],
            "content-encoding: gzip\r\n",
        ),
        // One name with a megabyte of value.
        5 => vec![head(&format!("x-long: {}\r\n", "y".repeat(1_000_000)))],
        _ => {
            let many = r#"{"role":"user","content":""},"#.repeat(30_000);
            let body = format!(r#"{{"model":"any","messages":[{many}{{}}]}}"#);
            sized(body.into_bytes(), "")
        }
    }
}

async fn bombs(world: &mut World) -> Vec<Asked> {
    let all = (0..60).map(|_| Words {
        pieces: bomb(&mut world.dice),
        pause: Duration::ZERO,
    });
    let all = all.collect();
    let asks = asks(world, REQUESTS / 2);
    let (asked, heard) = tokio::join!(world.storm(asks), say_all(world, all));
    let taken = heard.iter().find(|heard| {
        let status = heard.status();
        status.is_some_and(|status| !(400..500).contains(&status))
    });
    assert!(taken.is_none(), "{taken:?}");
    asked
}

/// A storm that goes on while something is done to the gateway.
fn meanwhile(world: &mut World, many: usize) -> JoinHandle<Vec<Asked>> {
    let mut asks = asks(world, many);
    for ask in &mut asks {
        ask.script.pace.inter_token_ms = world.dice.u64(0..40);
    }
    let url = world.gateway.url.clone();
    let mut later = world.dice.clone();
    tokio::spawn(async move {
        let mut storm = JoinSet::new();
        let client = client();
        for ask in asks {
            let (client, url) = (client.clone(), url.clone());
            let comes = Duration::from_millis(later.u64(0..600));
            storm.spawn(async move {
                tokio::time::sleep(comes).await;
                ask.go(&client, &url).await
            });
        }
        storm.join_all().await
    })
}

async fn a_moment(world: &mut World) {
    let moment = Duration::from_millis(world.dice.u64(200..1_000));
    tokio::time::sleep(moment).await;
}

fn restart(world: &mut World) {
    world.gateway = Gateway::start(command(world.home.path(), world.bounds));
}

async fn killed(world: &mut World) -> Vec<Asked> {
    let mut asked = vec![];
    for _ in 0..2 {
        let storm = meanwhile(world, REQUESTS);
        a_moment(world).await;
        world.gateway.kill();
        asked.extend(storm.await.unwrap());
        restart(world);
    }
    asked
}

async fn stopped(world: &mut World) -> Vec<Asked> {
    let storm = meanwhile(world, REQUESTS);
    a_moment(world).await;
    tokio::task::block_in_place(|| world.gateway.terminate());
    let asked = storm.await.unwrap();
    restart(world);
    asked
}

async fn paused(world: &mut World) -> Vec<Asked> {
    let storm = meanwhile(world, REQUESTS);
    for _ in 0..3 {
        a_moment(world).await;
        world.gateway.signal("STOP");
        a_moment(world).await;
        world.gateway.signal("CONT");
    }
    storm.await.unwrap()
}

async fn full_disk(world: &mut World) -> Vec<Asked> {
    let first = asks(world, REQUESTS / 3);
    let mut asked = world.storm(first).await;
    let filler = world.home.path().join("state").join("filler");
    if world.disk.is_some() {
        let mut file = std::fs::File::create(&filler).unwrap();
        while file.write_all(&[0; 4_096]).is_ok() {}
    } else {
        set_file_limit(world, "4096");
    }
    for _ in 0..3 {
        let during = asks(world, REQUESTS / 3);
        asked.extend(world.storm(during).await);
    }
    if world.disk.is_some() {
        std::fs::remove_file(&filler).unwrap();
    } else {
        set_file_limit(world, "unlimited");
    }
    asked
}

fn set_file_limit(world: &World, bytes: &str) {
    let set = std::process::Command::new("prlimit")
        .arg(format!("--fsize={bytes}:"))
        .arg(format!("--pid={}", world.gateway.pid()))
        .status();
    assert!(set.unwrap().success());
}

async fn clock_jumps(world: &mut World) -> Vec<Asked> {
    let mut asked = vec![];
    for _ in 0..3 {
        let shift = ["+40d", "-3d", "+1h", "+0", "-400d"][world.dice.usize(0..5)];
        let storm = meanwhile(world, REQUESTS / 4);
        a_moment(world).await;
        std::fs::write(world.home.path().join("clock"), shift).unwrap();
        asked.extend(storm.await.unwrap());
    }
    asked
}

async fn astray(world: &mut World) -> Vec<Asked> {
    let mut asks = asks(world, REQUESTS / 2);
    for ask in &mut asks {
        ask.route = "astray";
        if ask.surface == Surface::Messages {
            ask.surface = Surface::Chat;
        }
    }
    world.load(asks, 15).await
}

async fn few_files(world: &mut World) -> Vec<Asked> {
    let silent = Words {
        pieces: vec![b"GET ".to_vec()],
        pause: Duration::ZERO,
    };
    let mut asks = asks(world, 3 * REQUESTS);
    for ask in &mut asks {
        ask.script.pace = Pace {
            headers_ms: world.dice.u64(0..300),
            ..Pace::default()
        };
    }
    let all = vec![silent; world.dice.usize(0..60)];
    let (asked, _) = tokio::join!(world.storm(asks), say_all(world, all));
    asked
}
