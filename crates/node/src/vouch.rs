//! What a server's word counts for (promise P6), and where it ends: whom it may speak for (row N16).

use pki::Fqdn;
use sip::{Message, Name, Uri};
use topology::{Role, Topology};

/// Whether a server with this role has users' requests to send.
const fn speaks_for_users(role: Role) -> bool {
    match role {
        Role::FrontEnd | Role::Director | Role::Edge | Role::Application => true,
        // They hold certificates and carry media; no user ever signed in there.
        Role::Authority | Role::MediaRelay => false,
    }
}

/// Whether a server with this role passes on what other servers vouched for.
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
    #[error("From and P-Asserted-Identity must be of a domain that this organisation serves")]
    Identity,
}

/// The P-Asserted-Identity of a request that came from a listed server: its own, or what its From says. Each of both must be
/// somebody that this server can speak for; but From may be what our side called the other by in this dialog (`as_called`).
pub(crate) fn identity(
    topology: &Topology,
    server: &Fqdn,
    request: &Message,
    as_called: impl FnOnce() -> bool,
) -> Result<String, Unvouched> {
    let roles = topology.role_of(server);
    if !roles.iter().any(|role| speaks_for_users(*role)) {
        return Err(Unvouched::Role);
    }
    let may_be = |uri: &Uri<'_>| is_known_to(topology, server, roles, uri);
    let from = request.from().map_err(|_| Unvouched::Identity)?;
    let mut asserted = None;
    for claim in request.addresses(Name::PAssertedIdentity) {
        let claim = claim.map_err(|_| Unvouched::Identity)?;
        if claim.uri.is_sip() {
            let text = may_be(&claim.uri).then(|| written(&claim.uri)).ok_or(Unvouched::Identity)?;
            asserted.get_or_insert(text);
        }
    }
    match asserted {
        // RFC 3323 §4.1.1.3: a caller who wants privacy has no From, and the server that vouches knows whose it is.
        Some(asserted) if may_be(&from.uri) || is_anonymous(&from.uri) || as_called() => Ok(asserted),
        None if may_be(&from.uri) => Ok(written(&from.uri)),
        Some(_) | None => Err(Unvouched::Identity),
    }
}

/// A user of ours, for every server that has users' requests to send; an application itself; for those who pass on, every
/// application.
fn is_known_to(topology: &Topology, server: &Fqdn, roles: &[Role], uri: &Uri<'_>) -> bool {
    let sip::Host::Name(host) = uri.host else { return false };
    let Ok(host) = Fqdn::parse(host) else { return false };
    if topology.serves(&host) {
        return uri.user.is_some();
    }
    topology.role_of(&host).contains(&Role::Application) && (host == *server || roles.iter().any(|role| relays(*role)))
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
    const BOT: &str = "<sip:bot@app.contoso.example>";
    const ANONYMOUS: &str = "<sip:anonymous@anonymous.invalid>";
    const EVIL: &str = "<sip:mallory@evil.example>";

    /// A request of the server so called, with these From and P-Asserted-Identity.
    fn check(server: &str, from: &str, asserted: &str, expected: Result<&str, Unvouched>) {
        let topology = Topology::parse(TOPOLOGY).unwrap();
        let asserted = if asserted.is_empty() { String::new() } else { format!("P-Asserted-Identity: {asserted}\r\n") };
        let text = format!(
            "MESSAGE sip:bert@contoso.example SIP/2.0\r\nVia: SIP/2.0/TLS x.example;branch=z9hG4bK1\r\nFrom: {from};tag=1\r\n\
             To: <sip:bert@contoso.example>\r\nCall-ID: 1\r\nCSeq: 1 MESSAGE\r\n{asserted}Content-Length: 0\r\n\r\n"
        );
        let request = Message::parse(text.clone().into()).unwrap();
        let server = format!("{server}.contoso.example").parse().unwrap();
        assert_eq!(identity(&topology, &server, &request, || false).as_deref().map_err(|why| *why), expected, "{server}: {text}");
    }

    #[test]
    fn a_server_that_has_users_speaks_for_them() {
        for server in ["fe", "dir", "app", "edge"] {
            check(server, ANNA, "", Ok(ANNA));
            check(server, ANNA, ANNA, Ok(ANNA));
            check(server, ANONYMOUS, ANNA, Ok(ANNA));
            check(server, "\"Anna\" <sip:anna@Contoso.Example;x=y>", "", Ok("<sip:anna@Contoso.Example>"));
        }
    }

    #[test]
    fn n16_a_server_that_has_no_users_speaks_for_none() {
        for server in ["ca", "relay", "unlisted"] {
            check(server, ANNA, ANNA, Err(Unvouched::Role));
        }
    }

    #[test]
    fn n16_nobody_speaks_for_strangers() {
        for server in ["fe", "dir", "app", "edge"] {
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
        check("edge", BOT, "", Err(Unvouched::Identity));
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
