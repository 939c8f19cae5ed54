use bytes::{BufMut, Bytes, BytesMut};
use smallvec::SmallVec;

use crate::{Message, Name, values};

/// Copies a message through and changes only planned ranges (RFC 3261 §16.6): everything not named
/// stays byte for byte as it came. Nothing is allocated for an ordinary message.
///
/// Changes are named against the message as it came; they apply together on [`write`](Self::write).
pub struct Rewrite<'m> {
    message: &'m Message,
    patches: SmallVec<[Patch<'m>; 12]>,
}

/// Replaces `[from, to)` by `name: value CR LF` (or by `value` alone when `name` is empty).
#[derive(Clone, Copy)]
struct Patch<'m> {
    from: usize,
    to: usize,
    name: &'static str,
    value: &'m str,
}

impl<'m> Rewrite<'m> {
    /// No change yet.
    #[must_use]
    pub fn of(message: &'m Message) -> Self {
        Self { message, patches: SmallVec::new() }
    }

    fn patch(&mut self, from: usize, to: usize, name: &'static str, value: &'m str) {
        self.patches.push(Patch { from, to, name, value });
    }

    /// Another Request-URI.
    pub fn request_uri(&mut self, uri: &'m str) -> &mut Self {
        let range = self.message.request_uri_range();
        self.patch(range.start, range.end, "", uri);
        self
    }

    /// A new field above the first of its name (Via, Record-Route, Route, Path: the newest stands on top), else
    /// at the end. Of several calls for one name the later one stands lower.
    pub fn push(&mut self, name: Name, value: &'m str) -> &mut Self {
        let last = self.message.head_end() - 2;
        let at = self.message.spans().iter().find(|span| span.name == name).map_or(last, |span| usize::from(span.line));
        self.patch(at, at, name.as_str(), value);
        self
    }

    /// The first value of this name's list goes; its field too, if it was alone in it.
    pub fn pop(&mut self, name: Name) -> &mut Self {
        let Some(span) = self.message.spans().iter().find(|span| span.name == name) else { return self };
        let text = self.message.text(span.value, span.value_end);
        let mut parts = values::list(text);
        parts.next();
        match parts.next() {
            None => self.patch(usize::from(span.line), usize::from(span.next), "", ""),
            Some(second) => {
                let offset = second.as_ptr() as usize - text.as_ptr() as usize;
                self.patch(usize::from(span.value), usize::from(span.value) + offset, "", "");
            }
        }
        self
    }

    /// Every field of this name goes.
    pub fn remove(&mut self, name: Name) -> &mut Self {
        for span in self.message.spans().iter().filter(|span| span.name == name) {
            self.patches.push(Patch { from: usize::from(span.line), to: usize::from(span.next), name: "", value: "" });
        }
        self
    }

    /// The fields for which `unwanted` says yes go (index counts the fields of this name, from 0).
    pub fn remove_where(&mut self, name: Name, mut unwanted: impl FnMut(&str) -> bool) -> &mut Self {
        for span in self.message.spans().iter().filter(|span| span.name == name) {
            if unwanted(self.message.text(span.value, span.value_end)) {
                self.patches.push(Patch { from: usize::from(span.line), to: usize::from(span.next), name: "", value: "" });
            }
        }
        self
    }

    /// The value of the first field of this name, or a new field.
    pub fn set(&mut self, name: Name, value: &'m str) -> &mut Self {
        match self.message.spans().iter().find(|span| span.name == name) {
            Some(span) => self.patch(usize::from(span.value), usize::from(span.value_end), "", value),
            None => return self.push(name, value),
        }
        self
    }

    /// Writes the changed message behind what `out` holds.
    pub fn write(&mut self, out: &mut impl BufMut) {
        self.patches.sort_by_key(|patch| patch.from);
        let bytes = self.message.as_bytes();
        let mut at = 0;
        for patch in &self.patches {
            out.put_slice(&bytes[at..patch.from.max(at)]);
            if !patch.name.is_empty() {
                out.put_slice(patch.name.as_bytes());
                out.put_slice(b": ");
            }
            out.put_slice(patch.value.as_bytes());
            if !patch.name.is_empty() {
                out.put_slice(b"\r\n");
            }
            at = at.max(patch.to);
        }
        out.put_slice(&bytes[at..]);
    }

    /// The changed message in a buffer of its own.
    #[must_use]
    pub fn to_bytes(&mut self) -> Bytes {
        let grown: usize = self.patches.iter().map(|p| p.name.len() + p.value.len() + 4).sum();
        let mut out = BytesMut::with_capacity(self.message.as_bytes().len() + grown);
        self.write(&mut out);
        out.freeze()
    }
}
