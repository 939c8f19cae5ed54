//! What a server's word counts for (promise P6), and where it ends: whom it may speak for (row N16). Why so, is said in
//! `docs/decisions/0016-whom-a-server-speaks-for.md`.

use std::collections::HashMap;

use pki::Fqdn;
use registrar::UserName;
use sip::{Message, Name, Uri};
use topology::{Role, Topology};

/// For which users of ours a server's word counts: for those whose proof it can have seen.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Word {
    Nobody,
    /// Those who have their home in its pool.
    ItsPool,
    Everybody,
}

const fn word_of(role: Role) -> Word {
    match role {
        // It has the passwords of its own pool and no others.
        Role::FrontEnd => Word::ItsPool,
        // A director has everybody's password. An application is listed so that it is believed.
        Role::Director | Role::Application => Word::Everybody,
        // They hold certificates, carry media, face strangers; no user of ours ever proves anything there.
        Role::Authority | Role::MediaRelay | Role::Edge => Word::Nobody,
    }
}

/// Whether a server with this role passes on what applications said of themselves.
const fn relays(role: Role) -> bool {
    match role {
        Role::FrontEnd | Role::Director => true,
        // Foreign domains come in by the edge, once there are partners.
        Role::Edge | Role::Authority | Role::MediaRelay | Role::Application => false,
    }
}

/// Why a server's request is not taken.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub(crate) enum Unvouched {
    /// The wrong kind of server.
    #[error("this server's roles do not include sending requests for users; give it one in the topology that does")]
    Role,
    /// It speaks for somebody it cannot know.
    #[error(
        "From and P-Asserted-Identity must be of somebody whom this server can know: a user at home in its pool, for a front end; \
         send it by way of a server of the user's home pool, or of a director"
    )]
    Identity,
}

/// A server that sends a request, and what is known of those it may speak for.
pub(crate) struct Speaker<'n> {
    pub(crate) topology: &'n Topology,
    pub(crate) homes: &'n HashMap<UserName, Fqdn>,
    pub(crate) server: &'n Fqdn,
    /// It is of our own pool, and what it sends can reach a user at home here and nobody else: it may pass on what came to the
    /// pool from anywhere. It gains nothing by a lie, for it could tell these users anything itself.
    pub(crate) is_passing_on: bool,
}

impl Speaker<'_> {
    /// The P-Asserted-Identity of its request: its own, or what its From says. Each of both must be somebody that this server can
    /// speak for; but From may be what our side called the other by in this dialog (`as_called`).
    pub(crate) fn identity(&self, request: &Message, as_called: impl FnOnce() -> bool) -> Result<String, Unvouched> {
        if self.word() == Word::Nobody {
            return Err(Unvouched::Role);
        }
        let from = request.from().map_err(|_| Unvouched::Identity)?;
        let mut asserted = None;
        for claim in request.addresses(Name::PAssertedIdentity) {
            let claim = claim.map_err(|_| Unvouched::Identity)?;
            if claim.uri.is_sip() {
                let text = self.may_be(&claim.uri).then(|| written(&claim.uri)).ok_or(Unvouched::Identity)?;
                asserted.get_or_insert(text);
            }
        }
        match asserted {
            // RFC 3323 §4.1.1.3: a caller who wants privacy has no From, and the server that vouches knows whose it is.
            Some(asserted) if self.may_be(&from.uri) || is_anonymous(&from.uri) || as_called() => Ok(asserted),
            None if self.may_be(&from.uri) => Ok(written(&from.uri)),
            Some(_) | None => Err(Unvouched::Identity),
        }
    }

    fn roles(&self) -> &[Role] {
        self.topology.role_of(self.server)
    }

    fn word(&self) -> Word {
        let by_role = self.roles().iter().map(|role| word_of(*role)).max().unwrap_or(Word::Nobody);
        if self.is_passing_on { by_role.max(Word::Everybody) } else { by_role }
    }

    /// A user of ours that it can know; an application itself; for those who pass on, every application.
    fn may_be(&self, uri: &Uri<'_>) -> bool {
        let sip::Host::Name(host) = uri.host else { return false };
        let Ok(host) = Fqdn::parse(host) else { return false };
        if self.topology.serves(&host) {
            return self.may_be_user(uri);
        }
        let is_itself = host == *self.server;
        self.topology.role_of(&host).contains(&Role::Application) && (is_itself || self.roles().iter().any(|role| relays(*role)))
    }

    fn may_be_user(&self, uri: &Uri<'_>) -> bool {
        match self.word() {
            Word::Nobody => false,
            Word::ItsPool => UserName::of(uri).is_some_and(|user| self.is_at_home_with_it(&user)),
            Word::Everybody => uri.user.is_some(),
        }
    }

    /// Whom we know no home of is at home nowhere.
    fn is_at_home_with_it(&self, user: &UserName) -> bool {
        let home = self.homes.get(user);
        home.is_some() && home == self.topology.pool_of(self.server).map(topology::Pool::name)
    }
}

fn is_anonymous(uri: &Uri<'_>) -> bool {
    uri.host.is_name("anonymous.invalid")
}

fn written(uri: &Uri<'_>) -> String {
    match uri.user {
        Some(user) => format!("<sip:{user}@{}>", uri.host),
        None => format!("<sip:{}>", uri.host),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const TOPOLOGY: &str = r#"
        version = 1
        organisation = "Contoso"
        domains = ["contoso.example"]
        [[pool]]
        name = "ca.contoso.example"
        server = [{ fqdn = "ca.contoso.example", roles = ["authority"], servers = "192.0.2.1:5062", https = "192.0.2.1:443" }]
        [[pool]]
        name = "fe.contoso.example"
        server = [{ fqdn = "fe.contoso.example", roles = ["front-end"], sip = "192.0.2.2:5061", servers = "192.0.2.2:5062", https = "192.0.2.2:443" }]
        [[pool]]
        name = "fe2.contoso.example"
        server = [{ fqdn = "fe2.contoso.example", roles = ["front-end"], sip = "192.0.2.8:5061", servers = "192.0.2.8:5062", https = "192.0.2.8:443" }]
        [[pool]]
        name = "dir.contoso.example"
        server = [{ fqdn = "dir.contoso.example", roles = ["director"], sip = "192.0.2.3:5061", servers = "192.0.2.3:5062", https = "192.0.2.3:443" }]
        [[pool]]
        name = "edge.contoso.example"
        server = [{ fqdn = "edge.contoso.example", roles = ["edge"], servers = "192.0.2.4:5062", https = "192.0.2.4:443" }]
        [[pool]]
        name = "relay.contoso.example"
        server = [{ fqdn = "relay.contoso.example", roles = ["media-relay"], servers = "192.0.2.5:5062", https = "192.0.2.5:443" }]
        [[pool]]
        name = "app.contoso.example"
        server = [{ fqdn = "app.contoso.example", roles = ["application"], servers = "192.0.2.6:5062" }]
        [[pool]]
        name = "app2.contoso.example"
        server = [{ fqdn = "app2.contoso.example", roles = ["application"], servers = "192.0.2.7:5062" }]
    "#;
    const ANNA: &str = "<sip:anna@contoso.example>";
    const BERT: &str = "<sip:bert@contoso.example>";
    const NOBODY: &str = "<sip:nobody@contoso.example>";
    const BOT: &str = "<sip:bot@app.contoso.example>";
    const ANONYMOUS: &str = "<sip:anonymous@anonymous.invalid>";
    const EVIL: &str = "<sip:mallory@evil.example>";

    /// A request of the server so called, with these From and P-Asserted-Identity. Anna is at home at `fe`, Bert at `fe2`.
    #[track_caller]
    fn check(server: &str, from: &str, asserted: &str, expected: Result<&str, Unvouched>) {
        check_passing(false, server, from, asserted, expected);
    }

    #[track_caller]
    fn check_passing(is_passing_on: bool, server: &str, from: &str, asserted: &str, expected: Result<&str, Unvouched>) {
        let topology = Topology::parse(TOPOLOGY).unwrap();
        let asserted = if asserted.is_empty() { String::new() } else { format!("P-Asserted-Identity: {asserted}\r\n") };
        let text = format!(
            "MESSAGE sip:bert@contoso.example SIP/2.0\r\nVia: SIP/2.0/TLS x.example;branch=z9hG4bK1\r\nFrom: {from};tag=1\r\n\
             To: <sip:bert@contoso.example>\r\nCall-ID: 1\r\nCSeq: 1 MESSAGE\r\n{asserted}Content-Length: 0\r\n\r\n"
        );
        let request = Message::parse(text.clone().into()).unwrap();
        let server: Fqdn = format!("{server}.contoso.example").parse().unwrap();
        let homes = [("anna", "fe"), ("bert", "fe2")].map(|(user, pool)| {
            let (user, pool) = (UserName::parse(user).unwrap(), format!("{pool}.contoso.example"));
            (user, pool.parse().unwrap())
        });
        let homes = HashMap::from(homes);
        let speaker = Speaker { topology: &topology, homes: &homes, server: &server, is_passing_on };
        assert_eq!(speaker.identity(&request, || false).as_deref().map_err(|why| *why), expected, "{server}: {text}");
    }

    #[test]
    fn a_server_that_has_users_speaks_for_them() {
        for server in ["fe", "dir", "app"] {
            check(server, ANNA, "", Ok(ANNA));
            check(server, ANNA, ANNA, Ok(ANNA));
            check(server, ANONYMOUS, ANNA, Ok(ANNA));
            check(server, "\"Anna\" <sip:anna@Contoso.Example;x=y>", "", Ok("<sip:anna@Contoso.Example>"));
        }
    }

    #[test]
    fn n16_a_server_that_has_no_users_speaks_for_none() {
        for server in ["ca", "relay", "edge", "unlisted"] {
            check(server, ANNA, ANNA, Err(Unvouched::Role));
            check(server, ANONYMOUS, ANNA, Err(Unvouched::Role));
        }
    }

    #[test]
    fn n16_a_front_end_speaks_for_nobody_who_is_at_home_elsewhere_or_nowhere() {
        for other in [BERT, NOBODY, "<sip:BERT@contoso.example>", "<sip:b%65rt@contoso.example>"] {
            check("fe", other, "", Err(Unvouched::Identity));
            check("fe", other, ANNA, Err(Unvouched::Identity));
            check("fe", ANNA, other, Err(Unvouched::Identity));
            check("fe", ANONYMOUS, other, Err(Unvouched::Identity));
            check("fe", ANNA, &format!("{ANNA}, {other}"), Err(Unvouched::Identity));
        }
        check("fe2", BERT, BERT, Ok(BERT));
    }

    #[test]
    fn a_director_and_an_application_speak_for_users_of_every_pool() {
        for server in ["dir", "app"] {
            check(server, ANNA, "", Ok(ANNA));
            check(server, BERT, BERT, Ok(BERT));
        }
    }

    #[test]
    fn what_came_to_the_pool_is_passed_on_within_it() {
        check_passing(true, "fe", BERT, BERT, Ok(BERT));
        check_passing(true, "fe", BOT, BOT, Ok(BOT));
        check_passing(true, "fe", EVIL, "", Err(Unvouched::Identity));
        check_passing(true, "fe", BERT, EVIL, Err(Unvouched::Identity));
    }

    #[test]
    fn n16_nobody_speaks_for_strangers() {
        for server in ["fe", "dir", "app"] {
            check(server, EVIL, "", Err(Unvouched::Identity));
            check(server, ANNA, EVIL, Err(Unvouched::Identity));
            check(server, EVIL, ANNA, Err(Unvouched::Identity));
            check(server, ANNA, &format!("{ANNA}, {EVIL}"), Err(Unvouched::Identity));
            check(server, ANONYMOUS, "", Err(Unvouched::Identity));
            check(server, "<sip:anna@192.0.2.9>", "", Err(Unvouched::Identity));
            check(server, "<sip:contoso.example>", "", Err(Unvouched::Identity));
            check(server, "<sip:ca.contoso.example>", "", Err(Unvouched::Identity));
        }
    }

    #[test]
    fn an_application_speaks_for_itself() {
        check("app", BOT, "", Ok(BOT));
        check("app", "<sip:app.contoso.example>", "", Ok("<sip:app.contoso.example>"));
    }

    #[test]
    fn n16_an_application_does_not_speak_for_another_one() {
        check("app2", BOT, "", Err(Unvouched::Identity));
        check("edge", BOT, "", Err(Unvouched::Role));
    }

    #[test]
    fn servers_that_pass_on_pass_on_what_an_application_said() {
        check("fe", BOT, BOT, Ok(BOT));
        check("dir", BOT, BOT, Ok(BOT));
    }

    #[test]
    fn a_telephone_number_is_no_identity_of_ours_and_does_no_harm() {
        check("fe", ANNA, &format!("<tel:+491234>, {ANNA}"), Ok(ANNA));
        check("fe", ANNA, "<tel:+491234>", Ok(ANNA));
    }
}
