//! From arguments to the chapter that acts on them.

use std::process::ExitCode;

use clap::CommandFactory as _;

use crate::{
    args::{Args, Cert, Command, Sip},
    audit, backup, ca, judge, lint, network, output, remote, topology, up,
};

/// Does what was typed. The code is for verdicts that are no error (`sip lint`).
///
/// # Errors
/// One sentence for the person who typed it; exit code 1.
pub(crate) fn run(args: Args) -> anyhow::Result<ExitCode> {
    let Args { data, command } = args;
    match command {
        Command::Up(up) => up::run(&data, &up)?,
        Command::Join(join) => crate::join::run(&data, &join)?,
        Command::Server(command) => network::server(&data, &command)?,
        Command::Topology(command) => return topology::run(&data, &command),
        Command::User(command) => remote::user(&data, &command)?,
        Command::Status(admin) => remote::status(&data, &admin)?,
        Command::Cert(Cert::Verify(command)) => return judge::run(&command),
        Command::Cert(Cert::Show(admin)) => remote::certificates(&data, &admin)?,
        Command::Cert(Cert::List(admin)) => remote::ledger(&data, &admin)?,
        Command::Cert(Cert::Due(admin)) => return remote::due(&data, &admin),
        Command::Cert(Cert::Revoke { name, admin }) => network::revoke(&data, &name, &admin)?,
        Command::Ca(command) => ca::run(&data, &command)?,
        Command::Decisions(admin) => remote::decisions(&data, &admin)?,
        Command::Audit(command) => return audit::run(&data, &command),
        Command::Backup(command) => backup::backup(&data, &command)?,
        Command::Restore(command) => backup::restore(&data, &command)?,
        Command::Sip(Sip::Lint { file, json }) => return lint::run(&file, json),
        Command::Completions { shell } => completions(shell)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn completions(shell: clap_complete::Shell) -> anyhow::Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Args::command(), "verbund", &mut script);
    output::say(String::from_utf8_lossy(&script))
}
