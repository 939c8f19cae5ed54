//! Kamailio (Debian's 5.6) as an application server: a SIP server that is none of ours, with a certificate of the organisation.
//!
//! What comes from the organisation for `user@<its own name>` it sends back for `user@<the domain>`, and stays on the way of calls.
//! What the test hands it in clear on its own machine (its application logic, so to speak) it sends to the organisation unchanged.

use std::fs;
use std::net::{SocketAddrV4, UdpSocket};

use crate::process::must_run;
use crate::{Host, Lab, PATIENCE, Program, Shown, Site, names, wait_until};

/// A running Kamailio.
pub struct Kamailio {
    program: Program,
    host: Host,
    order: UdpSocket,
    count: u32,
}

impl Kamailio {
    /// Where other servers connect to it.
    pub const PORT: u16 = 5061;
    /// Where the test hands it requests.
    const ORDERS: u16 = 5099;

    /// Starts it on this machine; it knows the organisation at `server`, the port for servers of one that listens at `address`.
    pub fn start_on(lab: &Lab, host: &Host, shown: &Shown, server: &Site, address: SocketAddrV4) -> Self {
        let name = format!("kamailio-{}", host.name());
        let dir = lab.folder(&name);
        fs::write(dir.join("tls.cfg"), tls(shown, server)).expect("the folder can be written");
        fs::write(dir.join("kamailio.cfg"), configuration(host, &dir.display().to_string(), server, address)).expect("as above");
        let mut command = host.command("/usr/sbin/kamailio");
        command.args(["-DD", "-E", "-m", "64", "-M", "16", "-f"]).arg(dir.join("kamailio.cfg"));
        command.arg("-Y").arg(&dir).arg("-P").arg(dir.join("pid"));
        let program = Program::start(lab, &name, &mut command);
        wait_until("Kamailio's ports", || listens(host).then_some(()));
        let order = UdpSocket::bind("0.0.0.0:0").expect("a port is free");
        order.set_read_timeout(Some(PATIENCE)).expect("a socket has a read timeout");
        Self { program, host: host.clone(), order, count: 0 }
    }

    /// Has it send a MESSAGE to the organisation; the final status.
    pub fn writes(&mut self, from: &str, asserted: Option<&str>, to: &str, text: &str) -> u16 {
        self.count += 1;
        let (id, own) = (format!("order{}x{}", self.count, std::process::id()), self.order.local_addr().expect("it is bound").port());
        let asserted = asserted.map(|who| format!("P-Asserted-Identity: <{who}>\r\n")).unwrap_or_default();
        let request = format!(
            "MESSAGE {to} SIP/2.0\r\nVia: SIP/2.0/UDP {}:{own};branch=z9hG4bK{id};rport\r\nMax-Forwards: 70\r\nFrom: <{from}>;tag={id}\r\n\
             To: <{to}>\r\nCall-ID: {id}\r\nCSeq: 1 MESSAGE\r\n{asserted}Content-Type: text/plain\r\nContent-Length: {}\r\n\r\n{text}",
            self.host.name_server(),
            text.len()
        );
        self.order.send_to(request.as_bytes(), (self.host.address(), Self::ORDERS)).expect("the wire takes a datagram");
        self.final_status(&id)
    }

    fn final_status(&self, id: &str) -> u16 {
        let mut bytes = [0; 4096];
        loop {
            let length = self.order.recv(&mut bytes).unwrap_or_else(|error| panic!("{error}; see {}", self.program.log().display()));
            let answer = String::from_utf8_lossy(&bytes[..length]).into_owned();
            let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_default();
            if status >= 200 && answer.contains(id) {
                return status;
            }
        }
    }

    /// What it logged until now.
    pub fn logged(&self) -> String {
        self.program.printed()
    }
}

impl Drop for Kamailio {
    fn drop(&mut self) {
        // It has children, who end with it when it is asked, and not when it is killed.
        self.program.signal("TERM");
        self.program.wait_for_end();
    }
}

fn listens(host: &Host) -> bool {
    let ports = must_run(host.command("ss").args(["-Hltn"]));
    ports.contains(&format!("{}:{}", host.address(), Kamailio::PORT))
}

/// It believes the organisation's root, and demands a certificate of everybody.
fn tls(shown: &Shown, server: &Site) -> String {
    let common = format!(
        "method = TLSv1.2+\ncertificate = {}\nprivate_key = {}\nca_list = {}\nverify_certificate = yes\nrequire_certificate = yes\n\
         verify_depth = 3\n",
        shown.certificate.display(),
        shown.key.display(),
        server.ca.display()
    );
    format!("[server:default]\n{common}[client:default]\n{common}server_name = {}\n", server.name)
}

/// One worker of each kind: more of them corrupt this version's memory in TLS handshakes (Kamailio's issue 3791). That the other
/// end is the server meant, its chain alone does not say: the name is looked at in the script.
fn configuration(host: &Host, dir: &str, server: &Site, address: SocketAddrV4) -> String {
    let (own, ip, domain) = (host.fqdn(), host.address(), names::DOMAIN);
    let (port, orders) = (Kamailio::PORT, Kamailio::ORDERS);
    let modules: String = ["kex", "corex", "tm", "sl", "rr", "pv", "maxfwd", "textops", "siputils", "xlog", "tls"]
        .iter()
        .map(|name| format!("loadmodule \"{name}.so\"\n"))
        .collect();
    format!(
        r##"#!KAMAILIO
debug=2
log_stderror=yes
fork=yes
children=1
tcp_children=1
auto_aliases=no
enable_tls=yes
listen=tls:{ip}:{port} advertise {own}:{port}
listen=udp:{ip}:{orders}
alias="{own}"
mpath="/usr/lib/x86_64-linux-gnu/kamailio/modules/"
{modules}modparam("tls", "config", "{dir}/tls.cfg")
modparam("rr", "enable_double_rr", 0)
modparam("tm", "fr_timer", 5000)

request_route {{
  if (!mf_process_maxfwd_header("20")) {{ sl_send_reply("483", "Too Many Hops"); exit; }}
  if (proto == UDP) {{ route(ORGANISATION); }}
  if (!is_peer_verified() || $tls_peer_subject_cn != "{name}") {{ sl_send_reply("403", "Not the organisation"); exit; }}
  xlog("L_NOTICE", "RECEIVED $rm $ru asserted=$hdr(P-Asserted-Identity) from=$tls_peer_subject_cn\n");
  if (is_method("OPTIONS") && $rU == $null) {{ sl_send_reply("200", "OK"); exit; }}
  if (is_method("CANCEL")) {{ if (t_check_trans()) t_relay(); exit; }}
  if (has_totag()) {{
    if (loose_route()) {{ t_relay(); exit; }}
    if (is_method("ACK") && t_check_trans()) t_relay();
    exit;
  }}
  if ($rd != "{own}") {{ sl_send_reply("403", "Not for us"); exit; }}
  if ($rU == "echo") {{ sl_send_reply("200", "Heard"); exit; }}
  if (is_method("INVITE")) record_route();
  $rd = "{domain}";
  route(ORGANISATION);
}}

route[ORGANISATION] {{
  $du = "sip:{address};transport=tls";
  $fs = "tls:{ip}:{port}";
  if (!t_relay()) sl_reply_error();
  exit;
}}
"##,
        name = server.name,
    )
}
