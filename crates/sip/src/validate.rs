//! What a server must refuse with 400 although the message can be framed.
//!
//! Every value that verbund relies on, or that has a grammar another program may read differently, is
//! looked at once, here. What the values are good for is decided elsewhere.

use crate::{
    CSeq, Fault, MediaType, Message, Name, NameAddr, Reason, Via,
    chars::{is_token, list, trim, without_quotes},
    scan::Span,
    values::{is_call_id, is_date, is_event, is_qvalue, is_warning, number, retry_after},
};

/// Addresses, Via values, and warnings in one message together: a look at each must stay cheap.
const VALUES_MAX: usize = 512;

/// Headers that stand once (RFC 3261 §7.3.1), of those whose second value could change what is done.
const ONCE: u64 = bits(&[
    Name::CSeq,
    Name::CallId,
    Name::ContentDisposition,
    Name::ContentType,
    Name::Date,
    Name::Event,
    Name::Expires,
    Name::FlowTimer,
    Name::From,
    Name::MaxBreadth,
    Name::MaxForwards,
    Name::MinExpires,
    Name::MinSe,
    Name::RAck,
    Name::RSeq,
    Name::ReferTo,
    Name::ReferredBy,
    Name::Replaces,
    Name::RetryAfter,
    Name::SessionExpires,
    Name::SubscriptionState,
    Name::To,
]);

/// RFC 3261 §8.1.1. Max-Forwards is not asked for: clients of RFC 2543 do not send it.
const NEEDED: [Name; 5] = [Name::From, Name::To, Name::CallId, Name::Via, Name::CSeq];

const fn bits(names: &[Name]) -> u64 {
    const { assert!((Name::Other as u8) < 64, "names are bits of a u64") };
    let (mut bits, mut at) = (0, 0);
    while at < names.len() {
        bits |= 1 << names[at] as u8;
        at += 1;
    }
    bits
}

pub(crate) fn check(message: &Message) -> Result<(), Fault> {
    if let Some(fault) = message.version_fault() {
        return Err(fault);
    }
    let head = message.head_text();
    let (mut seen, mut values) = (0_u64, 0);
    for span in message.spans() {
        let bit = 1 << span.name as u8;
        if seen & bit & ONCE != 0 {
            return Err(Fault::new(Reason::Twice(span.name), usize::from(span.line)));
        }
        seen |= bit;
        check_field(message, span, head.get(span.inside()).unwrap_or_default(), &mut values)?;
    }
    if let Some(name) = NEEDED.into_iter().find(|name| seen & bits(&[*name]) == 0) {
        return Err(Fault::new(Reason::Missing(name), message.head_end()));
    }
    check_request_uri(message)
}

/// RFC 3261 §19.1.1: header parameters have no meaning in a Request-URI, and must not be there.
fn check_request_uri(message: &Message) -> Result<(), Fault> {
    if message.is_request() && message.request_uri()?.headers.is_some() {
        return Err(Fault::new(Reason::RequestUri, message.request_uri_range().start));
    }
    Ok(())
}

/// One field by the grammar of its name.
fn check_field(message: &Message, span: &Span, text: &str, values: &mut usize) -> Result<(), Fault> {
    let (name, at) = (span.name, usize::from(span.value));
    let mut each = |is: &dyn Fn(&str) -> bool| every(text, values, is);
    let well_formed = match name {
        Name::CSeq => return check_cseq(message, text, at),
        Name::CallId => is_call_id(text),
        Name::From | Name::To => NameAddr::parse(text).is_some_and(|address| !address.params.has_twice("tag")),
        Name::Via => each(&|value| Via::parse(value).is_some()),
        Name::Contact if text == "*" => is_star_allowed(message),
        Name::Contact => return check_contacts(text, at, values),
        Name::Route | Name::RecordRoute | Name::Path | Name::ServiceRoute => each(&|value| NameAddr::parse_bracketed(value).is_some()),
        Name::PAssertedIdentity => each(&|value| NameAddr::parse(value).is_some()),
        Name::Warning => each(&is_warning),
        Name::ReferTo | Name::ReferredBy => NameAddr::parse(text).is_some(),
        Name::Date => is_date(text),
        Name::Event => is_event(text),
        Name::ContentType => MediaType::parse(text).is_some(),
        Name::ContentEncoding => each(&is_token),
        Name::Require | Name::ProxyRequire => list(text).all(|token| token.is_empty() || is_token(token)),
        Name::Expires | Name::MinExpires | Name::FlowTimer | Name::MaxBreadth => return number(name, text, u32::MAX, at).map(drop),
        Name::MaxForwards => return number(name, text, 255, at).map(drop),
        Name::RetryAfter => return retry_after(text, at).map(drop),
        // The rest is copied through, or read by whoever needs it.
        _ => true,
    };
    if well_formed { Ok(()) } else { Err(Fault::new(Reason::Malformed(name), at)) }
}

/// RFC 3261 §8.1.1.5. Method names differ by case.
fn check_cseq(message: &Message, text: &str, at: usize) -> Result<(), Fault> {
    let cseq = CSeq::parse(text).map_err(|reason| Fault::new(reason, at))?;
    if message.is_request() && cseq.method != message.method() {
        return Err(Fault::new(Reason::MethodMismatch, at));
    }
    Ok(())
}

/// At least one value, and every one as it should be.
fn every(text: &str, values: &mut usize, mut is: impl FnMut(&str) -> bool) -> bool {
    !text.is_empty()
        && list(text).all(|value| {
            *values += 1;
            *values <= VALUES_MAX && is(value)
        })
}

/// `*` stands alone, and in REGISTER only (RFC 3261 §10.2.2, §20.10).
fn is_star_allowed(message: &Message) -> bool {
    message.is_request() && message.method() == "REGISTER" && message.is_contact_star()
}

fn check_contacts(text: &str, at: usize, values: &mut usize) -> Result<(), Fault> {
    let mut reason = Reason::Malformed(Name::Contact);
    let well_formed = every(text, values, |contact| check_contact(contact).map_err(|told| reason = told).is_ok());
    if well_formed { Ok(()) } else { Err(Fault::new(reason, at)) }
}

/// An address whose `q` and `expires` are numbers, each there once (RFC 3261 §20.10).
fn check_contact(text: &str) -> Result<(), Reason> {
    let malformed = Reason::Malformed(Name::Contact);
    let (mut q, mut expires) = (false, false);
    for (name, value) in NameAddr::parse(text).ok_or(malformed)?.params.iter() {
        let value = without_quotes(value.unwrap_or_default());
        if name.eq_ignore_ascii_case("q") {
            if std::mem::replace(&mut q, true) || !is_qvalue(trim(value)) {
                return Err(malformed);
            }
        } else if name.eq_ignore_ascii_case("expires") {
            number(Name::Contact, value, u32::MAX, 0).map_err(|fault| fault.reason)?;
            if std::mem::replace(&mut expires, true) {
                return Err(malformed);
            }
        }
    }
    Ok(())
}
