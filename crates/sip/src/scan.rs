//! The one scan that both frames and parses: where a head ends, and where its fields stand.

use smallvec::SmallVec;

use crate::{
    Fault, Limits, Name, Reason,
    chars::{is_space, is_token_byte},
    start_line::{self, Start},
};

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

impl Span {
    /// All of the field, its line end included.
    pub(crate) fn whole(&self) -> std::ops::Range<usize> {
        usize::from(self.line)..usize::from(self.next)
    }

    /// The value without the white space around it.
    pub(crate) fn inside(&self) -> std::ops::Range<usize> {
        usize::from(self.value)..usize::from(self.value_end)
    }
}

/// Reads a head line by line. It remembers how far it came, so that a slow sender costs no second
/// look at a line, and the verdict does not depend on how the bytes were cut.
#[derive(Debug, Default)]
pub(crate) struct Scan {
    head: Head,
    /// Start of the first line that is not yet understood.
    line: usize,
    /// How far that line was searched for its end.
    searched: usize,
    /// That line goes on behind a line end.
    is_folded: bool,
    /// The start line is understood.
    begun: bool,
}

impl Scan {
    /// Nothing of a message was seen yet.
    pub(crate) fn is_fresh(&self) -> bool {
        !self.begun && self.searched == 0
    }

    /// The head that was read; the scan is fresh again.
    pub(crate) fn take(&mut self) -> Head {
        std::mem::take(self).head
    }

    /// Goes on in `bytes` (which only ever grew at its end); the head once it is whole.
    pub(crate) fn advance(&mut self, bytes: &[u8], limits: &Limits) -> Result<Option<&Head>, Fault> {
        if self.head.end == 0 && !self.read_lines(bytes, limits)? {
            return Ok(None);
        }
        Ok(Some(&self.head))
    }

    /// Whether the empty line was reached.
    fn read_lines(&mut self, bytes: &[u8], limits: &Limits) -> Result<bool, Fault> {
        // Never a look past the limit: what stands there must not decide which fault is found.
        let head_max = usize::from(limits.head_bytes_max);
        let window = &bytes[..bytes.len().min(head_max)];
        loop {
            let Some(end) = self.line_end(window)? else {
                return if window.len() == head_max { Err(Fault::new(Reason::HeadTooLarge, head_max)) } else { Ok(false) };
            };
            if !self.begun {
                self.head.start = start_line::read(&window[..end])?;
                self.begun = true;
            } else if end == self.line {
                self.finish(&window[..end + 2])?;
                return Ok(true);
            } else {
                self.field(window, end, limits)?;
            }
            self.line = end + 2;
            self.searched = self.line;
            self.is_folded = false;
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
            // The start line cannot be folded either.
            if is_empty_line || !self.begun {
                return Ok(Some(at));
            }
            match bytes.get(at + 2) {
                None => {
                    self.searched = at;
                    return Ok(None);
                }
                // A fold (RFC 3261 §7.3.1).
                Some(b' ' | b'\t') => {
                    self.searched = at + 2;
                    self.is_folded = true;
                }
                Some(_) => return Ok(Some(at)),
            }
        }
    }

    /// `name HCOLON value` (RFC 3261 §7.3).
    fn field(&mut self, bytes: &[u8], end: usize, limits: &Limits) -> Result<(), Fault> {
        let line = self.line;
        if self.head.fields.len() >= usize::from(limits.fields_max) {
            return Err(Fault::new(Reason::TooManyFields, line));
        }
        let text = &bytes[line..end];
        let name_len = text.iter().position(|&b| !is_token_byte(b)).unwrap_or(text.len());
        let gap = text[name_len..].iter().take_while(|&&b| b == b' ' || b == b'\t').count();
        if name_len == 0 || text.get(name_len + gap) != Some(&b':') {
            return Err(Fault::new(Reason::HeaderLine, line + name_len));
        }
        if self.is_folded {
            refuse_blank_folds(text, line)?;
        }
        let after = name_len + gap + 1;
        let lead = text[after..].iter().take_while(|&&b| is_space(b)).count();
        let value = line + after + lead;
        let tail = bytes[value..end].iter().rev().take_while(|&&b| is_space(b)).count();
        let span = Span {
            name: Name::of_bytes(&text[..name_len]),
            line: narrow(line),
            name_end: narrow(line + name_len),
            value: narrow(value),
            value_end: narrow(end - tail),
            next: narrow(end + 2),
        };
        if span.name == Name::ContentLength {
            self.content_length(&bytes[value..end - tail], line, value, limits)?;
        }
        self.head.fields.push(span);
        Ok(())
    }

    /// `1*DIGIT`, once (RFC 3261 §20.14): no sign, no list, no space inside.
    fn content_length(&mut self, digits: &[u8], line: usize, value: usize, limits: &Limits) -> Result<(), Fault> {
        if self.head.content_length.is_some() {
            return Err(Fault::new(Reason::ContentLengthTwice, line));
        }
        if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
            return Err(Fault::new(Reason::ContentLength, value));
        }
        let length = digits.iter().fold(0_u64, |n, digit| n.saturating_mul(10).saturating_add(u64::from(digit - b'0')));
        let fits = u32::try_from(length).ok().filter(|length| *length <= limits.body_bytes_max);
        self.head.content_length = Some(fits.ok_or(Fault::new(Reason::BodyTooLarge, value))?);
        Ok(())
    }

    /// What can be said only of the whole head.
    fn finish(&mut self, head: &[u8]) -> Result<(), Fault> {
        std::str::from_utf8(head).map_err(|e| Fault::new(Reason::NotUtf8, e.valid_up_to()))?;
        // RFC 3261 §25.1 allows NUL in a quoted pair only; elsewhere others end their strings there.
        let stray = memchr::memchr_iter(0, head).find(|&at| at == 0 || head[at - 1] != b'\\');
        if let Some(at) = stray {
            return Err(Fault::new(Reason::Nul, at));
        }
        self.head.end = narrow(head.len());
        Ok(())
    }
}

/// A continuation line must hold something: to a reader that cuts white space first, a blank one is
/// the empty line that ends the head, and what follows would be body to it and header to us (row N37).
fn refuse_blank_folds(field: &[u8], line: usize) -> Result<(), Fault> {
    let mut rest = field;
    let mut at = line;
    while let Some(lf) = memchr::memchr(b'\n', rest) {
        at += lf + 1;
        rest = &rest[lf + 1..];
        if rest.iter().find(|&&b| b != b' ' && b != b'\t').is_none_or(|&b| b == b'\r') {
            return Err(Fault::new(Reason::BlankFold, at));
        }
    }
    Ok(())
}

/// Heads are bounded by `head_bytes_max`, which is 16 bits wide, so nothing is ever cut here.
pub(crate) fn narrow(offset: usize) -> u16 {
    u16::try_from(offset).unwrap_or(u16::MAX)
}
