//! The URLs of our ACME server. They are made from the name that was configured, never from what a request says.

use pki::Fqdn;

use crate::enrolment::AccountId;

/// Paths, as the router and the URLs have them.
pub(super) mod path {
    pub(in crate::acme) const DIRECTORY: &str = "/acme/directory";
    pub(in crate::acme) const NEW_NONCE: &str = "/acme/new-nonce";
    pub(in crate::acme) const NEW_ACCOUNT: &str = "/acme/new-account";
    pub(in crate::acme) const NEW_ORDER: &str = "/acme/new-order";
    pub(in crate::acme) const REVOKE: &str = "/acme/revoke-cert";
    pub(in crate::acme) const KEY_CHANGE: &str = "/acme/key-change";
    pub(in crate::acme) const RENEWAL_INFO: &str = "/acme/renewal-info";
    pub(in crate::acme) const ACCOUNT: &str = "/acme/account";
    pub(in crate::acme) const ORDERS: &str = "/acme/orders";
    pub(in crate::acme) const ORDER: &str = "/acme/order";
    pub(in crate::acme) const AUTHORIZATION: &str = "/acme/authorization";
    pub(in crate::acme) const CHALLENGE: &str = "/acme/challenge";
    pub(in crate::acme) const FINALIZE: &str = "/acme/finalize";
    pub(in crate::acme) const CERTIFICATE: &str = "/acme/certificate";
}

/// The beginning of every URL: `https://NAME:PORT`.
#[derive(Clone, Debug)]
pub(super) struct Urls {
    base: String,
}

impl Urls {
    pub(super) fn new(name: &Fqdn, port: u16) -> Self {
        // A URL that names the default port is equivalent to one that does not, but not equal to it.
        let base = if port == 443 { format!("https://{name}") } else { format!("https://{name}:{port}") };
        Self { base }
    }

    /// Of a path.
    pub(super) fn of(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    /// Of one thing below a path.
    pub(super) fn one(&self, path: &str, name: &str) -> String {
        format!("{}{path}/{name}", self.base)
    }

    pub(super) fn account(&self, id: &AccountId) -> String {
        self.one(path::ACCOUNT, id.as_str())
    }

    /// The account that this URL (`kid`) names.
    pub(super) fn account_in(&self, url: &str) -> Option<AccountId> {
        let rest = url.strip_prefix(&self.base)?.strip_prefix(path::ACCOUNT)?;
        AccountId::parse(rest.strip_prefix('/')?).ok()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn urls(port: u16) -> Urls {
        Urls::new(&Fqdn::parse("ca.contoso.example").unwrap(), port)
    }

    #[test]
    fn the_default_port_is_not_written() {
        assert_eq!(urls(443).of("/acme/x"), "https://ca.contoso.example/acme/x");
        assert_eq!(urls(8443).one("/acme/x", "y"), "https://ca.contoso.example:8443/acme/x/y");
    }

    #[test]
    fn an_account_is_found_in_its_own_url_only() {
        let (urls, id) = (urls(8443), AccountId::parse("a-1").unwrap());
        assert_eq!(urls.account_in(&urls.account(&id)), Some(id));
        for url in ["", "a-1", "https://ca.contoso.example/acme/account/a-1", "https://evil.example:8443/acme/account/a-1"] {
            assert_eq!(urls.account_in(url), None, "{url}");
        }
        assert_eq!(urls.account_in(&urls.of("/acme/account/")), None);
        assert_eq!(urls.account_in(&urls.of("/acme/account/a/b")), None);
    }
}
