//! Voices a test can tell apart: sines written to WAV files, and which one a recording holds.

use std::f64::consts::TAU;
use std::fs;
use std::path::Path;

/// What G.711 carries.
const RATE_HZ: u32 = 8000;
const AMPLITUDE: f64 = 9000.0;

/// Writes `seconds` of a sine of `hz` as a mono WAV file of 16 bit samples.
pub fn write_tone(path: &Path, hz: u32, seconds: u32) {
    let step = TAU * f64::from(hz) / f64::from(RATE_HZ);
    let one_second: Vec<u8> = (0..RATE_HZ).map(|n| (AMPLITUDE * (step * f64::from(n)).sin()) as i16).flat_map(i16::to_le_bytes).collect();
    let data = one_second.repeat(seconds as usize);
    let mut file = header(u32::try_from(data.len()).expect("a short tone"));
    file.extend(data);
    fs::write(path, file).unwrap_or_else(|error| panic!("{} cannot be written: {error}", path.display()));
}

fn header(data_bytes: u32) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(44);
    bytes.extend(b"RIFF");
    bytes.extend((data_bytes + 36).to_le_bytes());
    bytes.extend(b"WAVEfmt \x10\0\0\0\x01\0\x01\0");
    bytes.extend(RATE_HZ.to_le_bytes());
    bytes.extend((RATE_HZ * 2).to_le_bytes());
    bytes.extend(b"\x02\0\x10\0data");
    bytes.extend(data_bytes.to_le_bytes());
    bytes
}

/// What a recording holds.
#[derive(Clone, Copy, Debug)]
pub struct Heard {
    /// The strongest frequency between 200 and 2000 Hz.
    pub hz: u32,
    /// How loud: root mean square of the samples, 0 to 32767.
    pub loudness: u32,
    /// How much was recorded.
    pub seconds: f64,
}

impl Heard {
    /// Listens to the second that begins at a third of the recording: past the start of the call, before its end.
    ///
    /// Works on a file that is still being written, whose header is therefore wrong about the length.
    pub fn in_file(path: &Path) -> Option<Self> {
        let bytes = fs::read(path).ok()?;
        let (rate, channels, data) = samples_of(&bytes)?;
        let voice: Vec<f64> = data.chunks_exact(2 * channels).map(|frame| f64::from(i16::from_le_bytes([frame[0], frame[1]]))).collect();
        let start = voice.len() / 3;
        let part = &voice[start..(start + rate as usize).min(voice.len())];
        if part.is_empty() {
            return None;
        }
        let power: f64 = part.iter().map(|sample| sample * sample).sum();
        Some(Self {
            hz: strongest(part, rate),
            loudness: (power / part.len() as f64).sqrt() as u32,
            seconds: voice.len() as f64 / f64::from(rate),
        })
    }

    /// Is this the voice that was sent as a sine of `hz`?
    pub fn is_tone(&self, hz: u32) -> bool {
        self.hz.abs_diff(hz) <= 20 && self.loudness > 500
    }
}

/// Sample rate, channels and the data chunk of a WAV file of 16 bit samples.
fn samples_of(bytes: &[u8]) -> Option<(u32, usize, &[u8])> {
    let (mut at, mut rate, mut channels) = (12, RATE_HZ, 1);
    loop {
        let length = u32::from_le_bytes(bytes.get(at + 4..at + 8)?.try_into().ok()?) as usize;
        match bytes.get(at..at + 4)? {
            b"fmt " => {
                channels = usize::from(u16::from_le_bytes(bytes.get(at + 10..at + 12)?.try_into().ok()?)).max(1);
                rate = u32::from_le_bytes(bytes.get(at + 12..at + 16)?.try_into().ok()?);
            }
            // To the end of the file, whatever the length says: it is filled in when the recording ends.
            b"data" => return Some((rate, channels, bytes.get(at + 8..)?)),
            _ => {}
        }
        at += 8 + length + length % 2;
    }
}

fn strongest(samples: &[f64], rate: u32) -> u32 {
    let power = |hz: u32| goertzel(samples, f64::from(hz) / f64::from(rate));
    (200..=2000).step_by(20).max_by(|a, b| power(*a).total_cmp(&power(*b))).expect("the range is not empty")
}

/// Goertzel's filter: the power of one frequency (as a fraction of the sample rate) in the samples.
fn goertzel(samples: &[f64], fraction: f64) -> f64 {
    let coefficient = 2.0 * (TAU * fraction).cos();
    let (last, before) = samples.iter().fold((0.0, 0.0), |(last, before), sample| (sample + coefficient * last - before, last));
    last * last + before * before - coefficient * last * before
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(hz: u32) {
        let path = std::env::temp_dir().join(format!("interop-tone-{}-{hz}.wav", std::process::id()));
        write_tone(&path, hz, 2);
        let heard = Heard::in_file(&path);
        let _ = fs::remove_file(&path);
        let heard = heard.expect("a voice");
        assert!(heard.is_tone(hz) && !heard.is_tone(hz + 100), "{heard:?}");
        assert!((heard.seconds - 2.0).abs() < 0.01);
    }

    #[test]
    fn a_tone_is_recognised_and_told_from_others() {
        check(440);
        check(1000);
        check(1960);
    }

    #[test]
    fn silence_is_no_tone() {
        assert!(!Heard { hz: 440, loudness: 3, seconds: 2.0 }.is_tone(440));
    }
}
