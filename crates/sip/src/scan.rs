use smallvec::SmallVec;

use crate::{Fault, Limits, Name, Reason, Status};

/// Where the parts of a head stand. Offsets count from the start of the message; a head is at most
/// 65,535 bytes long, so 16 bits carry them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Head {
    pub(crate) start: Start,
    pub(crate) fields: SmallVec<[Span; 40]>,
    /// One past the empty line.
    pub(crate) end: u16,
    pub(crate) content_length: Option<u32>,
}

/// Where the parts of the first line stand.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Start {
    /// `method SP uri SP SIP/2.0`; the method begins at 0.
    Request { method_end: u16, uri_end: u16, version_ok: bool },
    /// `SIP/2.0 SP code SP reason`; the line's end bounds the reason.
    Response { status: Status, reason: u16, line_end: u16 },
}

impl Default for Start {
    fn default() -> Self {
        Self::Request { method_end: 0, uri_end: 0, version_ok: true }
    }
}

/// Where one header field stands: `[line, next)` is all of it, CR LF and folds included.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Span {
    pub(crate) name: Name,
    pub(crate) line: u16,
    pub(crate) name_end: u16,
    pub(crate) value: u16,
    pub(crate) value_end: u16,
    pub(crate) next: u16,
}

/// The one scan that both frames and parses. It remembers how far it came, so that a slow sender
/// costs no second look at a line.
#[derive(Debug, Default)]
pub(crate) struct Scan {
    head: Head,
    /// Start of the first line that is not yet understood.
    line: usize,
    /// How far that line was searched for its end.
    searched: usize,
    begun: bool,
}

impl Scan {
    /// Nothing of a message was seen yet.
    pub(crate) fn is_fresh(&self) -> bool {
        !self.begun && self.searched == 0
    }

    /// Goes on in `bytes` (which only ever grew at its end); the head once it is whole.
    pub(crate) fn advance(&mut self, bytes: &[u8], limits: &Limits) -> Result<Option<Head>, Fault> {
        loop {
            let Some(end) = self.line_end(bytes)? else {
                let seen = bytes.len();
                return if seen > usize::from(limits.head_bytes_max) { Err(Fault::new(Reason::HeadTooLarge, seen)) } else { Ok(None) };
            };
            let next = end + 2;
            if next > usize::from(limits.head_bytes_max) {
                return Err(Fault::new(Reason::HeadTooLarge, end));
            }
            if !self.begun {
                self.head.start = start_line(&bytes[..end])?;
                self.begun = true;
            } else if end == self.line {
                self.head.end = narrow(next);
                return self.finish(bytes, limits).map(Some);
            } else {
                self.field(bytes, end, limits)?;
            }
            self.line = next;
            self.searched = next;
        }
    }

    /// Where the logical line that begins at `self.line` ends (the index of its CR), folds included.
    fn line_end(&mut self, bytes: &[u8]) -> Result<Option<usize>, Fault> {
        loop {
            let Some(found) = memchr::memchr2(b'\r', b'\n', &bytes[self.searched..]) else {
                self.searched = bytes.len();
                return Ok(None);
            };
            let at = self.searched + found;
            match (bytes[at], bytes.get(at + 1)) {
                (b'\r', Some(b'\n')) => {}
                (b'\r', None) => {
                    self.searched = at;
                    return Ok(None);
                }
                _ => return Err(Fault::new(Reason::BareLineEnd, at)),
            }
            let is_empty_line = at == self.line;
            if is_empty_line {
                return Ok(Some(at));
            }
            match bytes.get(at + 2) {
                None => {
                    self.searched = at;
                    return Ok(None);
                }
                // A fold (RFC 3261 §7.3.1). The start line cannot be folded.
                Some(b' ' | b'\t') if self.begun => self.searched = at + 2,
                Some(_) => return Ok(Some(at)),
            }
        }
    }

    fn field(&mut self, bytes: &[u8], end: usize, limits: &Limits) -> Result<(), Fault> {
        let line = self.line;
        if self.head.fields.len() >= usize::from(limits.fields_max) {
            return Err(Fault::new(Reason::TooManyFields, line));
        }
        let text = &bytes[line..end];
        let name_len = text.iter().position(|&b| !is_token(b)).unwrap_or(text.len());
        let gap = text[name_len..].iter().take_while(|&&b| b == b' ' || b == b'\t').count();
        if name_len == 0 || text.get(name_len + gap) != Some(&b':') {
            return Err(Fault::new(Reason::HeaderLine, line + name_len));
        }
        let name = std::str::from_utf8(&text[..name_len]).map_or(Name::Other, Name::of);
        let after = name_len + gap + 1;
        let lead = text[after..].iter().take_while(|&&b| is_space(b)).count();
        let value = line + after + lead;
        let tail = bytes[value..end].iter().rev().take_while(|&&b| is_space(b)).count();
        let span = Span {
            name,
            line: narrow(line),
            name_end: narrow(line + name_len),
            value: narrow(value),
            value_end: narrow(end - tail),
            next: narrow(end + 2),
        };
        if name == Name::ContentLength {
            let length = content_length(&bytes[value..end - tail]).ok_or(Fault::new(Reason::ContentLength, value))?;
            if self.head.content_length.replace(length).is_some() {
                return Err(Fault::new(Reason::ContentLengthTwice, line));
            }
            if length > limits.body_bytes_max {
                return Err(Fault::new(Reason::BodyTooLarge, value));
            }
        }
        self.head.fields.push(span);
        Ok(())
    }

    fn finish(&mut self, bytes: &[u8], _limits: &Limits) -> Result<Head, Fault> {
        let end = usize::from(self.head.end);
        std::str::from_utf8(&bytes[..end]).map_err(|e| Fault::new(Reason::NotUtf8, e.valid_up_to()))?;
        Ok(std::mem::take(self).head)
    }
}

fn narrow(offset: usize) -> u16 {
    u16::try_from(offset).unwrap_or(u16::MAX)
}

/// `token` (RFC 3261 §25.1).
pub(crate) fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-.!%*_+`'~".contains(&byte)
}

/// White space inside a value; CR and LF stand there only as part of a fold.
pub(crate) fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}

/// `1*DIGIT`, nothing else: no sign, no list, no space inside.
fn content_length(value: &[u8]) -> Option<u32> {
    let digits = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
    digits.then(|| std::str::from_utf8(value).ok()?.parse().ok())?
}

fn start_line(line: &[u8]) -> Result<Start, Fault> {
    if line.len() >= 4 && line[..4].eq_ignore_ascii_case(b"SIP/") { status_line(line) } else { request_line(line) }
}

/// `Method SP Request-URI SP SIP-Version` with exactly one space between (RFC 3261 §7.1).
fn request_line(line: &[u8]) -> Result<Start, Fault> {
    let method_end = line.iter().position(|&b| !is_token(b)).unwrap_or(line.len());
    if method_end == 0 || line.get(method_end) != Some(&b' ') {
        return Err(Fault::new(Reason::StartLine, method_end));
    }
    let uri = method_end + 1;
    let uri_len = memchr::memchr(b' ', &line[uri..]).ok_or(Fault::new(Reason::StartLine, line.len()))?;
    let uri_end = uri + uri_len;
    let version = &line[uri_end + 1..];
    if uri_len == 0 {
        return Err(Fault::new(Reason::StartLine, uri));
    }
    if line[uri] == b'<' {
        return Err(Fault::new(Reason::RequestUri, uri));
    }
    let version_ok = version.eq_ignore_ascii_case(b"SIP/2.0");
    if !version_ok && !is_version(version) {
        return Err(Fault::new(Reason::StartLine, uri_end + 1));
    }
    Ok(Start::Request { method_end: narrow(method_end), uri_end: narrow(uri_end), version_ok })
}

fn is_version(text: &[u8]) -> bool {
    text.len() >= 7
        && text[..4].eq_ignore_ascii_case(b"SIP/")
        && text[4..].iter().all(|b| b.is_ascii_digit() || *b == b'.')
        && text[4..].contains(&b'.')
}

/// `SIP-Version SP Status-Code SP Reason-Phrase` (RFC 3261 §7.2).
fn status_line(line: &[u8]) -> Result<Start, Fault> {
    if !line[..line.len().min(8)].eq_ignore_ascii_case(b"SIP/2.0 ") {
        let reason = if is_version(line.split(|b| *b == b' ').next().unwrap_or_default()) { Reason::Version } else { Reason::StartLine };
        return Err(Fault::new(reason, 0));
    }
    let rest = &line[8..];
    let digits = rest.iter().take_while(|b| b.is_ascii_digit()).count();
    let code = std::str::from_utf8(&rest[..digits]).ok().filter(|_| digits == 3).and_then(|d| d.parse().ok());
    let status = code.and_then(Status::new).ok_or(Fault::new(Reason::StatusCode, 8))?;
    if rest.get(3) != Some(&b' ') {
        return Err(Fault::new(Reason::StartLine, 11));
    }
    Ok(Start::Response { status, reason: 12, line_end: narrow(line.len()) })
}
