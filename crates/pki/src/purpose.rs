//! What a certificate has to be good for.

use std::fmt;

use rcgen::CustomExtension;
use webpki::{ExtendedKeyUsageValidator, KeyPurposeId, KeyPurposeIdIter};

/// What a certificate has to be good for (RFC 5280 §4.2.1.12).
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Purpose {
    /// To be a server, seen from either end: public CAs no longer issue clientAuth, so a server
    /// shows the same certificate when it connects to another (row N7).
    Server,
    /// To be a user or a user's device.
    Client,
    /// To sign the documents that members believe: topology and trust bundle. A purpose that our CAs
    /// give to nobody else, so that the key of no server and no user can ever sign one.
    Documents,
}

/// Object identifiers of purposes, as their content octets.
pub(crate) const SERVER_AUTH: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 3, 1];
pub(crate) const CLIENT_AUTH: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 3, 2];
/// id-kp-OCSPSigning (RFC 6960 §4.2.2.2).
pub(crate) const OCSP_SIGNING: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 3, 9];
/// id-kp-sipDomain (RFC 5924 §3).
pub(crate) const SIP_DOMAIN: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 3, 20];
/// id-kp-documentSigning (RFC 9336 §3.1). Not one below 2.25: no program written in Go parses a certificate
/// with an arc of more than 31 bits, so none would talk to our servers.
pub(crate) const DOCUMENTS: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 3, 36];

impl Purpose {
    /// The content octets of the object identifier.
    const fn oid(self) -> &'static [u8] {
        match self {
            Self::Server => SERVER_AUTH,
            Self::Client => CLIENT_AUTH,
            Self::Documents => DOCUMENTS,
        }
    }

    /// The extension that gives these purposes, for those that rcgen has no name for.
    pub fn extension(purposes: &[Self]) -> CustomExtension {
        extension(&purposes.iter().map(|purpose| purpose.oid()).collect::<Vec<_>>())
    }
}

/// An extended key usage with these object identifiers (content octets).
pub(crate) fn extension(purposes: &[&[u8]]) -> CustomExtension {
    const ID_CE_EXT_KEY_USAGE: &[u64] = &[2, 5, 29, 37];
    const OBJECT_IDENTIFIER: u8 = 6;
    let all: Vec<u8> = purposes.iter().flat_map(|oid| crate::der::element(OBJECT_IDENTIFIER, oid)).collect();
    CustomExtension::from_oid_content(ID_CE_EXT_KEY_USAGE, crate::der::element(crate::der::SEQUENCE, &all))
}

impl fmt::Display for Purpose {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Server => "serverAuth",
            Self::Client => "clientAuth",
            Self::Documents => "documents",
        })
    }
}

/// Who lists purposes must list ours. Who lists none is checked elsewhere: a CA may, a leaf may not.
impl ExtendedKeyUsageValidator for Purpose {
    fn validate(&self, shown: KeyPurposeIdIter<'_, '_>) -> Result<(), webpki::Error> {
        let mut none = true;
        for purpose in shown {
            none = false;
            if purpose? == KeyPurposeId::new(self.oid()) {
                return Ok(());
            }
        }
        if none { Ok(()) } else { Err(webpki::Error::EmptyEkuExtension) }
    }
}
