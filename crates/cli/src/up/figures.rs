//! The core's own counts as metrics.

use std::time::Duration;

use metrics::{counter, gauge};
use net::Handle;
use node::Figures;
use tokio::time::sleep;

/// How old a count may be when it is read.
const COUNT_EVERY: Duration = Duration::from_secs(5);

/// Keeps the metrics of what the core counts for itself.
pub(super) async fn publish(handle: Handle) {
    while let Some(figures) = handle.figures().await {
        set(&figures);
        sleep(COUNT_EVERY).await;
    }
}

fn set(Figures { registrations, node, sign_in, proxy }: &Figures) {
    gauge!("verbund_registrations").set(f64::from(u32::try_from(*registrations).unwrap_or(u32::MAX)));
    for (reason, count) in [("wrong", sign_in.wrong), ("throttled", sign_in.throttled), ("malformed", sign_in.malformed)] {
        counter!("verbund_sign_in_failures_total", "reason" => reason).absolute(count);
    }
    counter!("verbund_sign_ins_total").absolute(sign_in.accepted);
    for (outcome, count) in [
        ("forwarded", node.forwarded),
        ("answered", node.answered),
        ("refused", node.refused),
        ("challenged", node.challenged),
        ("dropped", node.dropped),
    ] {
        counter!("verbund_sip_requests_total", "outcome" => outcome).absolute(count);
    }
    let unprotected = node.media_refused + proxy.unprotected_provisionals + proxy.unprotected_answers;
    counter!("verbund_media_refusals_total").absolute(unprotected);
    for (reason, count) in [
        ("forged_response", proxy.forged_responses),
        ("stray_response", proxy.stray_responses),
        ("malformed_response", proxy.malformed_responses),
        ("stray_ack", proxy.stray_acks),
        ("table_full", proxy.refused_full),
        ("loop", proxy.refused_loops),
        ("queue_full", proxy.outputs_dropped),
    ] {
        counter!("verbund_sip_discards_total", "reason" => reason).absolute(count);
    }
}
