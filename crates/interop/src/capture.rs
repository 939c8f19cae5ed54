//! What an eavesdropper sees: a capture of everything on loopback, made and taken apart by tshark.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::Command;

use crate::process::{Program, must_run};
use crate::{Baresip, Lab, wait_until};

/// A running capture.
pub struct Capture {
    program: Program,
    file: PathBuf,
    marks: u32,
}

/// Payloads as they crossed the wire.
pub struct Wire {
    /// TCP, one entry a direction of a connection: (source port, destination port), all bytes in the order captured.
    pub tcp: Vec<((u16, u16), Vec<u8>)>,
    /// UDP, one entry a datagram.
    pub udp: Vec<((u16, u16), Vec<u8>)>,
}

impl Capture {
    /// A port where [`say_in_clear`](Self::say_in_clear) talks to nobody of interest.
    pub const CONTROL_PORT: u16 = 5999;

    /// Starts to capture (all but the strings on which the test leads its phones), and sees to it that packets really arrive in the file.
    pub fn start(lab: &Lab) -> Self {
        let file = lab.path("wire.pcapng");
        let filter = format!("not portrange {}-{}", Baresip::CONTROL_PORTS.start(), Baresip::CONTROL_PORTS.end());
        let mut command = Command::new("tshark");
        let program = Program::start(lab, "tshark", command.args(["-q", "-i", "lo", "-f", &filter, "-w"]).arg(&file));
        let mut capture = Self { program, file, marks: 0 };
        capture.sync();
        capture
    }

    /// Sends `text` over a TCP connection without TLS.
    pub fn say_in_clear(text: &str) {
        let listener = TcpListener::bind(("127.0.0.1", Self::CONTROL_PORT)).expect("the control port is free");
        let mut sender = TcpStream::connect(("127.0.0.1", Self::CONTROL_PORT)).expect("the control port listens");
        let (mut receiver, _) = listener.accept().expect("the control connection comes");
        sender.write_all(text.as_bytes()).expect("a loopback connection takes a line");
        drop(sender);
        receiver.read_to_end(&mut Vec::new()).expect("a loopback connection delivers");
    }

    /// Ends the capture and takes it apart.
    pub fn stop(mut self) -> Wire {
        self.sync();
        self.program.signal("INT");
        self.program.wait_for_end();
        let fields = ["tcp.stream", "tcp.srcport", "tcp.dstport", "tcp.payload", "udp.srcport", "udp.dstport", "udp.payload"];
        let mut command = Command::new("tshark");
        command.arg("-r").arg(&self.file).args(["-n", "-Y", "tcp.len > 0 || udp", "-T", "fields"]);
        command.args(fields.iter().flat_map(|field| ["-e", field]));
        Wire::of(&must_run(command.stderr(std::process::Stdio::null())))
    }

    /// Returns when everything sent before is in the file: a mark is repeated until it is seen there.
    fn sync(&mut self) {
        self.marks += 1;
        let mark = format!("mark {} of this capture", self.marks);
        wait_until("packets in the capture file", || {
            Self::say_in_clear(&mark);
            let bytes = fs::read(&self.file).unwrap_or_default();
            holds(&bytes, mark.as_bytes()).then_some(())
        });
    }
}

impl Wire {
    fn of(lines: &str) -> Self {
        let mut streams: BTreeMap<(String, u16, u16), Vec<u8>> = BTreeMap::new();
        let mut udp = Vec::new();
        for line in lines.lines() {
            let field: Vec<&str> = line.split('\t').collect();
            match field[..] {
                [stream, from, to, payload, "", ..] if !payload.is_empty() => {
                    streams.entry((stream.to_owned(), number(from), number(to))).or_default().extend(bytes_of(payload));
                }
                ["", _, _, _, from, to, payload] => udp.push(((number(from), number(to)), bytes_of(payload))),
                // Not a packet of ours: tshark's own remarks.
                _ => {}
            }
        }
        let tcp = streams.into_iter().map(|((_, from, to), bytes)| ((from, to), bytes)).collect();
        Self { tcp, udp }
    }

    /// The ports between which `text` crossed the wire in clear.
    pub fn in_clear(&self, text: &str) -> Vec<(u16, u16)> {
        let all = self.tcp.iter().chain(&self.udp);
        all.filter(|(_, bytes)| holds(bytes, text.as_bytes())).map(|(ports, _)| *ports).collect()
    }

    /// What follows the header of all RTP packets (RFC 3550 §5.1): version 2, not RTCP, which uses odd ports.
    pub fn media(&self) -> Vec<u8> {
        let is_rtp = |(ports, bytes): &&((u16, u16), Vec<u8>)| ports.1 % 2 == 0 && bytes.len() > 12 && bytes[0] >> 6 == 2;
        self.udp.iter().filter(is_rtp).flat_map(|(_, bytes)| bytes[12..].iter().copied()).collect()
    }
}

/// Bits of entropy a byte: 8 for noise and good ciphertext, 5 or less for a voice in G.711.
pub fn entropy_of(bytes: &[u8]) -> f64 {
    let mut counts = [0_u32; 256];
    bytes.iter().for_each(|byte| counts[usize::from(*byte)] += 1);
    let total = bytes.len() as f64;
    let shares = counts.iter().filter(|count| **count > 0).map(|count| f64::from(*count) / total);
    -shares.map(|share| share * share.log2()).sum::<f64>()
}

fn holds(bytes: &[u8], text: &[u8]) -> bool {
    bytes.windows(text.len()).any(|window| window == text)
}

fn number(field: &str) -> u16 {
    field.parse().unwrap_or_default()
}

/// tshark prints bytes as hexadecimal digits.
fn bytes_of(field: &str) -> Vec<u8> {
    let digits: Vec<u8> = field.bytes().filter(u8::is_ascii_hexdigit).collect();
    let value = |digit: u8| char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok()).unwrap_or_default();
    digits.chunks_exact(2).map(|pair| value(pair[0]) << 4 | value(pair[1])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_voice_is_told_from_ciphertext() {
        let tone: Vec<u8> = (0..20_000_u32).map(|n| ((f64::from(n) * 0.35).sin() * 20.0) as i8 as u8).collect();
        assert!(entropy_of(&tone) < 6.0);
        let mut state = 7_u32;
        let noise: Vec<u8> = std::iter::repeat_with(|| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        })
        .take(20_000)
        .collect();
        assert!(entropy_of(&noise) > 7.9);
    }

    #[test]
    fn text_is_found_across_packets_of_one_direction_only() {
        let wire = Wire::of("0\t1000\t2000\t5349\t\t\t\n0\t2000\t1000\t00\t\t\t\n0\t1000\t2000\t502f\t\t\t\n\t\t\t\t20\t22\t5349502f\n");
        assert_eq!(wire.in_clear("SIP/"), [(1000, 2000), (20, 22)]);
        assert!(wire.in_clear("SIP//").is_empty());
    }
}
