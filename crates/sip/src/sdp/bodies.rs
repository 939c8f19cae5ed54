//! Where session descriptions stand in a message: as its body, or as parts of a multipart body, nested or
//! carried along in another message (RFC 3261 §7.4, RFC 5621, RFC 2046).

use super::{MULTIPART_DEPTH_MAX, PARTS_MAX, Unprotected, description};
use crate::{
    MediaType, Message, Name,
    chars::{list, trim},
};

/// What the headers above a body say about it.
#[derive(Default)]
struct Labels<'m> {
    content_type: Option<&'m str>,
    /// Something other than plain bytes: a Content-Encoding or a Content-Transfer-Encoding.
    is_encoded: bool,
}

/// What was found on the way.
#[derive(Default)]
struct Found {
    parts: usize,
    /// `m=` lines in the descriptions that were judged.
    media: usize,
}

pub(super) fn check(message: &Message) -> Result<(), Unprotected> {
    let body = message.body();
    if body.is_empty() {
        return Ok(());
    }
    let mut labels = Labels::default();
    for name in [Name::ContentType, Name::ContentEncoding] {
        message.all(name).try_for_each(|value| labels.read(name, value))?;
    }
    let mut found = Found::default();
    let content = found.entity(&labels, body, 0)?;
    // A description that our reading of the parts did not see may still be seen by another reader.
    let is_compound = matches!(content, Content::Multipart | Content::Message);
    if is_compound && media_lines(body) != found.media { Err(Unprotected::Unreadable) } else { Ok(()) }
}

impl<'m> Labels<'m> {
    fn read(&mut self, name: Name, value: &'m str) -> Result<(), Unprotected> {
        match name {
            // Two types are two bodies to two readers.
            Name::ContentType if self.content_type.replace(value).is_some() => return Err(Unprotected::Unreadable),
            Name::ContentEncoding => self.is_encoded |= list(value).any(|coding| !coding.eq_ignore_ascii_case("identity")),
            _ => {}
        }
        Ok(())
    }
}

impl Found {
    /// A body, or a part of one: what it is.
    fn entity(&mut self, labels: &Labels<'_>, body: &[u8], depth: usize) -> Result<Content, Unprotected> {
        self.parts += 1;
        if depth > MULTIPART_DEPTH_MAX || self.parts > PARTS_MAX {
            return Err(Unprotected::Unreadable);
        }
        let Some(text) = labels.content_type else { return self.untyped(labels, body) };
        let kind = MediaType::parse(text).ok_or(Unprotected::Unreadable)?;
        if is_sealed(&kind) {
            return Err(Unprotected::Opaque);
        }
        let content = content(&kind, body);
        match content {
            Content::Other => {}
            Content::Multipart | Content::Message | Content::Description if labels.is_encoded => return Err(Unprotected::Opaque),
            Content::Multipart => self.multipart(&kind, body, depth)?,
            // A message in a message: its own first line reads like a label of no name we know.
            Content::Message => self.part(body, depth + 1)?,
            Content::Description => self.media += description::check(body)?,
        }
        Ok(content)
    }

    /// Without a type a phone may guess, so we do.
    fn untyped(&mut self, labels: &Labels<'_>, body: &[u8]) -> Result<Content, Unprotected> {
        if labels.is_encoded {
            return Err(Unprotected::Opaque);
        }
        if looks_like_description(body) || media_lines(body) > 0 {
            self.media += description::check(body)?;
        }
        Ok(Content::Other)
    }

    /// The parts between the boundaries (RFC 2046 §5.1.1).
    fn multipart(&mut self, kind: &MediaType<'_>, body: &[u8], depth: usize) -> Result<(), Unprotected> {
        let boundary = kind.params.unquoted("boundary").filter(|b| (1..=70).contains(&b.len()) && !kind.params.has_twice("boundary"));
        let boundary = boundary.ok_or(Unprotected::Unreadable)?;
        let (mut begin, mut at, mut closed) = (None, 0, false);
        for line in body.split_inclusive(|b| *b == b'\n') {
            if let Some(is_last) = is_delimiter(line, boundary.as_bytes()).filter(|_| !closed) {
                if let Some(begin) = begin {
                    self.part(without_line_end(&body[begin..at]), depth + 1)?;
                }
                (begin, closed) = ((!is_last).then_some(at + line.len()), is_last);
            }
            at += line.len();
        }
        match (begin, closed) {
            (Some(begin), _) => self.part(&body[begin.min(body.len())..], depth + 1),
            (None, true) => Ok(()),
            (None, false) => Err(Unprotected::Unreadable),
        }
    }

    /// Labels, an empty line, and what they are about.
    fn part(&mut self, part: &[u8], depth: usize) -> Result<(), Unprotected> {
        let (head, body) = split_head(part);
        let head = std::str::from_utf8(head).map_err(|_| Unprotected::Unreadable)?;
        let mut labels = Labels::default();
        for field in unfolded(head) {
            let Some((name, value)) = field.split_once(':') else { continue };
            let (name, value) = (trim(name), trim(value));
            labels.read(Name::of(name), value)?;
            if name.eq_ignore_ascii_case("Content-Transfer-Encoding") {
                labels.is_encoded |= !["7bit", "8bit", "binary"].iter().any(|plain| plain.eq_ignore_ascii_case(value));
            }
        }
        if body.is_empty() { Ok(()) } else { self.entity(&labels, body, depth).map(drop) }
    }
}

/// What a body is to us.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Content {
    Description,
    Multipart,
    Message,
    /// Text, presence, tones: nothing that opens a medium.
    Other,
}

fn content(kind: &MediaType<'_>, body: &[u8]) -> Content {
    const MESSAGES: [&str; 5] = ["sip", "sipfrag", "rfc822", "global", "cpim"];
    let is_kind = |name: &str| kind.kind.eq_ignore_ascii_case(name);
    if is_kind("multipart") {
        Content::Multipart
    } else if is_kind("message") && MESSAGES.iter().any(|name| kind.subtype.eq_ignore_ascii_case(name)) {
        Content::Message
    } else if kind.subtype.eq_ignore_ascii_case("sdp") || (!is_kind("text") && looks_like_description(body)) {
        Content::Description
    } else {
        Content::Other
    }
}

/// Enciphered, wrapped in CMS, or to be fetched from elsewhere: nobody on the way can look inside.
fn is_sealed(kind: &MediaType<'_>) -> bool {
    const SEALED: [(&str, &str); 7] = [
        ("application", "pkcs7-mime"),
        ("application", "x-pkcs7-mime"),
        ("application", "cms"),
        ("application", "pgp-encrypted"),
        ("multipart", "encrypted"),
        ("message", "external-body"),
        ("message", "partial"),
    ];
    SEALED.iter().any(|(of, subtype)| kind.is(of, subtype))
}

/// `"--" boundary ["--"]` on a line of its own: `Some(true)` for the closing one.
fn is_delimiter(line: &[u8], boundary: &[u8]) -> Option<bool> {
    let rest = line.strip_prefix(b"--")?.strip_prefix(boundary)?;
    let (rest, is_last) = rest.strip_prefix(b"--").map_or((rest, false), |rest| (rest, true));
    rest.iter().all(|b| matches!(b, b' ' | b'\t' | b'\r' | b'\n')).then_some(is_last)
}

/// The line end before a delimiter belongs to the delimiter.
fn without_line_end(part: &[u8]) -> &[u8] {
    let part = part.strip_suffix(b"\n").unwrap_or(part);
    part.strip_suffix(b"\r").unwrap_or(part)
}

/// Cuts at the first empty line; without one, all of it is head.
fn split_head(part: &[u8]) -> (&[u8], &[u8]) {
    let mut at = 0;
    for line in part.split_inclusive(|b| *b == b'\n') {
        if matches!(line, b"\r\n" | b"\n") {
            return (&part[..at], &part[at + line.len()..]);
        }
        at += line.len();
    }
    // No empty line: a lazy reader may take it for a body without labels.
    if looks_like_description(part) { (&[], part) } else { (part, &[]) }
}

/// The fields of a part's head; lines that go on a field belong to it.
fn unfolded(head: &str) -> impl Iterator<Item = &str> {
    let mut rest = head;
    std::iter::from_fn(move || {
        let ends = |(at, _): (usize, &str)| !rest[at + 1..].starts_with([' ', '\t']);
        let end = rest.match_indices('\n').find(|found| ends(*found)).map_or(rest.len(), |(at, _)| at + 1);
        let (field, after) = rest.split_at(end);
        rest = after;
        (!field.is_empty()).then_some(field)
    })
}

/// Begins like a session description, empty lines and white space aside.
fn looks_like_description(body: &[u8]) -> bool {
    let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
    let start = body.iter().position(|b| !b.is_ascii_whitespace()).map_or(&[][..], |at| &body[at..]);
    matches!(start, [b'v' | b'V', b'=', ..])
}

/// Lines that read `m=<media> <port> ...` to someone, whatever ends a line.
fn media_lines(body: &[u8]) -> usize {
    let is_medium = |line: &&[u8]| {
        let Some(value) = line.strip_prefix(b"m=") else { return false };
        value.split(|b| matches!(b, b' ' | b'\t')).filter(|word| !word.is_empty()).nth(1).is_some_and(|port| port[0].is_ascii_digit())
    };
    body.split(|b| matches!(b, b'\r' | b'\n')).filter(is_medium).count()
}
