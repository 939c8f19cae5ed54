//! Changes to an administrator's file by our commands: single lines are added, replaced or taken
//! out, every other byte stays as it was written.
//!
//! Each change raises `version` by one and gives a text that [`Topology::parse`] takes, or says why
//! it cannot. Where things stand in the text is found by `place`.

mod fault;
mod moves;
mod place;

use pki::Fqdn;

pub use fault::EditFault;
pub use moves::rebase;

use self::place::Places;
use crate::{Listeners, Role, Topology};

/// The line that explains why a server has no listeners; taken out with the key below it.
pub(crate) const EXPECTED: &str = "# Added, but not joined yet.";

/// A server to be added.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct NewServer {
    /// Its name.
    pub name: Fqdn,
    /// What it is to be there for.
    pub roles: Vec<Role>,
    /// The pool it joins, made if there is none of that name; `None` for one of its own name.
    pub pool: Option<Fqdn>,
    /// Where it listens, if that is known.
    pub listeners: Listeners,
    /// Whether it has yet to join.
    pub expected: bool,
}

/// Adds a server at the end of its pool.
///
/// # Errors
/// It is listed already, its pool has another's name, or the list would break a rule.
pub fn add_server(text: &str, new: &NewServer) -> Result<String, EditFault> {
    let (topology, places) = read(text)?;
    if topology.server(&new.name).is_some() {
        return Err(EditFault::Listed(new.name.clone()));
    }
    let pool = new.pool.as_ref().unwrap_or(&new.name);
    if topology.server(pool).is_some() && topology.pool(pool).is_none() {
        return Err(EditFault::NoPool { name: pool.clone(), home: topology.pool_of(pool).map(|home| home.name().clone()) });
    }
    let mut change = Change::new(text, &places, &topology)?;
    match places.pool(pool) {
        Some(place) => change.insert(place.end(), &block("[[pool.server]]", place.server_indent(), &server_lines(new))),
        None => {
            let pool_lines = [format!("name = \"{pool}\"")];
            let mut lines = block("[[pool]]", "", &pool_lines);
            lines.extend(block("[[pool.server]]", "", &server_lines(new)));
            change.insert(text.len(), &lines);
        }
    }
    change.finish()
}

/// Says where a server listens, and that it has joined, if it has. A listener that is `None` is
/// taken out.
///
/// # Errors
/// It is not listed, or the list would break a rule.
pub fn set_listeners(text: &str, server: &Fqdn, listeners: &Listeners, joined: bool) -> Result<String, EditFault> {
    let (topology, places) = read(text)?;
    let (_, place) = places.server(server).ok_or_else(|| EditFault::NotListed(server.clone()))?;
    let mut change = Change::new(text, &places, &topology)?;
    let mut missing = Vec::new();
    for (key, address) in listeners.by_key() {
        match (address, place.key(key)) {
            (Some(address), Some(written)) => change.replace(written.value.clone(), format!("\"{address}\"")),
            (Some(address), None) => missing.push(format!("{}{key} = \"{address}\"", place.indent)),
            (None, Some(written)) => change.take_key(written.line.clone(), written.value.end),
            (None, None) => {}
        }
    }
    if let Some(written) = place.key("expected").filter(|_| joined) {
        change.take_key(written.line.clone(), written.value.end);
    }
    change.insert(place.last_listener_end(), &missing);
    change.finish()
}

/// Takes a server out, and its pool if nobody is left in it. Comments directly above its entry and
/// inside it go with it.
///
/// # Errors
/// It is not listed, it is the authority, or the list would break a rule (somebody's next hop).
pub fn remove_server(text: &str, server: &Fqdn) -> Result<String, EditFault> {
    let (topology, places) = read(text)?;
    let (pool, place) = places.server(server).ok_or_else(|| EditFault::NotListed(server.clone()))?;
    if topology.authority().fqdn() == server {
        return Err(EditFault::Authority(server.clone()));
    }
    let mut change = Change::new(text, &places, &topology)?;
    match pool.servers.len() {
        1 => change.take_entry(pool.start, place.end),
        _ => change.take_entry(place.start, place.end),
    }
    change.finish()
}

fn read(text: &str) -> Result<(Topology, Places), EditFault> {
    let topology = Topology::parse(text).map_err(EditFault::Broken)?;
    let places = Places::find(text).ok_or(EditFault::Inline)?;
    Ok((topology, places))
}

/// The lines of a server's entry. Names and addresses hold nothing that TOML would read otherwise.
fn server_lines(new: &NewServer) -> Vec<String> {
    let roles: Vec<_> = new.roles.iter().map(|role| format!("\"{role}\"")).collect();
    let mut lines = vec![format!("fqdn = \"{}\"", new.name), format!("roles = [{}]", roles.join(", "))];
    if new.expected {
        lines.extend([EXPECTED.to_owned(), "expected = true".to_owned()]);
    }
    let listeners = new.listeners.by_key().into_iter();
    lines.extend(listeners.filter_map(|(key, address)| Some(format!("{key} = \"{}\"", address?))));
    lines
}

/// An empty line, the header, the lines.
fn block(header: &str, indent: &str, lines: &[String]) -> Vec<String> {
    let written = std::iter::once(header).chain(lines.iter().map(String::as_str));
    std::iter::once(String::new()).chain(written.map(|line| format!("{indent}{line}"))).collect()
}

/// Replacements in a text, none of which overlap.
struct Change<'a> {
    text: &'a str,
    /// How lines end in this text.
    newline: &'static str,
    edits: Vec<(std::ops::Range<usize>, String)>,
}

impl<'a> Change<'a> {
    /// A change that raises the version already.
    fn new(text: &'a str, places: &Places, topology: &Topology) -> Result<Self, EditFault> {
        let newline = if text.contains("\r\n") { "\r\n" } else { "\n" };
        let mut change = Self { text, newline, edits: Vec::new() };
        // TOML numbers end at 2^63 - 1.
        let version = i64::try_from(topology.version()).ok().and_then(|version| version.checked_add(1)).ok_or(EditFault::LastVersion)?;
        change.replace(places.version.clone(), version.to_string());
        Ok(change)
    }

    fn replace(&mut self, place: std::ops::Range<usize>, with: String) {
        self.edits.push((place, with));
    }

    /// Puts whole lines at the beginning of a line or the end of the text.
    fn insert(&mut self, at: usize, lines: &[String]) {
        let unfinished = at > 0 && !self.text[..at].ends_with('\n') && !lines.is_empty();
        let mut with = String::from(if unfinished { self.newline } else { "" });
        for line in lines {
            with.push_str(line);
            with.push_str(self.newline);
        }
        self.edits.push((at..at, with));
    }

    /// Takes out one key: its line, with our own explanation above it. A remark behind it stays.
    fn take_key(&mut self, line: std::ops::Range<usize>, value_end: usize) {
        let remark = self.text[value_end..line.end].trim_start_matches([' ', '\t']);
        if remark.starts_with('#') {
            let remark = line.end - remark.len();
            return self.edits.push((line.start..remark, String::new()));
        }
        let above = place::line_before(self.text, line.start);
        let ours = crate::write::is_our_comment(self.text[above.clone()].trim());
        self.edits.push((if ours { above.start } else { line.start }..line.end, String::new()));
    }

    /// Takes out an entry with the comments that touch it from above, and one empty line.
    fn take_entry(&mut self, start: usize, end: usize) {
        let mut from = start;
        loop {
            let above = place::line_before(self.text, from);
            if above.is_empty() || !self.text[above.clone()].trim_start().starts_with('#') {
                break;
            }
            from = above.start;
        }
        let above = place::line_before(self.text, from);
        if !above.is_empty() && self.text[above.clone()].trim().is_empty() {
            from = above.start;
        }
        self.edits.push((from..end, String::new()));
    }

    /// The changed text, which keeps all rules.
    fn finish(self) -> Result<String, EditFault> {
        let text = self.apply();
        match Topology::parse(&text) {
            Ok(_) => Ok(text),
            Err(faults) => Err(EditFault::Leaves(faults)),
        }
    }

    /// The changed text, whatever it says.
    fn apply(mut self) -> String {
        self.edits.sort_by_key(|(place, _)| (place.start, place.end));
        let mut text = String::with_capacity(self.text.len() + 256);
        let mut done = 0;
        for (place, with) in &self.edits {
            text.push_str(self.text.get(done..place.start).unwrap_or_default());
            text.push_str(with);
            done = place.end;
        }
        text.push_str(&self.text[done..]);
        text
    }
}
