//! Programs that nobody here wrote enrol, renew and are refused. Those that are not installed are passed over with a line.
#![allow(clippy::unwrap_used, clippy::print_stderr)]

mod common;

use std::path::Path;
use std::sync::Arc;

use common::{Lab, NAME, Server};
use interop::{Enroller, Enrolling, Fetched, NotFetched, Ticket};
use pki::{certificates_from_pem, facts};
use tempfile::TempDir;
use tokio::process::Command;
use tokio::task::spawn_blocking;
use web::Limits;
use web::enrolment::TicketState;

const FE1: &str = "fe1.verbund.test";

struct Place {
    lab: Arc<Lab>,
    server: Arc<Server>,
    dir: Arc<TempDir>,
}

impl Place {
    async fn new() -> Self {
        let lab = Arc::new(Lab::new());
        let server = lab.serve_authority(Limits::HTTPS).await;
        Self { lab, server: Arc::new(server), dir: Arc::new(tempfile::tempdir().unwrap()) }
    }

    /// Runs a program beside the server; `None` when it is not there.
    async fn with<T: Send + 'static>(
        &self,
        run: impl FnOnce(&Enroller<'_>) -> Result<T, NotFetched> + Send + 'static,
    ) -> Option<Result<T, String>> {
        let (lab, dir, port) = (self.lab.clone(), self.dir.clone(), self.server.address.port());
        let outcome = spawn_blocking(move || run(&Enroller { authority: NAME, port, root: lab.root.path(), dir: dir.path() }));
        match outcome.await.unwrap() {
            Ok(done) => Some(Ok(done)),
            Err(NotFetched::Failed(said)) => Some(Err(said)),
            Err(NotFetched::Absent(why)) => {
                eprintln!("passed over: {why}");
                None
            }
        }
    }

    async fn enrol(&self, by: Enrolling, (kid, key): (String, String), server: &'static str) -> Option<Result<Fetched, String>> {
        self.with(move |at| by.enrol(at, Ticket { kid: &kid, key: &key }, server)).await
    }
}

/// The certificate is the topology's, and belongs to the key beside it.
async fn check(fetched: &Fetched) {
    let text = std::fs::read_to_string(&fetched.chain).unwrap();
    let chain = certificates_from_pem(&text).unwrap();
    assert_eq!(facts(&chain[0]).unwrap().names, [FE1, "verbund.test", "sip:verbund.test"], "{text}");
    let of_certificate = public_key(&["x509", "-pubkey", "-noout"], &fetched.chain).await;
    let of_key = public_key(&["pkey", "-pubout"], &fetched.key).await;
    assert_eq!(of_certificate, of_key);
}

async fn public_key(arguments: &[&str], file: &Path) -> String {
    let output = Command::new("openssl").args(arguments).arg("-in").arg(file).output().await.unwrap();
    String::from_utf8(output.stdout).unwrap()
}

/// From the ticket to the certificate and the next one; the ticket counts once.
async fn from_ticket_to_renewal(by: Enrolling) {
    let place = Place::new().await;
    let ticket = place.lab.office.ticket(FE1);
    let Some(fetched) = place.enrol(by, ticket.clone(), FE1).await else { return };
    let fetched = fetched.unwrap();
    check(&fetched).await;
    assert!(place.lab.office.is_burnt(&ticket.0));
    let now = fetched.clone();
    let renewed = place.with(move |at| by.renew(at, &now, FE1)).await.unwrap().unwrap();
    check(&renewed).await;
    assert_eq!(place.lab.office.figures().0, 2);
}

/// Row N33: a ticket that was used, one that was withdrawn, a wrong key, another name.
async fn refused_without_a_good_ticket(by: Enrolling) {
    let place = Place::new().await;
    let used = place.lab.office.ticket_in(FE1, TicketState::Used { at: std::time::SystemTime::now() });
    let withdrawn = place.lab.office.ticket_in(FE1, TicketState::Withdrawn);
    let wrong_key = (place.lab.office.ticket(FE1).0, "A".repeat(43));
    let other_name = place.lab.office.ticket("fe2.verbund.test");
    for ticket in [used, withdrawn, wrong_key, other_name] {
        // Each begins with nothing: an account of before would count.
        let place = Place { dir: Arc::new(tempfile::tempdir().unwrap()), lab: place.lab.clone(), server: place.server.clone() };
        let asked = place.lab.office.asked();
        let Some(outcome) = place.enrol(by, ticket, FE1).await else { return };
        assert!(place.lab.office.asked() > asked, "it was refused for another reason: {outcome:?}");
        assert!(outcome.is_err(), "{outcome:?}");
    }
    assert_eq!(place.lab.office.figures().0, 0);
}

macro_rules! wall {
    ($($program:ident: $enrolling:expr;)*) => {$(
        mod $program {
            use super::*;

            #[tokio::test]
            async fn enrols_with_a_ticket_and_renews_without_one() {
                from_ticket_to_renewal($enrolling).await;
            }

            #[tokio::test]
            async fn n33_is_refused_without_a_good_ticket() {
                refused_without_a_good_ticket($enrolling).await;
            }
        }
    )*};
}

wall! {
    certbot: Enrolling::Certbot;
    lego: Enrolling::Lego;
    uacme: Enrolling::Uacme;
    curl: Enrolling::Curl;
    strong_swan: Enrolling::StrongSwan;
}

#[tokio::test]
async fn certbot_revokes_what_it_fetched() {
    let place = Place::new().await;
    let Some(fetched) = place.enrol(Enrolling::Certbot, place.lab.office.ticket(FE1), FE1).await else { return };
    fetched.unwrap();
    place.with(|at| at.certbot_revoke(FE1)).await.unwrap().unwrap();
    assert_eq!(place.lab.office.figures().2, [1]);
}
