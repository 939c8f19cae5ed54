//! What a server must refuse with 400 although the message can be framed.
//!
//! Every value that verbund relies on, or that has a grammar another program may read differently, is
//! looked at once, here. What the values are good for is decided elsewhere.

use crate::{
    Fault, MediaType, Message, Name, NameAddr, Reason,
    chars::{is_token, list, trim},
    scan::Span,
    values::{is_date, is_event, is_qvalue, is_warning, number, retry_after},
};

/// Addresses, Via values, and warnings in one message together: a look at each must stay cheap.
const VALUES_MAX: usize = 512;

pub(crate) fn check(message: &Message) -> Result<(), Fault> {
    if let Some(fault) = message.version_fault() {
        return Err(fault);
    }
    refuse_doubles(message)?;
    // RFC 3261 §8.1.1. Max-Forwards is not asked for: clients of RFC 2543 do not send it.
    let from = message.from()?;
    let to = message.to()?;
    message.call_id()?;
    message.via()?;
    let cseq = message.cseq()?;
    for (name, address) in [(Name::From, from), (Name::To, to)] {
        if address.params.has_twice("tag") {
            return Err(fault_at(message, name, Reason::Malformed(name)));
        }
    }
    if message.is_request() {
        check_request(message, cseq.method)?;
    }
    let mut values = 0;
    message.spans().iter().try_for_each(|span| check_field(message, span, &mut values))
}

/// Headers that stand once (RFC 3261 §7.3.1), of those whose second value could change what is done.
fn refuse_doubles(message: &Message) -> Result<(), Fault> {
    let mut seen = 0_u64;
    for span in message.spans().iter().filter(|span| stands_once(span.name)) {
        let bit = 1 << span.name as u8;
        if seen & bit != 0 {
            return Err(Fault::new(Reason::Twice(span.name), usize::from(span.line)));
        }
        seen |= bit;
    }
    Ok(())
}

fn stands_once(name: Name) -> bool {
    const { assert!((Name::Other as u8) < 64, "names are bits of a u64") };
    matches!(
        name,
        Name::CSeq
            | Name::CallId
            | Name::ContentDisposition
            | Name::ContentType
            | Name::Date
            | Name::Event
            | Name::Expires
            | Name::FlowTimer
            | Name::From
            | Name::MaxBreadth
            | Name::MaxForwards
            | Name::MinExpires
            | Name::MinSe
            | Name::RAck
            | Name::RSeq
            | Name::ReferTo
            | Name::ReferredBy
            | Name::Replaces
            | Name::RetryAfter
            | Name::SessionExpires
            | Name::SubscriptionState
            | Name::To
    )
}

fn check_request(message: &Message, cseq_method: &str) -> Result<(), Fault> {
    // RFC 3261 §19.1.1: header parameters have no meaning in a Request-URI, and must not be there.
    if message.request_uri()?.headers.is_some() {
        return Err(Fault::new(Reason::RequestUri, message.request_uri_range().start));
    }
    // RFC 3261 §8.1.1.5. Method names differ by case.
    if cseq_method != message.method() {
        return Err(fault_at(message, Name::CSeq, Reason::MethodMismatch));
    }
    Ok(())
}

fn fault_at(message: &Message, name: Name, reason: Reason) -> Fault {
    Fault::new(reason, message.span(name).map_or(0, |span| usize::from(span.value)))
}

/// One field by the grammar of its name.
fn check_field(message: &Message, span: &Span, values: &mut usize) -> Result<(), Fault> {
    let (name, at) = (span.name, usize::from(span.value));
    let text = message.text(span.value, span.value_end);
    let mut each = |is: &dyn Fn(&str) -> bool| every(text, values, is);
    let well_formed = match name {
        Name::Via => each(&|value| crate::Via::parse(value).is_some()),
        Name::Contact => (text == "*" && is_star_allowed(message)) || each(&|value| NameAddr::parse(value).is_some()),
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
    if !well_formed {
        return Err(Fault::new(Reason::Malformed(name), at));
    }
    if name == Name::Contact { check_contact_numbers(text, at) } else { Ok(()) }
}

/// At least one value, and every one as it should be.
fn every(text: &str, values: &mut usize, is: &dyn Fn(&str) -> bool) -> bool {
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

/// `q` and `expires` of contacts (RFC 3261 §20.10).
fn check_contact_numbers(text: &str, at: usize) -> Result<(), Fault> {
    let malformed = Fault::new(Reason::Malformed(Name::Contact), at);
    for contact in list(text).filter_map(NameAddr::parse) {
        let params = contact.params;
        if params.has_twice("expires") || params.has_twice("q") {
            return Err(malformed);
        }
        if params.value("q").is_some_and(|q| !is_qvalue(trim(q))) {
            return Err(malformed);
        }
        if let Some(expires) = params.value("expires") {
            number(Name::Contact, expires, u32::MAX, at)?;
        }
    }
    Ok(())
}
