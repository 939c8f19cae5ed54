//! Passwords that people can read aloud and nobody can guess.

use std::fmt;

use zeroize::Zeroizing;

/// Small letters and digits; `l`, `o`, `0` and `1` are left out because they look alike. 32 of them: 5 bits each.
const ALPHABET: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";

/// How many characters a generated password has: 24 at 5 bits are 120 bits.
const CHARACTERS: usize = 24;
const GROUP: usize = 4;

/// What a password that someone else chose may have, in bytes.
const BYTES_MIN: usize = 12;
const BYTES_MAX: usize = 128;

/// A user's password. Wiped when dropped, not printable by accident.
pub(crate) struct Password(Zeroizing<String>);

impl Password {
    /// A new one, from the system's random number generator.
    ///
    /// # Errors
    /// The system gave no randomness.
    pub(crate) fn generate() -> anyhow::Result<Self> {
        let bytes = Zeroizing::new(pki::random::<CHARACTERS>()?);
        let mut text = Zeroizing::new(String::with_capacity(CHARACTERS + CHARACTERS / GROUP));
        for (place, byte) in bytes.iter().enumerate() {
            if place > 0 && place % GROUP == 0 {
                text.push('-');
            }
            text.push(char::from(ALPHABET[usize::from(byte % 32)]));
        }
        Ok(Self(text))
    }

    /// One that an administrator chose. Phones take it from configuration files, so what could end a value there is refused.
    ///
    /// # Errors
    /// Too short, too long, or with characters that phones' files cannot hold.
    pub(crate) fn chosen(text: &str) -> anyhow::Result<Self> {
        let text = text.trim_end_matches(['\r', '\n']);
        anyhow::ensure!(
            (BYTES_MIN..=BYTES_MAX).contains(&text.len()),
            "a password has {BYTES_MIN} to {BYTES_MAX} characters, this one has {}; leave --password-stdin out to have one made",
            text.len()
        );
        let plain = text.bytes().all(|byte| byte.is_ascii_graphic() && !b"\"<>;&\\".contains(&byte));
        anyhow::ensure!(plain, "a password is made of letters, digits and punctuation without spaces, quotes and < > ; & \\");
        Ok(Self(Zeroizing::new(text.to_owned())))
    }

    /// One that was read back from an account file.
    pub(crate) fn read_back(text: &str) -> Self {
        Self(Zeroizing::new(text.to_owned()))
    }

    /// The text, to be shown to its owner once or written to a file that only its owner can read.
    pub(crate) fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(..)")
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_generated_password_has_120_bits_and_no_look_alikes() {
        let password = Password::generate().unwrap();
        let text = password.expose();
        assert_eq!(text.len(), 29, "{text}");
        assert!(text.split('-').all(|group| group.len() == 4 && group.bytes().all(|b| ALPHABET.contains(&b))), "{text}");
        assert!(!ALPHABET.iter().any(|b| b"l1Io0O".contains(b)));
        assert!(ALPHABET.windows(2).all(|pair| pair[0] != pair[1]));
    }

    #[test]
    fn every_character_is_as_likely() {
        let mut seen = [0_u32; 256];
        for _ in 0..400 {
            Password::generate().unwrap().expose().bytes().for_each(|b| seen[usize::from(b)] += 1);
        }
        // 9,600 draws over 32 characters: 300 each, six standard deviations are 102.
        assert!(ALPHABET.iter().all(|b| (190..410).contains(&seen[usize::from(*b)])), "{seen:?}");
    }

    #[test]
    fn no_two_are_the_same_and_none_is_printed() {
        let (one, two) = (Password::generate().unwrap(), Password::generate().unwrap());
        assert_ne!(one.expose(), two.expose());
        assert_eq!(format!("{one:?}"), "Password(..)");
    }

    #[test]
    fn a_chosen_password_must_be_long_and_fit_a_phones_file() {
        assert_eq!(Password::chosen("correct-horse-7\n").unwrap().expose(), "correct-horse-7");
        for text in ["", "short", "with space in it", "quote\"quote\"quote", "semi;colon;semi", "ümlaut-ümlaut", "new\nline\nnew\nline"] {
            assert!(Password::chosen(text).is_err(), "{text}");
        }
        assert!(Password::chosen(&"x".repeat(129)).is_err());
    }
}
