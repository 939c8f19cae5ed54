//! What a server that we call says of itself by a stapled OCSP answer (RFC 6066 §8).
//!
//! Lists decide who is revoked, and those who must have one and have none let nobody in. So a stapled answer can only take belief
//! away: one that says "revoked" counts although no list says so yet. None, or one that counts for nothing, proves nothing: whoever
//! was revoked would leave it out.

use std::time::SystemTime;

use ocsp::{Stapled, Status, read_staple};
use pki::CertificateDer;

use crate::Refusal;

/// Refuses a chain that was believed otherwise if this answer, which came with it, says that its leaf was revoked (row N5). The
/// signer's word is held against the issuers in the chain: a wrong one among them could do no more than harm who sent it.
pub(super) fn check(staple: &[u8], chain: &[CertificateDer<'_>], now: SystemTime) -> Result<(), Refusal> {
    let Some((leaf, issuers)) = chain.split_first().filter(|_| !staple.is_empty()) else { return Ok(()) };
    let Some(facts) = pki::facts(leaf) else { return Ok(()) };
    let mut answers = issuers.iter().filter_map(|issuer| read_staple(staple, issuer, &facts.serial, now).ok());
    match answers.next() {
        Some(Stapled { status: Status::Revoked { at, .. }, .. }) => {
            Err(Refusal::RevokedByStaple { subject: facts.subject, serial: facts.serial, at: pki::rfc3339(at) })
        }
        Some(Stapled { status: Status::Good | Status::Unknown, .. }) | None => Ok(()),
    }
}
