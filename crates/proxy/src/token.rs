//! Record-Route tokens: both ends of a dialog, sealed into a URI.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use aws_lc_rs::aead::{AES_256_GCM_SIV, Aad, LessSafeKey, Nonce, UnboundKey};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use pki::Fqdn;
use sip::{Host, Message, Name, Uri};

use crate::{
    Flow, Settings, UserName,
    key::Seed,
    secret::{Generator, Secret},
};

/// Who is at one side of a dialog.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum End {
    /// A user, with a device that is connected here.
    User(UserName),
    /// A server, and behind it whoever it speaks for.
    Server(Arc<Fqdn>),
}

/// One side of a dialog: who, and the flow they were reached on.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Leg {
    /// The flow when the dialog began. It may be gone by now.
    pub flow: Flow,
    /// Who is there.
    pub end: End,
}

/// What the Route headers at the top of a request say about us.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Route {
    /// There is no Route.
    None,
    /// A token of ours for this very dialog (Call-ID and tag agree). Which side speaks is told by the
    /// tags; that the speaker owns `from` must be checked by whoever knows the speaker.
    Dialog {
        /// The leg this request says it comes from.
        from: Leg,
        /// The leg it is meant for.
        to: Leg,
    },
    /// A Route that names us, but whose token was not made by us, not for this dialog, or is too old.
    Forged,
    /// A Route that names us and says no more, as phones with an outbound proxy send it. It is popped.
    Preloaded,
    /// The topmost Route names someone else.
    Foreign,
}

/// What a token says.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Token {
    pub(crate) caller: Leg,
    pub(crate) callee: Leg,
    /// The hash of the To URI that opened the dialog ([`called_hash`]).
    pub(crate) called: u64,
    /// The hash of the event package that the request which opened it asks to be told of ([`event_hash`]).
    pub(crate) event: u64,
}

/// Seals both legs of a dialog into the user part of our Record-Route URI (house rule: mid-dialog requests
/// need no state here). Encrypted, because a caller may have asked for privacy; with a nonce-misuse
/// resistant cipher, because a restart with the same key repeats the nonces.
pub(crate) struct Tokens {
    key: LessSafeKey,
    start: Instant,
    age_max: Duration,
}

const NONCE_LEN: usize = 12;
const TAG_LEN: usize = 16;
/// Seconds, dialog, called, event, two flows, two kinds, two lengths, two names.
const PLAIN_LEN_MAX: usize = 4 + 8 + 8 + 8 + 16 + 2 + 2 + 2 * 255;
/// What kind of name follows.
const USER: u8 = 0;
const SERVER: u8 = 1;
const SEALED_LEN_MAX: usize = NONCE_LEN + PLAIN_LEN_MAX + TAG_LEN;

impl Tokens {
    pub(crate) fn new(secret: &Secret, start: Instant, age_max: Duration) -> Self {
        // The key has the length the cipher wants, so this cannot fail.
        #[expect(clippy::expect_used, reason = "see above")]
        let key = UnboundKey::new(&AES_256_GCM_SIV, secret.derive("record-route token").as_slice()).expect("256 bits are a key");
        Self { key: LessSafeKey::new(key), start, age_max }
    }

    /// Writes the token for the dialog that `dialog` is the hash of. Nothing is written if a name is too long.
    pub(crate) fn write(&self, token: &Token, dialog: u64, random: &mut Generator, now: Instant, out: &mut String) -> Option<()> {
        let mut plain = Vec::with_capacity(PLAIN_LEN_MAX);
        let seconds = u32::try_from(now.saturating_duration_since(self.start).as_secs()).ok()?;
        plain.extend_from_slice(&seconds.to_be_bytes());
        plain.extend_from_slice(&dialog.to_be_bytes());
        plain.extend_from_slice(&token.called.to_be_bytes());
        plain.extend_from_slice(&token.event.to_be_bytes());
        for leg in [&token.caller, &token.callee] {
            plain.extend_from_slice(&leg.flow.0.to_be_bytes());
            let (kind, name) = match &leg.end {
                End::User(user) => (USER, user.as_str()),
                End::Server(server) => (SERVER, server.as_str()),
            };
            plain.extend_from_slice(&[kind, u8::try_from(name.len()).ok()?]);
            plain.extend_from_slice(name.as_bytes());
        }
        let nonce: [u8; NONCE_LEN] = random.take();
        let tag = self.key.seal_in_place_separate_tag(Nonce::assume_unique_for_key(nonce), Aad::empty(), &mut plain).ok()?;
        let mut sealed = [0; SEALED_LEN_MAX];
        let len = NONCE_LEN + plain.len() + TAG_LEN;
        sealed[..NONCE_LEN].copy_from_slice(&nonce);
        sealed[NONCE_LEN..len - TAG_LEN].copy_from_slice(&plain);
        sealed[len - TAG_LEN..len].copy_from_slice(tag.as_ref());
        URL_SAFE_NO_PAD.encode_string(&sealed[..len], out);
        Some(())
    }

    /// The token, and the hash of the dialog it was made for; `None` when it is not ours or too old.
    pub(crate) fn open(&self, text: &str, now: Instant) -> Option<(Token, u64)> {
        let mut sealed = [0; SEALED_LEN_MAX];
        let len = URL_SAFE_NO_PAD.decode_slice(text, &mut sealed).ok()?;
        let (nonce, rest) = sealed[..len].split_at_mut_checked(NONCE_LEN)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let mut plain: &[u8] = self.key.open_in_place(nonce, Aad::empty(), rest).ok()?;
        let seconds = u32::from_be_bytes(*take(&mut plain)?);
        let age = now.saturating_duration_since(self.start).checked_sub(Duration::from_secs(seconds.into()))?;
        let dialog = u64::from_be_bytes(*take(&mut plain)?);
        let called = u64::from_be_bytes(*take(&mut plain)?);
        let event = u64::from_be_bytes(*take(&mut plain)?);
        let (caller, callee) = (leg(&mut plain)?, leg(&mut plain)?);
        (plain.is_empty() && age <= self.age_max).then_some((Token { caller, callee, called, event }, dialog))
    }
}

fn take<'p, const N: usize>(plain: &mut &'p [u8]) -> Option<&'p [u8; N]> {
    let (head, rest) = plain.split_first_chunk()?;
    *plain = rest;
    Some(head)
}

fn leg(plain: &mut &[u8]) -> Option<Leg> {
    let flow = Flow(u64::from_be_bytes(*take(plain)?));
    let [kind, len] = *take(plain)?;
    let (name, rest) = plain.split_at_checked(usize::from(len))?;
    *plain = rest;
    let name = std::str::from_utf8(name).ok()?;
    let end = match kind {
        USER => End::User(UserName::parse(name).ok()?),
        SERVER => End::Server(Fqdn::parse(name).ok()?.into()),
        _ => return None,
    };
    Some(Leg { flow, end })
}

/// What a token is bound to: the Call-ID and the tag of whoever opened the dialog.
pub(crate) fn dialog_hash(seed: &Seed, call_id: &str, tag: &str) -> u64 {
    seed.hash(["dialog", call_id, tag])
}

/// Whom a dialog was opened with, as its To said: user and host, whatever parameters stand behind them.
pub(crate) fn called_hash(seed: &Seed, uri: &Uri<'_>) -> u64 {
    seed.hash(["called", uri.user.unwrap_or_default(), &uri.host.to_string().to_ascii_lowercase()])
}

/// The package that a REFER asks to be told of (RFC 3515 §2.4.4).
const REFER_PACKAGE: &str = "refer";

/// What a request that opens a dialog asks to be told of. INVITE asks for nothing, but a REFER may come in its dialog;
/// that other subscriptions share it, is for older programs (RFC 6665 §4.5.2), and not supported.
pub(crate) fn event_hash(seed: &Seed, message: &Message) -> u64 {
    let package = match message.method() {
        "SUBSCRIBE" => package(message).unwrap_or_default(),
        "INVITE" | "REFER" => REFER_PACKAGE,
        _ => "",
    };
    seed.hash(["event", package])
}

/// The event package of a request, if it names exactly one (RFC 6665 §8.2.1).
fn package(message: &Message) -> Option<&str> {
    let mut events = message.all(Name::Event);
    let event = events.next().filter(|_| events.next().is_none())?;
    Some(event.split(';').next()?.trim()).filter(|package| !package.is_empty())
}

/// Whether a NOTIFY tells of what its dialog was opened for: it names the package, and comes from whoever was asked. Who was asked by
/// a REFER within a call we do not know, and both may have been.
pub(crate) fn is_asked_for(notify: &Message, names: &Names, tokens: &Tokens, seed: &Seed, now: Instant) -> bool {
    let Some(package) = package(notify) else { return false };
    let Some(opened) = opened(notify, names, tokens, seed, now) else { return false };
    opened.token.event == seed.hash(["event", package]) && (opened.is_callee || package == REFER_PACKAGE)
}

/// The names a Route calls us by.
pub(crate) struct Names {
    port: Option<u16>,
    names: Vec<(String, Option<u16>)>,
}

impl Names {
    /// From `host` or `host:port`; what cannot be read names nobody.
    pub(crate) fn new(settings: &Settings) -> Self {
        let own = [&settings.sent_by, &settings.sent_by_to_servers];
        let names: Vec<_> = own.into_iter().chain(&settings.aliases).filter_map(|text| own_name(text)).collect();
        Self { port: own_name(&settings.sent_by).and_then(|(_, port)| port), names }
    }

    /// Whether this URI means us: a name of ours with our port or none, or an address. A phone that was told an
    /// address writes the one it reaches us at, which behind a translator is none we know; it asks for nothing,
    /// since a Route is popped here and never dialled.
    pub(crate) fn mean_us(&self, uri: &Uri<'_>) -> bool {
        let same_port = |own: Option<u16>| uri.port.is_none() || uri.port == own.or(self.port).or(Some(5061));
        let named = |host: &Host<'_>| self.names.iter().any(|(name, port)| host.is_name(name) && same_port(*port));
        uri.is_sip()
            && match uri.host {
                Host::Name(_) => named(&uri.host),
                Host::V4(_) | Host::V6(_) => true,
            }
    }

    /// How many of the topmost Route values mean us. They are popped. Behind a token of ours an address means us only if it
    /// bears the same one, as the second of a pair does: what else stands there is some server's behind us.
    pub(crate) fn own_routes(&self, message: &Message) -> usize {
        let (mut token, mut count) = (None, 0);
        for route in message.addresses(Name::Route).map_while(Result::ok) {
            let uri = &route.uri;
            let same = token.is_none() || matches!(uri.host, Host::Name(_)) || uri.user == token;
            if !same || !self.mean_us(uri) {
                break;
            }
            token = token.or(uri.user);
            count += 1;
        }
        count
    }
}

/// A DNS name and a port; addresses need not be listed.
fn own_name(text: &str) -> Option<(String, Option<u16>)> {
    let text = format!("sip:{text}");
    let uri = Uri::parse(&text)?;
    match uri.host {
        Host::Name(name) => Some((name.to_owned(), uri.port)),
        Host::V4(_) | Host::V6(_) => None,
    }
}

/// Reads the Route headers at the top of a request.
pub(crate) fn route_of(message: &Message, names: &Names, tokens: &Tokens, seed: &Seed, now: Instant) -> Route {
    let mut any = false;
    for route in message.addresses(Name::Route) {
        match route {
            Ok(route) if names.mean_us(&route.uri) => match route.uri.user {
                Some(user) => return open_for(message, user, tokens, seed, now).map_or(Route::Forged, Opened::route),
                None => any = true,
            },
            Ok(_) | Err(_) if any => return Route::Preloaded,
            Ok(_) | Err(_) => return Route::Foreign,
        }
    }
    if any { Route::Preloaded } else { Route::None }
}

/// Who speaks in a dialog under the very URI that it was opened with (RFC 3261 §12.2.1.1: it is From in the requests of
/// whoever was called). Nobody, when the topmost Route is not our token for this dialog.
pub(crate) fn speaker_as_called(message: &Message, names: &Names, tokens: &Tokens, seed: &Seed, now: Instant) -> Option<End> {
    let opened = opened(message, names, tokens, seed, now)?;
    let from = message.from().ok()?;
    (opened.is_callee && called_hash(seed, &from.uri) == opened.token.called).then_some(opened.token.callee.end)
}

/// A token that is of this request's dialog.
struct Opened {
    token: Token,
    /// Whether the request comes from the one who was called.
    is_callee: bool,
}

impl Opened {
    fn route(self) -> Route {
        let Token { caller, callee, .. } = self.token;
        if self.is_callee { Route::Dialog { from: callee, to: caller } } else { Route::Dialog { from: caller, to: callee } }
    }
}

/// What the topmost Route says, if it is our token for this dialog.
fn opened(message: &Message, names: &Names, tokens: &Tokens, seed: &Seed, now: Instant) -> Option<Opened> {
    let route = message.addresses(Name::Route).next()?.ok()?;
    let token = names.mean_us(&route.uri).then_some(route.uri.user)??;
    open_for(message, token, tokens, seed, now)
}

fn open_for(message: &Message, text: &str, tokens: &Tokens, seed: &Seed, now: Instant) -> Option<Opened> {
    let (token, dialog) = tokens.open(text, now)?;
    let call_id = message.call_id().ok()?;
    let is_of = |tag: Option<&str>| dialog_hash(seed, call_id, tag.unwrap_or_default()) == dialog;
    if is_of(message.from().ok()?.tag()) {
        return Some(Opened { token, is_callee: false });
    }
    is_of(message.to().ok()?.tag()).then_some(Opened { token, is_callee: true })
}
