//! Signed ends of the audit log. A chain of hashes tells of a link that was changed, and nothing of one that was cut off at the
//! end; whoever cuts has to cut off a signed end too, and cannot sign another.
//!
//! The newest lies beside the log, in a file of its own, and stands in the server's log, which should leave the machine.

use std::{
    path::Path,
    time::{Duration, SystemTime},
};

use pki::{Anchors, DocumentKind, Revocation, read_signed};
use serde_json::{Value, json};
use store::{AuditLog as _, Event, Head};
use topology::SignedTopology;
use web::admin::rfc3339;

use crate::{Authority, Fault, administrator};

/// How many events may come after a signed end before the next is signed.
const LINKS_MAX: u64 = 100;
/// How old a signed end becomes, if anything came after it.
const AGE_MAX: Duration = Duration::from_hours(1);
/// The form of what is signed.
const FORMAT: u64 = 1;

/// The end of the log that a signed text states.
///
/// # Errors
/// Nobody whom these roots vouch for as a signer of documents has signed it, or it says something else.
pub fn read_checkpoint(text: &str, anchors: &Anchors, at: SystemTime) -> Result<Head, Fault> {
    let document = read_signed(DocumentKind::AuditHead, text, anchors, &Revocation::none(), at)?;
    let value: Value = serde_json::from_slice(document.payload()).map_err(|_| Fault::Damaged("a signed end of the audit log"))?;
    let head = value.get("head").and_then(Value::as_str).filter(|_| value.get("format").and_then(Value::as_u64) == Some(FORMAT));
    head.and_then(|head| head.parse().ok()).ok_or(Fault::Damaged("a signed end of the audit log"))
}

impl Authority {
    /// Signs the end of the log if it is time to.
    pub(crate) async fn checkpoint_if_due(&self, now: SystemTime) -> Result<(), Fault> {
        let Some(head) = self.store.head().await? else { return Ok(()) };
        let is_due = match self.store.checkpoints(1).await?.first() {
            Some(newest) => {
                let since = head.number.saturating_sub(newest.head.number);
                // One whose signer's CA was replaced is believed no longer.
                let is_ours = SignedTopology::is_signed_by(&newest.signed, self.ca().signer());
                since >= LINKS_MAX || (since > 0 && (now >= newest.at + AGE_MAX || !is_ours))
            }
            None => true,
        };
        if is_due { self.checkpoint(now).await } else { Ok(()) }
    }

    /// Signs the end of the log, unless that was done.
    ///
    /// # Errors
    /// The store, or it cannot be signed.
    pub async fn checkpoint(&self, now: SystemTime) -> Result<(), Fault> {
        let Some(head) = self.store.head().await? else { return Ok(()) };
        if self.store.checkpoints(1).await?.first().is_some_and(|newest| newest.head == head) {
            return Ok(());
        }
        let payload = json!({ "format": FORMAT, "head": head.to_string(), "at": rfc3339(now) }).to_string();
        let signed = self.ca().sign_audit_head(payload.as_bytes())?;
        self.store.checkpoint(&head, &signed, now).await?;
        tracing::info!(%head, "the end of the audit log is signed");
        self.mirror(&signed);
        Ok(())
    }

    /// Signs the end of the log when nothing more is asked for. What was asked a moment ago may still be on its way to the disk;
    /// behind the first signed end it is there.
    ///
    /// # Errors
    /// As [`checkpoint`](Self::checkpoint).
    pub async fn last_checkpoint(&self, now: SystemTime) -> Result<(), Fault> {
        self.checkpoint(now).await?;
        self.checkpoint(now).await
    }

    /// An administrator wrote a backup: that is entered, and the end of the log with it signed.
    ///
    /// # Errors
    /// As [`checkpoint`](Self::checkpoint).
    pub async fn backed_up(&self, sha256: String) -> Result<(), Fault> {
        let now = SystemTime::now();
        self.store.acting_as(administrator()).append(&Event::BackedUp { sha256 }, now).await?;
        self.checkpoint(now).await
    }

    /// Whoever writes the state file anew has to write this one too.
    fn mirror(&self, signed: &str) {
        let path = self.copy.with_file_name(AUDIT_HEAD);
        if let Err(error) = replace(&path, signed) {
            tracing::warn!(path = %path.display(), %error, "the signed end of the audit log is in the state file only");
        }
    }
}

/// The file with the newest signed end, beside the topology's.
pub const AUDIT_HEAD: &str = "audit-head.jws";

fn replace(path: &Path, text: &str) -> std::io::Result<()> {
    let beside = path.with_added_extension("new");
    std::fs::write(&beside, text)?;
    std::fs::rename(&beside, path)
}
