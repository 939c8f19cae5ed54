//! What lies on a member's disk, whatever came between.

use pki::Anchors;
use store::{Embedded, Held as _, HeldKind};

use super::*;
use crate::{disk, users::PARTS};

struct Disk {
    world: World,
    holdings: Holdings,
    store: Embedded,
    _dir: tempfile::TempDir,
}

impl Disk {
    async fn new() -> Self {
        let (world, dir) = (World::new(), tempfile::tempdir().unwrap());
        let (holdings, store) = (world.begin(1, 1).unwrap(), Embedded::create(&dir.path().join("state.db")).unwrap());
        disk::keep_all(&store, &holdings, DOMAIN).await.unwrap();
        Self { world, holdings, store, _dir: dir }
    }

    async fn take(&mut self, update: Update) {
        let changed = self.holdings.take(&update, start()).unwrap();
        disk::keep(&self.store, &self.holdings, &update, &changed, DOMAIN).await.unwrap();
    }

    async fn restored(&self) -> Result<Holdings, disk::DiskFault> {
        disk::restore(&self.store, &Anchors::of([self.world.ca.root().clone()]).unwrap()).await
    }

    /// What lies there is what is in force.
    async fn check(&self) {
        let restored = self.restored().await.unwrap();
        let in_force = |holdings: &Holdings| {
            let mut in_force = holdings.in_force();
            in_force.lists.sort_by(|a, b| a.issuer.cmp(&b.issuer));
            in_force
        };
        assert_eq!(in_force(&restored), in_force(&self.holdings));
        assert_eq!(names(&restored), names(&self.holdings));
    }
}

fn many(count: usize) -> Vec<String> {
    (0..count).map(|n| format!("user{n}")).collect()
}

#[tokio::test]
async fn users_that_come_move_and_go_are_there_after_a_start() {
    let mut disk = Disk::new().await;
    disk.take(users(1, true, &many(1000), &[])).await;
    disk.check().await;
    disk.take(users(2, false, &["anna".into()], &["user5".into(), "user6".into()])).await;
    disk.check().await;
    disk.take(users(3, true, &many(10), &[])).await;
    disk.check().await;
    disk.take(users(4, true, &[], &[])).await;
    disk.check().await;
    assert_eq!(disk.restored().await.unwrap().users().len(), 0);
}

#[tokio::test]
async fn a_directory_of_an_authority_that_was_restored_counts_anew() {
    let mut disk = Disk::new().await;
    disk.take(users(900, true, &many(300), &[])).await;
    disk.take(users(3, true, &many(200), &[])).await;
    assert_eq!(disk.restored().await.unwrap().users().revision(), 3);
    disk.check().await;
}

#[tokio::test]
async fn a_change_of_one_user_writes_one_part_of_the_directory() {
    let mut disk = Disk::new().await;
    disk.take(users(1, true, &many(500), &[])).await;
    disk.take(users(2, false, &["anna".into()], &[])).await;
    let numbers: Vec<u64> = disk.store.all_held(HeldKind::Directory).await.unwrap().iter().map(|part| part.number).collect();
    assert_eq!(numbers.len(), PARTS + 1);
    assert_eq!(numbers.iter().filter(|number| **number == 2).count(), 2, "the part, and the revision");
}

#[tokio::test]
async fn a_directory_from_before_there_were_parts_is_read_and_written_anew() {
    let mut disk = Disk::new().await;
    let put = users(7, true, &many(50), &[]);
    let Update::Users { put: records, .. } = &put else { unreachable!() };
    let old = vec![(
        HeldKind::Directory,
        store::HeldDocument { key: String::new(), number: 7, content: serde_json::to_vec(records).unwrap().into(), held_at: start() },
    )];
    disk.store.hold_together(old, &[HeldKind::Directory]).await.unwrap();
    disk.holdings.take(&put, start()).unwrap();
    disk.check().await;
    disk.take(users(8, false, &["anna".into()], &["user1".into()])).await;
    disk.check().await;
    disk.take(users(9, false, &["bert".into()], &[])).await;
    disk.check().await;
}

#[tokio::test]
async fn a_bundle_that_drops_a_ca_takes_its_list_along() {
    let mut disk = Disk::new().await;
    let (issuing, ca) = disk.world.other_issuing();
    let both = disk.world.bundle(Some(disk.holdings.held_bundle()), vec![disk.world.issuing(), issuing], 1, start());
    disk.take(Update::Bundle { document: both }).await;
    disk.take(Update::RevocationLists { lists: vec![ca.revocation_list(&[], 4, start()).unwrap()] }).await;
    assert_eq!(disk.store.all_held(HeldKind::RevocationList).await.unwrap().len(), 3);
    disk.check().await;
    let one = disk.world.bundle(Some(disk.holdings.held_bundle()), vec![disk.world.issuing()], 1, start());
    disk.take(Update::Bundle { document: one }).await;
    assert_eq!(disk.store.all_held(HeldKind::RevocationList).await.unwrap().len(), 2);
    disk.check().await;
}

#[tokio::test]
async fn a_list_of_a_ca_that_the_bundle_does_not_have_keeps_no_server_from_starting() {
    let disk = Disk::new().await;
    let (_, ca) = disk.world.other_issuing();
    // As a version that wrote the two one after the other left them.
    disk.store.hold(HeldKind::RevocationList, "dropped", 4, &ca.revocation_list(&[], 4, start()).unwrap(), start()).await.unwrap();
    disk.check().await;
    // A list that was tampered with does, whatever it is of.
    let mut bad = disk.world.lists(2, start()).remove(1);
    *bad.last_mut().unwrap() ^= 1;
    disk.store.hold(HeldKind::RevocationList, "bad", 2, &bad, start()).await.unwrap();
    assert!(matches!(disk.restored().await, Err(disk::DiskFault::Refused(_))));
}
