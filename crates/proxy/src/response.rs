//! Which answer is the best, and how it is passed on (RFC 3261 §16.7).

use bytes::Bytes;
use sip::{Message, Name, Reply, Rewrite, Status, sdp::Unprotected};

use crate::{Settings, request};

/// How long a caller who met a full table or an unreachable server should wait before trying again, in seconds.
pub(crate) const RETRY_AFTER: &str = "5";

/// The best final response so far (RFC 3261 §16.7 step 6), and the challenges of all.
#[derive(Debug)]
pub(crate) struct Best {
    pub(crate) status: Status,
    /// What came in; `None` when the failure is our own finding.
    response: Option<Bytes>,
    /// A phone said so, and not a server.
    by_phone: bool,
    warning: Option<Unprotected>,
    /// Nobody was reached who could have said anything: it is worth trying again.
    again: bool,
    challenges: Vec<(Name, String)>,
}

impl Best {
    /// A failure that nobody sent.
    pub(crate) fn own(status: Status) -> Self {
        Self { status, response: None, by_phone: false, warning: None, again: false, challenges: Vec::new() }
    }

    /// No server of those that would do can be reached.
    pub(crate) fn unreachable() -> Self {
        Self { again: true, ..Self::own(Status::SERVICE_UNAVAILABLE) }
    }

    /// A branch whose answer was taken back because of its media (row N26).
    pub(crate) fn unprotected(status: Status, why: Unprotected) -> Self {
        Self { warning: Some(why), ..Self::own(status) }
    }

    /// A failure that came in.
    pub(crate) fn received(status: Status, message: &Message, by_phone: bool, challenges_max: usize) -> Self {
        let asks = status == Status::UNAUTHORIZED || status == Status::PROXY_AUTHENTICATION_REQUIRED;
        let challenges = if asks { challenges_of(message).take(challenges_max).collect() } else { Vec::new() };
        Self { status, response: Some(Bytes::copy_from_slice(message.as_bytes())), by_phone, warning: None, again: false, challenges }
    }

    /// Keeps the better of both, and the challenges of both.
    pub(crate) fn meet(&mut self, mut new: Self, challenges_max: usize) {
        if new.rank() < self.rank() {
            std::mem::swap(self, &mut new);
        }
        let room = challenges_max.saturating_sub(self.challenges.len());
        self.challenges.extend(new.challenges.into_iter().take(room));
    }

    /// What it keeps in memory, in bytes.
    pub(crate) fn size(&self) -> usize {
        self.response.as_ref().map_or(0, Bytes::len)
    }

    /// Lower is better: 6xx ends all, then the lowest class; within a class what the caller can act on comes
    /// first, and what only says that nobody was there comes last.
    fn rank(&self) -> (u16, u8) {
        let class = if self.status.class() == 6 { 0 } else { self.status.class() };
        let within = match self.status.code() {
            401 | 407 | 415 | 420 | 484 | 488 => 0,
            430 | 408 | 480 | 503 => 2,
            _ => 1,
        };
        (class, within)
    }

    /// The response as the caller gets it.
    pub(crate) fn write(self, request: &Message, to_tag: &str, settings: &Settings) -> Bytes {
        let is_invite = request.method() == "INVITE";
        let received = self.response.as_ref().and_then(|bytes| Message::parse(bytes.clone()).ok());
        match (self.status, received) {
            (status, None) if self.again => Reply::to(request, status, to_tag).header(Name::RetryAfter, RETRY_AFTER).finish(),
            // RFC 3261 §16.7 step 6: the caller must not conclude that this server is unavailable.
            (Status::SERVICE_UNAVAILABLE, _) => Reply::to(request, Status::SERVER_INTERNAL_ERROR, to_tag).finish(),
            // RFC 4320 §4.1: 408 is never sent to a request other than INVITE.
            (Status::REQUEST_TIMEOUT, _) if !is_invite => Reply::to(request, Status::TEMPORARILY_UNAVAILABLE, to_tag).finish(),
            // No phone knows 430; it is said between servers (RFC 5626 §11.5).
            (Status::FLOW_FAILED, None) => Reply::to(request, Status::TEMPORARILY_UNAVAILABLE, to_tag).finish(),
            (_, Some(message)) => forwarded_with(&message, self.by_phone, &self.challenges),
            (status, None) => {
                let reply = Reply::to(request, status, to_tag);
                let warning = self.warning.map(|why| warning(&settings.sent_by, why));
                warning.iter().fold(reply, |reply, value| reply.header(Name::Warning, value)).finish()
            }
        }
    }
}

fn challenges_of(message: &Message) -> impl Iterator<Item = (Name, String)> {
    let of = |name| message.all(name).map(move |value| (name, value.to_owned()));
    of(Name::WwwAuthenticate).chain(of(Name::ProxyAuthenticate))
}

/// The response without our Via (RFC 3261 §16.7 step 3), and without what only a server may say of a user.
pub(crate) fn forwarded(message: &Message, by_phone: bool) -> Bytes {
    stripped(message, by_phone).to_bytes()
}

fn stripped(message: &Message, by_phone: bool) -> Rewrite<'_> {
    let mut rewrite = Rewrite::of(message);
    rewrite.pop(Name::Via);
    request::unvouch(&mut rewrite, message, by_phone);
    rewrite
}

/// With the challenges of every branch instead of its own (RFC 3261 §16.7 step 7).
fn forwarded_with(message: &Message, by_phone: bool, challenges: &[(Name, String)]) -> Bytes {
    let mut rewrite = stripped(message, by_phone);
    if !challenges.is_empty() {
        for (name, value) in challenges {
            rewrite.push(*name, value);
        }
        rewrite.remove(Name::WwwAuthenticate).remove(Name::ProxyAuthenticate);
    }
    rewrite.to_bytes()
}

/// The Warning of a 488 (RFC 3261 §20.43, code 399: for people to read).
pub(crate) fn warning(sent_by: &str, why: Unprotected) -> String {
    format!("399 {sent_by} \"{why}\"")
}
