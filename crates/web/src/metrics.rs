//! The numbers that Prometheus reads, and what they mean.
//!
//! Counting is done where things happen, with the macros of the crate `metrics`; here is the recorder and the
//! description of each name. No label ever holds a user's name or an address.

use std::sync::{Mutex, PoisonError};

use metrics::{Unit, describe_counter, describe_gauge, gauge};
use metrics_exporter_prometheus::{BuildError, PrometheusBuilder, PrometheusHandle};

/// The numbers of this process, as text for Prometheus.
#[derive(Clone, Debug)]
pub struct Metrics(PrometheusHandle);

/// Another recorder was installed before ours.
#[derive(Debug, thiserror::Error)]
#[error("cannot count: {0}")]
pub struct NotInstalled(#[from] BuildError);

static INSTALLED: Mutex<Option<Metrics>> = Mutex::new(None);

/// The process's recorder: installed and described by the first call, the same for every later one.
pub fn install() -> Result<Metrics, NotInstalled> {
    let mut installed = INSTALLED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(metrics) = &*installed {
        return Ok(metrics.clone());
    }
    let metrics = Metrics(PrometheusBuilder::new().install_recorder()?);
    describe();
    gauge!("verbund_build_info", "version" => env!("CARGO_PKG_VERSION")).set(1.0);
    *installed = Some(metrics.clone());
    Ok(metrics)
}

impl Metrics {
    /// All numbers in the text format of Prometheus.
    pub fn render(&self) -> String {
        self.0.render()
    }

    /// Folds what was observed since the last call; without it, histograms that nobody reads grow.
    pub(crate) fn keep_small(&self) {
        self.0.run_upkeep();
    }
}

fn describe() {
    describe_gauge!("verbund_build_info", "Which verbund runs, in the label version; always 1.");
    describe_gauge!("verbund_connections", Unit::Count, "SIP connections that are open.");
    describe_gauge!("verbund_registrations", Unit::Count, "Contacts that are registered.");
    describe_gauge!(
        "verbund_certificate_expiry_seconds",
        Unit::Seconds,
        "When the certificate in the label name ends, in seconds since 1970."
    );
    describe_gauge!(
        "verbund_next_expiry_seconds",
        Unit::Seconds,
        "At the authority: when the first thing of this kind in the organisation ends, in seconds since 1970."
    );
    describe_gauge!("verbund_overdue", Unit::Count, "At the authority: how much in the organisation was not replaced in time, or ended.");
    describe_gauge!("verbund_document_expiry_seconds", Unit::Seconds, "When the document in force here ends, in seconds since 1970.");
    describe_counter!("verbund_documents_refused_total", Unit::Count, "Documents of the authority that were not taken (row N29).");
    describe_counter!("verbund_handshakes_total", Unit::Count, "TLS handshakes of SIP connections, by result.");
    describe_counter!("verbund_trust_decisions_total", Unit::Count, "Verdicts on who may connect, by listener, verdict and reason.");
    describe_counter!("verbund_sip_messages_total", Unit::Count, "SIP messages, by direction and kind (method or class of status).");
    describe_counter!("verbund_outbox_overflows_total", Unit::Count, "SIP connections closed because the other side did not read.");
    describe_counter!("verbund_sign_ins_total", Unit::Count, "Users who proved who they are.");
    describe_counter!("verbund_sip_requests_total", Unit::Count, "SIP requests decided about, by outcome.");
    describe_counter!("verbund_sip_discards_total", Unit::Count, "SIP messages dropped or refused by the transaction layer, by reason.");
    describe_counter!("verbund_media_refusals_total", Unit::Count, "Offers and answers refused because their media were not encrypted.");
    describe_counter!("verbund_sign_in_failures_total", Unit::Count, "Sign-ins that failed, by reason.");
    describe_gauge!("verbund_https_connections", Unit::Count, "HTTPS connections that are open.");
    describe_counter!("verbund_https_handshakes_total", Unit::Count, "TLS handshakes of HTTPS connections, by result.");
    describe_counter!("verbund_https_requests_total", Unit::Count, "HTTPS requests, by path and status.");
}
