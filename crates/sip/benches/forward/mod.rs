//! The changes a proxy makes to an INVITE on its way.

use bytes::BytesMut;
use sip::{Message, Name, Rewrite};

const VIA: &str = "SIP/2.0/TLS sip.example.com:5061;branch=z9hG4bK0123456789abcdef0123456789abcdef";
const RECORD_ROUTE: &str = "<sip:0123456789abcdef0123456789abcdef@sip.example.com:5061;transport=tls;lr>";

/// Writes the changed message behind what `out` holds.
pub(crate) fn forward(message: &Message, out: &mut BytesMut) {
    let mut rewrite = Rewrite::of(message);
    rewrite.request_uri("sip:bert@192.0.2.30:50123;transport=tls;ob").push(Name::Via, VIA).push(Name::RecordRoute, RECORD_ROUTE);
    rewrite
        .pop(Name::Route)
        .set(Name::MaxForwards, "69")
        .remove(Name::PAssertedIdentity)
        .push(Name::PAssertedIdentity, "<sip:anna@example.com>");
    rewrite.write(out);
}
