//! What can be typed after `verbund`. What it leads to is in [`command`](crate::command).

use std::{net::SocketAddr, path::PathBuf};

use clap::{Args as Group, Parser, Subcommand, ValueEnum, ValueHint};
use hsm::KeyUri;
use pki::Fqdn;
use registrar::UserName;

use crate::{audit, backup, ca, judge};

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
    /// Joins an organisation with the string that its authority printed, and serves
    Join(Join),
    /// Adds servers to the organisation
    #[command(subcommand)]
    Server(Server),
    /// Looks after the published list of trusted servers
    #[command(subcommand)]
    Topology(Topology),
    /// Adds, lists and removes users of the running server
    #[command(subcommand)]
    User(User),
    /// Says who is signed in from where, and how their connections are protected
    Status(Admin),
    /// Shows the certificates of the running server, and judges any
    #[command(subcommand)]
    Cert(Cert),
    /// Keeps the root offline, and replaces root and issuing CAs while everything works
    #[command(subcommand)]
    Ca(ca::Ca),
    /// Lists the newest trust decisions of the running server
    Decisions(Admin),
    /// Shows and verifies the log of what was done, while the server runs or not
    #[command(subcommand)]
    Audit(audit::Audit),
    /// Writes all that the authority needs to go on into one encrypted file, while it runs or not
    Backup(backup::Backup),
    /// Makes a data directory out of a backup; what members hold that is newer is taken up when it runs
    Restore(backup::Restore),
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
    #[command(flatten)]
    pub(crate) serving: Serving,
    /// Where revocation lists, OCSP and the root are given out without TLS; nothing else is [default: nowhere]
    #[arg(long, value_name = "IP:PORT", value_parser = address)]
    pub(crate) http: Option<SocketAddr>,
    /// A user to have, made if missing; may be given more than once [default at the first start: alice and bob]
    #[arg(long = "user", value_name = "NAME", value_parser = UserName::parse)]
    pub(crate) users: Vec<UserName>,
    /// Whether the media of calls must be encrypted; settled by the first start [default: require]
    #[arg(long, value_enum, value_name = "POLICY")]
    pub(crate) media: Option<Media>,
    /// Have the keys of the CAs born in a token: `pkcs11:token=CA;object=contoso?module-path=/usr/lib/softhsm/libsofthsm2.so`;
    /// settled by the first start [default: encrypted files]
    #[arg(long, value_name = "URI")]
    pub(crate) ca_keys: Option<KeyUri>,
    /// Those keys are in the token already: take them, make none
    #[arg(long, requires = "ca_keys")]
    pub(crate) ca_keys_exist: bool,
}

/// How a server serves, whatever it is there for.
#[derive(Debug, Group)]
pub(crate) struct Serving {
    /// Where SIP over TLS listens [default: as in the topology, at the first start 127.0.0.1:5061]
    #[arg(long, value_name = "IP:PORT", value_parser = address)]
    pub(crate) listen: Option<SocketAddr>,
    /// Where other servers of the organisation connect, by mutual TLS [default: as in the topology, at the first start the next
    /// free port above that of SIP]
    #[arg(long, value_name = "IP:PORT", value_parser = address)]
    pub(crate) servers: Option<SocketAddr>,
    /// Where HTTPS listens [default: as in the topology, at the first start 127.0.0.1:8443]
    #[arg(long, value_name = "IP:PORT", value_parser = address)]
    pub(crate) https: Option<SocketAddr>,
    /// One line of JSON on standard output when ready, for scripts
    #[arg(long)]
    pub(crate) json: bool,
    /// How events are written to standard error
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t = LogFormat::Text)]
    pub(crate) log_format: LogFormat,
}

/// `verbund join`
#[derive(Debug, Group)]
pub(crate) struct Join {
    /// What `verbund server add` printed on the authority [default: asked for, or read from standard input]
    #[arg(value_name = "STRING")]
    pub(crate) string: Option<String>,
    #[command(flatten)]
    pub(crate) serving: Serving,
}

/// `verbund server …`
#[derive(Debug, Subcommand)]
pub(crate) enum Server {
    /// Lists a server in the topology and prints the one string that lets it join
    Add {
        /// Its name, in full
        #[arg(value_parser = Fqdn::parse)]
        name: Fqdn,
        /// What it is there for
        #[arg(long, value_enum, value_name = "ROLE", default_value_t = ServerRole::FrontEnd)]
        role: ServerRole,
        /// The pool that it joins [default: a pool of its own name]
        #[arg(long, value_name = "POOL", value_parser = Fqdn::parse)]
        pool: Option<Fqdn>,
        /// Make that pool if there is none; without this, a pool that is unknown is refused
        #[arg(long, requires = "pool")]
        new_pool: bool,
        #[command(flatten)]
        admin: Admin,
    },
    /// Issues a certificate for a request made elsewhere (PKCS#10 in PEM); prints the chain
    Sign {
        /// The server, as the topology lists it
        #[arg(value_parser = Fqdn::parse)]
        name: Fqdn,
        /// The request, or - for standard input
        #[arg(value_hint = ValueHint::FilePath)]
        request: PathBuf,
        #[command(flatten)]
        admin: Admin,
    },
    /// Lists the servers of the topology and what is in force there
    List(Admin),
}

/// What a server can be added as.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(crate) enum ServerRole {
    /// Users have their home there
    FrontEnd,
    /// Checks who users are, and passes on to their home
    Director,
    /// Talks to the outside
    Edge,
    /// A SIP server of another maker whose word is taken
    Application,
}

impl ServerRole {
    /// As the topology writes it.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::FrontEnd => "front-end",
            Self::Director => "director",
            Self::Edge => "edge",
            Self::Application => "application",
        }
    }
}

/// `verbund topology …`
#[derive(Debug, Subcommand)]
pub(crate) enum Topology {
    /// Tells every fault of a file, with line and column: none (exit 0), some (exit 1), no such file (exit 2)
    Check {
        /// The file, or - for standard input
        #[arg(value_hint = ValueHint::FilePath)]
        file: PathBuf,
        /// Answer as JSON
        #[arg(long)]
        json: bool,
    },
    /// Says what publishing a file would change, whom it would cut off, and which certificates it would reissue; exit 1 if it would
    /// be refused
    Plan {
        /// The file, or - for standard input
        #[arg(value_hint = ValueHint::FilePath)]
        file: PathBuf,
        #[command(flatten)]
        admin: Admin,
    },
    /// Signs and publishes a file; exit 1 if it is refused
    Publish {
        /// The file, or - for standard input
        #[arg(value_hint = ValueHint::FilePath)]
        file: PathBuf,
        #[command(flatten)]
        admin: Admin,
    },
    /// Prints the topology of a version
    Show {
        /// The version [default: the one in force]
        #[arg(id = "of", value_name = "VERSION")]
        version: Option<u64>,
        #[command(flatten)]
        admin: Admin,
    },
    /// Lists the versions published so far
    History(Admin),
    /// Shows what changed between two versions
    Diff {
        /// The older version
        from: u64,
        /// The newer version [default: the one in force]
        to: Option<u64>,
        #[command(flatten)]
        admin: Admin,
    },
    /// Prints the topology of a version as it was signed (JWS)
    Export {
        /// The version [default: the one in force]
        #[arg(id = "of", value_name = "VERSION")]
        version: Option<u64>,
        #[command(flatten)]
        admin: Admin,
    },
    /// Draws a file, or the topology in force, as SVG
    Graph {
        /// The file, or - for standard input [default: the topology in force]
        #[arg(value_hint = ValueHint::FilePath)]
        file: Option<PathBuf>,
        /// Where the picture is written [default: standard output]
        #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
        out: Option<PathBuf>,
        #[command(flatten)]
        admin: Admin,
    },
    /// Shows which version is in force at each member, its age, how far it lags, and what members refused
    Status(Admin),
    /// Takes a server out and publishes; its connections are cut
    Remove {
        /// The server
        #[arg(value_parser = Fqdn::parse)]
        name: Fqdn,
        #[command(flatten)]
        admin: Admin,
    },
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
    Add {
        #[command(flatten)]
        user: Secret,
        /// The home pool [default: that of the server that is asked]
        #[arg(long, value_name = "POOL", value_parser = Fqdn::parse)]
        pool: Option<Fqdn>,
    },
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
    Password(Secret),
    /// Gives a user another home pool; they are signed out, and sign in again at its servers
    Move {
        /// The user's name, the part before the @
        #[arg(value_parser = UserName::parse)]
        name: UserName,
        /// The new home pool
        #[arg(long, value_name = "POOL", value_parser = Fqdn::parse)]
        pool: Fqdn,
        #[command(flatten)]
        admin: Admin,
    },
    /// Issues a certificate with which a phone signs in, for a request made there (PKCS#10 in PEM); prints the chain
    Sign {
        /// The user's name, the part before the @
        #[arg(value_parser = UserName::parse)]
        name: UserName,
        /// The request, or - for standard input
        #[arg(value_hint = ValueHint::FilePath)]
        request: PathBuf,
        #[command(flatten)]
        admin: Admin,
    },
}

/// A user and where the password comes from.
#[derive(Debug, Group)]
pub(crate) struct Secret {
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
    /// Lists every certificate that counts, the first to end first
    List(Admin),
    /// Shows what ends next in the whole organisation: certificates of servers and CAs, lists, signed documents. Exit 1 if anything
    /// is overdue or ended
    Due(Admin),
    /// Revokes the certificates of a server (its ticket and account go with them), of a user, or one by its serial number (its
    /// holder may renew); live connections are cut everywhere
    Revoke {
        /// A server's name, a user, or a serial number
        name: String,
        #[command(flatten)]
        admin: Admin,
    },
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

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn no_two_arguments_are_called_the_same() {
        Args::command().debug_assert();
    }
}
