//! What a REGISTER asks for, read and checked before anything is changed (RFC 3261 §10.3 steps 2 to 6).

use sip::{Message, Name, NameAddr, Uri};

use crate::{Limits, RegisterFault};

/// The extensions a REGISTER may require.
const SUPPORTED: [&str; 3] = ["path", "outbound", "gruu"];

/// One REGISTER as an order to the registrar.
pub(crate) struct Order<'m> {
    pub(crate) contacts: Contacts<'m>,
    pub(crate) call_id: &'m str,
    pub(crate) cseq: u32,
    pub(crate) path: Vec<String>,
    pub(crate) user_agent: &'m str,
    pub(crate) gruu: bool,
}

pub(crate) enum Contacts<'m> {
    /// None: tell what is bound.
    Query,
    /// `*`: remove everything.
    All,
    /// Add, refresh or remove these.
    These(Vec<Asked<'m>>),
}

/// One Contact value.
pub(crate) struct Asked<'m> {
    pub(crate) uri: Uri<'m>,
    /// Thousandths.
    pub(crate) q: u16,
    /// Seconds; 0 removes.
    pub(crate) expires: u32,
    /// The URN in `+sip.instance`, without angle brackets.
    pub(crate) instance: Option<&'m str>,
    /// Not 0 for an outbound binding, which then has an instance (RFC 5626 §6).
    pub(crate) reg_id: u32,
}

pub(crate) fn read<'m>(request: &'m Message, limits: &Limits) -> Result<Order<'m>, RegisterFault> {
    let unknown: Vec<&str> = request.list(Name::Require).filter(|tag| !SUPPORTED.iter().any(|s| s.eq_ignore_ascii_case(tag))).collect();
    if !unknown.is_empty() {
        return Err(RegisterFault::Unsupported { tags: unknown.join(", ") });
    }
    let (call_id, cseq) = (request.call_id()?, request.cseq()?.number);
    if call_id.len() > limits.call_id_bytes_max {
        return Err(RegisterFault::TooLong { name: Name::CallId, bytes_max: limits.call_id_bytes_max });
    }
    let contacts = contacts(request, limits)?;
    let path = path(request, limits)?;
    if let Contacts::These(asked) = &contacts
        && asked.iter().any(|asked| asked.reg_id != 0)
    {
        first_hop_keeps_flows(request)?;
    }
    let user_agent = cut(request.first(Name::UserAgent).unwrap_or(""), limits.user_agent_bytes_max);
    Ok(Order { contacts, call_id, cseq, path, user_agent, gruu: speaks(request, "gruu") })
}

/// What a client supports or even requires.
fn speaks(request: &Message, tag: &str) -> bool {
    request.lists(Name::Supported, tag) || request.lists(Name::Require, tag)
}

fn contacts<'m>(request: &'m Message, limits: &Limits) -> Result<Contacts<'m>, RegisterFault> {
    // RFC 3261 §20.19: a malformed Expires counts as an hour, which is our default.
    let expires = request.number(Name::Expires, u32::MAX).ok().flatten();
    let mut texts = request.list(Name::Contact).peekable();
    if texts.peek().is_none() {
        return Ok(Contacts::Query);
    }
    if request.list(Name::Contact).any(|text| text == "*") {
        let alone = request.list(Name::Contact).count() == 1;
        return match expires {
            Some(0) if alone => Ok(Contacts::All),
            _ => Err(RegisterFault::Contact("Contact: * stands alone and with Expires: 0 only")),
        };
    }
    let outbound = speaks(request, "outbound");
    let mut these = Vec::with_capacity(1);
    for text in texts {
        if these.len() == limits.bindings_per_user_max {
            return Err(RegisterFault::TooManyBindings { bindings_max: limits.bindings_per_user_max });
        }
        these.push(Asked::read(text, expires, outbound, limits)?);
    }
    // RFC 5626 §4.2.1: one flow, one reg-id.
    if these.iter().filter(|asked| asked.reg_id != 0 && asked.expires != 0).count() > 1 {
        return Err(RegisterFault::Contact("a REGISTER with reg-id has one Contact"));
    }
    Ok(Contacts::These(these))
}

impl<'m> Asked<'m> {
    fn read(text: &'m str, expires: Option<u32>, outbound: bool, limits: &Limits) -> Result<Self, RegisterFault> {
        let contact = NameAddr::parse(text).ok_or(RegisterFault::Contact("a Contact is malformed"))?;
        // It is shown to administrators and written into requests: ASCII, as the grammar says.
        if !(contact.uri.is_sip() && contact.uri.text.is_ascii()) {
            return Err(RegisterFault::Contact("a Contact must be a sip or sips URI in ASCII"));
        }
        if contact.uri.text.len() > limits.contact_bytes_max {
            return Err(RegisterFault::TooLong { name: Name::Contact, bytes_max: limits.contact_bytes_max });
        }
        let mut asked = Self { uri: contact.uri, q: 1000, expires: 0, instance: None, reg_id: 0 };
        let mut lifetime = expires.unwrap_or(limits.expires_default_secs);
        let mut reg_id = None;
        for (name, value) in contact.params.iter() {
            let value = value.unwrap_or("");
            match name.len() {
                1 if name.eq_ignore_ascii_case("q") => asked.q = q(value).ok_or(RegisterFault::Contact("q must be from 0 to 1"))?,
                6 if name.eq_ignore_ascii_case("reg-id") => reg_id = Some(number(value)),
                7 if name.eq_ignore_ascii_case("expires") => lifetime = number(value).unwrap_or(limits.expires_default_secs),
                13 if name.eq_ignore_ascii_case("+sip.instance") => asked.instance = Some(instance(value, limits)?),
                _ => {}
            }
        }
        asked.expires = limits.lifetime(lifetime)?;
        // RFC 5626 §6: without an instance or without support, reg-id says nothing.
        if let Some(reg_id) = reg_id
            && outbound
            && asked.instance.is_some()
        {
            let in_range = reg_id.filter(|id| (1..1 << 31).contains(id));
            asked.reg_id = in_range.ok_or(RegisterFault::Contact("reg-id must be a number from 1 to 2147483647"))?;
        }
        Ok(asked)
    }
}

/// `qvalue` of RFC 3261 §25.1, in thousandths.
fn q(text: &str) -> Option<u16> {
    let (whole, digits) = text.split_once('.').unwrap_or((text, ""));
    if digits.len() > 3 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let thousandths = digits.bytes().chain(*b"000").take(3).fold(0, |sum, digit| sum * 10 + u16::from(digit - b'0'));
    match (whole, thousandths) {
        ("0", thousandths) => Some(thousandths),
        ("1", 0) => Some(1000),
        _ => None,
    }
}

/// Digits; a number too large to hold is the largest.
fn number(text: &str) -> Option<u32> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    digits.then(|| text.parse().unwrap_or(u32::MAX))
}

/// `"<urn:…>"`: kept and given back, so nothing may hide in it.
fn instance<'m>(value: &'m str, limits: &Limits) -> Result<&'m str, RegisterFault> {
    let urn = value.strip_prefix("\"<").and_then(|v| v.strip_suffix(">\""));
    let clean = |urn: &&str| !urn.is_empty() && urn.bytes().all(|b| b.is_ascii_graphic() && !b"\"<>\\".contains(&b));
    let urn = urn.filter(clean).ok_or(RegisterFault::Contact("+sip.instance must be a URN in quotes and angle brackets"))?;
    if urn.len() > limits.instance_bytes_max {
        return Err(RegisterFault::TooLong { name: Name::Contact, bytes_max: limits.instance_bytes_max });
    }
    Ok(urn)
}

/// The Path in order (RFC 3327 §5.3): it becomes the Route of requests to this contact, so only the URIs
/// are kept, which can hold neither white space nor quotes.
fn path(request: &Message, limits: &Limits) -> Result<Vec<String>, RegisterFault> {
    let mut path = Vec::new();
    let mut bytes = 0;
    for hop in request.addresses(Name::Path) {
        let uri = hop?.uri;
        if !(uri.is_sip() && uri.text.is_ascii()) {
            return Err(RegisterFault::Contact("a Path must be made of sip or sips URIs"));
        }
        bytes += uri.text.len();
        if bytes > limits.path_bytes_max {
            return Err(RegisterFault::TooLong { name: Name::Path, bytes_max: limits.path_bytes_max });
        }
        path.push(format!("<{}>", uri.text));
    }
    if !path.is_empty() && !speaks(request, "path") {
        return Err(RegisterFault::PathNotSupported);
    }
    Ok(path)
}

/// RFC 5626 §6: with a proxy in between, that proxy must say by `ob` in its Path that it keeps the flow.
fn first_hop_keeps_flows(request: &Message) -> Result<(), RegisterFault> {
    let direct = request.vias().nth(1).is_none();
    let kept = || request.addresses(Name::Path).last().is_some_and(|hop| hop.is_ok_and(|hop| hop.uri.params.has("ob")));
    if direct || kept() { Ok(()) } else { Err(RegisterFault::FirstHopLacksOutbound) }
}

/// At most `bytes_max` bytes of `text`, up to a line end or other control character.
fn cut(text: &str, bytes_max: usize) -> &str {
    let end = text.char_indices().find(|(at, c)| at + c.len_utf8() > bytes_max || c.is_control()).map_or(text.len(), |(at, _)| at);
    text[..end].trim_end()
}
