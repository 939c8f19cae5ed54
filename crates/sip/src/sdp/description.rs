//! One session description (RFC 8866): does every live medium in it travel encrypted?

use super::{DESCRIPTION_BYTES_MAX, DESCRIPTION_LINES_MAX, Unprotected, keys};
use crate::chars::trim;

/// What protects the media of one profile.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Profile {
    /// SRTP: keys from `a=crypto` (RFC 4568) or from DTLS (RFC 5764).
    Srtp,
    /// Inside TLS or DTLS: the certificate's fingerprint is the key (RFC 8122).
    Tls,
    /// Nothing.
    Clear,
}

/// What the attributes of the session, or of one medium, offer for protection.
#[derive(Clone, Copy, Default)]
struct Keys {
    crypto: bool,
    fingerprint: bool,
}

struct Medium {
    profile: Profile,
    /// Port 0 switches a medium off (RFC 3264 §5.1).
    port_is_zero: bool,
    /// With port 0 it nevertheless lives in its bundle (RFC 9143 §6).
    bundle_only: bool,
    keys: Keys,
}

/// Judges one description; the number of its `m=` lines.
pub(super) fn check(text: &[u8]) -> Result<usize, Unprotected> {
    if text.len() > DESCRIPTION_BYTES_MAX || memchr::memchr(0, text).is_some() {
        return Err(Unprotected::Unreadable);
    }
    let mut session = Keys::default();
    let mut medium: Option<Medium> = None;
    let (mut begun, mut media, mut lines) = (false, 0, 0);
    for line in text.split(|b| *b == b'\n') {
        lines += 1;
        let Some((kind, value)) = typed(line)? else { continue };
        match kind {
            _ if lines > DESCRIPTION_LINES_MAX => return Err(Unprotected::Unreadable),
            // A second one is a second session: which of them counts, nobody can say.
            'v' if begun || value != "0" => return Err(Unprotected::Unreadable),
            'v' => begun = true,
            _ if !begun => return Err(Unprotected::Unreadable),
            'm' => {
                judge(medium.replace(read_medium(value)?), session)?;
                media += 1;
            }
            'a' => attribute(value, &mut session, medium.as_mut())?,
            _ => {}
        }
    }
    judge(medium, session)?;
    Ok(media)
}

/// `x=value`; `None` for an empty line. Lines end in LF or CR LF; a CR elsewhere may end a line to others.
fn typed(line: &[u8]) -> Result<Option<(char, &str)>, Unprotected> {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    match line {
        [] => Ok(None),
        [kind @ b'a'..=b'z', b'=', value @ ..] if memchr::memchr(b'\r', value).is_none() => {
            // Names of sessions may be in any character set; nothing that is judged here is.
            let text = std::str::from_utf8(value);
            let text = if matches!(kind, b'm' | b'a' | b'v') { text.map_err(|_| Unprotected::Unreadable)? } else { text.unwrap_or("") };
            Ok(Some((char::from(*kind), text)))
        }
        _ => Err(Unprotected::Unreadable),
    }
}

/// `<media> <port>["/" <count>] <proto> <fmt> ...` (RFC 8866 §5.14).
fn read_medium(value: &str) -> Result<Medium, Unprotected> {
    let mut words = value.split([' ', '\t']).filter(|word| !word.is_empty());
    let (Some(_), Some(port), Some(proto)) = (words.next(), words.next(), words.next()) else { return Err(Unprotected::Unreadable) };
    let (port, count) = port.split_once('/').unwrap_or((port, "1"));
    let port = number(port).ok_or(Unprotected::Unreadable)?;
    number(count).ok_or(Unprotected::Unreadable)?;
    Ok(Medium { profile: profile(proto), port_is_zero: port == 0, bundle_only: false, keys: Keys::default() })
}

fn number(digits: &str) -> Option<u16> {
    let is_number = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    digits.parse().ok().filter(|_| is_number)
}

/// The protection that a transport protocol stands for. What is not known to protect does not.
fn profile(proto: &str) -> Profile {
    const SRTP: [&str; 2] = ["RTP/SAVP", "RTP/SAVPF"];
    const TLS: [&str; 9] = [
        "UDP/TLS/RTP/SAVP",
        "UDP/TLS/RTP/SAVPF",
        "TCP/DTLS/RTP/SAVP",
        "TCP/DTLS/RTP/SAVPF",
        "UDP/DTLS/SCTP",
        "TCP/DTLS/SCTP",
        "DTLS/SCTP",
        "TCP/TLS",
        "UDP/TLS",
    ];
    let is_one_of = |known: &[&str]| known.iter().any(|k| k.eq_ignore_ascii_case(proto));
    let under = |prefix: &str| proto.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix));
    if is_one_of(&SRTP) {
        Profile::Srtp
    } else if is_one_of(&TLS) || under("TCP/TLS/") || (under("UDP/TLS/") && !under("UDP/TLS/RTP/")) {
        // DTLS keys RTP, but does not carry it: of UDP/TLS/RTP only the SRTP profiles protect (RFC 5764).
        Profile::Tls
    } else {
        Profile::Clear
    }
}

fn attribute(value: &str, session: &mut Keys, medium: Option<&mut Medium>) -> Result<(), Unprotected> {
    let (name, value) = value.split_once(':').unwrap_or((value, ""));
    let name = trim(name);
    let is = |known: &str| name.eq_ignore_ascii_case(known);
    if is("crypto") {
        let usable = keys::crypto(value)?;
        // RFC 4568 §4: a key is a medium's own.
        if let Some(medium) = medium {
            medium.keys.crypto |= usable;
        }
    } else if is("fingerprint") {
        let keys = medium.map_or(session, |medium| &mut medium.keys);
        keys.fingerprint |= keys::fingerprint(value);
    } else if is("bundle-only") {
        if let Some(medium) = medium {
            medium.bundle_only = true;
        }
    } else if is("tcap") {
        // RFC 5939: other transports that the answer may choose instead of the one in the m= line.
        capabilities(value)?;
    } else if is("acap") {
        let (_, attribute) = value.trim_start_matches([' ', '\t']).split_once([' ', '\t']).unwrap_or_default();
        if let Some((name, value)) = attribute.split_once(':')
            && trim(name).eq_ignore_ascii_case("crypto")
        {
            keys::crypto(value)?;
        }
    }
    Ok(())
}

fn capabilities(value: &str) -> Result<(), Unprotected> {
    let protos = value.split([' ', '\t']).filter(|word| !word.is_empty()).skip(1);
    match protos.map(profile).find(|profile| *profile == Profile::Clear) {
        Some(_) => Err(Unprotected::ClearMedia),
        None => Ok(()),
    }
}

/// Whether a medium, now that all its lines are read, travels encrypted.
fn judge(medium: Option<Medium>, session: Keys) -> Result<(), Unprotected> {
    let Some(medium) = medium else { return Ok(()) };
    if medium.port_is_zero && !medium.bundle_only {
        return Ok(());
    }
    let fingerprint = medium.keys.fingerprint || session.fingerprint;
    match medium.profile {
        Profile::Srtp if medium.keys.crypto || fingerprint => Ok(()),
        Profile::Tls if fingerprint => Ok(()),
        Profile::Srtp | Profile::Tls => Err(Unprotected::NoKey),
        Profile::Clear => Err(Unprotected::ClearMedia),
    }
}
