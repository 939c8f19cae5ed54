//! An ordinary INVITE as a phone sends it through a proxy: 28 headers, 2.2 KB with its description.

/// The request, CR LF and all.
pub(crate) fn invite() -> String {
    let key = "inline:d0RmdmcmVCspeEc3QGZiNWpVLFJhQX1cfHAwJSoj";
    let codecs: String = (0..18).map(|n| format!("a=rtpmap:{} codec{n}/48000/2\r\na=fmtp:{} useinbandfec=1\r\n", 96 + n, 96 + n)).collect();
    let body = format!(
        "v=0\r\no=- 3972 1 IN IP4 192.0.2.10\r\ns=call\r\nc=IN IP4 192.0.2.10\r\nt=0 0\r\n\
         m=audio 40000 RTP/SAVP 96 97 98 99 0 8 101\r\na=crypto:1 AES_CM_128_HMAC_SHA1_80 {key}\r\n\
         a=crypto:2 AES_CM_128_HMAC_SHA1_32 {key}\r\n{codecs}a=sendrecv\r\na=rtcp:40001 IN IP4 192.0.2.10\r\n"
    );
    format!(
        "INVITE sip:bert@example.com;transport=tls SIP/2.0\r\n\
         Via: SIP/2.0/TLS 192.0.2.10:49152;branch=z9hG4bKPj3a9d5f0c8e7b4c61;rport;alias\r\n\
         Via: SIP/2.0/TLS inner.example.com:5061;branch=z9hG4bK77ef4c2312983.1;received=192.0.2.20\r\n\
         Max-Forwards: 70\r\n\
         From: \"Anna Example\" <sip:anna@example.com>;tag=b8c1e0f2a7d94e5c\r\n\
         To: \"Bert Example\" <sip:bert@example.com>\r\n\
         Contact: <sip:anna@192.0.2.10:49152;transport=TLS;ob>;+sip.instance=\"<urn:uuid:00000000-0000-1000-8000-000a95a0e128>\"\r\n\
         Call-ID: 5e1f8c3a7b2d4f6090ab@192.0.2.10\r\n\
         CSeq: 27182 INVITE\r\n\
         Route: <sip:sip.example.com:5061;transport=tls;lr>\r\n\
         Route: <sip:edge.example.com;lr>\r\n\
         Allow: PRACK, INVITE, ACK, BYE, CANCEL, UPDATE, INFO, SUBSCRIBE, NOTIFY, REFER, MESSAGE, OPTIONS\r\n\
         Supported: replaces, 100rel, timer, norefersub, outbound, path, gruu\r\n\
         Accept: application/sdp, multipart/mixed\r\n\
         Allow-Events: presence, message-summary, refer\r\n\
         Session-Expires: 1800\r\n\
         Min-SE: 90\r\n\
         P-Preferred-Identity: <sip:anna@example.com>\r\n\
         P-Asserted-Identity: <sip:forged@example.com>\r\n\
         Privacy: none\r\n\
         Date: Sat, 13 Nov 2010 23:29:00 GMT\r\n\
         User-Agent: Example Phone/5.1.2 (Desk; 00:0a:95:9d:68:16)\r\n\
         Subject: About lunch\r\n\
         Priority: normal\r\n\
         X-Device: 00:0a:95:9d:68:16\r\n\
         Accept-Language: en, de\r\n\
         Expires: 180\r\n\
         Content-Type: application/sdp\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
}
