//! Tickets and ACME accounts in SQLite.

use std::time::SystemTime;

use pki::Fqdn;
use rusqlite::{Connection, OptionalExtension, Params, Row};

use super::worker::{Done, Fault};
use super::{Embedded, audit, fqdn, rows, seconds, time, within};
use crate::limits::{ACCOUNTS_PER_SERVER_MAX, ENDED_TICKET_KEPT_SECONDS, JWK_BYTES_MAX, OPEN_TICKETS_PER_SERVER_MAX};
use crate::{Account, AccountId, AccountStatus, Enrolment, Enrolments, Error, Event, NewAccount, Result, Ticket, TicketEnd, TicketKey};

const TICKET: &str = "kid, key, server, opened_at, expires, burnt_at, voided_at";
const ACCOUNT: &str = "id, jwk, thumbprint, server, kid, status, created";
/// What makes a ticket open at ?1.
const OPEN: &str = "burnt_at IS NULL AND voided_at IS NULL AND expires > ?1";

impl Enrolments for Embedded {
    async fn open_enrolment(&self, ticket: &Ticket, now: SystemTime) -> Result<()> {
        let (opened_at, expires) = (seconds(now)?, seconds(ticket.expires)?);
        let (ticket, actor) = (ticket.clone(), self.actor.clone());
        self.write(move |connection| {
            let Ticket { kid, key, server, .. } = &ticket;
            forget_ended_tickets(connection, opened_at)?;
            let open: usize = connection
                .prepare_cached(&format!("SELECT count(*) FROM enrolment WHERE server = ?2 AND {OPEN}"))?
                .query_row((opened_at, server.as_str()), |row| row.get(0))?;
            below(open, OPEN_TICKETS_PER_SERVER_MAX, "open join tickets", server)?;
            let sql = format!("INSERT INTO enrolment({TICKET}) VALUES(?1, ?2, ?3, ?4, ?5, NULL, NULL)");
            connection.prepare_cached(&sql)?.execute((kid, key.expose(), server.as_str(), opened_at, expires))?;
            let expires = expires.unsigned_abs();
            let event = Event::EnrolmentOpened { ticket: kid.clone(), server: server.to_string(), expires };
            audit::write(connection, &actor, opened_at, &event)?;
            Ok(())
        })
        .await
    }

    async fn enrolment(&self, kid: &str) -> Result<Option<Enrolment>> {
        let kid = kid.to_owned();
        self.read(move |connection| ticket_named(connection, &kid)).await
    }

    async fn open_enrolments(&self, now: SystemTime) -> Result<Vec<Enrolment>> {
        let now = seconds(now)?;
        self.read(move |connection| tickets(connection, &format!("{OPEN} ORDER BY server, opened_at, kid"), (now,))).await
    }

    async fn enrolled(&self, now: SystemTime) -> Result<Vec<Fqdn>> {
        let now = seconds(now)?;
        self.read(move |connection| {
            let sql = format!(
                "SELECT server FROM enrolment WHERE {OPEN} UNION SELECT server FROM account WHERE status = 'valid' ORDER BY server"
            );
            let mut statement = connection.prepare_cached(&sql)?;
            let mut rows = statement.query((now,))?;
            let mut servers = Vec::new();
            while let Some(row) = rows.next()? {
                servers.push(fqdn(&row.get::<_, String>(0)?)?);
            }
            Ok(servers)
        })
        .await
    }

    async fn burn(&self, kid: &str, now: SystemTime) -> Result<Enrolment> {
        let (kid, at, actor) = (kid.to_owned(), seconds(now)?, self.actor.clone());
        self.write(move |connection| {
            // The one statement that decides: who finds the ticket open has burnt it.
            let sql = format!("UPDATE enrolment SET burnt_at = ?1, key = NULL WHERE kid = ?2 AND {OPEN}");
            let burnt = connection.prepare_cached(&sql)?.execute((at, &kid))? == 1;
            let ticket = ticket_named(connection, &kid)?;
            let Some(ticket) = ticket.as_ref().filter(|_| burnt) else {
                return Err(Error::TicketSpent { kid: kid.clone(), why: end_of(ticket.as_ref()) }.into());
            };
            let event = Event::EnrolmentBurnt { ticket: kid.clone(), server: ticket.server.to_string() };
            audit::write(connection, &actor, at, &event)?;
            Ok(ticket.clone())
        })
        .await
    }

    async fn void_enrolments(&self, server: &Fqdn, now: SystemTime) -> Result<usize> {
        let (server, at, actor) = (server.clone(), seconds(now)?, self.actor.clone());
        self.write(move |connection| {
            let sql = format!("UPDATE enrolment SET voided_at = ?1, key = NULL WHERE server = ?2 AND {OPEN}");
            let count = connection.prepare_cached(&sql)?.execute((at, server.as_str()))?;
            if count > 0 {
                let event = Event::EnrolmentsVoided { server: server.to_string(), count: count as u64 };
                audit::write(connection, &actor, at, &event)?;
            }
            Ok(count)
        })
        .await
    }

    async fn add_account(&self, account: &NewAccount, now: SystemTime) -> Result<AccountId> {
        within("the key of an account", account.jwk.len().max(account.thumbprint.len()), JWK_BYTES_MAX)?;
        let (account, created, actor) = (account.clone(), seconds(now)?, self.actor.clone());
        self.write(move |connection| {
            let NewAccount { jwk, thumbprint, server, kid } = &account;
            is_free(connection, thumbprint)?;
            make_room(connection, server)?;
            let sql = "INSERT INTO account(jwk, thumbprint, server, kid, status, created) VALUES(?1, ?2, ?3, ?4, 'valid', ?5)
                       RETURNING id";
            let row = (jwk, thumbprint, server.as_str(), kid, created);
            let id = connection.prepare_cached(sql)?.query_row(row, |row| row.get(0)).map(AccountId)?;
            let (server, ticket) = (server.to_string(), kid.clone());
            let event = Event::AccountOpened { account: id.0, thumbprint: thumbprint.clone(), server, ticket };
            audit::write(connection, &actor, created, &event)?;
            Ok(id)
        })
        .await
    }

    async fn account(&self, id: AccountId) -> Result<Option<Account>> {
        self.read(move |connection| Ok(accounts(connection, "id = ?1", (id.0,))?.pop())).await
    }

    async fn account_of_key(&self, thumbprint: &str) -> Result<Option<Account>> {
        let thumbprint = thumbprint.to_owned();
        self.read(move |connection| Ok(accounts(connection, "thumbprint = ?1", (&thumbprint,))?.pop())).await
    }

    async fn accounts_of(&self, server: &Fqdn) -> Result<Vec<Account>> {
        let server = server.clone();
        self.read(move |connection| accounts(connection, "server = ?1 ORDER BY id", (server.as_str(),))).await
    }

    async fn replace_account_key(&self, id: AccountId, jwk: &str, thumbprint: &str, now: SystemTime) -> Result<()> {
        within("the key of an account", jwk.len().max(thumbprint.len()), JWK_BYTES_MAX)?;
        let (jwk, thumbprint) = (jwk.to_owned(), thumbprint.to_owned());
        let (at, actor) = (seconds(now)?, self.actor.clone());
        self.write(move |connection| {
            is_free(connection, &thumbprint)?;
            let sql = "UPDATE account SET jwk = ?2, thumbprint = ?3 WHERE id = ?1 AND status = 'valid'";
            one(connection.prepare_cached(sql)?.execute((id.0, &jwk, &thumbprint))?, id)?;
            let event = Event::AccountKeyReplaced { account: id.0, thumbprint: thumbprint.clone() };
            audit::write(connection, &actor, at, &event)?;
            Ok(())
        })
        .await
    }

    async fn deactivate_account(&self, id: AccountId, now: SystemTime) -> Result<()> {
        let (at, actor) = (seconds(now)?, self.actor.clone());
        self.write(move |connection| {
            let sql = "UPDATE account SET status = 'deactivated' WHERE id = ?1 AND status = 'valid' RETURNING server";
            let server = connection.prepare_cached(sql)?.query_row((id.0,), |row| row.get::<_, String>(0)).optional()?;
            let server = server.ok_or(Error::NoSuchAccount(id))?;
            audit::write(connection, &actor, at, &Event::AccountsDeactivated { server, count: 1 })?;
            Ok(())
        })
        .await
    }

    async fn deactivate_accounts_of(&self, server: &Fqdn, now: SystemTime) -> Result<usize> {
        let (server, at, actor) = (server.clone(), seconds(now)?, self.actor.clone());
        self.write(move |connection| {
            let sql = "UPDATE account SET status = 'deactivated' WHERE server = ?1 AND status = 'valid'";
            let count = connection.prepare_cached(sql)?.execute((server.as_str(),))?;
            if count > 0 {
                let event = Event::AccountsDeactivated { server: server.to_string(), count: count as u64 };
                audit::write(connection, &actor, at, &event)?;
            }
            Ok(count)
        })
        .await
    }
}

/// Tickets that ended long ago need no answer of their own any more.
fn forget_ended_tickets(connection: &Connection, now: i64) -> Done<()> {
    let kept = i64::try_from(ENDED_TICKET_KEPT_SECONDS).unwrap_or(i64::MAX);
    connection.prepare_cached("DELETE FROM enrolment WHERE expires < ?1")?.execute((now.saturating_sub(kept),))?;
    Ok(())
}

fn below(count: usize, max: usize, what: &str, server: &Fqdn) -> Done<()> {
    if count < max { Ok(()) } else { Err(Error::Full { what: format!("{what} for {server}"), max }.into()) }
}

/// Why the ticket did not burn: asked only where it did not.
fn end_of(ticket: Option<&Enrolment>) -> TicketEnd {
    match ticket {
        None => TicketEnd::Unknown,
        Some(ticket) if ticket.burnt_at.is_some() => TicketEnd::Burnt,
        Some(ticket) if ticket.voided_at.is_some() => TicketEnd::Void,
        Some(_) => TicketEnd::Expired,
    }
}

fn ticket_named(connection: &Connection, kid: &str) -> Done<Option<Enrolment>> {
    Ok(tickets(connection, "kid = ?1", (kid,))?.pop())
}

/// `which` is one of the texts above; what comes from outside goes in as a parameter.
fn tickets(connection: &Connection, which: &str, parameters: impl Params) -> Done<Vec<Enrolment>> {
    let mut statement = connection.prepare_cached(&format!("SELECT {TICKET} FROM enrolment WHERE {which}"))?;
    let mut rows = statement.query(parameters)?;
    let mut tickets = Vec::new();
    while let Some(row) = rows.next()? {
        tickets.push(ticket(row)?);
    }
    Ok(tickets)
}

fn ticket(row: &Row<'_>) -> Done<Enrolment> {
    Ok(Enrolment {
        kid: row.get(0)?,
        key: row.get::<_, Option<[u8; 32]>>(1)?.map(TicketKey::from_bytes),
        server: fqdn(&row.get::<_, String>(2)?)?,
        opened_at: time(row.get(3)?)?,
        expires: time(row.get(4)?)?,
        burnt_at: row.get::<_, Option<i64>>(5)?.map(time).transpose()?,
        voided_at: row.get::<_, Option<i64>>(6)?.map(time).transpose()?,
    })
}

fn is_free(connection: &Connection, thumbprint: &str) -> Done<()> {
    let holder = accounts(connection, "thumbprint = ?1", (thumbprint,))?.pop();
    holder.map_or(Ok(()), |holder| Err(Error::KeyTaken(holder.id).into()))
}

/// As many accounts as a server may have, and of those that ended the newest.
fn make_room(connection: &Connection, server: &Fqdn) -> Done<()> {
    let sql = "SELECT count(*) FROM account WHERE server = ?1 AND status = 'valid'";
    let valid: usize = connection.prepare_cached(sql)?.query_row((server.as_str(),), |row| row.get(0))?;
    below(valid, ACCOUNTS_PER_SERVER_MAX, "accounts", server)?;
    let sql = "DELETE FROM account WHERE id IN
               (SELECT id FROM account WHERE server = ?1 AND status = 'deactivated' ORDER BY id DESC LIMIT -1 OFFSET ?2)";
    connection.prepare_cached(sql)?.execute((server.as_str(), rows(ACCOUNTS_PER_SERVER_MAX)))?;
    Ok(())
}

fn one(changed: usize, id: AccountId) -> Done<()> {
    if changed == 1 { Ok(()) } else { Err(Error::NoSuchAccount(id).into()) }
}

/// `which` is one of the texts above; what comes from outside goes in as a parameter.
fn accounts(connection: &Connection, which: &'static str, parameters: impl Params) -> Done<Vec<Account>> {
    let mut statement = connection.prepare_cached(&format!("SELECT {ACCOUNT} FROM account WHERE {which}"))?;
    let mut rows = statement.query(parameters)?;
    let mut accounts = Vec::new();
    while let Some(row) = rows.next()? {
        accounts.push(account(row)?);
    }
    Ok(accounts)
}

fn account(row: &Row<'_>) -> Done<Account> {
    let status = match row.get::<_, String>(5)?.as_str() {
        "valid" => AccountStatus::Valid,
        "deactivated" => AccountStatus::Deactivated,
        other => return Err(Fault::damaged(format!("an account that is {other:?}"))),
    };
    Ok(Account {
        id: AccountId(row.get(0)?),
        jwk: row.get(1)?,
        thumbprint: row.get(2)?,
        server: fqdn(&row.get::<_, String>(3)?)?,
        kid: row.get(4)?,
        status,
        created: time(row.get(6)?)?,
    })
}
