//! The list as a picture (SVG 1.1): pools as boxes, servers in them with their roles, next hops as
//! arrows from the outside inwards.
//!
//! Where everything stands is decided here, how it is drawn in [`svg`]. All text in it comes from an
//! administrator and is escaped; the picture loads nothing and runs nothing.

mod svg;

use pki::Fqdn;

use self::svg::{Canvas, Fill, clipped, width_of};
use crate::{Pool, Role, Server, Topology};

/// Space around the picture, between columns, between pools of a column, and inside a box.
const MARGIN: u32 = 24;
const COLUMN_GAP: u32 = 72;
const POOL_GAP: u32 = 20;
const PADDING: u32 = 12;
/// Heights of the title, of a pool's name and of the parts of a server.
const TITLE: u32 = 64;
const POOL_NAME: u32 = 28;
const SERVER_GAP: u32 = 8;
const SERVER_NAME: u32 = 24;
const BADGES: u32 = 24;
const LISTENER: u32 = 16;
/// The widest a server's box may get, in characters; longer names are clipped and kept in full as a tooltip.
const NAME_CHARS_MAX: usize = 48;
/// The most domains that are named in the title.
const DOMAINS_MAX: usize = 6;

/// The picture, as a file of its own or as part of a page.
pub fn graph(topology: &Topology) -> String {
    let columns = columns(topology);
    let (width, height) = size(topology, &columns);
    let mut canvas = Canvas::new(width, height, &format!("{}, version {}", topology.organisation(), topology.version()));
    title(&mut canvas, topology);
    // Arrows first, so that boxes are never crossed out.
    for placed in columns.iter().flatten() {
        arrow(&mut canvas, placed, &columns);
    }
    for placed in columns.iter().flatten() {
        draw_pool(&mut canvas, placed);
    }
    canvas.finish()
}

/// A pool and its box.
struct Placed<'a> {
    pool: &'a Pool,
    x: u32,
    y: u32,
    width: u32,
    height: u32,
}

impl<'a> Placed<'a> {
    /// Each server with the top of its box.
    fn servers(&self) -> impl Iterator<Item = (&'a Server, u32)> {
        let mut y = self.y + POOL_NAME;
        self.pool.servers().iter().map(move |server| {
            let top = y;
            y += server_height(server) + SERVER_GAP;
            (server, top)
        })
    }
}

/// From the outside inwards: edges, directors, home pools and the authority, then what stands beside.
const fn column(pool_is: [bool; 3]) -> usize {
    match pool_is {
        [true, ..] => 0,
        [false, true, _] => 1,
        [false, false, true] => 2,
        [false, false, false] => 3,
    }
}

fn columns(topology: &Topology) -> Vec<Vec<Placed<'_>>> {
    let mut pools: [Vec<&Pool>; 4] = Default::default();
    for pool in topology.pools() {
        let home = pool.is_home() || pool.has(Role::Authority);
        pools[column([pool.has(Role::Edge), pool.has(Role::Director) && !home, home])].push(pool);
    }
    let tallest = pools.iter().map(|pools| stack_height(pools)).max().unwrap_or(0);
    let mut x = MARGIN;
    let mut columns = Vec::new();
    for pools in pools.into_iter().filter(|pools| !pools.is_empty()) {
        let width = pools.iter().map(|pool| pool_width(pool)).max().unwrap_or(0);
        let mut y = TITLE + (tallest - stack_height(&pools)) / 2;
        let mut column = Vec::new();
        for pool in pools {
            let height = pool_height(pool);
            column.push(Placed { pool, x, y, width, height });
            y += height + POOL_GAP;
        }
        columns.push(column);
        x += width + COLUMN_GAP;
    }
    columns
}

fn size(topology: &Topology, columns: &[Vec<Placed<'_>>]) -> (u32, u32) {
    let boxes = columns.iter().flatten();
    let right = boxes.clone().map(|placed| placed.x + placed.width).max().unwrap_or(0);
    let bottom = boxes.map(|placed| placed.y + placed.height).max().unwrap_or(0);
    let title = width_of(&heading(topology), 18).max(width_of(&subheading(topology), 12));
    (right.max(MARGIN + title) + MARGIN, bottom + MARGIN)
}

fn stack_height(pools: &[&Pool]) -> u32 {
    pools.iter().map(|pool| pool_height(pool) + POOL_GAP).sum::<u32>().saturating_sub(POOL_GAP)
}

fn pool_height(pool: &Pool) -> u32 {
    pool.servers().iter().map(|server| server_height(server) + SERVER_GAP).sum::<u32>() + POOL_NAME + PADDING - SERVER_GAP
}

fn server_height(server: &Server) -> u32 {
    SERVER_NAME + BADGES + LISTENER * u32::try_from(listeners(server).len()).unwrap_or(0) + PADDING / 2
}

fn pool_width(pool: &Pool) -> u32 {
    let servers = pool.servers().iter().map(|server| {
        let name = width_of(&clipped(server.fqdn().as_str(), NAME_CHARS_MAX), 13);
        let listeners = listeners(server).iter().map(|line| width_of(line, 11)).max().unwrap_or(0);
        name.max(badges_width(server)).max(listeners) + 4 * PADDING
    });
    let name = width_of(&clipped(pool.name().as_str(), NAME_CHARS_MAX), 12) + 2 * PADDING;
    servers.chain([name]).max().unwrap_or(name)
}

/// The lines below a server's roles.
fn listeners(server: &Server) -> Vec<String> {
    let state = server.is_expected().then(|| "expected, not joined yet".to_owned());
    let listeners = server.listeners().by_key().into_iter().filter_map(|(key, address)| Some(format!("{key:<7} {}", address?)));
    state.into_iter().chain(listeners).collect()
}

fn badges_width(server: &Server) -> u32 {
    server.roles().iter().map(|role| badge_width(*role) + 6).sum::<u32>().saturating_sub(6)
}

fn badge_width(role: Role) -> u32 {
    width_of(role.as_str(), 11) + 14
}

fn heading(topology: &Topology) -> String {
    format!("{} · version {}", clipped(topology.organisation(), NAME_CHARS_MAX), topology.version())
}

fn subheading(topology: &Topology) -> String {
    let shown = topology.domains().iter().take(DOMAINS_MAX).map(|domain| clipped(domain.as_str(), NAME_CHARS_MAX));
    let mut line = shown.collect::<Vec<_>>().join(", ");
    if let Some(more @ 1..) = topology.domains().len().checked_sub(DOMAINS_MAX) {
        line.push_str(&format!(" and {more} more"));
    }
    format!("{line} · media {}", topology.media().as_str())
}

fn title(canvas: &mut Canvas, topology: &Topology) {
    canvas.text(MARGIN, 30, 18, Fill::Ink, &heading(topology), None);
    canvas.text(MARGIN, 48, 12, Fill::Faint, &subheading(topology), None);
}

fn draw_pool(canvas: &mut Canvas, placed: &Placed<'_>) {
    let Placed { pool, x, y, width, height } = placed;
    canvas.rect((*x, *y, *width, *height), 10, Fill::Pool, false);
    let name = clipped(pool.name().as_str(), NAME_CHARS_MAX);
    canvas.text(x + PADDING, y + 19, 12, Fill::Faint, &name, Some(pool.name().as_str()));
    for (server, top) in placed.servers() {
        draw_server(canvas, server, (x + PADDING, top, width - 2 * PADDING, server_height(server)));
    }
}

fn draw_server(canvas: &mut Canvas, server: &Server, area: (u32, u32, u32, u32)) {
    let (x, y, ..) = area;
    canvas.rect(area, 6, Fill::Server, server.is_expected());
    let name = clipped(server.fqdn().as_str(), NAME_CHARS_MAX);
    canvas.text(x + PADDING, y + 18, 13, Fill::Ink, &name, Some(server.fqdn().as_str()));
    let mut badge = x + PADDING;
    for role in server.roles() {
        let width = badge_width(*role);
        canvas.rect((badge, y + SERVER_NAME + 2, width, 18), 9, Fill::Role(*role), false);
        canvas.text(badge + 7, y + SERVER_NAME + 15, 11, Fill::Paper, role.as_str(), None);
        badge += width + 6;
    }
    for (line, number) in listeners(server).iter().zip(1..) {
        canvas.text(x + PADDING, y + SERVER_NAME + BADGES + LISTENER * number - 4, 11, Fill::Faint, line, None);
    }
}

/// From the pool to what it passes on to, a pool or one server of it.
fn arrow(canvas: &mut Canvas, from: &Placed<'_>, columns: &[Vec<Placed<'_>>]) {
    let Some((to, y)) = from.pool.next_hop().and_then(|hop| target(hop, columns)) else { return };
    let start = (from.x + from.width, from.y + from.height / 2);
    canvas.arrow(start, (to.x, y));
}

/// Where an arrow to this name ends.
fn target<'a, 'b>(hop: &Fqdn, columns: &'a [Vec<Placed<'b>>]) -> Option<(&'a Placed<'b>, u32)> {
    let placed = || columns.iter().flatten();
    let pool = placed().find(|placed| placed.pool.name() == hop).map(|placed| (placed, placed.y + placed.height / 2));
    pool.or_else(|| {
        placed().find_map(|placed| {
            let (server, top) = placed.servers().find(|(server, _)| server.fqdn() == hop)?;
            Some((placed, top + server_height(server) / 2))
        })
    })
}
