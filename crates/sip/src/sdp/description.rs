//! One session description (RFC 8866): does every live medium in it travel encrypted?

use super::{DESCRIPTION_BYTES_MAX, DESCRIPTION_LINES_MAX, Unprotected, cut, keys, words};
use crate::chars::{is_space, trim_bytes};

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
    // Names of sessions may be in any character set; nothing that is judged here is.
    let is_ascii = text.is_ascii();
    let mut rest = Some(text);
    while let Some(text) = rest {
        lines += 1;
        let line;
        (line, rest) = next_line(text)?;
        let Some((kind, value)) = typed(line)? else { continue };
        match kind {
            _ if lines > DESCRIPTION_LINES_MAX => return Err(Unprotected::Unreadable),
            b'm' | b'a' | b'v' if !is_ascii && std::str::from_utf8(value).is_err() => return Err(Unprotected::Unreadable),
            // A second one is a second session: which of them counts, nobody can say.
            b'v' if begun || value != b"0" => return Err(Unprotected::Unreadable),
            b'v' => begun = true,
            _ if !begun => return Err(Unprotected::Unreadable),
            b'm' => {
                judge(medium.replace(read_medium(value)?), session)?;
                media += 1;
            }
            b'a' => attribute(value, &mut session, medium.as_mut())?,
            _ => {}
        }
    }
    judge(medium, session)?;
    Ok(media)
}

/// Up to LF or CR LF, and what follows, if a line end stood there. A CR elsewhere may end a line to others.
fn next_line(text: &[u8]) -> Result<(&[u8], Option<&[u8]>), Unprotected> {
    let Some(end) = memchr::memchr2(b'\r', b'\n', text) else { return Ok((text, None)) };
    match &text[end..] {
        [b'\n', rest @ ..] | [b'\r', b'\n', rest @ ..] => Ok((&text[..end], Some(rest))),
        [b'\r'] => Ok((&text[..end], None)),
        _ => Err(Unprotected::Unreadable),
    }
}

/// `x=value`; `None` for an empty line.
fn typed(line: &[u8]) -> Result<Option<(u8, &[u8])>, Unprotected> {
    match line {
        [] => Ok(None),
        [kind @ b'a'..=b'z', b'=', value @ ..] => Ok(Some((*kind, value))),
        _ => Err(Unprotected::Unreadable),
    }
}

/// `<media> <port>["/" <count>] <proto> <fmt> ...` (RFC 8866 §5.14).
fn read_medium(value: &[u8]) -> Result<Medium, Unprotected> {
    let mut words = words(value);
    let (Some(_), Some(port), Some(proto)) = (words.next(), words.next(), words.next()) else { return Err(Unprotected::Unreadable) };
    let (port, count) = cut(port, b'/').unwrap_or((port, b"1"));
    let port = number(port).ok_or(Unprotected::Unreadable)?;
    number(count).ok_or(Unprotected::Unreadable)?;
    Ok(Medium { profile: profile(proto), port_is_zero: port == 0, bundle_only: false, keys: Keys::default() })
}

fn number(digits: &[u8]) -> Option<u16> {
    let add = |n: u16, digit: &u8| n.checked_mul(10)?.checked_add(u16::from(digit.checked_sub(b'0').filter(|d| *d <= 9)?));
    if digits.is_empty() { None } else { digits.iter().try_fold(0, add) }
}

/// The protection that a transport protocol stands for. What is not known to protect does not.
fn profile(proto: &[u8]) -> Profile {
    const SRTP: [&[u8]; 2] = [b"RTP/SAVP", b"RTP/SAVPF"];
    const TLS: [&[u8]; 9] = [
        b"UDP/TLS/RTP/SAVP",
        b"UDP/TLS/RTP/SAVPF",
        b"TCP/DTLS/RTP/SAVP",
        b"TCP/DTLS/RTP/SAVPF",
        b"UDP/DTLS/SCTP",
        b"TCP/DTLS/SCTP",
        b"DTLS/SCTP",
        b"TCP/TLS",
        b"UDP/TLS",
    ];
    let is_one_of = |known: &[&[u8]]| known.iter().any(|k| k.eq_ignore_ascii_case(proto));
    let under = |prefix: &[u8]| proto.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix));
    if is_one_of(&SRTP) {
        Profile::Srtp
    } else if is_one_of(&TLS) || under(b"TCP/TLS/") || (under(b"UDP/TLS/") && !under(b"UDP/TLS/RTP/")) {
        // DTLS keys RTP, but does not carry it: of UDP/TLS/RTP only the SRTP profiles protect (RFC 5764).
        Profile::Tls
    } else {
        Profile::Clear
    }
}

fn attribute(value: &[u8], session: &mut Keys, medium: Option<&mut Medium>) -> Result<(), Unprotected> {
    let (name, value) = cut(value, b':').unwrap_or((value, b""));
    let name = trim_bytes(name);
    let is = |known: &[u8]| name.eq_ignore_ascii_case(known);
    if is(b"crypto") {
        let usable = keys::crypto(value)?;
        // RFC 4568 §4: a key is a medium's own.
        if let Some(medium) = medium {
            medium.keys.crypto |= usable;
        }
    } else if is(b"fingerprint") {
        let keys = medium.map_or(session, |medium| &mut medium.keys);
        keys.fingerprint |= keys::fingerprint(value);
    } else if is(b"bundle-only") {
        if let Some(medium) = medium {
            medium.bundle_only = true;
        }
    } else if is(b"tcap") {
        // RFC 5939: other transports that the answer may choose instead of the one in the m= line.
        capabilities(value)?;
    } else if is(b"acap") {
        let value = trim_bytes(value);
        let number = value.iter().take_while(|b| !is_space(**b)).count();
        if let Some((name, value)) = cut(&value[number..], b':')
            && trim_bytes(name).eq_ignore_ascii_case(b"crypto")
        {
            keys::crypto(value)?;
        }
    }
    Ok(())
}

fn capabilities(value: &[u8]) -> Result<(), Unprotected> {
    match words(value).skip(1).map(profile).find(|profile| *profile == Profile::Clear) {
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
