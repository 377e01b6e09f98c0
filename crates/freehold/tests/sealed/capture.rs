//! A way out that leads into a recorder: every packet that would leave the machine is written down.

use std::collections::BTreeSet;
use std::io::Read as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};

use crate::namespace::{ip, try_ip};

/// All protocols, as the kernel wants it: in network order (`ETH_P_ALL`, packet(7)).
const EVERY_PROTOCOL: u16 = 3_u16.to_be();
const ETHERNET_BYTES: usize = 14;

/// Where a packet wanted to go.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Packet {
    pub(crate) to: IpAddr,
    /// Protocol number: 6 is TCP, 17 UDP.
    pub(crate) protocol: u8,
    pub(crate) port: u16,
}

pub(crate) struct Capture {
    packets: Receiver<Packet>,
}

impl Capture {
    /// Lays default routes for IPv4 and IPv6 onto a cable whose other end nobody answers, and records.
    pub(crate) fn start() -> Self {
        // A pair of virtual cards; where the kernel lacks them, a card that swallows everything.
        let pair = [
            "link", "add", "out0", "type", "veth", "peer", "name", "far0",
        ];
        if try_ip(&pair).status.success() {
            ip(&["link", "set", "far0", "up"]);
        } else {
            ip(&["link", "add", "out0", "type", "dummy"]);
        }
        // Without ARP nobody has to answer before packets go out.
        ip(&["link", "set", "out0", "arp", "off", "up"]);
        ip(&["address", "add", "198.51.100.2/24", "dev", "out0"]);
        ip(&["address", "add", "2001:db8:1::2/64", "dev", "out0", "nodad"]);
        ip(&["route", "add", "default", "dev", "out0"]);
        ip(&["-6", "route", "add", "default", "dev", "out0"]);
        let protocol = Some(Protocol::from(i32::from(EVERY_PROTOCOL)));
        let mut socket = Socket::new(Domain::PACKET, Type::RAW, protocol).unwrap();
        let (sender, packets) = channel();
        std::thread::spawn(move || {
            let mut frame = vec![0; 65_536];
            while let Ok(length) = socket.read(&mut frame) {
                if let Some(packet) = parse(&frame[..length])
                    && sender.send(packet).is_err()
                {
                    return;
                }
            }
        });
        let capture = Self { packets };
        // A recorder that records nothing would let every test pass.
        assert_eq!(capture.so_far(), BTreeSet::new());
        capture
    }

    /// What left until now. Ends with two packets of its own, one of each IP, which must have been
    /// seen.
    pub(crate) fn so_far(&self) -> BTreeSet<Packet> {
        let marks: [SocketAddr; 2] = [
            (Ipv4Addr::new(203, 0, 113, 250), 9).into(),
            (Ipv6Addr::new(0x2001, 0xdb8, 9, 0, 0, 0, 0, 0xfa), 9).into(),
        ];
        let mut seen = BTreeSet::new();
        for mark in marks {
            let any: SocketAddr = match mark {
                SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
                SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
            };
            let socket = UdpSocket::bind(any).unwrap();
            socket.send_to(b"mark", mark).unwrap();
            loop {
                let packet = self.packets.recv_timeout(Duration::from_secs(10));
                let packet = packet.expect("what leaves is recorded");
                if packet.to == mark.ip() {
                    break;
                }
                seen.insert(packet);
            }
        }
        // The far end shows the marks a second time.
        seen.retain(|packet| marks.iter().all(|mark| mark.ip() != packet.to));
        seen
    }
}

/// The destination of a frame that is not loopback's and not the kernel's own chatter with its
/// neighbours (ICMPv6, and the hop-by-hop options before it).
fn parse(frame: &[u8]) -> Option<Packet> {
    let (head, packet) = frame.split_at_checked(ETHERNET_BYTES)?;
    if head[..12].iter().all(|byte| *byte == 0) {
        return None;
    }
    let port = |start: usize| match packet.get(start + 2..start + 4) {
        Some([high, low]) => u16::from_be_bytes([*high, *low]),
        _ => 0,
    };
    match packet.first()? >> 4 {
        4 => {
            let to: [u8; 4] = packet.get(16..20)?.try_into().ok()?;
            let length = usize::from(packet[0] & 0x0f) * 4;
            Some(Packet {
                to: IpAddr::from(to),
                protocol: packet[9],
                port: port(length),
            })
        }
        6 if !matches!(packet.get(6)?, 0 | 58) => {
            let to: [u8; 16] = packet.get(24..40)?.try_into().ok()?;
            Some(Packet {
                to: IpAddr::from(to),
                protocol: packet[6],
                port: port(40),
            })
        }
        _ => None,
    }
}
