//! PKCS #11 modules: each is opened once in a process, as the standard wants it (§5.4).

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use cryptoki::{
    context::{CInitializeArgs, CInitializeFlags, Pkcs11},
    error::{Error, RvError},
    slot::Slot,
};

use crate::TokenFault;

static OPEN: Mutex<BTreeMap<PathBuf, Pkcs11>> = Mutex::new(BTreeMap::new());

/// The module in this file.
pub(crate) fn open(path: &Path) -> Result<Pkcs11, TokenFault> {
    let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(module) = open.get(path) {
        return Ok(module.clone());
    }
    let fault = |error: Error| TokenFault::Module { module: path.to_owned(), detail: error.to_string() };
    let module = Pkcs11::new(path).map_err(fault)?;
    match module.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)) {
        Ok(()) | Err(Error::Pkcs11(RvError::CryptokiAlreadyInitialized, _)) => {}
        Err(error) => return Err(fault(error)),
    }
    open.insert(path.to_owned(), module.clone());
    Ok(module)
}

/// The one token with this label.
pub(crate) fn token(module: &Pkcs11, label: &str) -> Result<Slot, TokenFault> {
    let is_it = |slot: &Slot| module.get_token_info(*slot).is_ok_and(|info| info.label() == label);
    let slots: Vec<Slot> = module.get_slots_with_token()?.into_iter().filter(is_it).collect();
    match *slots {
        [slot] => Ok(slot),
        [] => Err(TokenFault::NoToken { token: label.into() }),
        [..] => Err(TokenFault::SeveralTokens { token: label.into() }),
    }
}
