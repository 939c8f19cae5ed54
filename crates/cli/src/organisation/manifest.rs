//! `organisation.toml`: what a data directory is, in a few lines.

use anyhow::{Context as _, bail};
use pki::Fqdn;
use serde::Deserialize;

/// The edition of the layout that this program makes and reads.
const FORMAT: u32 = 1;

/// What was settled when the organisation was made.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Manifest {
    pub(crate) domain: Fqdn,
    /// The server that runs on this directory.
    pub(crate) server_name: Fqdn,
}

/// As it is written. `format` is looked at before the rest, so that a later edition may look different.
#[derive(Deserialize)]
struct Edition {
    format: u32,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(rename = "format")]
    _format: u32,
    domain: String,
    server_name: String,
    #[serde(rename = "made_at")]
    _made_at: String,
    #[serde(rename = "made_by")]
    _made_by: String,
}

impl Manifest {
    pub(crate) fn parse(text: &str) -> anyhow::Result<Self> {
        let Edition { format } = toml::from_str(text).map_err(|error| anyhow::anyhow!("{}", error.message().to_owned()))?;
        if format != FORMAT {
            bail!(
                "it is of format {format} and this verbund ({}) knows {FORMAT}: use the version of verbund that made it",
                env!("CARGO_PKG_VERSION")
            );
        }
        let file: File = toml::from_str(text).map_err(|error| anyhow::anyhow!("{}", error.message().to_owned()))?;
        let domain = Fqdn::parse(&file.domain).context("domain")?;
        let server_name = Fqdn::parse(&file.server_name).context("server_name")?;
        Ok(Self { domain, server_name })
    }

    pub(crate) fn to_toml(&self, made_at: &str) -> String {
        let Self { domain, server_name } = self;
        format!(
            "# What this directory is. Made by `verbund up`, not for editing.\n\
             format = {FORMAT}\n\
             domain = \"{domain}\"\n\
             server_name = \"{server_name}\"\n\
             made_at = \"{made_at}\"\n\
             made_by = \"verbund {}\"\n",
            env!("CARGO_PKG_VERSION")
        )
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn manifest() -> Manifest {
        Manifest { domain: Fqdn::parse("verbund.test").unwrap(), server_name: Fqdn::parse("sip.verbund.test").unwrap() }
    }

    #[test]
    fn what_is_written_is_read_back() {
        assert_eq!(Manifest::parse(&manifest().to_toml("2026-01-01T00:00:00Z")).unwrap(), manifest());
    }

    fn check(change: impl Fn(&str) -> String, said: &str) {
        let error = format!("{:#}", Manifest::parse(&change(&manifest().to_toml("now"))).unwrap_err());
        assert!(error.contains(said), "{error}");
    }

    #[test]
    fn another_edition_is_told_before_anything_else() {
        check(|_| "format = 2\nsomething_new = true\n".to_owned(), "format 2 and this verbund");
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        check(|text| text.replace("sip.verbund.test", "sip"), "short name");
        check(|text| format!("{text}trust_everybody = true\n"), "unknown field");
        check(|_| String::new(), "missing field `format`");
    }
}
