//! One gateway, its upstreams, and what it held before anything happened.

use std::path::PathBuf;
use std::process::Command;

use freehold_testkit::{FakeUpstream, RequestRecord};
use tokio::task::JoinSet;

use crate::client::{Ask, Asked, Surface};
use crate::gateway::Gateway;
use crate::process::{Bounds, Holds, command, config, eventually, holds};
use crate::situations::Situation;

pub(crate) const KEY: &str = "fh-chaos-5Tg7Yh2Uj9Ik4Ol1";

/// A small disk of its own, where the machine lets us have one.
pub(crate) struct SmallDisk(PathBuf);

impl SmallDisk {
    fn mount(at: PathBuf, mib: u32) -> Option<Self> {
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={mib}m"), "chaos"])
            .arg(&at)
            .output();
        let is_there = mounted.is_ok_and(|output| output.status.success());
        is_there.then_some(Self(at))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

pub(crate) struct World {
    pub(crate) dice: fastrand::Rng,
    pub(crate) gateway: Gateway,
    /// Two of OpenAI's kind, one of Anthropic's.
    pub(crate) upstreams: [Option<FakeUpstream>; 3],
    /// What upstreams had counted before they went.
    pub(crate) gone: Vec<RequestRecord>,
    /// What the gateway held when it had answered a few requests.
    pub(crate) base: Holds,
    pub(crate) bounds: Bounds,
    pub(crate) disk: Option<SmallDisk>,
    pub(crate) home: tempfile::TempDir,
    named: usize,
}

impl World {
    pub(crate) async fn new(situation: Situation, dice: fastrand::Rng) -> Self {
        let home = tempfile::tempdir().unwrap();
        let state = home.path().join("state");
        std::fs::create_dir(&state).unwrap();
        let mut bounds = situation.bounds();
        let disk = match situation {
            Situation::FullDisk => SmallDisk::mount(state, 24),
            _ => None,
        };
        if disk.is_some() {
            bounds.file_bytes = None;
        }
        let mut upstreams = vec![];
        for _ in 0..3 {
            upstreams.push(Some(FakeUpstream::start().await.unwrap()));
        }
        let Ok(upstreams) = <[_; 3]>::try_from(upstreams) else {
            panic!("there are three");
        };
        let urls: Vec<_> = upstreams.iter().flatten().map(FakeUpstream::url).collect();
        let config = config([&urls[0], &urls[1]], &urls[2]);
        std::fs::write(home.path().join("freehold.yaml"), config.to_string()).unwrap();
        let gateway = Gateway::start(command(home.path(), bounds));
        let base = Holds {
            files: 0,
            tasks: 0.0,
            resident_mib: 0,
        };
        let mut world = Self {
            dice,
            gateway,
            upstreams,
            gone: vec![],
            base,
            bounds,
            disk,
            home,
            named: 0,
        };
        world.serves(true).await;
        world.base = holds(&world.gateway).await.unwrap();
        world
    }

    /// A name that no other request has.
    pub(crate) fn name(&mut self) -> String {
        self.named += 1;
        format!("chaos-{}-", self.named)
    }

    pub(crate) fn draw(&mut self) -> Ask {
        let name = self.name();
        Ask::draw(name, &mut self.dice)
    }

    /// All of them at once; whoever speaks the same protocol shares a client.
    pub(crate) async fn storm(&self, asks: Vec<Ask>) -> Vec<Asked> {
        let mut storm = JoinSet::new();
        let client = client();
        for ask in asks {
            let (client, url) = (client.clone(), self.gateway.url.clone());
            storm.spawn(async move { ask.go(&client, &url).await });
        }
        storm.join_all().await
    }

    /// As [`World::storm`], so many at a time.
    pub(crate) async fn load(&self, asks: Vec<Ask>, at_once: usize) -> Vec<Asked> {
        let mut asked = vec![];
        let mut asks = asks.into_iter().peekable();
        while asks.peek().is_some() {
            asked.extend(self.storm(asks.by_ref().take(at_once).collect()).await);
        }
        asked
    }

    /// Asks on every surface until each answers whole: the gateway serves.
    pub(crate) async fn serves(&mut self, warm: bool) -> Vec<Asked> {
        let mut all = vec![];
        let client = client();
        for surface in Surface::ALL {
            for stream in [false, true] {
                let url = self.gateway.url.clone();
                let mut tries = 0;
                eventually("serves", async || {
                    tries += 1;
                    let name = self.name();
                    let asked = Ask::plain(name, surface, stream).go(&client, &url).await;
                    let seen = format!("{:?}", asked.end);
                    let whole = asked.words == 25 || !stream;
                    let fine = asked.end == crate::client::End::Whole && whole;
                    all.push(asked);
                    assert!(!warm || fine, "{seen}");
                    if fine { Ok(()) } else { Err(seen) }
                })
                .await;
            }
        }
        all
    }

    pub(crate) fn upstream(&self, number: usize) -> &FakeUpstream {
        self.upstreams[number].as_ref().unwrap()
    }

    /// An upstream goes; its address stays free.
    pub(crate) fn take_away(&mut self, number: usize) -> std::net::SocketAddr {
        let upstream = self.upstreams[number].take().unwrap();
        self.gone.extend(upstream.requests());
        upstream.address()
    }

    /// It comes back where it was.
    pub(crate) async fn bring_back(&mut self, number: usize, address: std::net::SocketAddr) {
        let back = eventually("the address is free", async || {
            let builder = FakeUpstream::builder().address(address);
            builder.start().await.map_err(|error| error.to_string())
        });
        self.upstreams[number] = Some(back.await);
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.home.path().join("log")).unwrap_or_default()
    }
}

/// A client that gives every connection back.
pub(crate) fn client() -> reqwest::Client {
    let builder = reqwest::Client::builder().no_proxy();
    builder.build().unwrap()
}
