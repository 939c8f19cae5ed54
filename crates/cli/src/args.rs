//! What can be typed after `verbund`. What it leads to is in [`command`](crate::command).

use std::{net::SocketAddr, path::PathBuf};

use clap::{Args as Group, Parser, Subcommand, ValueEnum, ValueHint};
use pki::Fqdn;
use registrar::UserName;

use crate::judge;

/// A SIP server in which trust is the product: every connection encrypted, every peer proved.
#[derive(Debug, Parser)]
#[command(name = "verbund", version, propagate_version = true, max_term_width = 110)]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) data: Data,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// The chapters of the command.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Brings an organisation up; makes it first where there is none
    Up(Up),
    /// Adds, lists and removes users of the running server
    #[command(subcommand)]
    User(User),
    /// Says who is signed in from where, and how their connections are protected
    Status(Admin),
    /// Shows the certificates of the running server, and judges any
    #[command(subcommand)]
    Cert(Cert),
    /// Lists the newest trust decisions of the running server
    Decisions(Admin),
    /// Looks at SIP messages
    #[command(subcommand)]
    Sip(Sip),
    /// Prints a completion script for a shell
    Completions {
        /// The shell to complete for
        shell: clap_complete::Shell,
    },
}

/// Which data directory is meant; may stand before or after the words of a command.
#[derive(Clone, Debug, Group)]
pub(crate) struct Data {
    /// The data directory [default: $XDG_DATA_HOME/verbund, else ~/.local/share/verbund]
    #[arg(long, global = true, value_name = "DIR", env = "VERBUND_DATA", hide_env_values = true, value_hint = ValueHint::DirPath)]
    pub(crate) data: Option<PathBuf>,
}

/// `verbund up`
#[derive(Debug, Group)]
pub(crate) struct Up {
    /// The SIP domain of the organisation; settled by the first start [default: verbund.test]
    #[arg(long, value_name = "DOMAIN", value_parser = Fqdn::parse)]
    pub(crate) domain: Option<Fqdn>,
    /// Where SIP over TLS listens [default: as in topology.toml, at the first start 127.0.0.1:5061]
    #[arg(long, value_name = "IP:PORT", value_parser = address)]
    pub(crate) listen: Option<SocketAddr>,
    /// Where HTTPS listens [default: as in topology.toml, at the first start 127.0.0.1:8443]
    #[arg(long, value_name = "IP:PORT", value_parser = address)]
    pub(crate) https: Option<SocketAddr>,
    /// A user to have, made if missing; may be given more than once [default at the first start: alice and bob]
    #[arg(long = "user", value_name = "NAME", value_parser = UserName::parse)]
    pub(crate) users: Vec<UserName>,
    /// Whether the media of calls must be encrypted; settled by the first start [default: require]
    #[arg(long, value_enum, value_name = "POLICY")]
    pub(crate) media: Option<Media>,
    /// One line of JSON on standard output when ready, for scripts
    #[arg(long)]
    pub(crate) json: bool,
    /// How events are written to standard error
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t = LogFormat::Text)]
    pub(crate) log_format: LogFormat,
}

fn address(text: &str) -> Result<SocketAddr, &'static str> {
    text.parse().map_err(|_| "write an IP address and a port, such as 127.0.0.1:5061 or [::1]:5061")
}

/// The organisation's rule for the media of calls.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(crate) enum Media {
    /// An offer without SRTP is refused with 488
    Require,
    /// SRTP is welcome, an offer without it passes
    Support,
}

/// How events are written.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(crate) enum LogFormat {
    /// One readable line an event
    Text,
    /// One JSON object an event
    Json,
}

/// What every question to the running server takes.
#[derive(Debug, Group)]
pub(crate) struct Admin {
    /// Answer as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// `verbund user …`
#[derive(Debug, Subcommand)]
pub(crate) enum User {
    /// Adds a user and prints the generated password, once
    Add(NamedUser),
    /// Lists the users
    List(Admin),
    /// Removes a user; open sessions are cut
    Remove {
        /// The user's name, the part before the @
        #[arg(value_parser = UserName::parse)]
        name: UserName,
        #[command(flatten)]
        admin: Admin,
    },
    /// Gives a user a new password and prints it, once; open sessions are cut
    Password(NamedUser),
}

/// A user and where the password comes from.
#[derive(Debug, Group)]
pub(crate) struct NamedUser {
    /// The user's name, the part before the @
    #[arg(value_parser = UserName::parse)]
    pub(crate) name: UserName,
    /// Read the password from standard input instead of making one
    #[arg(long)]
    pub(crate) password_stdin: bool,
    #[command(flatten)]
    pub(crate) admin: Admin,
}

/// `verbund cert …`
#[derive(Debug, Subcommand)]
pub(crate) enum Cert {
    /// Shows names, issuer, serial and days left of each certificate
    Show(Admin),
    /// Judges a chain of certificates by the rules of our listeners: accepted (exit 0) or refused (exit 1)
    Verify(judge::Verify),
}

/// `verbund sip …`
#[derive(Debug, Subcommand)]
pub(crate) enum Sip {
    /// Reads one raw SIP message and says whether a server accepts it (exit 0) or refuses it (exit 1)
    Lint {
        /// The file, or - for standard input
        #[arg(value_hint = ValueHint::FilePath)]
        file: PathBuf,
        /// Answer as one line of JSON
        #[arg(long)]
        json: bool,
    },
}
