//! The keys of a CA in memory.

use std::sync::{Mutex, MutexGuard};

use authority::{NextFile, NextKeys, Vault, VaultFault};
use pki::{Fingerprint, Key};

#[derive(Default)]
pub(crate) struct Memory(Mutex<State>);

#[derive(Default)]
pub(crate) struct State {
    pub(crate) keys: Option<NextKeys>,
    pub(crate) files: Vec<(NextFile, Vec<u8>)>,
    pub(crate) signers: Vec<bool>,
    pub(crate) settled: Vec<Fingerprint>,
    pub(crate) forgotten: Vec<Fingerprint>,
}

impl Memory {
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }
}

impl Vault for Memory {
    fn make_keys(&self, with_root: bool) -> Result<NextKeys, VaultFault> {
        let key = || pki::CaSigner::from(Key::generate().unwrap());
        let keys = NextKeys { root: with_root.then(key), servers: key(), users: key() };
        self.state().keys = Some(keys.clone());
        Ok(keys)
    }

    fn keys(&self) -> Result<Option<NextKeys>, VaultFault> {
        Ok(self.state().keys.clone())
    }

    fn keep(&self, file: NextFile, content: &[u8]) -> Result<(), VaultFault> {
        self.state().files.push((file, content.to_vec()));
        Ok(())
    }

    fn discard(&self) -> Result<(), VaultFault> {
        self.state().keys = None;
        Ok(())
    }

    fn keep_signer(&self, is_next: bool, _chain: &str, _key: &Key) -> Result<(), VaultFault> {
        self.state().signers.push(is_next);
        Ok(())
    }

    fn settle(&self, old: Fingerprint) -> Result<(), VaultFault> {
        self.state().keys = None;
        self.state().settled.push(old);
        Ok(())
    }

    fn forget(&self, old: Fingerprint) -> Result<(), VaultFault> {
        self.state().forgotten.push(old);
        Ok(())
    }
}
