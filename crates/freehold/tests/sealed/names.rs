//! A name server that says one thing first and another later.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, UdpSocket};
use std::path::Path;
use std::sync::{Arc, Mutex};

use crate::namespace;

/// What a name resolves to, one list after the other; the last one stays.
pub(crate) type Zone = BTreeMap<&'static str, Vec<Vec<Ipv4Addr>>>;

pub(crate) struct Names {
    asked: Arc<Mutex<Vec<String>>>,
}

impl Names {
    /// Becomes the namespace's name server.
    pub(crate) fn start(zone: Zone, folder: &Path) -> Self {
        let settings = "nameserver 127.0.0.1\noptions timeout:1 attempts:1\n";
        namespace::replace("/etc/resolv.conf", settings, folder);
        if Path::new("/etc/nsswitch.conf").exists() {
            namespace::replace("/etc/nsswitch.conf", "hosts: files dns\n", folder);
        }
        let socket = UdpSocket::bind(("127.0.0.1", 53)).unwrap();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&asked);
        std::thread::spawn(move || {
            let mut rounds: BTreeMap<String, usize> = BTreeMap::new();
            let mut query = [0; 512];
            while let Ok((length, from)) = socket.recv_from(&mut query) {
                if let Some(reply) = answer(&query[..length], &zone, &mut rounds, &log) {
                    socket.send_to(&reply, from).unwrap();
                }
            }
        });
        Self { asked }
    }

    /// The names that were asked for an IPv4 address, in order.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

/// RFC 1035: the question is repeated, and each address points back to its name.
fn answer(
    query: &[u8],
    zone: &Zone,
    rounds: &mut BTreeMap<String, usize>,
    log: &Mutex<Vec<String>>,
) -> Option<Vec<u8>> {
    const ADDRESS: [u8; 2] = [0, 1];
    let mut labels = Vec::new();
    let mut at = 12;
    loop {
        let length = usize::from(*query.get(at)?);
        at += 1;
        if length == 0 {
            break;
        }
        labels.push(String::from_utf8_lossy(query.get(at..at + length)?).to_lowercase());
        at += length;
    }
    let name = labels.join(".");
    let question = query.get(12..at + 4)?;
    let known = zone.get(name.as_str());
    let mut found: &[Ipv4Addr] = &[];
    if question[question.len() - 4..][..2] == ADDRESS {
        log.lock().unwrap().push(name.clone());
        if let Some(lists) = known {
            let round = rounds.entry(name).or_default();
            found = &lists[(*round).min(lists.len() - 1)];
            *round += 1;
        }
    }
    let mut reply = query[..2].to_vec();
    let code = if known.is_some() { 0x80 } else { 0x83 };
    reply.extend([
        0x81,
        code,
        0,
        1,
        0,
        u8::try_from(found.len()).ok()?,
        0,
        0,
        0,
        0,
    ]);
    reply.extend(question);
    for address in found {
        // Pointer to the name, type A, class IN, no time to live, four bytes.
        reply.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4]);
        reply.extend(address.octets());
    }
    Some(reply)
}
