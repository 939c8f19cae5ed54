//! The names of headers, long, compact and in any case.

use std::fmt;

macro_rules! names {
    ($($name:ident $long:literal $compact:literal)+) => {
        /// A header's name. The ones verbund acts on, or must recognise in any spelling, have a variant;
        /// every other one is [`Name::Other`] and is copied through unread.
        #[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
        #[repr(u8)]
        #[allow(missing_docs)] // the names are the standard's own
        pub enum Name { $($name,)+ Other }

        /// Long and compact form of every name (RFC 3261 §7.3.3 and the registry), in the enum's order.
        const NAMES: &[(Name, &str, &str)] = &[$((Name::$name, $long, $compact),)+];
    };
}

names! {
    Accept "Accept" ""
    Allow "Allow" ""
    AllowEvents "Allow-Events" "u"
    AlertInfo "Alert-Info" ""
    AuthenticationInfo "Authentication-Info" ""
    Authorization "Authorization" ""
    CSeq "CSeq" ""
    CallId "Call-ID" "i"
    CallInfo "Call-Info" ""
    Contact "Contact" "m"
    ContentDisposition "Content-Disposition" ""
    ContentEncoding "Content-Encoding" "e"
    ContentLength "Content-Length" "l"
    ContentType "Content-Type" "c"
    Date "Date" ""
    Event "Event" "o"
    Expires "Expires" ""
    FlowTimer "Flow-Timer" ""
    From "From" "f"
    HistoryInfo "History-Info" ""
    Identity "Identity" "y"
    MaxBreadth "Max-Breadth" ""
    MaxForwards "Max-Forwards" ""
    MinExpires "Min-Expires" ""
    MinSe "Min-SE" ""
    PAssertedIdentity "P-Asserted-Identity" ""
    PPreferredIdentity "P-Preferred-Identity" ""
    Path "Path" ""
    Privacy "Privacy" ""
    ProxyAuthenticate "Proxy-Authenticate" ""
    ProxyAuthorization "Proxy-Authorization" ""
    ProxyRequire "Proxy-Require" ""
    RAck "RAck" ""
    RSeq "RSeq" ""
    Reason "Reason" ""
    RecordRoute "Record-Route" ""
    ReferTo "Refer-To" "r"
    ReferredBy "Referred-By" "b"
    RemotePartyId "Remote-Party-ID" ""
    Replaces "Replaces" ""
    Require "Require" ""
    RetryAfter "Retry-After" ""
    Route "Route" ""
    Server "Server" ""
    ServiceRoute "Service-Route" ""
    SessionExpires "Session-Expires" "x"
    Subject "Subject" "s"
    SubscriptionState "Subscription-State" ""
    Supported "Supported" "k"
    Timestamp "Timestamp" ""
    To "To" "t"
    Unsupported "Unsupported" ""
    UserAgent "User-Agent" ""
    Via "Via" "v"
    Warning "Warning" ""
    WwwAuthenticate "WWW-Authenticate" ""
}

const SLOTS: usize = 256;
const EMPTY: u8 = u8::MAX;

/// Both forms of every name, found by length, first and last letter; made while compiling, so that a
/// header costs one look and not one comparison a known name.
static INDEX: [u8; SLOTS] = index();

const fn slot(text: &[u8]) -> usize {
    let (first, last) = (text[0] | 0x20, text[text.len() - 1] | 0x20);
    (text.len() * 7 + first as usize * 31 + last as usize * 13) % SLOTS
}

const fn index() -> [u8; SLOTS] {
    let mut index = [EMPTY; SLOTS];
    let mut at = 0;
    while at < NAMES.len() {
        assert!(NAMES[at].0 as usize == at, "as_str looks names up by their number");
        enter(&mut index, NAMES[at].1.as_bytes(), at as u8);
        if !NAMES[at].2.is_empty() {
            enter(&mut index, NAMES[at].2.as_bytes(), at as u8);
        }
        at += 1;
    }
    index
}

const fn enter(index: &mut [u8; SLOTS], text: &[u8], row: u8) {
    let mut at = slot(text);
    while index[at] != EMPTY {
        at = (at + 1) % SLOTS;
    }
    index[at] = row;
}

impl Name {
    /// The name spelt so, in any case, long or compact.
    #[must_use]
    pub fn of(text: &str) -> Self {
        Self::of_bytes(text.as_bytes())
    }

    pub(crate) fn of_bytes(text: &[u8]) -> Self {
        if text.is_empty() {
            return Self::Other;
        }
        let mut at = slot(text);
        // The index is never full, so an empty slot ends every search.
        while let Some((name, long, compact)) = NAMES.get(usize::from(INDEX[at])) {
            let form = if text.len() == 1 { compact } else { long };
            // Nearly all write the standard's own spelling, and comparing whole words is cheaper.
            if text == form.as_bytes() || text.eq_ignore_ascii_case(form.as_bytes()) {
                return *name;
            }
            at = (at + 1) % SLOTS;
        }
        Self::Other
    }

    /// The long form; `"?"` for [`Name::Other`].
    #[must_use]
    pub fn as_str(self) -> &'static str {
        NAMES.get(self as usize).map_or("?", |row| row.1)
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_found_in_every_spelling() {
        for (name, long, compact) in NAMES {
            assert_eq!(Name::of(long), *name);
            assert_eq!(Name::of(&long.to_uppercase()), *name);
            assert_eq!(Name::of(&long.to_lowercase()), *name);
            assert_eq!(name.as_str(), *long);
            if !compact.is_empty() {
                assert_eq!(Name::of(compact), *name);
                assert_eq!(Name::of(&compact.to_uppercase()), *name);
            }
        }
    }

    #[test]
    fn what_is_not_known_is_other_and_never_a_neighbour() {
        for text in ["", "Content_Length", "Content-Lengt", "ontent-Length", "C%6Fntact", "z", "Vía", "Too", "FromX", "Ca11-ID"] {
            assert_eq!(Name::of(text), Name::Other, "{text}");
        }
    }

    #[test]
    fn finding_a_name_takes_few_steps() {
        let longest = INDEX.split(|row| *row == EMPTY).map(<[u8]>::len).max();
        assert!(longest.unwrap() <= 12, "{longest:?}");
    }
}
