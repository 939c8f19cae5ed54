//! What can be said of a replacement: how far it is, and for whom it waits.

use std::time::SystemTime;

use metrics::gauge;
use pki::{CertificateDer, Fingerprint, Fqdn, Pace, Phase, Step};

use super::{Replacement, What, phase_word};

/// How far a replacement of the CA has come, and what it waits for.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ReplacementStatus {
    /// What is replaced.
    pub what: What,
    /// How much patience there is.
    pub pace: Pace,
    /// How far it has come.
    pub phase: &'static str,
    /// When that phase began.
    pub since: SystemTime,
    /// The CA that goes, by name.
    pub old: String,
    /// The CA that comes, by name.
    pub new: String,
    /// The fingerprint of the CA that comes: where the root is replaced, what join strings and people compare.
    pub new_fingerprint: Fingerprint,
    /// Members that have not done what this phase waits for.
    pub members: Vec<Fqdn>,
    /// Whose certificates of the old CA are still valid.
    pub certificates: Vec<String>,
    /// When it goes on without them.
    pub until: Option<SystemTime>,
    /// Members that were not waited for: they have to join anew.
    pub left_behind: Vec<Fqdn>,
}

/// The most holders that are named.
const NAMED_MAX: usize = 100;

impl ReplacementStatus {
    /// What `step` means for a replacement, whose old certificates `holders` have.
    pub(super) fn of(replacement: &Replacement, step: &Step, holders: &[store::Issued]) -> Self {
        let rollover = &replacement.record.rollover;
        let (members, until) = match step {
            Step::Wait(waiting) => (waiting.members.clone(), waiting.until),
            Step::PublishBoth | Step::Switch | Step::PublishNew | Step::Finished => (Vec::new(), None),
        };
        let mut certificates: Vec<String> = holders.iter().filter_map(|issued| issued.names.first().cloned()).collect();
        certificates.sort();
        certificates.dedup();
        certificates.truncate(NAMED_MAX);
        let [old, new] = [&replacement.old, &replacement.new].map(|generation| match replacement.record.what {
            What::Root => generation.authority.root(),
            What::Issuing => generation.authority.issuing(),
        });
        Self {
            what: replacement.record.what,
            pace: rollover.pace(),
            phase: phase_word(rollover.phase()),
            since: rollover.since(),
            old: name(old),
            new: name(new),
            new_fingerprint: Fingerprint::of(new),
            members,
            certificates,
            until,
            left_behind: rollover.left_behind().cloned().collect(),
        }
    }
}

fn name(certificate: &CertificateDer<'_>) -> String {
    pki::facts(certificate).map(|facts| facts.subject).unwrap_or_default()
}

/// The phase as a number that grows; 0 while nothing is replaced.
const fn number(phase: Phase) -> u8 {
    match phase {
        Phase::Staged => 1,
        Phase::Distributing { .. } => 2,
        Phase::Switching => 3,
        Phase::Renewing => 4,
        Phase::Retiring => 5,
        Phase::Dropping { .. } => 6,
        Phase::Done => 7,
    }
}

/// Shows it to whoever watches the numbers; `None` while nothing is replaced.
pub(super) fn count(phase: Option<Phase>, members: usize, certificates: usize) {
    gauge!("verbund_ca_replacement_phase").set(f64::from(phase.map_or(0, number)));
    // Counts this large do not occur, and a gauge has no better type.
    #[expect(clippy::cast_precision_loss)]
    let [members, certificates] = [members, certificates].map(|count| count as f64);
    gauge!("verbund_ca_replacement_waiting_members").set(members);
    gauge!("verbund_ca_replacement_waiting_certificates").set(certificates);
}
