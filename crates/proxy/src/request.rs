//! How a request is rewritten for one device (RFC 3261 §16.6).

use std::{ops::Range, sync::Arc, time::Instant};

use bytes::Bytes;
use locate::NextHop;
use sip::{Credentials, Message, Name, NameAddr, Rewrite, Uri};

use crate::{
    End, Flow, Target,
    branch::BranchId,
    desk::{Desk, number_text},
    key::Seed,
    token::{Leg, Token, called_hash, dialog_hash, event_hash},
};

/// Max-Forwards of a request that has none (RFC 3261 §16.6 step 3).
const HOPS: u8 = 70;

/// What is the same on all branches of one request.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) caller: Option<End>,
    pub(crate) asserted: Option<String>,
    pub(crate) reached_as: Option<Arc<str>>,
    pub(crate) record_route: bool,
}

/// One branch of it.
#[derive(Clone, Copy)]
pub(crate) struct Outgoing<'a> {
    pub(crate) target: &'a Target,
    /// The flow the request came in on.
    pub(crate) source: Flow,
    pub(crate) id: BranchId,
    /// This branch's share of Max-Breadth.
    pub(crate) breadth: u32,
}

/// What routing is decided on: a request that comes back with all of this unchanged goes in circles, one
/// that was changed on its way is a spiral and may pass (RFC 5393 §4.2.1).
pub(crate) fn route_hash(message: &Message, desk: &Desk) -> u64 {
    let first = |name| message.first(name).unwrap_or_default();
    let fixed = ["loop", message.request_uri_text(), first(Name::CallId), first(Name::From), first(Name::To), first(Name::CSeq)];
    desk.seed.hash(fixed.into_iter().chain(message.all(Name::Route)))
}

/// Whether the request was here before with the same words.
pub(crate) fn is_loop(message: &Message, route_hash: u64) -> bool {
    // The topmost Via is the sender's own; most requests have no other, and nothing is parsed.
    let below = message.list(Name::Via).skip(1).filter_map(sip::Via::parse);
    below.filter_map(|via| via.branch()).any(|branch| crate::branch::route_hash(branch) == Some(route_hash))
}

/// How many hops are left for the request after us; `None` when it may not go on (RFC 3261 §16.3 step 3).
pub(crate) fn hops_left(message: &Message) -> Option<u8> {
    match message.max_forwards() {
        Ok(Some(0)) | Err(_) => None,
        Ok(Some(hops)) => Some(hops - 1),
        Ok(None) => Some(HOPS),
    }
}

/// How many branches may be open at once because of this request (RFC 5393 §5.3.3).
pub(crate) fn breadth(message: &Message, breadth_max: u32) -> u32 {
    let asked = message.first(Name::MaxBreadth).map(|text| text.parse().unwrap_or(0));
    asked.unwrap_or(breadth_max).min(breadth_max)
}

/// What every response repeats of its request (RFC 3261 §8.2.6.2): Call-ID, From tag, CSeq number, and the branch of
/// whoever sent it to us, who tells by it what is answered. `at` is where that stands among the Via values.
pub(crate) fn origin(message: &Message, at: usize, seed: &Seed) -> u64 {
    let via = message.vias().nth(at).flatten();
    let from = message.from().ok();
    let number = message.first(Name::CSeq).and_then(|text| text.split_ascii_whitespace().next());
    let number = number.map(|digits| digits.trim_start_matches('0'));
    let branch = via.as_ref().and_then(|via| via.branch());
    let tag = from.as_ref().and_then(|from| from.tag());
    let parts = [message.call_id().ok(), tag, number, branch];
    seed.hash(std::iter::once("origin").chain(parts.map(Option::unwrap_or_default)))
}

/// Where a Record-Route value leads: user part, host, port and transport.
pub(crate) fn way(uri: &Uri<'_>, seed: &Seed) -> u64 {
    let mut digits = [0; 20];
    let port = number_text(uri.port.unwrap_or(0).into(), &mut digits);
    let transport = uri.params.value("transport").unwrap_or_default().to_ascii_lowercase();
    seed.hash(["way", uri.user.unwrap_or_default(), &uri.host.to_string().to_ascii_lowercase(), port, &transport])
}

/// The request as one target gets it (RFC 3261 §16.6), and the way back that its caller was told. Everything not named
/// here stays as it came.
pub(crate) fn forwarded(message: &Message, plan: &Plan, outgoing: Outgoing<'_>, desk: &mut Desk, now: Instant) -> (Bytes, Option<u64>) {
    let target = outgoing.target;
    let mut scratch = std::mem::take(&mut desk.scratch);
    scratch.clear();
    let via = noted(&mut scratch, |out| desk.write_via(outgoing.id, &target.hop, out));
    let record_routes = write_record_routes(message, plan, outgoing, desk, now, &mut scratch);
    let mut digits = [[0; 20]; 2];
    let [hops_digits, breadth_digits] = &mut digits;
    let hops = number_text(hops_left(message).unwrap_or(0).into(), hops_digits);
    let breadth = number_text(outgoing.breadth.into(), breadth_digits);

    let mut rewrite = Rewrite::of(message);
    rewrite.request_uri(&target.uri).push(Name::Via, &scratch[via]);
    rewrite.set(Name::MaxForwards, hops).set(Name::MaxBreadth, breadth);
    let mut own = None;
    if record_routes[0].is_none() {
        // Ours would stand on top, so that the other side comes to us first. Without it somebody else's would lead a phone that
        // takes this for the beginning of a dialog wherever the sender likes, over any transport (P2).
        rewrite.remove(Name::RecordRoute);
    }
    for range in record_routes.into_iter().flatten() {
        own = NameAddr::parse(&scratch[range.clone()]).map(|route| way(&route.uri, &desk.seed));
        rewrite.push(Name::RecordRoute, &scratch[range]);
    }
    reroute(&mut rewrite, message, target, desk);
    identify(&mut rewrite, message, plan, &target.hop);
    uncommand(&mut rewrite);
    for name in [Name::Authorization, Name::ProxyAuthorization] {
        rewrite.remove_where(name, |text| is_for_us(text, desk.settings.realm.as_deref()));
    }
    let bytes = rewrite.to_bytes();
    drop(rewrite);
    desk.scratch = scratch;
    (bytes, own)
}

fn noted(out: &mut String, write: impl FnOnce(&mut String)) -> Range<usize> {
    let from = out.len();
    write(out);
    from..out.len()
}

/// `<sip:TOKEN@host:port;transport=tls;lr>`, the topmost first; nothing unless both legs have a user.
///
/// Each side sends its requests to the value next to it, and may have to find us by what stands there. If the
/// two call us by different names each gets its own, as a proxy between two networks does (RFC 5658 §5).
fn write_record_routes(
    message: &Message,
    plan: &Plan,
    outgoing: Outgoing<'_>,
    desk: &mut Desk,
    now: Instant,
    out: &mut String,
) -> [Option<Range<usize>>; 2] {
    let target = outgoing.target;
    let token = out.len();
    if write_token(message, plan, outgoing, desk, now, out).is_none() {
        return [None, None];
    }
    let token = token..out.len();
    let callee_side = target.reached_as.as_deref().unwrap_or(desk.sent_by(&target.hop));
    let caller_side = plan.reached_as.as_deref().unwrap_or(&desk.settings.sent_by);
    let mut value = |host: &str| {
        noted(out, |out| {
            out.push_str("<sip:");
            out.extend_from_within(token.clone());
            out.push('@');
            out.push_str(host);
            out.push_str(";transport=tls;lr>");
        })
    };
    let top = value(callee_side);
    [Some(top), (caller_side != callee_side).then(|| value(caller_side))]
}

fn write_token(message: &Message, plan: &Plan, outgoing: Outgoing<'_>, desk: &mut Desk, now: Instant, out: &mut String) -> Option<()> {
    let target = outgoing.target;
    if !plan.record_route {
        return None;
    }
    let caller = Leg { flow: outgoing.source, end: plan.caller.clone()? };
    let callee = Leg { flow: target.flow(), end: target.end()? };
    let (from, called) = (message.from().ok()?, called_hash(&desk.seed, &message.to().ok()?.uri));
    let token = Token { caller, callee, called, event: event_hash(&desk.seed, message) };
    let dialog = dialog_hash(&desk.seed, message.call_id().ok()?, from.tag().unwrap_or_default());
    desk.tokens.write(&token, dialog, &mut desk.random, now, out)
}

/// Our own Route values go, the target's path comes on top of what is left.
fn reroute<'m>(rewrite: &mut Rewrite<'m>, message: &'m Message, target: &'m Target, desk: &Desk) {
    for hop in &target.path {
        rewrite.push(Name::Route, hop);
    }
    let ours = desk.names.own_routes(message);
    if ours > 0 {
        for other in message.list(Name::Route).skip(ours) {
            rewrite.push(Name::Route, other);
        }
        rewrite.remove(Name::Route);
    }
}

/// What only a trusted server may say about the caller is said by us or not at all (RFC 3325 §5, row N16).
fn identify<'m>(rewrite: &mut Rewrite<'m>, message: &'m Message, plan: &'m Plan, hop: &NextHop) {
    let by_phone = !matches!(plan.caller, Some(End::Server(_)));
    unvouch(rewrite, message, by_phone);
    let may_know = match hop {
        NextHop::Flow(_) => !asks_for_privacy(message),
        NextHop::Server { .. } => true,
    };
    if let Some(asserted) = plan.asserted.as_deref().filter(|_| may_know) {
        rewrite.push(Name::PAssertedIdentity, asserted);
    }
}

/// Takes out what would make a phone answer by itself: whoever calls could listen to the room (RFC 5373 §4.2 warns of it).
fn uncommand<'m>(rewrite: &mut Rewrite<'m>) {
    let commands = |value: &str| {
        let value = value.to_ascii_lowercase();
        ["answer-after", "auto-answer", "autoanswer", "auto answer"].iter().any(|word| value.contains(word))
    };
    rewrite.remove_named("Answer-Mode").remove_named("Priv-Answer-Mode");
    rewrite.remove_where(Name::AlertInfo, commands).remove_where(Name::CallInfo, commands);
}

/// Names without a [`Name`] that only servers may write (RFC 7315, 5502, 6050).
const VOUCHING: [&str; 9] = [
    "P-Asserted-Service",
    "P-Called-Party-ID",
    "P-Charging-Function-Addresses",
    "P-Charging-Vector",
    "P-Private-Network-Indication",
    "P-Profile-Key",
    "P-Served-User",
    "P-User-Database",
    "P-Visited-Network-ID",
];

/// Names without a [`Name`] that are a server's word about where a call has been, when a phone writes them: RFC 5806 and the
/// spelling before it, and what RFC 4474 had besides Identity.
const PROXIES: [&str; 3] = ["Diversion", "CC-Diversion", "Identity-Info"];

/// Takes out what phones believe because only a server could have said it. Remote-Party-ID is what came before RFC 3325,
/// and is still shown to people.
///
/// From a phone, also what servers on the way say: History-Info (RFC 7044; of what a phone itself may write, the Request-URI
/// that it asked for, nothing is lost), Diversion, and Identity (RFC 8224), which whoever has the domain's key signs, and no phone has
/// it. Referred-By stays: it is a phone's to say (RFC 3892: the one who was referred copies it out of the REFER), and who it names has no more
/// weight than a display name. Path is for registrars alone, who send no REGISTER on (RFC 3327).
pub(crate) fn unvouch<'m>(rewrite: &mut Rewrite<'m>, message: &'m Message, by_phone: bool) {
    rewrite.remove(Name::PAssertedIdentity).remove(Name::PPreferredIdentity).remove(Name::RemotePartyId).remove(Name::Path);
    if by_phone {
        rewrite.remove(Name::HistoryInfo).remove(Name::Identity);
    }
    let is_in = |names: &[&str], name: &str| names.iter().any(|known| known.eq_ignore_ascii_case(name));
    let vouches = |name: &str| is_in(&VOUCHING, name) || (by_phone && is_in(&PROXIES, name));
    for field in message.fields().filter(|field| field.name == Name::Other && vouches(field.raw_name)) {
        rewrite.remove_named(field.raw_name);
    }
}

/// `Privacy: id` (RFC 3325 §9.3): the other user must not be told who calls.
fn asks_for_privacy(message: &Message) -> bool {
    message.all(Name::Privacy).flat_map(|text| text.split([';', ','])).any(|value| value.trim().eq_ignore_ascii_case("id"))
}

/// Credentials for our realm, or for one that cannot be told: they end here.
fn is_for_us(text: &str, realm: Option<&str>) -> bool {
    let (Some(ours), Some(theirs)) = (realm, Credentials::parse(text).and_then(|c| c.value("realm"))) else { return true };
    ours.eq_ignore_ascii_case(theirs)
}

/// The Route values a branch was sent with.
pub(crate) fn routes<'a>(invite: &'a Message, path: &'a [String], desk: &Desk) -> impl Iterator<Item = &'a str> {
    let ours = desk.names.own_routes(invite);
    path.iter().map(String::as_str).chain(invite.list(Name::Route).skip(ours))
}
