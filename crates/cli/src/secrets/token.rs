//! Keys of CAs that lie in a token: what their file holds is their address, and the PIN comes from a file of its own.

use std::{env, path::PathBuf, sync::Arc};

use anyhow::{Context as _, ensure};
use hsm::{KeyUri, TokenKey};
use pki::CaSigner;
use zeroize::Zeroizing;

use crate::files;

/// Names the file with the PIN of the token that holds the CA's keys.
const PIN_FILE: &str = "VERBUND_CA_PIN_FILE";
/// The same as a credential of systemd (`LoadCredential=`).
const PIN_CREDENTIAL: &str = "verbund-ca-pin";

/// A new key pair, born in the token.
///
/// # Errors
/// There is no PIN, the token is not there, refuses, or holds a key of this name.
pub(crate) fn make_token_key(uri: &KeyUri) -> anyhow::Result<CaSigner> {
    Ok(CaSigner::new(Arc::new(TokenKey::generate(uri, pin(uri)?)?)))
}

/// A key pair that is in the token.
///
/// # Errors
/// There is no PIN, the token is not there or refuses, or has no such key.
pub(crate) fn open_token_key(uri: &KeyUri) -> anyhow::Result<CaSigner> {
    Ok(CaSigner::new(Arc::new(TokenKey::open(uri, pin(uri)?)?)))
}

/// The PIN: from the file that the key's address names, else from the one that is configured. Never from anywhere else: a
/// token locks itself when it is shown other secrets a few times.
fn pin(uri: &KeyUri) -> anyhow::Result<Zeroizing<String>> {
    let text = match (uri.pin_source(), env::var_os(PIN_FILE)) {
        (Some(path), _) => files::read_private(path)?,
        (None, Some(path)) => files::read_private(&PathBuf::from(path))?,
        (None, None) => files::read_credential(PIN_CREDENTIAL)?.with_context(|| {
            format!(
                "the token of {uri} needs a PIN: put it into a file, and its name into {PIN_FILE}, or into the key's address \
                 (pin-source=/PATH)"
            )
        })?,
    };
    let pin = text.trim_end_matches(['\r', '\n']);
    ensure!(!pin.is_empty(), "the PIN of the token of {uri} is empty: put it into its file");
    Ok(Zeroizing::new(pin.to_owned()))
}
