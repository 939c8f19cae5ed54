//! Files for Linphone: `linphonerc` for `--config`, and the same as remote-provisioning XML.
//!
//! Linphone finds names as the machine does (`/etc/hosts` counts) and verifies the server, so the
//! account bears the server's name.

use registrar::UserName;

use super::Site;
use crate::password::Password;

pub(super) const RC: &str = "linphonerc";
const XML: &str = "linphone.xml";

type Section = (&'static str, Vec<(&'static str, String)>);

pub(super) fn files(site: &Site, user: &UserName, password: &Password) -> Vec<(&'static str, String)> {
    let sections = sections(site, user, password);
    vec![(RC, rc(&sections)), (XML, xml(&sections))]
}

fn sections(site: &Site, user: &UserName, password: &Password) -> Vec<Section> {
    let Site { domain, server_name, .. } = site;
    let port = site.sip.port();
    let text = str::to_owned;
    let mandatory = u8::from(site.srtp_required).to_string();
    vec![
        (
            "sip",
            vec![
                // No clear text: UDP and TCP are off, TLS takes any port.
                ("sip_port", text("0")),
                ("sip_tcp_port", text("0")),
                ("sip_tls_port", text("-1")),
                ("root_ca", site.ca.display().to_string()),
                ("verify_server_certs", text("1")),
                ("verify_server_cn", text("1")),
                ("media_encryption", text("srtp")),
                ("media_encryption_mandatory", mandatory),
                ("default_proxy", text("0")),
                // Signs in on a machine without a network too.
                ("auto_net_state_mon", text("0")),
                ("register_only_when_network_is_up", text("0")),
            ],
        ),
        ("net", vec![("dns_srv_enabled", text("0"))]),
        (
            "auth_info_0",
            vec![
                ("username", user.to_string()),
                ("passwd", text(password.expose())),
                ("realm", domain.to_string()),
                ("domain", domain.to_string()),
            ],
        ),
        (
            "proxy_0",
            vec![
                ("reg_proxy", format!("<sip:{server_name}:{port};transport=tls>")),
                ("reg_route", format!("<sip:{server_name}:{port};transport=tls;lr>")),
                ("reg_identity", format!("sip:{user}@{domain}")),
                ("reg_expires", text("600")),
                ("reg_sendregister", text("1")),
                ("publish", text("0")),
            ],
        ),
    ]
}

fn rc(sections: &[Section]) -> String {
    let mut text = String::new();
    for (name, entries) in sections {
        text += &format!("[{name}]\n");
        entries.iter().for_each(|(key, value)| text += &format!("{key}={value}\n"));
    }
    text
}

fn xml(sections: &[Section]) -> String {
    let mut text =
        String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<config xmlns=\"http://www.linphone.org/xsds/lpconfig.xsd\">\n");
    for (name, entries) in sections {
        text += &format!("  <section name=\"{name}\">\n");
        entries
            .iter()
            .for_each(|(key, value)| text += &format!("    <entry name=\"{key}\" overwrite=\"true\">{}</entry>\n", escaped(value)));
        text += "  </section>\n";
    }
    text + "</config>\n"
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
