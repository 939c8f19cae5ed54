//! What a phone says: requests and responses as text, and the answer to a digest challenge.

use aws_lc_rs::digest;
use registrar::{Credential, UserName};
use sip::{Credentials, Message, Name, Status};

/// A user agent's words, without a connection. It knows one user and counts its own requests.
#[derive(Clone, Debug)]
pub struct Phone {
    /// The user's name.
    pub user: String,
    domain: String,
    password: String,
    device: u8,
    requests: u32,
}

/// An SDP that every policy lets pass.
pub const ENCRYPTED: &str = "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\nm=audio 4000 RTP/SAVP 0\r\n\
    a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz\r\n";
/// An SDP whose media anybody on the way could hear.
pub const CLEAR: &str = "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0\r\n";

impl Phone {
    /// A phone of this user.
    #[must_use]
    pub fn new(user: &str, domain: &str, password: &str) -> Self {
        Self { user: user.into(), domain: domain.into(), password: password.into(), device: 1, requests: 0 }
    }

    /// Another phone of the same user.
    #[must_use]
    pub fn device(self, device: u8) -> Self {
        Self { device, ..self }
    }

    /// `sip:user@domain`
    #[must_use]
    pub fn aor(&self) -> String {
        format!("sip:{}@{}", self.user, self.domain)
    }

    /// What stands in Contact: nobody can dial it.
    #[must_use]
    pub fn contact(&self) -> String {
        format!("sip:{}@192.0.2.{}:5061;transport=tls", self.user, self.device)
    }

    /// A request outside a dialog to `to` (a URI); `more` are further header lines, each with CR LF.
    pub fn request(&mut self, method: &str, to: &str, more: &str, body: &str) -> String {
        self.requests += 1;
        let (n, from) = (self.requests, self.aor());
        let user = format!("{}{}", self.user, self.device);
        let uri = if method == "REGISTER" { format!("sip:{}", self.domain) } else { to.to_owned() };
        let kind = match method {
            "INVITE" => "Content-Type: application/sdp\r\n",
            "MESSAGE" => "Content-Type: text/plain\r\n",
            _ => "",
        };
        format!(
            "{method} {uri} SIP/2.0\r\nVia: SIP/2.0/TLS 192.0.2.1:5061;branch=z9hG4bK-{user}-{n}\r\nMax-Forwards: 70\r\nFrom: <{from}>;tag=t-{user}-{n}\r\n\
             To: <{to}>\r\nCall-ID: c-{user}-{n}\r\nCSeq: {n} {method}\r\nContact: <{}>\r\nSupported: path, outbound, gruu\r\n{more}{kind}Content-Length: {}\r\n\r\n{body}",
            self.contact(),
            body.len()
        )
    }

    /// A REGISTER for the phone's own user.
    pub fn register(&mut self, more: &str) -> String {
        let aor = self.aor();
        self.request("REGISTER", &aor, more, "")
    }

    /// The same request once more, with the answer to the challenge in `response` (its first one for `algorithm`).
    #[must_use]
    pub fn authorized(&mut self, request: &str, response: &Message, algorithm: &str) -> Option<String> {
        let (asked, answered) = match response.status()? {
            Status::UNAUTHORIZED => (Name::WwwAuthenticate, "Authorization"),
            Status::PROXY_AUTHENTICATION_REQUIRED => (Name::ProxyAuthenticate, "Proxy-Authorization"),
            _ => return None,
        };
        let challenge = response.all(asked).filter_map(Credentials::parse).find(|c| c.value("algorithm") == Some(algorithm))?;
        let mut words = request.split(' ');
        let (method, uri) = (words.next()?, words.next()?);
        let (realm, nonce) = (challenge.value("realm")?, challenge.value("nonce")?);
        let proof = self.proof(algorithm, realm, nonce, method, uri)?;
        let value = format!(
            "{answered}: Digest username=\"{}\", realm=\"{realm}\", nonce=\"{nonce}\", uri=\"{uri}\", response=\"{proof}\", \
             algorithm={algorithm}, qop=auth, nc=00000001, cnonce=\"c\"\r\n",
            self.user
        );
        self.requests += 1;
        let (branch, again) = (";branch=z9hG4bK-", format!(";branch=z9hG4bK-{}x", self.requests));
        let with = request.replacen("Content-Length:", &format!("{value}Content-Length:"), 1);
        Some(with.replacen(branch, &again, 1))
    }

    /// RFC 7616 §3.4.1 with qop=auth.
    fn proof(&self, algorithm: &str, realm: &str, nonce: &str, method: &str, uri: &str) -> Option<String> {
        let user = UserName::parse(&self.user).ok()?;
        let ha1 = Credential::new(&user, realm, &self.password);
        let (ha1, hash): (String, fn(&str) -> String) = match algorithm {
            "SHA-256" => (hex(ha1.sha256()), |text| hex(digest::digest(&digest::SHA256, text.as_bytes()).as_ref())),
            "MD5" => (hex(ha1.md5()), |text| hex(&md5(text))),
            _ => return None,
        };
        let ha2 = hash(&format!("{method}:{uri}"));
        Some(hash(&format!("{ha1}:{nonce}:00000001:c:auth:{ha2}")))
    }

    /// A response to `request`; `to_tag` marks this device's end of the dialog.
    #[must_use]
    pub fn response(&self, request: &Message, status: Status, body: &str) -> String {
        let mut text = format!("SIP/2.0 {status}\r\n");
        for field in request.fields() {
            match field.name {
                Name::Via | Name::From | Name::CallId | Name::CSeq | Name::RecordRoute => {
                    text += &format!("{}: {}\r\n", field.raw_name, field.value)
                }
                Name::To if request.to().is_ok_and(|to| to.tag().is_none()) => {
                    text += &format!("To: {};tag=t-{}{}\r\n", field.value, self.user, self.device)
                }
                Name::To => text += &format!("To: {}\r\n", field.value),
                _ => {}
            }
        }
        let kind = if body.is_empty() { "" } else { "Content-Type: application/sdp\r\n" };
        text + &format!("Contact: <{}>\r\n{kind}Content-Length: {}\r\n\r\n{body}", self.contact(), body.len())
    }

    /// A request inside the dialog that `response` (as the caller received it) established; CSeq `number`.
    #[must_use]
    pub fn in_dialog_as_caller(&self, method: &str, response: &Message, number: u32, body: &str) -> String {
        let routes: Vec<&str> = response.list(Name::RecordRoute).collect();
        let route = routes.iter().rev().map(|r| format!("Route: {r}\r\n")).collect::<String>();
        self.in_dialog(method, response, (Name::From, Name::To), &route, number, body)
    }

    /// A request inside the dialog that `invite` (as the callee received it) began.
    #[must_use]
    pub fn in_dialog_as_callee(&self, method: &str, invite: &Message, number: u32, body: &str) -> String {
        let route = invite.list(Name::RecordRoute).map(|r| format!("Route: {r}\r\n")).collect::<String>();
        self.in_dialog(method, invite, (Name::To, Name::From), &route, number, body)
    }

    fn in_dialog(&self, method: &str, of: &Message, (from, to): (Name, Name), route: &str, number: u32, body: &str) -> String {
        let contact = of.addresses(Name::Contact).next().and_then(Result::ok).map_or(String::new(), |c| c.uri.text.to_owned());
        let tagged = |name: Name| {
            let value = of.first(name).unwrap_or_default();
            if value.contains(";tag=") { value.to_owned() } else { format!("{value};tag=t-{}{}", self.user, self.device) }
        };
        let kind = if body.is_empty() { "" } else { "Content-Type: application/sdp\r\n" };
        format!(
            "{method} {contact} SIP/2.0\r\nVia: SIP/2.0/TLS 192.0.2.1:5061;branch=z9hG4bK-{}-d{number}{method}\r\nMax-Forwards: 70\r\n{route}\
             From: {}\r\nTo: {}\r\nCall-ID: {}\r\nCSeq: {number} {method}\r\nContact: <{}>\r\n{kind}Content-Length: {}\r\n\r\n{body}",
            self.user,
            tagged(from),
            tagged(to),
            of.call_id().unwrap_or_default(),
            self.contact(),
            body.len()
        )
    }
}

fn md5(text: &str) -> Vec<u8> {
    use md5::Digest as _;
    md5::Md5::digest(text.as_bytes()).to_vec()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
