//! Members of the authority's organisation that hold what a real one holds, and say what the test wants them to.

use std::{sync::Arc, time::SystemTime};

use member::{Believed, Holdings, Refused, ShownCertificate};
use pki::{CertificateDer, Fingerprint, Fqdn};
use tokio::sync::mpsc;
use web::{
    control::{Control as _, Held, InForce, Update},
    enrolment::Applicant,
};

use super::{World, fqdn, hello, issue, listeners};

pub(crate) struct Server {
    pub(crate) name: Fqdn,
    pub(crate) holdings: Holdings,
    pub(crate) chain: Vec<CertificateDer<'static>>,
    pub(crate) outdated_links: u64,
    feed: mpsc::Receiver<Arc<Update>>,
    /// Between one replacement and the next there is no topology that it could be given, so only the end has to be whole.
    pub(crate) is_led_over_several: bool,
    /// What it was asked and has not done yet.
    pub(crate) asked_to_renew: bool,
}

impl World {
    /// A server that has joined and is on the line.
    pub(crate) async fn server(&self, name: &str, port: u16) -> Server {
        let ticket = self.joined(name).await;
        drop(ticket);
        let chain = issue(&self.authority, &Applicant::Member(fqdn(name))).await.unwrap();
        hello(&self.authority, name, listeners(port)).await.unwrap();
        let own = self.authority.member().holdings();
        let lists: Vec<_> = own.lists().iter().map(|list| list.as_der().to_vec()).collect();
        let believed = |text: &Believed| Believed { text: text.text.clone(), at: SystemTime::now() };
        let root = Fingerprint::of(&own.bundle().roots[0]);
        let holdings = Holdings::begin(root, believed(own.bundle_text()), &lists, believed(own.topology_text())).unwrap();
        let feed = self.authority.feed(&fqdn(name), holdings.held()).await.unwrap();
        Server { name: fqdn(name), holdings, chain, outdated_links: 0, feed, is_led_over_several: false, asked_to_renew: false }
    }

    /// The authority's own server shows a certificate of the CA of this moment.
    pub(crate) async fn renew_own(&self) {
        let (own, now) = (self.authority.member().name().clone(), SystemTime::now());
        let names = self.authority.member().holdings().topology().certificate_names(&own).unwrap();
        let key = pki::Key::generate().unwrap();
        let issued = self.authority.ca().authority().issue_server(&names, &key.public(), now).unwrap();
        let entry = store::Issued::read(store::Role::Server, &issued.chain[0]).unwrap();
        store::IssuanceLedger::record_issued(self.authority.store(), &entry, now).await.unwrap();
        let shown = ShownCertificate { serial: issued.serial.to_string(), not_after: String::new() };
        self.authority.member().show_another(shown, 1).await;
    }

    pub(crate) async fn advance(&self) {
        self.authority.advance(SystemTime::now()).await.unwrap();
    }
}

impl Server {
    /// Takes all that came down the feed, as a real one does; the first thing that it refuses.
    pub(crate) fn listen(&mut self) -> Result<(), Refused> {
        while let Ok(update) = self.feed.try_recv() {
            let roots = self.holdings.bundle().roots.clone();
            let changed = self.holdings.take(&update, SystemTime::now())?;
            self.asked_to_renew |= changed.renew;
            if !self.is_led_over_several {
                self.starts_again(&roots);
            }
        }
        self.is_led_over_several = false;
        self.starts_again(&self.holdings.bundle().roots);
        Ok(())
    }

    /// Were it to end at this moment, the next start would find what it believes: by the roots that lay beside its state until now
    /// as well as by those of this moment.
    fn starts_again(&self, roots_until_now: &[CertificateDer<'static>]) {
        let lists: Vec<_> = self.holdings.lists().iter().map(|list| list.as_der().to_vec()).collect();
        for roots in [roots_until_now, &self.holdings.bundle().roots] {
            let anchors = pki::Anchors::of(roots.to_vec()).unwrap();
            let (bundle, topology) = (self.holdings.bundle_text().clone(), self.holdings.topology_text().clone());
            Holdings::restore(&anchors, bundle, &lists, topology).unwrap();
        }
    }

    /// Says what is in force.
    pub(crate) async fn report(&self, world: &World) {
        let serial = self.chain.first().and_then(pki::facts).unwrap().serial.to_string();
        let said = InForce { serial, outdated_links: self.outdated_links, ..self.holdings.in_force() };
        self.says(world, said).await;
    }

    pub(crate) async fn says(&self, world: &World, said: InForce) {
        world.authority.ack(&self.name, said).await.unwrap();
    }

    /// Does all that an obedient server does.
    pub(crate) async fn obey(&mut self, world: &World) {
        self.listen().unwrap();
        if std::mem::take(&mut self.asked_to_renew) {
            self.renew(world).await;
        }
        self.report(world).await;
    }

    pub(crate) async fn renew(&mut self, world: &World) {
        self.chain = issue(&world.authority, &Applicant::Member(self.name.clone())).await.unwrap();
    }

    /// The line breaks, and it calls again with what it holds.
    pub(crate) async fn call_again(&mut self, world: &World) {
        let held = Held { topology: self.holdings.topology().version(), bundle: self.holdings.bundle().sequence, users: 0 };
        self.feed = world.authority.feed(&self.name, held).await.unwrap();
    }
}
