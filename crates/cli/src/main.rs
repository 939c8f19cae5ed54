//! The `verbund` command: one word brings an organisation up, a few more look after it.
//!
//! What is trusted, routed or stored is decided in the crates below; here are arguments, the data
//! directory, and words for people. Start reading with [`args`], then [`up`].

mod accounts;
mod args;
mod audit;
mod backup;
mod ca;
mod command;
mod files;
mod join;
mod judge;
mod lint;
mod log;
mod network;
mod organisation;
mod output;
mod password;
mod ports;
mod remote;
mod secrets;
mod topology;
mod up;

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    match command::run(args::Args::parse()) {
        Ok(code) => code,
        Err(error) => {
            output::complain(&error);
            ExitCode::FAILURE
        }
    }
}
