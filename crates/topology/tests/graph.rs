//! The picture of a list.
#![allow(clippy::unwrap_used)]

use std::{env, fs, path::Path};

use topology::{Topology, graph};

const FIVE: &str = include_str!("five.toml");

/// The picture of `FIVE` with one text replaced.
fn picture(from: &str, to: &str) -> String {
    assert!(FIVE.contains(from), "{from:?}");
    graph(&Topology::parse(&FIVE.replace(from, to)).unwrap())
}

/// Whether every element that is opened is closed, and nothing but our own elements is there.
fn well_formed(svg: &str) {
    let mut open = Vec::new();
    for tag in svg.split('<').skip(1).map(|piece| piece.split_once('>').unwrap().0) {
        let name: String = tag.trim_start_matches(['/', '?']).chars().take_while(char::is_ascii_alphanumeric).collect();
        assert!(["xml", "svg", "title", "defs", "marker", "path", "rect", "text"].contains(&name.as_str()), "{tag}");
        assert_eq!(tag.matches('"').count() % 2, 0, "{tag}");
        match tag.chars().next() {
            Some('/') => assert_eq!(open.pop(), Some(name)),
            Some('?') => {}
            _ if tag.ends_with('/') => {}
            _ => open.push(name),
        }
    }
    assert_eq!(open, Vec::<String>::new());
}

#[test]
fn the_picture_is_the_one_we_looked_at() {
    let svg = graph(&Topology::parse(FIVE).unwrap());
    well_formed(&svg);
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/five.svg");
    if env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&golden, &svg).unwrap();
    }
    assert_eq!(svg, fs::read_to_string(golden).unwrap());
}

#[test]
fn everyone_is_in_it() {
    let five = Topology::parse(FIVE).unwrap();
    let svg = graph(&five);
    for server in five.servers() {
        assert!(svg.contains(&format!(">{}</text>", server.fqdn())), "{}", server.fqdn());
    }
    assert_eq!(svg.matches("marker-end").count(), 2, "two next hops");
    assert_eq!(svg.matches("stroke-dasharray").count(), 1, "one is expected");
}

#[test]
fn a_next_hop_may_be_one_server() {
    let svg = picture("next-hop = \"dir1.contoso.example\"", "next-hop = \"fe1.contoso.example\"");
    assert_eq!(svg.matches("marker-end").count(), 2);
}

#[test]
fn a_hostile_name_draws_nothing_of_its_own() {
    let svg = picture("\"Contoso\"", "\"</text><script>alert('\\\"&')</script>\"");
    well_formed(&svg);
    assert!(svg.contains("&lt;/text&gt;&lt;script&gt;"));
}

#[test]
fn a_long_name_is_clipped_and_told_in_full_when_pointed_at() {
    let long = format!("{}.{}.contoso.example", "a".repeat(60), "b".repeat(60));
    let svg = picture("\"fe1.contoso.example\"", &format!("\"{long}\""));
    well_formed(&svg);
    assert!(svg.contains(&format!("<title>{long}</title>{}…</text>", &long[..47])));
}

#[test]
fn the_longest_list_has_a_picture() {
    let server = |number| {
        let name = format!("s{number}.contoso.example");
        format!("[[pool]]\nname = \"{name}\"\n[[pool.server]]\nfqdn = \"{name}\"\nroles = [\"media-relay\"]\nexpected = true\n")
    };
    let text = format!("{FIVE}{}", (0..Topology::SERVERS_MAX - 6).map(server).collect::<String>());
    well_formed(&graph(&Topology::parse(&text).unwrap()));
}
