//! Where pools, servers and keys stand in a text.

use std::ops::Range;

use pki::Fqdn;
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

/// The places of a text that was read as a topology without faults.
pub(super) struct Places {
    /// The number.
    pub(super) version: Range<usize>,
    pools: Vec<PoolPlace>,
}

/// A `[[pool]]` and all below it.
pub(super) struct PoolPlace {
    name: Fqdn,
    /// The beginning of its first line.
    pub(super) start: usize,
    pub(super) servers: Vec<ServerPlace>,
}

/// A `[[pool.server]]` and its keys.
pub(super) struct ServerPlace {
    name: Fqdn,
    /// What stands before the header in its line.
    pub(super) indent: String,
    /// The beginning of its first line.
    pub(super) start: usize,
    /// The end of its last line.
    pub(super) end: usize,
    keys: Vec<KeyPlace>,
}

/// A key with its value.
pub(super) struct KeyPlace {
    name: String,
    pub(super) value: Range<usize>,
    /// Its line or lines, with the line break.
    pub(super) line: Range<usize>,
}

impl Places {
    /// Looks for everything that can be edited; `None` if a part is written in braces.
    pub(super) fn find(text: &str) -> Option<Self> {
        let root = DeTable::parse(text).ok()?;
        let root = root.get_ref();
        let pools = root.get("pool")?.get_ref().as_array()?.iter();
        Some(Self { version: root.get("version")?.span(), pools: pools.map(|pool| PoolPlace::find(text, pool)).collect::<Option<_>>()? })
    }

    pub(super) fn pool(&self, name: &Fqdn) -> Option<&PoolPlace> {
        self.pools.iter().find(|pool| pool.name == *name)
    }

    pub(super) fn server(&self, name: &Fqdn) -> Option<(&PoolPlace, &ServerPlace)> {
        self.pools.iter().find_map(|pool| Some((pool, pool.servers.iter().find(|server| server.name == *name)?)))
    }
}

impl PoolPlace {
    fn find(text: &str, pool: &Spanned<DeValue<'_>>) -> Option<Self> {
        let (start, table) = entry(text, pool)?;
        let servers = table.get("server")?.get_ref().as_array()?.iter();
        Some(Self {
            name: name(table, "name")?,
            start,
            servers: servers.map(|server| ServerPlace::find(text, server)).collect::<Option<_>>()?,
        })
    }

    /// The end of its last server's last line.
    pub(super) fn end(&self) -> usize {
        self.servers.iter().map(|server| server.end).max().unwrap_or(self.start)
    }

    /// How its servers are indented.
    pub(super) fn server_indent(&self) -> &str {
        self.servers.last().map_or("", |server| &server.indent)
    }
}

impl ServerPlace {
    fn find(text: &str, server: &Spanned<DeValue<'_>>) -> Option<Self> {
        let (start, table) = entry(text, server)?;
        let keys = table.iter().map(|(key, value)| KeyPlace {
            name: key.get_ref().to_string(),
            value: value.span(),
            line: line_start(text, key.span().start)..line_end(text, value.span().end),
        });
        let keys: Vec<_> = keys.collect();
        Some(Self {
            name: name(table, "fqdn")?,
            indent: text.get(start..server.span().start)?.to_owned(),
            start,
            end: keys.iter().map(|key| key.line.end).max()?,
            keys,
        })
    }

    pub(super) fn key(&self, name: &str) -> Option<&KeyPlace> {
        self.keys.iter().find(|key| key.name == name)
    }

    /// Where a further listener is written: below those that are there, else below the roles.
    pub(super) fn last_listener_end(&self) -> usize {
        let listeners = ["sip", "servers", "https", "http"].into_iter().filter_map(|key| self.key(key));
        let last = listeners.map(|key| key.line.end).max();
        last.or_else(|| Some(self.key("roles")?.line.end)).unwrap_or(self.end)
    }
}

/// The table under a `[[header]]`, with the beginning of its line; `None` for one in braces.
fn entry<'a, 'b>(text: &str, written: &'a Spanned<DeValue<'b>>) -> Option<(usize, &'a DeTable<'b>)> {
    let place = written.span().start;
    let start = line_start(text, place);
    let by_header = text.get(place..)?.starts_with("[[") && text.get(start..place)?.trim().is_empty();
    by_header.then_some((start, written.get_ref().as_table()?))
}

fn name(table: &DeTable<'_>, key: &str) -> Option<Fqdn> {
    Fqdn::parse(table.get(key)?.get_ref().as_str()?).ok()
}

fn line_start(text: &str, at: usize) -> usize {
    text[..at].rfind('\n').map_or(0, |position| position + 1)
}

/// Behind the line break, or the end of the text.
fn line_end(text: &str, at: usize) -> usize {
    text[at..].find('\n').map_or(text.len(), |position| at + position + 1)
}

/// The line above the one that begins here; empty at the beginning of the text.
pub(super) fn line_before(text: &str, start: usize) -> Range<usize> {
    match start {
        0 => 0..0,
        start => line_start(text, start - 1)..start,
    }
}
