//! The few shapes that a picture of a list needs, as SVG.

use std::fmt::Write as _;

use crate::Role;

/// Letters of one width, so that boxes fit without measuring.
const FONT: &str = "ui-monospace, 'DejaVu Sans Mono', Menlo, Consolas, monospace";
/// The width of such a letter, in thousandths of its size.
const LETTER: usize = 605;

/// What something is painted with.
#[derive(Clone, Copy)]
pub(super) enum Fill {
    /// Text that matters.
    Ink,
    /// Text beside it.
    Faint,
    /// Text on a colour.
    Paper,
    /// The box of a pool.
    Pool,
    /// The box of a server.
    Server,
    /// The badge of a role.
    Role(Role),
}

impl Fill {
    const fn colour(self) -> &'static str {
        match self {
            Self::Ink => "#1c2530",
            Self::Faint => "#5b6876",
            Self::Paper | Self::Server => "#ffffff",
            Self::Pool => "#eef2f6",
            Self::Role(Role::Authority) => "#8a3ffc",
            Self::Role(Role::FrontEnd) => "#0b62c4",
            Self::Role(Role::Director) => "#0a7d8c",
            Self::Role(Role::Edge) => "#b3450c",
            Self::Role(Role::MediaRelay) => "#4d7012",
            Self::Role(Role::Application) => "#5f6b7a",
        }
    }
}

/// How wide a text is, rounded up.
pub(super) fn width_of(text: &str, size: usize) -> u32 {
    u32::try_from((text.chars().count() * size * LETTER).div_ceil(1000)).unwrap_or(u32::MAX / 4)
}

/// At most so many characters; the last one says that there were more.
pub(super) fn clipped(text: &str, chars_max: usize) -> String {
    if text.chars().count() <= chars_max {
        return text.to_owned();
    }
    text.chars().take(chars_max - 1).chain(['…']).collect()
}

/// A picture under way.
pub(super) struct Canvas(String);

// Writing to a String cannot fail, hence the results that are let go below.
impl Canvas {
    pub(super) fn new(width: u32, height: u32, label: &str) -> Self {
        let label = escaped(label);
        let mut text = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
        let _ = writeln!(
            text,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {width} {height}\" role=\"img\" \
             aria-label=\"{label}\" font-family=\"{FONT}\">\n<title>{label}</title>\n<defs><marker id=\"head\" viewBox=\"0 0 8 8\" refX=\"7\" \
             refY=\"4\" markerWidth=\"8\" markerHeight=\"8\" orient=\"auto\"><path d=\"M0 0 L8 4 L0 8 z\" fill=\"#5b6876\"/></marker></defs>\n\
             <rect width=\"{width}\" height=\"{height}\" fill=\"#ffffff\"/>"
        );
        Self(text)
    }

    /// Text whose base line begins here; `whole` is shown when pointed at.
    pub(super) fn text(&mut self, x: u32, y: u32, size: u32, fill: Fill, text: &str, whole: Option<&str>) {
        let whole = whole.filter(|whole| *whole != text).map(|whole| format!("<title>{}</title>", escaped(whole))).unwrap_or_default();
        let _ = writeln!(
            self.0,
            "<text x=\"{x}\" y=\"{y}\" font-size=\"{size}\" fill=\"{}\" xml:space=\"preserve\">{whole}{}</text>",
            fill.colour(),
            escaped(text)
        );
    }

    /// A box with round corners; dashed for what is not there yet.
    pub(super) fn rect(&mut self, (x, y, width, height): (u32, u32, u32, u32), radius: u32, fill: Fill, dashed: bool) {
        let border = match fill {
            Fill::Ink | Fill::Faint | Fill::Paper | Fill::Role(_) => "",
            Fill::Pool | Fill::Server if dashed => " stroke=\"#7d8894\" stroke-dasharray=\"5 4\"",
            Fill::Pool | Fill::Server => " stroke=\"#b4bfca\"",
        };
        let _ = writeln!(
            self.0,
            "<rect x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{height}\" rx=\"{radius}\" fill=\"{}\"{border}/>",
            fill.colour()
        );
    }

    /// A bow from one point to another, coming in level.
    pub(super) fn arrow(&mut self, (x1, y1): (u32, u32), (x2, y2): (u32, u32)) {
        let (x1, x2) = (i64::from(x1), i64::from(x2));
        let bend = ((x2 - x1).abs() / 2).max(28);
        let _ = writeln!(
            self.0,
            "<path d=\"M{x1} {y1} C{} {y1} {} {y2} {} {y2}\" fill=\"none\" stroke=\"#5b6876\" stroke-width=\"1.5\" marker-end=\"url(#head)\"/>",
            x1 + bend,
            x2 - bend,
            x2 - 2
        );
    }

    pub(super) fn finish(mut self) -> String {
        self.0.push_str("</svg>\n");
        self.0
    }
}

/// Text as XML 1.0 takes it (§2.2 and §2.4): marks are written out, what may not stand there at all
/// becomes a replacement character.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&apos;"),
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => out.push(char::REPLACEMENT_CHARACTER),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_a_text_is_taken_for_markup() {
        assert_eq!(escaped("<a href='x'>\"&\u{0}\u{ffff}"), "&lt;a href=&apos;x&apos;&gt;&quot;&amp;\u{fffd}\u{fffd}");
        assert_eq!(escaped("Büro ⇄ 事務所"), "Büro ⇄ 事務所");
    }

    #[test]
    fn a_long_name_is_clipped_by_characters() {
        assert_eq!(clipped("äöü", 3), "äöü");
        assert_eq!(clipped("äöüß", 3), "äö…");
    }
}
