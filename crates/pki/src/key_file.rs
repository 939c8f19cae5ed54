//! Private keys at rest: under a passphrase (PKCS #8 with PBES2, RFC 8018 §6.2), for the keys of CAs.
//!
//! Written with scrypt and AES-256 at a cost that the `openssl` program still reads, so a key is never
//! locked into verbund. What stretching is for is to make guessing slow; a passphrase of 256 random bits cannot be
//! guessed, so for one of those it costs next to nothing.

use std::fmt;

use pkcs8::{
    EncryptedPrivateKeyInfoOwned,
    der::{Decode as _, Encode as _, asn1::OctetString},
    pkcs5::{EncryptionScheme, pbes2, scrypt},
};
use zeroize::{Zeroize as _, Zeroizing};

use crate::{Key, KeyFault, NoRandomness, SecretPem, pem, random};

/// The label of an encrypted key in PEM (RFC 7468 §11).
const LABEL: &str = "ENCRYPTED PRIVATE KEY";
/// scrypt at the strength that OWASP recommends, in the form that needs the least memory (16 MiB): more than
/// 32 MiB the `openssl` program refuses.
const SCRYPT_LOG_N: u8 = 14;
const SCRYPT_R: u32 = 8;
const SCRYPT_P: u32 = 5;
/// scrypt under a random passphrase: the least that other programs read as scrypt.
const SCRYPT_LOG_N_RANDOM: u8 = 4;
const SCRYPT_P_RANDOM: u32 = 1;
/// The most memory that a key file may make us use, in bytes.
const SCRYPT_MEMORY_BYTES_MAX: u64 = 256 * 1024 * 1024;
/// The most rounds that a key file may make us compute.
const ROUNDS_MAX: u64 = 10_000_000;

/// What a private key is encrypted with. Wiped when dropped, not printable by accident.
pub struct Passphrase(Zeroizing<String>);

impl Passphrase {
    /// The fewest characters of a passphrase that a key is newly encrypted with.
    pub const CHARS_MIN: usize = 12;
    /// The most bytes of one.
    pub const BYTES_MAX: usize = 1024;
    /// How many random bytes are in one that was made.
    const RANDOM_BYTES: usize = 32;

    /// As it was typed, or as its file has it: one final line end does not belong to it. `None` if it is empty
    /// or endless.
    pub fn new(text: Zeroizing<String>) -> Option<Self> {
        let mut text = text;
        let length = text.strip_suffix('\n').map_or(text.len(), |line| line.strip_suffix('\r').unwrap_or(line).len());
        text.truncate(length);
        (1..=Self::BYTES_MAX).contains(&text.len()).then_some(Self(text))
    }

    /// A new one that nobody has to remember: 256 random bits as 64 hexadecimal digits.
    ///
    /// # Errors
    /// There is no randomness.
    pub fn generate() -> Result<Self, NoRandomness> {
        let bits = Zeroizing::new(random::<{ Self::RANDOM_BYTES }>()?);
        let mut text = Zeroizing::new(String::with_capacity(2 * Self::RANDOM_BYTES));
        for byte in bits.iter() {
            for digit in [byte >> 4, byte & 15] {
                text.extend(char::from_digit(u32::from(digit), 16));
            }
        }
        Ok(Self(text))
    }

    /// The passphrase itself, for the file that it is kept in.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether it has the form of those that are made, here or by `openssl rand -hex 32`: so many digits nobody invents.
    pub fn is_random(&self) -> bool {
        self.0.len() == 2 * Self::RANDOM_BYTES && self.0.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    }

    /// Whether something may be newly encrypted with it.
    pub fn is_strong(&self) -> bool {
        self.0.chars().count() >= Self::CHARS_MIN
    }
}

impl fmt::Debug for Passphrase {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Passphrase(..)")
    }
}

impl Key {
    /// PKCS#8 in PEM, encrypted.
    pub fn to_encrypted_pem(&self, passphrase: &Passphrase) -> Result<SecretPem, KeyFault> {
        if !passphrase.is_strong() {
            return Err(KeyFault::WeakPassphrase);
        }
        let der = self.to_der()?;
        let scheme = EncryptionScheme::from(parameters(passphrase)?);
        let encrypted = scheme.encrypt(passphrase.0.as_bytes(), der.secret_pkcs8_der()).map_err(|_| KeyFault::NotMade)?;
        let encrypted_data = OctetString::new(encrypted).map_err(|_| KeyFault::NotMade)?;
        let info = EncryptedPrivateKeyInfoOwned { encryption_algorithm: scheme, encrypted_data };
        Ok(SecretPem::new(pem::section(LABEL, &info.to_der().map_err(|_| KeyFault::NotMade)?)))
    }

    /// Reads PKCS#8 in PEM, encrypted or not. The passphrase is asked for only if one is needed.
    ///
    /// # Errors
    /// [`KeyFault::Passphrase`] if it is encrypted and there is none, or not the right one.
    pub fn from_pem_with(text: &str, passphrase: impl FnOnce() -> Option<Passphrase>) -> Result<Self, KeyFault> {
        let Some(der) = pem::read_section(LABEL, text) else { return Self::from_pem(text) };
        let info = EncryptedPrivateKeyInfoOwned::from_der(&der).map_err(|_| KeyFault::Encryption)?;
        check_cost(&info.encryption_algorithm)?;
        let passphrase = passphrase().ok_or(KeyFault::Passphrase)?;
        let decrypted = info.encryption_algorithm.decrypt(passphrase.0.as_bytes(), info.encrypted_data.as_bytes());
        // Without the right passphrase there is no padding, or no key below it.
        let mut der = decrypted.map_err(|_| KeyFault::Passphrase)?;
        let key = Self::from_pkcs8(&der);
        der.zeroize();
        key.map_err(|_| KeyFault::Passphrase)
    }

    /// Whether a private key in PEM is encrypted, so that a passphrase will be needed.
    pub fn is_encrypted(text: &str) -> bool {
        pem::read_section(LABEL, text).is_some()
    }
}

fn parameters(passphrase: &Passphrase) -> Result<pbes2::Parameters, KeyFault> {
    let no_randomness = |_: NoRandomness| KeyFault::NotMade;
    let (log_n, p) = if passphrase.is_random() { (SCRYPT_LOG_N_RANDOM, SCRYPT_P_RANDOM) } else { (SCRYPT_LOG_N, SCRYPT_P) };
    let cost = scrypt::Params::new(log_n, SCRYPT_R, p).map_err(|_| KeyFault::NotMade)?;
    let (salt, iv) = (random::<16>().map_err(no_randomness)?, random::<16>().map_err(no_randomness)?);
    pbes2::Parameters::generate_scrypt_aes256cbc(cost, &salt, iv).map_err(|_| KeyFault::NotMade)
}

/// PBES2 only (PBES1 is DES and RC2), and nothing that takes minutes or all memory.
fn check_cost(scheme: &EncryptionScheme) -> Result<(), KeyFault> {
    let kdf = &scheme.pbes2().ok_or(KeyFault::Encryption)?.kdf;
    let scrypt = kdf.scrypt().map(|scrypt| {
        let (n, r, p) = (scrypt.cost_parameter, u64::from(scrypt.block_size), u64::from(scrypt.parallelization));
        let memory = n.checked_mul(128 * r);
        memory.is_some_and(|memory| memory <= SCRYPT_MEMORY_BYTES_MAX) && n.saturating_mul(r).saturating_mul(p) <= ROUNDS_MAX
    });
    let pbkdf2 = kdf.pbkdf2().map(|pbkdf2| u64::from(pbkdf2.iteration_count) <= ROUNDS_MAX);
    if scrypt.or(pbkdf2) == Some(true) { Ok(()) } else { Err(KeyFault::Encryption) }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn passphrase(text: &str) -> Option<Passphrase> {
        Passphrase::new(Zeroizing::new(text.to_owned()))
    }

    #[test]
    fn an_encrypted_key_survives_its_file() {
        let key = Key::generate().unwrap();
        let file = key.to_encrypted_pem(&passphrase("correct horse battery").unwrap()).unwrap();
        assert!(Key::is_encrypted(file.expose()) && file.expose().starts_with("-----BEGIN ENCRYPTED PRIVATE KEY-----\n"));
        let again = Key::from_pem_with(file.expose(), || passphrase("correct horse battery\n")).unwrap();
        assert_eq!(again.public(), key.public());
        assert_eq!(Key::from_pem(file.expose()).unwrap_err(), KeyFault::Encrypted);
    }

    #[test]
    fn without_the_passphrase_there_is_no_key() {
        let file = Key::generate().unwrap().to_encrypted_pem(&passphrase("correct horse battery").unwrap()).unwrap();
        for wrong in [None, passphrase("correct horse batterY"), passphrase("x")] {
            assert_eq!(Key::from_pem_with(file.expose(), || wrong).unwrap_err(), KeyFault::Passphrase);
        }
    }

    #[test]
    fn nobody_is_asked_for_the_passphrase_of_a_plain_key() {
        let key = Key::generate().unwrap();
        let plain = key.to_pem().unwrap();
        assert!(!Key::is_encrypted(plain.expose()));
        assert_eq!(Key::from_pem_with(plain.expose(), || unreachable!("asked")).unwrap().public(), key.public());
        assert_eq!(Key::from_pem_with("", || unreachable!("asked")).unwrap_err(), KeyFault::NoPem);
    }

    #[test]
    fn a_passphrase_has_a_length_and_cannot_be_printed() {
        let key = Key::generate().unwrap();
        assert_eq!(key.to_encrypted_pem(&passphrase("eleven char").unwrap()).unwrap_err(), KeyFault::WeakPassphrase);
        assert!(passphrase("").is_none() && passphrase("\r\n").is_none() && passphrase(&"a".repeat(1025)).is_none());
        assert_eq!(format!("{:?}", passphrase("correct horse battery")), "Some(Passphrase(..))");
    }

    #[test]
    fn what_can_be_guessed_is_stretched_and_what_cannot_is_not() {
        let (made, other) = (Passphrase::generate().unwrap(), Passphrase::generate().unwrap());
        assert!(made.is_random() && made.expose() != other.expose());
        let key = Key::generate().unwrap();
        // N stands in the file as an INTEGER: 2^14 or 2^4.
        let has = |file: &SecretPem, n: &[u8]| pem::read_section(LABEL, file.expose()).unwrap().windows(n.len()).any(|bytes| bytes == n);
        let (strong, cheap) = ([2, 2, 0x40, 0, 2, 1, 8, 2, 1, 5], [2, 1, 0x10, 2, 1, 8, 2, 1, 1]);
        let file = key.to_encrypted_pem(&made).unwrap();
        assert!(has(&file, &cheap) && !has(&file, &strong));
        assert_eq!(Key::from_pem_with(file.expose(), || passphrase(made.expose())).unwrap().public(), key.public());
        assert_eq!(Key::from_pem_with(file.expose(), || Some(other)).unwrap_err(), KeyFault::Passphrase);
        for guessable in [&made.expose()[1..], &made.expose().to_uppercase(), &format!("{} ", made.expose()), "correct horse battery"] {
            let file = key.to_encrypted_pem(&passphrase(guessable).unwrap()).unwrap();
            assert!(has(&file, &strong) && !has(&file, &cheap));
        }
    }

    #[test]
    fn damage_and_endless_work_are_refused_before_anybody_is_asked() {
        let (key, secret) = (Key::generate().unwrap(), passphrase("correct horse battery").unwrap());
        let file = key.to_encrypted_pem(&secret).unwrap();
        let der = pem::read_section(LABEL, file.expose()).unwrap();
        let refused = |der: &[u8]| {
            let text = pem::section(LABEL, der);
            assert_eq!(Key::from_pem_with(&text, || unreachable!("asked")).unwrap_err(), KeyFault::Encryption);
        };
        refused(&der[1..]);
        refused(b"");
        // N = 2^14 stands in it as INTEGER 0x4000, r and p behind it: those are made 127.
        let cost = der.windows(4).position(|bytes| bytes == [2, 2, 0x40, 0]).unwrap();
        let mut endless = der.clone();
        endless[cost + 6] = 0x7f;
        endless[cost + 9] = 0x7f;
        refused(&endless);
    }
}
