//! A message copied through with a few planned changes, and no other byte touched.

use std::ops::Range;

use bytes::{BufMut, Bytes, BytesMut};
use smallvec::SmallVec;

use crate::{
    Message, Name,
    chars::{is_token, list},
    compose::{put_uri, put_value},
    scan::Span,
};

/// Copies a message through and changes only planned ranges (RFC 3261 §16.6): everything not named
/// stays byte for byte as it came. Nothing is allocated for an ordinary message.
///
/// Changes are named against the message as it came; they apply together on [`write`](Self::write).
/// Of two changes to one field the later one counts. No value can add a line of its own: CR and LF
/// inside it become spaces, unless they are a fold.
///
/// One range is planned without being asked: a `Content-Length` in a legal but unusual spelling is
/// written plainly, for the next reader may misread it (row N37).
pub struct Rewrite<'m> {
    message: &'m Message,
    patches: SmallVec<[Patch<'m>; 12]>,
}

/// What stands in place of `[from, to)`. Patches that replace never overlap.
#[derive(Clone, Copy)]
struct Patch<'m> {
    from: usize,
    to: usize,
    text: Text<'m>,
}

impl Patch<'_> {
    /// Whether it changes something within this range; new fields above it do not count.
    fn is_in(&self, range: &Range<usize>) -> bool {
        self.from < self.to && range.start <= self.from && self.to <= range.end
    }
}

#[derive(Clone, Copy)]
enum Text<'m> {
    Nothing,
    Uri(&'m str),
    Value(&'m str),
    Field(&'m str, &'m str),
}

impl<'m> Rewrite<'m> {
    /// No change yet.
    #[must_use]
    pub fn of(message: &'m Message) -> Self {
        let mut rewrite = Self { message, patches: SmallVec::new() };
        if let Some(span) = message.span(Name::ContentLength)
            && !is_plain_length(message.as_bytes(), span)
        {
            rewrite.replace(span.whole(), Text::Field(Name::ContentLength.as_str(), message.value(span)));
        }
        rewrite
    }

    /// Another Request-URI.
    pub fn request_uri(&mut self, uri: &'m str) -> &mut Self {
        let range = self.message.request_uri_range();
        if !range.is_empty() {
            self.forget(&range);
            self.replace(range, Text::Uri(uri));
        }
        self
    }

    /// A new field above the first of its name (Via, Record-Route, Route, Path: the newest stands on top), else
    /// at the end. Of several calls for one name the later one stands lower. [`Name::Other`] has no
    /// spelling and is left out; see [`push_named`](Self::push_named).
    pub fn push(&mut self, name: Name, value: &'m str) -> &mut Self {
        let at = self.fields(name).next().map_or(self.end_of_fields(), |span| usize::from(span.line));
        match name {
            Name::Other => self,
            _ => self.insert(at, name.as_str(), value),
        }
    }

    /// A new field of any name below all others. A name that is not a token is left out.
    pub fn push_named(&mut self, name: &'m str, value: &'m str) -> &mut Self {
        let at = self.end_of_fields();
        if is_token(name) { self.insert(at, name, value) } else { self }
    }

    /// The first value of this name's list that is still there goes; its field too, if it was alone in it.
    pub fn pop(&mut self, name: Name) -> &mut Self {
        let message = self.message;
        for span in message.spans().iter().filter(|span| span.name == name) {
            let start = usize::from(span.value);
            // A field already begun upon: its patch ends where its first remaining value begins.
            let (from, rest) = match self.patch_in(&span.whole()) {
                Some(Patch { from, to, .. }) if *from == usize::from(span.line) && *to == usize::from(span.next) => continue,
                Some(Patch { to, text: Text::Nothing, .. }) => (*to, *to..usize::from(span.value_end)),
                Some(_) | None => (start, span.inside()),
            };
            let text = message.text_in(rest);
            self.forget(&span.whole());
            match list(text).nth(1) {
                None => self.replace(span.whole(), Text::Nothing),
                Some(second) => {
                    let offset = second.as_ptr() as usize - text.as_ptr() as usize;
                    self.replace(start..from + offset, Text::Nothing);
                }
            }
            break;
        }
        self
    }

    /// Every field of this name that came with the message goes.
    pub fn remove(&mut self, name: Name) -> &mut Self {
        self.remove_spans(|span, _| name != Name::Other && span.name == name)
    }

    /// Every field spelt so, in any case, goes: for names without a [`Name`].
    pub fn remove_named(&mut self, name: &str) -> &mut Self {
        self.remove_spans(|span, message| message.text(span.line, span.name_end).eq_ignore_ascii_case(name))
    }

    /// The fields of this name for whose value `unwanted` says yes go.
    pub fn remove_where(&mut self, name: Name, mut unwanted: impl FnMut(&str) -> bool) -> &mut Self {
        self.remove_spans(|span, message| span.name == name && unwanted(message.value(span)))
    }

    /// The value of the first field of this name, or a new field.
    pub fn set(&mut self, name: Name, value: &'m str) -> &mut Self {
        let Some(span) = self.fields(name).next().copied() else { return self.push(name, value) };
        self.forget(&span.whole());
        // A value that was empty may have no space before it.
        match span.value == span.value_end {
            true if name != Name::Other => self.replace(span.whole(), Text::Field(name.as_str(), value)),
            _ => self.replace(span.inside(), Text::Value(value)),
        }
        self
    }

    /// Writes the changed message behind what `out` holds.
    pub fn write(&mut self, out: &mut impl BufMut) {
        let bytes = self.message.as_bytes();
        let mut at = 0;
        for patch in &self.patches {
            out.put_slice(&bytes[at..patch.from]);
            patch.text.put(out);
            at = patch.to;
        }
        out.put_slice(&bytes[at..]);
    }

    /// The changed message in a buffer of its own.
    #[must_use]
    pub fn to_bytes(&mut self) -> Bytes {
        let grown: usize = self.patches.iter().map(|patch| patch.text.length()).sum();
        let mut out = BytesMut::with_capacity(self.message.as_bytes().len() + grown);
        self.write(&mut out);
        out.freeze()
    }

    fn fields(&self, name: Name) -> impl Iterator<Item = &'m Span> + use<'m> {
        self.message.spans().iter().filter(move |span| span.name == name)
    }

    /// Where the empty line begins.
    fn end_of_fields(&self) -> usize {
        self.message.head_end() - 2
    }

    fn remove_spans(&mut self, mut unwanted: impl FnMut(&Span, &Message) -> bool) -> &mut Self {
        let message = self.message;
        for span in message.spans() {
            if unwanted(span, message) {
                self.forget(&span.whole());
                self.replace(span.whole(), Text::Nothing);
            }
        }
        self
    }

    /// The change already planned inside a field.
    fn patch_in(&self, range: &Range<usize>) -> Option<&Patch<'m>> {
        self.patches.iter().find(|patch| patch.is_in(range))
    }

    /// What was planned for this range before counts no more.
    fn forget(&mut self, range: &Range<usize>) {
        self.patches.retain(|patch| !patch.is_in(range));
    }

    fn insert(&mut self, at: usize, name: &'m str, value: &'m str) -> &mut Self {
        // Behind the earlier new fields of this place, before what is replaced here.
        let place = self.patches.iter().position(|patch| patch.from > at || (patch.from == at && patch.to > at));
        let patch = Patch { from: at, to: at, text: Text::Field(name, value) };
        self.patches.insert(place.unwrap_or(self.patches.len()), patch);
        self
    }

    fn replace(&mut self, range: Range<usize>, text: Text<'m>) {
        let place = self.patches.iter().position(|patch| patch.from > range.start);
        self.patches.insert(place.unwrap_or(self.patches.len()), Patch { from: range.start, to: range.end, text });
    }
}

impl Text<'_> {
    fn put(&self, out: &mut impl BufMut) {
        match self {
            Text::Nothing => {}
            Text::Uri(uri) => put_uri(out, uri),
            Text::Value(value) => put_value(out, value),
            Text::Field(name, value) => {
                out.put_slice(name.as_bytes());
                out.put_slice(b": ");
                put_value(out, value);
                out.put_slice(b"\r\n");
            }
        }
    }

    /// At most so many bytes, in all but hostile cases.
    fn length(&self) -> usize {
        match self {
            Text::Nothing => 0,
            Text::Uri(text) | Text::Value(text) => text.len(),
            Text::Field(name, value) => name.len() + value.len() + 4,
        }
    }
}

/// `Content-Length: 5` or `l: 5`, as anyone would read it.
fn is_plain_length(bytes: &[u8], span: &Span) -> bool {
    let mark = &bytes[usize::from(span.name_end)..usize::from(span.value)];
    let digits = &bytes[span.inside()];
    matches!(mark, b":" | b": ") && span.next == span.value_end + 2 && (digits.len() == 1 || !digits.starts_with(b"0"))
}
