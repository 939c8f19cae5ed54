//! Files for baresip: a folder for `baresip -f`.
//!
//! baresip finds names by DNS only and ignores `/etc/hosts`, so on this machine the account leads to the
//! listening address. Debian's 1.0.0 does not verify the server; later ones do, and want the name.

use registrar::UserName;

use super::Site;
use crate::password::Password;

pub(super) const ACCOUNTS: &str = "baresip/accounts";
pub(super) const CONFIG: &str = "baresip/config";
const CONTACTS: &str = "baresip/contacts";

pub(super) fn files(site: &Site, user: &UserName, password: &Password) -> Vec<(&'static str, String)> {
    vec![(ACCOUNTS, accounts(site, user, password)), (CONFIG, config(site)), (CONTACTS, contacts(site, user))]
}

/// The parameter of the account that says where to connect.
pub(super) fn outbound(site: &Site) -> String {
    format!("outbound=\"sip:{};transport=tls\"", site.local_address())
}

/// The password in an accounts file.
pub(super) fn password_in(accounts: &str) -> Option<&str> {
    let account = accounts.lines().find(|line| line.starts_with('<'))?;
    account.split(';').find_map(|parameter| parameter.strip_prefix("auth_pass="))
}

fn accounts(site: &Site, user: &UserName, password: &Password) -> String {
    let Site { domain, server_name, .. } = site;
    let (outbound, port, password) = (outbound(site), site.sip.port(), password.expose());
    let media = if site.srtp_required { "srtp-mand" } else { "srtp" };
    format!(
        "# baresip 1.0.0 (Debian 12) asks DNS only and does not check the server's certificate.\n\
         # A later baresip checks it: make the name known to DNS and write\n\
         #   outbound=\"sip:{server_name}:{port};transport=tls\"\n\
         <sip:{user}@{domain};transport=tls>;auth_user={user};auth_pass={password};{outbound};mediaenc={media};regint=600;answermode=manual\n"
    )
}

fn config(site: &Site) -> String {
    let ca = site.ca.display();
    format!(
        "poll_method\t\tepoll\n\
         sip_listen\t\t0.0.0.0:0\n\
         sip_cafile\t\t{ca}\n\
         sip_verify_server\tyes\n\
         call_local_timeout\t120\n\
         call_max_calls\t\t4\n\
         # Without a sound card: audio_source ausine,440 with module ausine.so, and no audio_player.\n\
         audio_player\t\talsa,default\n\
         audio_source\t\talsa,default\n\
         audio_alert\t\talsa,default\n\
         jitter_buffer_delay\t5-10\n\
         module_path\t\t/usr/lib/baresip/modules\n\
         module\t\t\tstdio.so\n\
         module\t\t\tg711.so\n\
         module\t\t\topus.so\n\
         module\t\t\talsa.so\n\
         module\t\t\tsrtp.so\n\
         module\t\t\tdtls_srtp.so\n\
         module_tmp\t\tuuid.so\n\
         module_tmp\t\taccount.so\n\
         module_app\t\tcontact.so\n\
         module_app\t\tmenu.so\n"
    )
}

fn contacts(site: &Site, user: &UserName) -> String {
    let others = site.users.iter().filter(|other| *other != user);
    others.map(|other| format!("\"{other}\" <sip:{other}@{}>\n", site.domain)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_password_is_found_in_the_account_and_not_in_a_comment() {
        assert_eq!(password_in("# auth_pass=no;\n<sip:a@b.c>;auth_user=a;auth_pass=k7-x;outbound=\"sip:x;y\"\n"), Some("k7-x"));
        assert_eq!(password_in("# auth_pass=no;\n"), None);
        assert_eq!(password_in("<sip:a@b.c>;auth_user=a\n"), None);
    }
}
