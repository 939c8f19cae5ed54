//! Events on standard error, as text or as JSON; standard output is for answers.

use tracing_subscriber::{EnvFilter, fmt::time::SystemTime};

use crate::{args::LogFormat, output::Paint};

/// Which variable says how much is told, in the form of `tracing` (`info`, `debug`, `net=debug`).
const VARIABLE: &str = "VERBUND_LOG";

/// Starts logging.
///
/// # Errors
/// The variable does not say anything that can be understood.
pub(crate) fn start(format: LogFormat) -> anyhow::Result<()> {
    let wanted = std::env::var(VARIABLE).unwrap_or_else(|_| "info".to_owned());
    let filter = EnvFilter::try_new(&wanted).map_err(|error| anyhow::anyhow!("cannot read {VARIABLE}={wanted:?}: {error}"))?;
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_timer(SystemTime);
    match format {
        LogFormat::Text => log.with_ansi(Paint::for_stderr().is_on()).init(),
        LogFormat::Json => log.json().flatten_event(true).init(),
    }
    Ok(())
}
