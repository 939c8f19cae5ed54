//! Ready-made files for phones: what people would otherwise type off a screen.
//!
//! One folder a user, below `accounts/`: `baresip/` to be given to `baresip -f`, `linphonerc` and
//! `linphone.xml`. They hold the password, which is kept nowhere else; whoever deletes them loses nothing
//! but that.

mod baresip;
mod linphone;

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::{Path, PathBuf},
};

use pki::Fqdn;
use registrar::{Credential, UserName};

use crate::{
    files::{self, Readers},
    password::Password,
};

/// What every account of one organisation has in common.
#[derive(Clone, Debug)]
pub(crate) struct Site {
    pub(crate) domain: Fqdn,
    /// The name in the server's certificate.
    pub(crate) server_name: Fqdn,
    /// Where SIP over TLS listens.
    pub(crate) sip: SocketAddr,
    /// The root, for phones.
    pub(crate) ca: PathBuf,
    /// Everyone who has an address here, for the phones' address books.
    pub(crate) users: Vec<UserName>,
    /// Whether calls must be encrypted.
    pub(crate) srtp_required: bool,
}

impl Site {
    /// The address that a phone on this machine connects to.
    pub(crate) fn local_address(&self) -> SocketAddr {
        let ip = match self.sip.ip() {
            ip if !ip.is_unspecified() => ip,
            IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        };
        SocketAddr::new(ip, self.sip.port())
    }
}

/// The folder of account files.
#[derive(Clone, Debug)]
pub(crate) struct Accounts(PathBuf);

impl Accounts {
    pub(crate) fn at(path: PathBuf) -> Self {
        Self(path)
    }

    /// Where a user's files are.
    pub(crate) fn folder(&self, user: &UserName) -> PathBuf {
        self.0.join(user.as_str())
    }

    /// Writes a user's files, replacing older ones.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub(crate) fn write(&self, site: &Site, user: &UserName, password: &Password) -> anyhow::Result<()> {
        let folder = self.folder(user);
        for (name, content) in baresip::files(site, user, password).into_iter().chain(linphone::files(site, user, password)) {
            let path = folder.join(name);
            files::make_dir(path.parent().unwrap_or(&folder))?;
            files::write_unsynced(&path, content, Readers::Owner)?;
        }
        Ok(())
    }

    /// The password in a user's files, if they are there and it is still right.
    pub(crate) fn read_back(&self, domain: &Fqdn, user: &UserName, credential: &Credential) -> Option<Password> {
        let text = files::read_private(&self.folder(user).join(baresip::ACCOUNTS)).ok()?;
        let password = Password::read_back(baresip::password_in(&text)?);
        (Credential::new(user, domain.as_str(), password.expose()) == *credential).then_some(password)
    }

    /// Whether a user's files lead to where the server is now.
    pub(crate) fn are_current(&self, site: &Site, user: &UserName) -> bool {
        let text = files::read(&self.folder(user).join(baresip::ACCOUNTS)).unwrap_or_default();
        text.contains(&baresip::outbound(site))
            && [baresip::CONFIG, linphone::RC].iter().all(|name| self.folder(user).join(name).exists())
            && files::read(&self.folder(user).join(linphone::RC)).unwrap_or_default().contains(&site.ca.display().to_string())
    }

    /// Removes a user's files. Missing ones are fine.
    ///
    /// # Errors
    /// They are there and cannot be removed.
    pub(crate) fn remove(&self, user: &UserName) -> std::io::Result<()> {
        match std::fs::remove_dir_all(self.folder(user)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// The folder itself.
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn site(listen: &str) -> Site {
        Site {
            domain: Fqdn::parse("verbund.test").unwrap(),
            server_name: Fqdn::parse("sip.verbund.test").unwrap(),
            sip: listen.parse().unwrap(),
            ca: "/data/ca.pem".into(),
            users: ["alice", "bob"].map(|name| UserName::parse(name).unwrap()).into(),
            srtp_required: true,
        }
    }

    fn written() -> (tempfile::TempDir, Accounts, UserName, Password) {
        let dir = tempfile::tempdir().unwrap();
        let accounts = Accounts::at(dir.path().join("accounts"));
        let (alice, password) = (UserName::parse("alice").unwrap(), Password::generate().unwrap());
        accounts.write(&site("127.0.0.1:5061"), &alice, &password).unwrap();
        (dir, accounts, alice, password)
    }

    #[test]
    fn a_password_is_read_back_only_while_it_is_right() {
        let (_dir, accounts, alice, password) = written();
        let domain = Fqdn::parse("verbund.test").unwrap();
        let right = Credential::new(&alice, "verbund.test", password.expose());
        assert_eq!(accounts.read_back(&domain, &alice, &right).unwrap().expose(), password.expose());
        let changed = Credential::new(&alice, "verbund.test", "another");
        assert!(accounts.read_back(&domain, &alice, &changed).is_none());
        accounts.remove(&alice).unwrap();
        accounts.remove(&alice).unwrap();
        assert!(accounts.read_back(&domain, &alice, &right).is_none());
    }

    #[test]
    fn files_lead_to_where_the_server_is() {
        let (_dir, accounts, alice, _) = written();
        assert!(accounts.are_current(&site("127.0.0.1:5061"), &alice));
        assert!(!accounts.are_current(&site("127.0.0.1:5062"), &alice));
        assert!(!accounts.are_current(&Site { ca: "/elsewhere/ca.pem".into(), ..site("127.0.0.1:5061") }, &alice));
    }

    #[test]
    fn a_phone_on_this_machine_is_not_sent_to_nowhere() {
        assert_eq!(site("0.0.0.0:5061").local_address().to_string(), "127.0.0.1:5061");
        assert_eq!(site("[::]:5061").local_address().to_string(), "[::1]:5061");
        assert_eq!(site("192.0.2.1:5061").local_address().to_string(), "192.0.2.1:5061");
    }
}
