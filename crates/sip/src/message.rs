//! A message as it came, and the questions it answers.

use std::fmt;

use bytes::Bytes;

use crate::{
    CSeq, Fault, Limits, MediaType, Name, NameAddr, Reason, Status, Uri, Via,
    chars::list,
    scan::{Head, Scan, Span},
    start_line::Start,
    validate,
    values::{is_call_id, number},
};

/// One SIP message: the bytes as they came, and where its parts stand in them. Nothing is
/// interpreted until asked; order, case and unknown headers stay as they were.
#[derive(Clone)]
pub struct Message {
    bytes: Bytes,
    head: Head,
}

/// One header field.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Field<'m> {
    /// Which header it is.
    pub name: Name,
    /// Its name as it stood.
    pub raw_name: &'m str,
    /// Its value without white space around it; folds inside are still there.
    pub value: &'m str,
}

impl Message {
    /// Reads one message that fills `bytes`, as from a file or datagram: without `Content-Length` the
    /// body is what remains, and bytes after the body are cut off (RFC 3261 §18.3).
    ///
    /// # Errors
    /// The structure is broken. [`validate`](Self::validate) looks at the values.
    pub fn parse(bytes: Bytes) -> Result<Self, Fault> {
        Self::parse_within(bytes, &Limits::DEFAULT)
    }

    /// [`parse`](Self::parse) with other limits.
    ///
    /// # Errors
    /// As [`parse`](Self::parse).
    pub fn parse_within(mut bytes: Bytes, limits: &Limits) -> Result<Self, Fault> {
        let mut scan = Scan::default();
        scan.advance(&bytes, limits)?.ok_or(Fault::new(Reason::Unterminated, bytes.len()))?;
        let head = scan.take();
        let available = bytes.len() - usize::from(head.end);
        match head.content_length {
            Some(length) if length as usize > available => return Err(Fault::new(Reason::BodyShort, bytes.len())),
            Some(length) => bytes.truncate(usize::from(head.end) + length as usize),
            None if available > limits.body_bytes_max as usize => return Err(Fault::new(Reason::BodyTooLarge, usize::from(head.end))),
            None => {}
        }
        Ok(Self::assemble(bytes, head))
    }

    pub(crate) fn assemble(bytes: Bytes, head: Head) -> Self {
        Self { bytes, head }
    }

    pub(crate) fn spans(&self) -> &[Span] {
        &self.head.fields
    }

    pub(crate) fn head_end(&self) -> usize {
        usize::from(self.head.end)
    }

    /// Start line and headers: one look at the encoding for whoever reads all of it.
    pub(crate) fn head_text(&self) -> &str {
        self.text_in(0..self.head_end())
    }

    pub(crate) fn text(&self, from: u16, to: u16) -> &str {
        // The scan refused heads that are not UTF-8, and spans begin and end at ASCII bytes.
        std::str::from_utf8(&self.bytes[usize::from(from)..usize::from(to)]).unwrap_or_default()
    }

    pub(crate) fn value(&self, span: &Span) -> &str {
        self.text(span.value, span.value_end)
    }

    /// Head text at offsets that lie inside one field.
    pub(crate) fn text_in(&self, range: std::ops::Range<usize>) -> &str {
        std::str::from_utf8(&self.bytes[range]).unwrap_or_default()
    }

    /// The message as it came.
    #[must_use]
    pub fn as_bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// What follows the empty line.
    #[must_use]
    pub fn body(&self) -> &[u8] {
        &self.bytes[self.head_end()..]
    }

    /// Whether it asks rather than answers.
    #[must_use]
    pub fn is_request(&self) -> bool {
        matches!(self.head.start, Start::Request { .. })
    }

    /// The method of a request; for a response the one in CSeq. Case counts. Empty when unreadable.
    #[must_use]
    pub fn method(&self) -> &str {
        match self.head.start {
            Start::Request { method_end, .. } => self.text(0, method_end),
            Start::Response { .. } => self.cseq().map_or("", |cseq| cseq.method),
        }
    }

    /// The Request-URI as it stood; empty for a response.
    #[must_use]
    pub fn request_uri_text(&self) -> &str {
        match self.head.start {
            Start::Request { method_end, uri_end, .. } => self.text(method_end + 1, uri_end),
            Start::Response { .. } => "",
        }
    }

    /// `SIP/2.0` in a request's first line; any other version can be framed, but not obeyed.
    pub(crate) fn version_fault(&self) -> Option<Fault> {
        match self.head.start {
            Start::Request { version_ok: false, uri_end, .. } => Some(Fault::new(Reason::Version, usize::from(uri_end) + 1)),
            Start::Request { .. } | Start::Response { .. } => None,
        }
    }

    pub(crate) fn request_uri_range(&self) -> std::ops::Range<usize> {
        match self.head.start {
            Start::Request { method_end, uri_end, .. } => usize::from(method_end) + 1..usize::from(uri_end),
            Start::Response { .. } => 0..0,
        }
    }

    /// The Request-URI.
    ///
    /// # Errors
    /// It breaks the grammar.
    pub fn request_uri(&self) -> Result<Uri<'_>, Fault> {
        Uri::parse(self.request_uri_text()).ok_or(Fault::new(Reason::RequestUri, self.request_uri_range().start))
    }

    /// The status of a response.
    #[must_use]
    pub fn status(&self) -> Option<Status> {
        match self.head.start {
            Start::Request { .. } => None,
            Start::Response { status, .. } => Some(status),
        }
    }

    /// The reason phrase of a response.
    #[must_use]
    pub fn reason_phrase(&self) -> &str {
        match self.head.start {
            Start::Request { .. } => "",
            Start::Response { reason, line_end, .. } => self.text(reason, line_end),
        }
    }

    /// The fields in order.
    pub fn fields(&self) -> impl Iterator<Item = Field<'_>> {
        self.head.fields.iter().map(|span| Field {
            name: span.name,
            raw_name: self.text(span.line, span.name_end),
            value: self.value(span),
        })
    }

    /// The value of the first field of this name.
    #[must_use]
    pub fn first(&self, name: Name) -> Option<&str> {
        self.span(name).map(|span| self.value(span))
    }

    pub(crate) fn span(&self, name: Name) -> Option<&Span> {
        self.head.fields.iter().find(|span| span.name == name)
    }

    /// The value of each field of this name, not split.
    pub fn all(&self, name: Name) -> impl Iterator<Item = &str> {
        self.head.fields.iter().filter(move |span| span.name == name).map(|span| self.value(span))
    }

    /// The values of a header that may be a comma list, from all its fields in order.
    pub fn list(&self, name: Name) -> impl Iterator<Item = &str> {
        self.all(name).flat_map(list)
    }

    /// Whether a list of tokens (`Supported`, `Require`, …) names `token`.
    #[must_use]
    pub fn lists(&self, name: Name, token: &str) -> bool {
        self.list(name).any(|t| t.eq_ignore_ascii_case(token))
    }

    /// The values of each field of this name, with where the field's value begins.
    fn list_at(&self, name: Name) -> impl Iterator<Item = (&str, usize)> {
        let fields = self.head.fields.iter().filter(move |span| span.name == name);
        fields.flat_map(|span| list(self.value(span)).map(|text| (text, usize::from(span.value))))
    }

    fn read<'m, T>(&'m self, name: Name, read: impl FnOnce(&'m str) -> Option<T>) -> Result<T, Fault> {
        let span = self.span(name).ok_or(Fault::new(Reason::Missing(name), self.head_end()))?;
        read(self.value(span)).ok_or(Fault::new(Reason::Malformed(name), usize::from(span.value)))
    }

    /// The topmost Via: the hop a response goes to.
    ///
    /// # Errors
    /// Missing or malformed.
    pub fn via(&self) -> Result<Via<'_>, Fault> {
        self.read(Name::Via, |text| Via::parse(list(text).next()?))
    }

    /// All Via values, topmost first.
    pub fn vias(&self) -> impl Iterator<Item = Option<Via<'_>>> {
        self.list(Name::Via).map(Via::parse)
    }

    /// Who asks.
    ///
    /// # Errors
    /// Missing or malformed.
    pub fn from(&self) -> Result<NameAddr<'_>, Fault> {
        self.read(Name::From, NameAddr::parse)
    }

    /// Whom they ask for.
    ///
    /// # Errors
    /// Missing or malformed.
    pub fn to(&self) -> Result<NameAddr<'_>, Fault> {
        self.read(Name::To, NameAddr::parse)
    }

    /// What ties the messages of a dialog or registration together.
    ///
    /// # Errors
    /// Missing or empty.
    pub fn call_id(&self) -> Result<&str, Fault> {
        self.read(Name::CallId, |text| is_call_id(text).then_some(text))
    }

    /// Number and method.
    ///
    /// # Errors
    /// Missing, malformed, or out of range.
    pub fn cseq(&self) -> Result<CSeq<'_>, Fault> {
        let span = self.span(Name::CSeq).ok_or(Fault::new(Reason::Missing(Name::CSeq), self.head_end()))?;
        CSeq::parse(self.value(span)).map_err(|reason| Fault::new(reason, usize::from(span.value)))
    }

    /// A number header such as `Expires`; `None` when it is not there.
    ///
    /// # Errors
    /// Not a number, or larger than `max`.
    pub fn number(&self, name: Name, max: u32) -> Result<Option<u32>, Fault> {
        let read = |span: &Span| number(name, self.value(span), max, usize::from(span.value));
        self.span(name).map(read).transpose()
    }

    /// How many more hops it may take (RFC 3261 §20.22).
    ///
    /// # Errors
    /// Not a number from 0 to 255.
    pub fn max_forwards(&self) -> Result<Option<u8>, Fault> {
        Ok(self.number(Name::MaxForwards, 255)?.and_then(|n| u8::try_from(n).ok()))
    }

    /// What the body is; `None` when the message does not say.
    ///
    /// # Errors
    /// Malformed.
    pub fn content_type(&self) -> Result<Option<MediaType<'_>>, Fault> {
        self.span(Name::ContentType).map(|_| self.read(Name::ContentType, MediaType::parse)).transpose()
    }

    /// The values of a header made of addresses: Contact, Route, Record-Route, Path. A Contact of `*` is
    /// none; see [`is_contact_star`](Self::is_contact_star).
    pub fn addresses(&self, name: Name) -> impl Iterator<Item = Result<NameAddr<'_>, Fault>> {
        // These four are written with brackets only (RFC 3261 §20.30, §20.34; RFC 3327 §4; RFC 3608 §5).
        let read = match name {
            Name::Route | Name::RecordRoute | Name::Path | Name::ServiceRoute => NameAddr::parse_bracketed,
            _ => NameAddr::parse,
        };
        self.list_at(name).map(move |(text, at)| read(text).ok_or(Fault::new(Reason::Malformed(name), at)))
    }

    /// `Contact: *` and no other contact: all bindings are meant (RFC 3261 §10.2.2).
    #[must_use]
    pub fn is_contact_star(&self) -> bool {
        let mut contacts = self.list(Name::Contact);
        contacts.next() == Some("*") && contacts.next().is_none()
    }

    /// Looks at every value the standard gives a grammar and verbund relies on: what a server must
    /// refuse with 400 even though the message can be framed.
    ///
    /// # Errors
    /// The first fault found.
    pub fn validate(&self) -> Result<(), Fault> {
        validate::check(self)
    }
}

impl fmt::Debug for Message {
    /// The first line only: the rest may hold credentials and people's words.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.status() {
            Some(status) => write!(f, "Message({status})"),
            None => write!(f, "Message({} {})", self.method(), self.request_uri_text()),
        }
    }
}
