//! The chain: how a link is hashed, and whether all of them fit.
//!
//! The hash of a link is SHA-256 over these octets, in this order: the 16 of [`DOMAIN`], then each of number (8 octets),
//! hash of the link before (32, all zero for the first), moment (8 octets, seconds since 1970), actor and event (UTF-8, as they
//! are kept), each with its length in octets before it (8 octets). All numbers are unsigned with the highest octet first.
//! The lengths keep one field from running into the next; the JSON of an event is hashed as it is kept, so it needs no
//! canonical form.

use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::digest::{Context, SHA256};

/// Keeps these hashes apart from all others.
const DOMAIN: &[u8; 16] = b"verbund audit v1";

/// One event with its place in the chain.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Link {
    /// Its number: 1 for the first, then one more each.
    pub number: u64,
    /// The hash of the link before; zeros for the first.
    pub previous: [u8; 32],
    /// Its own hash.
    pub hash: [u8; 32],
    /// When it happened, in whole seconds.
    pub at: SystemTime,
    /// Who asked for it, as text.
    pub actor: String,
    /// The event as JSON.
    pub event: String,
}

impl Link {
    /// The next link after `head`.
    pub(crate) fn after(head: Option<&Head>, at: SystemTime, actor: String, event: String) -> Self {
        let (number, previous) = head.map_or((1, [0; 32]), |head| (head.number.saturating_add(1), head.hash));
        let mut link = Self { number, previous, hash: [0; 32], at, actor, event };
        link.hash = link.digest();
        link
    }

    /// The last link so far, if this is it.
    pub fn head(&self) -> Head {
        Head { number: self.number, hash: self.hash }
    }

    /// The hash that belongs to the content.
    fn digest(&self) -> [u8; 32] {
        let seconds = self.at.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let (number, at) = (self.number.to_be_bytes(), seconds.to_be_bytes());
        let fields: [&[u8]; 5] = [&number, &self.previous, &at, self.actor.as_bytes(), self.event.as_bytes()];
        let mut context = Context::new(&SHA256);
        context.update(DOMAIN);
        for field in fields {
            context.update(&(field.len() as u64).to_be_bytes());
            context.update(field);
        }
        let mut hash = [0; 32];
        hash.copy_from_slice(context.finish().as_ref());
        hash
    }
}

/// The end of the chain at some moment: whoever knows it, knows all that came before.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Head {
    /// The number of the last link.
    pub number: u64,
    /// Its hash.
    pub hash: [u8; 32],
}

/// As `12:0af3…`, for people to note and to give to `verbund audit verify --expect`.
impl fmt::Display for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.number)?;
        self.hash.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// Why a text is no head.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("the end of an audit log is written NUMBER:HASH with 64 hexadecimal digits, as `verbund audit verify` prints it")]
pub struct HeadFault;

impl std::str::FromStr for Head {
    type Err = HeadFault;

    fn from_str(text: &str) -> Result<Self, HeadFault> {
        let (number, hex) = text.split_once(':').ok_or(HeadFault)?;
        if hex.len() != 64 || !hex.bytes().all(|byte| byte.is_ascii_hexdigit()) || !number.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(HeadFault);
        }
        let mut hash = [0; 32];
        for (place, byte) in hash.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&hex[2 * place..2 * place + 2], 16).map_err(|_| HeadFault)?;
        }
        let number = number.parse().ok().filter(|number| *number > 0).ok_or(HeadFault)?;
        Ok(Self { number, hash })
    }
}

/// A head that was signed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Checkpoint {
    /// The head.
    pub head: Head,
    /// The signed form (JWS). Not checked here.
    pub signed: String,
    /// When it was kept.
    pub at: SystemTime,
}

/// Where a chain does not fit, and what is wrong there.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Break {
    /// The number of the link that should be there.
    pub number: u64,
    /// What is wrong.
    pub kind: BreakKind,
}

/// What is wrong with a link.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum BreakKind {
    /// Its content is not the one that was hashed.
    Altered,
    /// It does not name the link before it.
    Unlinked,
    /// It is not there, though a later one is.
    Missing,
    /// It is not there, though it once was the last.
    Truncated,
    /// It came after what the store knows as the last.
    Unrecorded,
    /// It is not the one that was signed, or that was noted elsewhere.
    Replaced,
    /// It is said to be signed, and nobody who may has signed it. Found by those who know whose signature counts.
    Unsigned,
}

impl fmt::Display for Break {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = self.number;
        match self.kind {
            BreakKind::Altered => write!(f, "link {number} was altered: its content is not the one that was hashed"),
            BreakKind::Unlinked => write!(f, "link {number} does not follow from the link before it: one of them was replaced"),
            BreakKind::Missing => write!(f, "link {number} is missing, later ones are there"),
            BreakKind::Truncated => write!(f, "link {number} is missing at the end: links were cut off"),
            BreakKind::Unrecorded => write!(f, "link {number} is beyond the recorded end: it was not written by verbund"),
            BreakKind::Unsigned => write!(f, "link {number} is said to be signed, and the signature is not the authority's"),
            BreakKind::Replaced => write!(f, "link {number} is another one than was signed or noted: the log was written anew"),
        }
    }
}

/// Takes a chain link by link and says whether it is whole.
#[derive(Clone, Debug, Default)]
pub struct Chain {
    head: Option<Head>,
    /// What must be met on the way, by number.
    known: Vec<Head>,
    met: usize,
}

impl Chain {
    /// A chain that must go through all of these heads: those that were signed, those that were noted elsewhere.
    pub fn through(mut known: Vec<Head>) -> Self {
        known.sort_by_key(|head| head.number);
        Self { head: None, known, met: 0 }
    }

    /// The last link that was taken.
    pub fn head(&self) -> Option<Head> {
        self.head
    }

    /// Takes the next link.
    ///
    /// # Errors
    /// It does not fit.
    pub fn take(&mut self, link: &Link) -> Result<(), Break> {
        let (wanted, previous) = self.head.map_or((1, [0; 32]), |head| (head.number.saturating_add(1), head.hash));
        let broken = |kind| Err(Break { number: wanted, kind });
        if link.number != wanted {
            return broken(BreakKind::Missing);
        }
        if link.digest() != link.hash {
            return broken(BreakKind::Altered);
        }
        if link.previous != previous {
            return broken(BreakKind::Unlinked);
        }
        while let Some(known) = self.known.get(self.met).filter(|known| known.number <= wanted) {
            if *known != link.head() {
                return Err(Break { number: known.number, kind: BreakKind::Replaced });
            }
            self.met += 1;
        }
        self.head = Some(link.head());
        Ok(())
    }

    /// No more links come; `recorded` is what the store knows as the last one.
    ///
    /// # Errors
    /// Links are missing at the end, or there are more than were recorded.
    pub fn end(&self, recorded: Option<Head>) -> Result<Option<Head>, Break> {
        let number = |head: Option<Head>| head.map_or(0, |head| head.number);
        let (found, last) = (number(self.head), number(recorded).max(number(self.known.last().copied())));
        if found < last {
            return Err(Break { number: found + 1, kind: BreakKind::Truncated });
        }
        if found > number(recorded) {
            return Err(Break { number: number(recorded) + 1, kind: BreakKind::Unrecorded });
        }
        if self.head != recorded {
            return Err(Break { number: found, kind: BreakKind::Replaced });
        }
        Ok(self.head)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    fn chain_of(events: &[(u32, String, String)]) -> Vec<Link> {
        let mut links: Vec<Link> = Vec::new();
        for (at, actor, event) in events {
            let at = UNIX_EPOCH + Duration::from_secs((*at).into());
            links.push(Link::after(links.last().map(Link::head).as_ref(), at, actor.clone(), event.clone()));
        }
        links
    }

    /// Chains of 2 to 12 links; an actor and an event may be anything, empty too.
    fn chains() -> impl Strategy<Value = Vec<Link>> {
        prop::collection::vec((any::<u32>(), ".{0,12}", ".{0,40}"), 2..12).prop_map(|events| chain_of(&events))
    }

    fn check(links: &[Link], recorded: Option<Head>, known: &[Head]) -> Result<Option<Head>, Break> {
        let mut chain = Chain::through(known.to_vec());
        links.iter().try_for_each(|link| chain.take(link))?;
        chain.end(recorded)
    }

    fn head(links: &[Link]) -> Option<Head> {
        links.last().map(Link::head)
    }

    /// Hashes everything from `first` on anew, as somebody would who knows how.
    fn rewritten(links: &[Link], first: usize) -> Vec<Link> {
        let mut anew: Vec<Link> = links[..first].to_vec();
        for link in &links[first..] {
            anew.push(Link::after(head(&anew).as_ref(), link.at, link.actor.clone(), link.event.clone()));
        }
        anew
    }

    proptest! {
        #[test]
        fn a_chain_as_it_was_written_is_whole(links in chains()) {
            let heads: Vec<Head> = links.iter().map(Link::head).collect();
            prop_assert_eq!(check(&links, head(&links), &heads), Ok(head(&links)));
        }

        #[test]
        fn a_changed_link_is_found(links in chains(), at in any::<prop::sample::Index>(), field in 0..6, bit in 0..8_u32) {
            let (at, mut changed) = (at.index(links.len()), links.clone());
            let link = &mut changed[at];
            match field {
                0 => link.number ^= 1 << bit,
                1 => link.previous[bit as usize * 4] ^= 1 << bit,
                2 => link.hash[bit as usize * 4] ^= 1 << bit,
                3 => link.at += Duration::from_secs(1 << bit),
                4 => link.actor.push('x'),
                _ => link.event.insert(0, ' '),
            }
            let broken = check(&changed, head(&links), &[]).unwrap_err();
            prop_assert_eq!(broken.number, at as u64 + 1);
        }

        #[test]
        fn a_link_changed_and_hashed_anew_is_found(links in chains(), at in any::<prop::sample::Index>()) {
            let (at, mut changed) = (at.index(links.len()), links.clone());
            changed[at].event.push('x');
            changed[at].hash = changed[at].digest();
            prop_assert!(check(&changed, head(&links), &[]).is_err());
        }

        #[test]
        fn a_missing_link_is_found(links in chains(), at in any::<prop::sample::Index>()) {
            let (at, mut cut) = (at.index(links.len()), links.clone());
            cut.remove(at);
            let broken = check(&cut, head(&links), &[]).unwrap_err();
            prop_assert_eq!(broken.number, at as u64 + 1);
        }

        #[test]
        fn swapped_links_are_found(links in chains(), one in any::<prop::sample::Index>(), two in any::<prop::sample::Index>(), numbered in any::<bool>()) {
            let (one, two, mut swapped) = (one.index(links.len()), two.index(links.len()), links.clone());
            prop_assume!(one != two);
            swapped.swap(one, two);
            if numbered {
                (swapped[one].number, swapped[two].number) = (one as u64 + 1, two as u64 + 1);
            }
            let broken = check(&swapped, head(&links), &[]).unwrap_err();
            prop_assert_eq!(broken.number, one.min(two) as u64 + 1);
        }

        #[test]
        fn a_link_put_in_is_found(links in chains(), at in any::<prop::sample::Index>(), event in ".{0,20}") {
            let (at, mut grown) = (at.index(links.len() + 1), links.clone());
            grown.insert(at, Link::after(head(&links[..at]).as_ref(), UNIX_EPOCH, "x".to_owned(), event));
            prop_assert!(check(&grown, head(&links), &[]).is_err());
        }

        #[test]
        fn links_cut_off_at_the_end_are_found(links in chains(), left in any::<prop::sample::Index>()) {
            let left = left.index(links.len());
            let wanted = Err(Break { number: left as u64 + 1, kind: BreakKind::Truncated });
            prop_assert_eq!(check(&links[..left], head(&links), &[]), wanted);
            // The record of the end was cut too: a signed head tells.
            prop_assert_eq!(check(&links[..left], head(&links[..left]), &[head(&links).unwrap()]), wanted);
        }

        /// What no chain can tell by itself; why there are checkpoints.
        #[test]
        fn a_log_written_anew_is_found_by_any_head_that_was_noted_since(links in chains(), at in any::<prop::sample::Index>(), noted in any::<prop::sample::Index>()) {
            let (at, noted) = (at.index(links.len()), noted.index(links.len()));
            let mut forged = links.clone();
            forged[at].event.push('x');
            let forged = rewritten(&forged, at);
            prop_assert_eq!(check(&forged, head(&forged), &[]), Ok(head(&forged)));
            let told = check(&forged, head(&forged), &[links[noted].head()]);
            if noted < at {
                prop_assert!(told.is_ok());
            } else {
                prop_assert_eq!(told, Err(Break { number: noted as u64 + 1, kind: BreakKind::Replaced }));
            }
        }

        #[test]
        fn a_head_is_read_as_it_is_written(links in chains()) {
            let head = head(&links).unwrap();
            prop_assert_eq!(head.to_string().parse(), Ok(head));
        }
    }

    #[test]
    fn one_field_does_not_run_into_the_next() {
        let of = |actor: &str, event: &str| Link::after(None, UNIX_EPOCH, actor.to_owned(), event.to_owned()).hash;
        assert_ne!(of("ab", "c"), of("a", "bc"));
        assert_ne!(of("", "abc"), of("abc", ""));
    }

    #[test]
    fn an_empty_chain_is_whole_only_where_nothing_was_recorded() {
        let one = chain_of(&[(1, String::new(), String::new())]);
        assert_eq!(check(&[], None, &[]), Ok(None));
        assert_eq!(check(&[], head(&one), &[]), Err(Break { number: 1, kind: BreakKind::Truncated }));
        assert_eq!(check(&one, None, &[]), Err(Break { number: 1, kind: BreakKind::Unrecorded }));
    }
}
