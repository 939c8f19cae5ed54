//! Randomness: the one door through which it enters this crate.

use aws_lc_rs::rand::{SecureRandom, SystemRandom};

/// The operating system gave no randomness. Nothing secure can be made then.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("the operating system gave no randomness; nothing can be issued until it does")]
pub struct NoRandomness;

/// `N` bytes from the generator of the TLS library (AWS-LC's CSPRNG, seeded by the operating
/// system). Serial numbers come from here; key generation and signatures draw from the same
/// generator inside AWS-LC.
pub fn random<const N: usize>() -> Result<[u8; N], NoRandomness> {
    let mut bytes = [0; N];
    SystemRandom::new().fill(&mut bytes).map_err(|_| NoRandomness)?;
    Ok(bytes)
}
