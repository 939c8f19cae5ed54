//! Tickets burn once, accounts are one a key, and neither grows without end.

use store::{AccountId, AccountStatus, NewAccount, Ticket, TicketEnd, limits};

use super::*;

pub(crate) async fn battery<S: Enrolments>(store: &S) {
    n33_a_ticket_burns_exactly_once(store).await;
    n33_a_ticket_that_ended_does_not_burn(store).await;
    n33_tickets_taken_back_do_not_burn(store).await;
    open_tickets_are_bounded_for_each_server(store).await;
    ended_tickets_are_remembered_for_a_while(store).await;
    accounts_are_one_a_key(store).await;
    accounts_change_their_key_and_end(store).await;
    accounts_are_bounded_for_each_server(store).await;
}

fn ticket(server: &str, expires: u64) -> Ticket {
    Ticket::generate(fqdn(server), at(expires)).unwrap()
}

async fn n33_a_ticket_burns_exactly_once(store: &impl Enrolments) {
    let ticket = ticket("fe2.verbund.test", 200);
    store.open_enrolment(&ticket, at(100)).await.unwrap();
    let open = store.enrolment(&ticket.kid).await.unwrap().unwrap();
    assert_eq!(open.key.as_ref().unwrap().expose(), ticket.key.expose());
    assert!(open.server == ticket.server && open.opened_at == at(100) && open.expires == at(200) && open.is_open(at(199)));
    assert_eq!(store.open_enrolments(at(150)).await.unwrap().len(), 1);
    assert_eq!((store.enrolled(at(150)).await.unwrap(), store.enrolled(at(200)).await.unwrap()), (vec![ticket.server.clone()], vec![]));
    let burnt = store.burn(&ticket.kid, at(150)).await.unwrap();
    assert!(burnt.server == ticket.server && burnt.burnt_at == Some(at(150)) && burnt.key.is_none() && !burnt.is_open(at(150)));
    spent(store, &ticket.kid, 151, TicketEnd::Burnt).await;
    let after = store.enrolment(&ticket.kid).await.unwrap().unwrap();
    assert!(after.burnt_at == Some(at(150)) && after.key.is_none(), "the first moment stays, the key is wiped");
    assert!(store.open_enrolments(at(150)).await.unwrap().is_empty());
}

async fn spent(store: &impl Enrolments, kid: &str, now: u64, wanted: TicketEnd) {
    let refused = store.burn(kid, at(now)).await;
    assert!(matches!(&refused, Err(Error::TicketSpent { kid: of, why }) if of == kid && *why == wanted), "{refused:?}");
}

async fn n33_a_ticket_that_ended_does_not_burn(store: &impl Enrolments) {
    let (late, last) = (ticket("fe3.verbund.test", 200), ticket("fe3.verbund.test", 200));
    store.open_enrolment(&late, at(100)).await.unwrap();
    store.open_enrolment(&last, at(100)).await.unwrap();
    spent(store, &late.kid, 200, TicketEnd::Expired).await;
    store.burn(&last.kid, at(199)).await.unwrap();
    spent(store, "never-opened", 100, TicketEnd::Unknown).await;
    spent(store, "", 100, TicketEnd::Unknown).await;
}

async fn n33_tickets_taken_back_do_not_burn(store: &impl Enrolments) {
    let (mine, other) = (ticket("fe4.verbund.test", 200), ticket("fe5.verbund.test", 200));
    store.open_enrolment(&mine, at(100)).await.unwrap();
    store.open_enrolment(&other, at(100)).await.unwrap();
    assert_eq!(store.void_enrolments(&mine.server, at(110)).await.unwrap(), 1);
    assert_eq!(store.void_enrolments(&mine.server, at(111)).await.unwrap(), 0);
    spent(store, &mine.kid, 120, TicketEnd::Void).await;
    assert!(store.enrolment(&mine.kid).await.unwrap().unwrap().key.is_none());
    store.burn(&other.kid, at(120)).await.unwrap();
}

async fn open_tickets_are_bounded_for_each_server(store: &impl Enrolments) {
    for _ in 0..limits::OPEN_TICKETS_PER_SERVER_MAX {
        store.open_enrolment(&ticket("fe6.verbund.test", 200), at(100)).await.unwrap();
    }
    let full = store.open_enrolment(&ticket("fe6.verbund.test", 200), at(100)).await;
    assert!(matches!(full, Err(Error::Full { max: limits::OPEN_TICKETS_PER_SERVER_MAX, .. })));
    store.open_enrolment(&ticket("fe7.verbund.test", 200), at(100)).await.unwrap();
    store.open_enrolment(&ticket("fe6.verbund.test", 400), at(200)).await.unwrap();
}

async fn ended_tickets_are_remembered_for_a_while(store: &impl Enrolments) {
    let old = ticket("fe8.verbund.test", 200);
    store.open_enrolment(&old, at(100)).await.unwrap();
    let last = 200 + limits::ENDED_TICKET_KEPT_SECONDS;
    store.open_enrolment(&ticket("fe8.verbund.test", last + 10), at(last)).await.unwrap();
    spent(store, &old.kid, last, TicketEnd::Expired).await;
    store.open_enrolment(&ticket("fe8.verbund.test", last + 10), at(last + 1)).await.unwrap();
    spent(store, &old.kid, last + 1, TicketEnd::Unknown).await;
}

fn new(server: &str, key: &str) -> NewAccount {
    NewAccount { jwk: format!("{{\"x\":\"{key}\"}}"), thumbprint: key.to_owned(), server: fqdn(server), kid: "kid".to_owned() }
}

async fn accounts_are_one_a_key(store: &impl Enrolments) {
    let id = store.add_account(&new("fe2.verbund.test", "first"), at(100)).await.unwrap();
    let taken = store.add_account(&new("fe3.verbund.test", "first"), at(101)).await;
    assert!(matches!(taken, Err(Error::KeyTaken(holder)) if holder == id));
    let account = store.account(id).await.unwrap().unwrap();
    assert_eq!(store.account_of_key("first").await.unwrap(), Some(account.clone()));
    assert_eq!(
        (account.jwk.as_str(), account.kid.as_str(), account.server, account.created),
        ("{\"x\":\"first\"}", "kid", fqdn("fe2.verbund.test"), at(100))
    );
    assert_eq!(account.status, AccountStatus::Valid);
    assert_eq!(store.account(AccountId(9_999)).await.unwrap(), None);
    assert_eq!(store.account_of_key("FIRST").await.unwrap(), None);
}

async fn accounts_change_their_key_and_end(store: &impl Enrolments) {
    let first = store.account_of_key("first").await.unwrap().unwrap().id;
    let second = store.add_account(&new("fe2.verbund.test", "second"), at(100)).await.unwrap();
    let taken = store.replace_account_key(second, "{}", "first", at(101)).await;
    assert!(matches!(taken, Err(Error::KeyTaken(holder)) if holder == first));
    store.replace_account_key(second, "{\"y\":1}", "third", at(102)).await.unwrap();
    assert_eq!(store.account_of_key("second").await.unwrap(), None);
    assert_eq!(store.account_of_key("third").await.unwrap().unwrap().id, second);
    store.deactivate_account(first, at(103)).await.unwrap();
    assert_eq!(store.account(first).await.unwrap().unwrap().status, AccountStatus::Deactivated);
    for refused in [store.deactivate_account(first, at(104)).await, store.replace_account_key(first, "{}", "new", at(104)).await] {
        assert!(matches!(refused, Err(Error::NoSuchAccount(id)) if id == first));
    }
    assert!(
        matches!(store.add_account(&new("fe2.verbund.test", "first"), at(105)).await, Err(Error::KeyTaken(_))),
        "an ended key stays ended"
    );
    let could = async || store.enrolled(at(1_000_000)).await.unwrap().contains(&fqdn("fe2.verbund.test"));
    assert!(could().await, "an account counts though no ticket does");
    assert_eq!(store.deactivate_accounts_of(&fqdn("fe2.verbund.test"), at(106)).await.unwrap(), 1);
    assert!(!could().await);
    assert_eq!(store.deactivate_accounts_of(&fqdn("fe2.verbund.test"), at(107)).await.unwrap(), 0);
    assert!(store.accounts_of(&fqdn("fe2.verbund.test")).await.unwrap().iter().all(|one| one.status == AccountStatus::Deactivated));
}

async fn accounts_are_bounded_for_each_server(store: &impl Enrolments) {
    let (server, max) = (fqdn("fe9.verbund.test"), limits::ACCOUNTS_PER_SERVER_MAX);
    for round in 0..3 {
        for n in 0..max {
            store.add_account(&new("fe9.verbund.test", &format!("{round}-{n}")), at(100)).await.unwrap();
        }
        assert!(matches!(store.add_account(&new("fe9.verbund.test", "more"), at(100)).await, Err(Error::Full { .. })));
        store.add_account(&new("fe10.verbund.test", &format!("{round}")), at(100)).await.unwrap();
        assert_eq!(store.deactivate_accounts_of(&server, at(101)).await.unwrap(), max);
    }
    let kept = store.accounts_of(&server).await.unwrap().len();
    assert!((max..=2 * max).contains(&kept), "{kept} are kept of those that ended");
    let large = NewAccount { jwk: "x".repeat(limits::JWK_BYTES_MAX + 1), ..new("fe11.verbund.test", "large") };
    assert!(matches!(store.add_account(&large, at(100)).await, Err(Error::TooLarge { .. })));
}
