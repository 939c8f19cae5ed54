//! The administrator's words about a replacement of the CA.

use ::authority::{Order, ReplacementFault, ReplacementStatus, Signed, What};
use pki::{Fqdn, Pace};
use web::admin::{CaReplacement, CaRequest, NewReplacement, Problem, SignedCa, rfc3339};

use super::{affairs::problem, desk::Desk};

/// Whose doing it is decides what the administrator is told.
pub(super) fn replacement_problem(fault: &ReplacementFault) -> Problem {
    let words = fault.to_string();
    match fault {
        ReplacementFault::UnderWay | ReplacementFault::Recovering | ReplacementFault::TooLate | ReplacementFault::Waiting => {
            Problem::conflict(words, "")
        }
        ReplacementFault::NoneUnderWay => {
            Problem::not_found(words, "begin one with `verbund ca rollover start` or `verbund ca issuing renew`")
        }
        ReplacementFault::RootAway(_)
        | ReplacementFault::NoKeys
        | ReplacementFault::NotSigned { .. }
        | ReplacementFault::NameTaken(_)
        | ReplacementFault::Rollover(_) => Problem::bad_request(words, ""),
        ReplacementFault::NoVault | ReplacementFault::Vault(_) | ReplacementFault::Record(_) | ReplacementFault::Damaged(_) => {
            Problem::unavailable(words, "")
        }
    }
}

fn order(new: &NewReplacement) -> Result<Order, Problem> {
    let what = match new.what.as_str() {
        "root" => What::Root,
        "issuing" => What::Issuing,
        other => return Err(Problem::bad_request(format!("{other:?} cannot be replaced"), "write root or issuing")),
    };
    let domain =
        |text: &String| Fqdn::parse(text).map_err(|fault| Problem::bad_request(format!("{text:?} is no domain"), fault.to_string()));
    let domains = new.domains.iter().map(domain).collect::<Result<_, _>>()?;
    Ok(Order { what, pace: if new.emergency { Pace::Emergency } else { Pace::Ordinary }, domains })
}

fn signed(signed: SignedCa) -> Signed {
    let SignedCa { root, list, servers, users, link } = signed;
    Signed { root, list, servers, users, link }
}

fn told(status: &ReplacementStatus) -> CaReplacement {
    let names = |members: &[Fqdn]| members.iter().map(Fqdn::to_string).collect();
    CaReplacement {
        what: status.what.as_str().to_owned(),
        emergency: status.pace == Pace::Emergency,
        phase: status.phase.to_owned(),
        since: rfc3339(status.since),
        old: status.old.clone(),
        new: status.new.clone(),
        new_fingerprint: status.new_fingerprint.to_string(),
        members: names(&status.members),
        certificates: status.certificates.clone(),
        until: status.until.map(rfc3339),
        left_behind: names(&status.left_behind),
    }
}

impl Desk {
    pub(super) async fn begin_replacement(&self, new: NewReplacement) -> Result<CaReplacement, Problem> {
        let (order, signed) = (order(&new)?, new.signed.map(signed));
        self.at_authority()?.replace_ca(&order, signed.as_ref()).await.map(|status| told(&status)).map_err(problem)
    }

    pub(super) async fn ca_requests(&self, new: NewReplacement) -> Result<Vec<CaRequest>, Problem> {
        let requests = self.at_authority()?.request_ca(&order(&new)?).await.map_err(problem)?;
        Ok(requests.into_iter().map(|(kind, request)| CaRequest { kind: kind.to_string(), request }).collect())
    }

    pub(super) async fn replacement_now(&self) -> Result<Option<CaReplacement>, Problem> {
        Ok(self.at_authority()?.replacement().await.map_err(problem)?.as_ref().map(told))
    }

    pub(super) async fn give_up(&self) -> Result<(), Problem> {
        self.at_authority()?.give_up_replacement().await.map_err(problem)
    }
}
