//! Words on a terminal: errors, tables, and colour where it is welcome.

use std::{
    fmt::Display,
    io::{self, IsTerminal, Write as _},
};

use anyhow::Context as _;

/// One line on standard error. Causes are joined with colons; line breaks in them become spaces.
pub(crate) fn complain(error: &anyhow::Error) {
    let line = format!("{error:#}").split_ascii_whitespace().collect::<Vec<_>>().join(" ");
    let red = Paint::for_stderr().red("verbund:");
    // Nobody is left to be told when standard error is gone.
    let _ = writeln!(io::stderr(), "{red} {line}");
}

/// Writes text to standard output. A reader who has gone (`verbund status | head -1`) has what it wanted.
///
/// # Errors
/// Standard output is full or not writable.
pub(crate) fn say(text: impl Display) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    match write!(out, "{text}").and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => Ok(result.context("cannot write to standard output")?),
    }
}

/// Writes one JSON value as one line to standard output.
///
/// # Errors
/// Standard output is full or not writable.
pub(crate) fn say_json(value: &impl serde::Serialize) -> anyhow::Result<()> {
    say(format_args!("{}\n", serde_json::to_string(value)?))
}

/// Colour, where the reader is a terminal and `NO_COLOR` is not set (no-color.org).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Paint(bool);

impl Paint {
    pub(crate) fn for_stdout() -> Self {
        Self(io::stdout().is_terminal() && colour_is_welcome())
    }

    pub(crate) fn for_stderr() -> Self {
        Self(io::stderr().is_terminal() && colour_is_welcome())
    }

    /// Whether anything is painted at all.
    pub(crate) fn is_on(self) -> bool {
        self.0
    }

    pub(crate) fn bold(self, text: impl Display) -> String {
        self.paint("1", text)
    }

    pub(crate) fn red(self, text: impl Display) -> String {
        self.paint("1;31", text)
    }

    pub(crate) fn green(self, text: impl Display) -> String {
        self.paint("32", text)
    }

    fn paint(self, code: &str, text: impl Display) -> String {
        if self.0 { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_string() }
    }
}

fn colour_is_welcome() -> bool {
    std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()) && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
}

/// Text that came from outside, safe to show: what could steer a terminal is escaped.
pub(crate) fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { c.escape_default().to_string() } else { c.to_string() }).collect()
}

/// Rows under headings, in columns as wide as their widest cell.
pub(crate) fn table(paint: Paint, headings: &[&str], rows: &[Vec<String>]) -> String {
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count());
        cells.chain([headings[column].chars().count()]).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..headings.len()).map(width).collect();
    let line = |cells: &mut dyn Iterator<Item = &str>| {
        let padded: Vec<String> = cells.zip(&widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        padded.join("  ").trim_end().to_owned()
    };
    let mut text = paint.bold(line(&mut headings.iter().copied())) + "\n";
    for row in rows {
        text += &(line(&mut row.iter().map(String::as_str)) + "\n");
    }
    text
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = [vec!["a".to_owned(), "1".to_owned()], vec!["long".to_owned(), "2".to_owned()]];
        assert_eq!(table(Paint(false), &["name", "n"], &rows), "name  n\na     1\nlong  2\n");
    }

    #[test]
    fn nothing_from_outside_steers_the_terminal() {
        assert_eq!(printable("a\x1b[2Jb\n"), "a\\u{1b}[2Jb\\n");
    }
}
