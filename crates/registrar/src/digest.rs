//! Digest access authentication as bytes (RFC 7616): reading an answer, and what it should have been.
//! Who is believed and for how long is decided in `challenger`.

use aws_lc_rs::{constant_time::verify_slices_are_equal, digest};
use md5::{Digest as _, Md5};
use zeroize::{Zeroize, Zeroizing};

/// The hash functions we offer. The `-sess` variants are not among them: they only help servers that
/// let a third party check responses, and cost state a nonce.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Algorithm {
    Md5,
    Sha256,
}

impl Algorithm {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Md5 => "MD5",
            Self::Sha256 => "SHA-256",
        }
    }
}

/// What a hash function gave; wiped when dropped, since an HA1 passes through here.
pub(crate) struct Hash {
    bytes: [u8; 32],
    length: usize,
}

impl Hash {
    /// The hash of `a:b:c`.
    pub(crate) fn of(algorithm: Algorithm, parts: &[&[u8]]) -> Self {
        let mut hash = Self { bytes: [0; 32], length: 0 };
        match algorithm {
            Algorithm::Md5 => {
                let mut context = Md5::new();
                Self::feed(parts, |bytes| context.update(bytes));
                hash.put(&context.finalize());
            }
            Algorithm::Sha256 => {
                let mut context = digest::Context::new(&digest::SHA256);
                Self::feed(parts, |bytes| context.update(bytes));
                hash.put(context.finish().as_ref());
            }
        }
        hash
    }

    fn feed(parts: &[&[u8]], mut update: impl FnMut(&[u8])) {
        for (at, part) in parts.iter().enumerate() {
            if at > 0 {
                update(b":");
            }
            update(part);
        }
    }

    fn put(&mut self, bytes: &[u8]) {
        self.bytes[..bytes.len()].copy_from_slice(bytes);
        self.length = bytes.len();
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

impl Drop for Hash {
    fn drop(&mut self) {
        self.bytes.zeroize();
    }
}

/// Lower-case hexadecimal, the form in which the standard hashes hashes.
struct Hex {
    text: Zeroizing<[u8; 64]>,
    length: usize,
}

impl Hex {
    fn of(bytes: &[u8]) -> Self {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut text = Zeroizing::new([0; 64]);
        for (pair, byte) in text.chunks_exact_mut(2).zip(bytes) {
            pair[0] = DIGITS[usize::from(byte >> 4)];
            pair[1] = DIGITS[usize::from(byte & 15)];
        }
        Self { text, length: bytes.len() * 2 }
    }

    fn as_bytes(&self) -> &[u8] {
        &self.text[..self.length]
    }
}

/// The parameters of a client's answer, read but not believed. Everything borrowed from the header.
#[derive(Clone, Copy)]
pub(crate) struct Answer<'m> {
    pub(crate) username: &'m str,
    pub(crate) nonce: &'m str,
    pub(crate) uri: &'m str,
    pub(crate) algorithm: Algorithm,
    pub(crate) nonce_count: u32,
    nc: &'m str,
    cnonce: &'m str,
    response: &'m str,
}

/// What one `Authorization` or `Proxy-Authorization` field says to us.
pub(crate) enum Reading<'m> {
    /// Another scheme or another realm: not for us (RFC 3261 §22.3).
    NotForUs,
    /// For us, but not an answer to a challenge of ours. The words say why.
    Malformed(&'static str),
    /// An answer.
    Answer(Answer<'m>),
}

/// Reads one field value for `realm`.
pub(crate) fn read<'m>(text: &'m str, realm: &str) -> Reading<'m> {
    let (scheme, rest) = text.split_once([' ', '\t', '\r', '\n']).unwrap_or((text, ""));
    if !scheme.eq_ignore_ascii_case("Digest") {
        return Reading::NotForUs;
    }
    let Some(fields) = Fields::read(rest) else {
        return Reading::Malformed("the digest parameters do not follow the grammar, or one stands there twice");
    };
    match fields.realm {
        None => Reading::Malformed("the digest names no realm"),
        Some(theirs) if theirs != realm => Reading::NotForUs,
        Some(_) => fields.answer().map_or_else(Reading::Malformed, Reading::Answer),
    }
}

/// The parameters as they stood, quotes taken off.
#[derive(Default)]
struct Fields<'m> {
    username: Option<&'m str>,
    username_star: Option<&'m str>,
    realm: Option<&'m str>,
    nonce: Option<&'m str>,
    uri: Option<&'m str>,
    response: Option<&'m str>,
    algorithm: Option<&'m str>,
    cnonce: Option<&'m str>,
    qop: Option<&'m str>,
    nc: Option<&'m str>,
    userhash: Option<&'m str>,
}

impl<'m> Fields<'m> {
    /// One pass over `a=b, c="d"`. A parameter twice is refused: two readers could pick different ones.
    fn read(text: &'m str) -> Option<Self> {
        let mut fields = Self::default();
        let mut rest = text.trim_ascii();
        while !rest.is_empty() {
            let (name, after) = rest.split_once('=')?;
            let (value, after) = value(after.trim_ascii_start())?;
            if let Some(slot) = fields.slot(name.trim_ascii())
                && slot.replace(value).is_some()
            {
                return None;
            }
            let after = after.trim_ascii_start();
            rest = if after.is_empty() { after } else { after.strip_prefix(',')?.trim_ascii_start() };
        }
        Some(fields)
    }

    fn slot(&mut self, name: &str) -> Option<&mut Option<&'m str>> {
        let is = |known: &str| name.eq_ignore_ascii_case(known);
        match name.len() {
            2 if is("nc") => Some(&mut self.nc),
            3 if is("uri") => Some(&mut self.uri),
            3 if is("qop") => Some(&mut self.qop),
            5 if is("realm") => Some(&mut self.realm),
            5 if is("nonce") => Some(&mut self.nonce),
            6 if is("cnonce") => Some(&mut self.cnonce),
            8 if is("username") => Some(&mut self.username),
            8 if is("response") => Some(&mut self.response),
            8 if is("userhash") => Some(&mut self.userhash),
            9 if is("algorithm") => Some(&mut self.algorithm),
            9 if is("username*") => Some(&mut self.username_star),
            _ => None,
        }
    }

    /// Only what was offered is taken. `qop=auth` is required: without it (RFC 2069) there is neither a
    /// nonce count, so a response could be replayed, nor a client nonce against chosen challenges.
    fn answer(&self) -> Result<Answer<'m>, &'static str> {
        if self.username_star.is_some() || self.userhash.is_some_and(|hash| !hash.eq_ignore_ascii_case("false")) {
            return Err("username* and userhash were not offered; send the plain username");
        }
        let algorithm = match self.algorithm {
            None => Algorithm::Md5,
            Some(name) if name.eq_ignore_ascii_case("MD5") => Algorithm::Md5,
            Some(name) if name.eq_ignore_ascii_case("SHA-256") => Algorithm::Sha256,
            Some(_) => return Err("this digest algorithm was not offered"),
        };
        if !self.qop.is_some_and(|qop| qop.eq_ignore_ascii_case("auth")) {
            return Err("qop=auth is required");
        }
        let nc = self.nc.ok_or("the digest has no nc")?;
        let nonce_count = count(nc).ok_or("nc must be eight hexadecimal digits and not zero")?;
        Ok(Answer {
            username: self.username.filter(|name| !name.is_empty()).ok_or("the digest has no username")?,
            nonce: self.nonce.ok_or("the digest has no nonce")?,
            uri: self.uri.ok_or("the digest has no uri")?,
            algorithm,
            nonce_count,
            nc,
            cnonce: self.cnonce.filter(|cnonce| !cnonce.is_empty()).ok_or("the digest has no cnonce")?,
            response: self.response.ok_or("the digest has no response")?,
        })
    }
}

/// A token or a quoted string from the start of `text`, and what follows it.
fn value(text: &str) -> Option<(&str, &str)> {
    let Some(inside) = text.strip_prefix('"') else {
        let end = text.find([',', ' ', '\t', '\r', '\n']).unwrap_or(text.len());
        let token = &text[..end];
        return (!token.is_empty() && !token.contains('"')).then(|| (token, &text[end..]));
    };
    let mut escaped = false;
    let end = inside.bytes().position(|byte| {
        let ends = byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        ends
    })?;
    Some((&inside[..end], &inside[end + 1..]))
}

fn count(nc: &str) -> Option<u32> {
    let well_formed = nc.len() == 8 && nc.bytes().all(|b| b.is_ascii_hexdigit());
    u32::from_str_radix(nc, 16).ok().filter(|count| well_formed && *count > 0)
}

impl Answer<'_> {
    /// The response of whoever has this HA1 (RFC 7616 §3.4.1), in hexadecimal.
    fn expected(&self, ha1: &[u8], method: &str) -> Hex {
        let ha1 = Hex::of(ha1);
        let ha2 = Hex::of(Hash::of(self.algorithm, &[method.as_bytes(), self.uri.as_bytes()]).bytes());
        let parts: [&[u8]; 6] =
            [ha1.as_bytes(), self.nonce.as_bytes(), self.nc.as_bytes(), self.cnonce.as_bytes(), b"auth", ha2.as_bytes()];
        Hex::of(Hash::of(self.algorithm, &parts).bytes())
    }

    /// Whether the response is the one that `ha1` gives, compared in constant time. Phones write their
    /// digits in either case.
    pub(crate) fn is_of(&self, ha1: &[u8], method: &str) -> bool {
        let expected = self.expected(ha1, method);
        let mut given = [0; 64];
        let Some(given) = given.get_mut(..self.response.len()) else { return false };
        given.copy_from_slice(self.response.as_bytes());
        given.make_ascii_lowercase();
        verify_slices_are_equal(given, expected.as_bytes()).is_ok()
    }
}

/// What a client answers to a challenge: the value of its `Authorization` header. For clients of our own
/// and for tests; `nonce_count` is 1 for the first request with a nonce. `None` when `challenge` is none
/// of ours.
#[must_use]
pub fn respond(challenge: &str, user: &str, password: &str, method: &str, uri: &str, nonce_count: u32, cnonce: &str) -> Option<String> {
    let (scheme, rest) = challenge.split_once(' ')?;
    let fields = Fields::read(rest).filter(|_| scheme.eq_ignore_ascii_case("Digest"))?;
    let (realm, nonce) = (fields.realm?, fields.nonce?);
    let algorithm = match fields.algorithm? {
        "MD5" => Algorithm::Md5,
        "SHA-256" => Algorithm::Sha256,
        _ => return None,
    };
    let nc = format!("{nonce_count:08x}");
    let answer = Answer { username: user, nonce, uri, algorithm, nonce_count, nc: &nc, cnonce, response: "" };
    let ha1 = Hash::of(algorithm, &[user.as_bytes(), realm.as_bytes(), password.as_bytes()]);
    let response = answer.expected(ha1.bytes(), method);
    let response = std::str::from_utf8(response.as_bytes()).ok()?;
    let algorithm = algorithm.as_str();
    Some(format!(
        "Digest username=\"{user}\", realm=\"{realm}\", nonce=\"{nonce}\", uri=\"{uri}\", response=\"{response}\", \
         algorithm={algorithm}, qop=auth, nc={nc}, cnonce=\"{cnonce}\""
    ))
}
