//! A P-256 key in a token.

use std::{fmt, path::PathBuf, time::Duration};

use aws_lc_rs::digest;
use cryptoki::{
    error::{Error, RvError},
    mechanism::Mechanism,
    object::{Attribute, AttributeType, KeyType, ObjectClass, ObjectHandle},
    session::{Session, UserType},
    types::AuthPin,
};
use pki::{CaKey, KeyFault, NoRandomness, PublicKey};
use tokio::runtime::{Handle, RuntimeFlavor};
use zeroize::Zeroizing;

use crate::{KeyUri, module, worker::Worker};

/// P-256 as an object identifier in DER (RFC 5480 §2.1.1.1): what EC parameters are.
const P256: &[u8] = &[6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7];
/// An OCTET STRING of 65 octets: how tokens wrap an uncompressed point of P-256.
const POINT_PREFIX: &[u8] = &[4, 65];

/// How long a token may take for a signature.
const PATIENCE: Duration = Duration::from_secs(10);

/// Why there is no usable key in a token.
#[derive(Debug, thiserror::Error)]
pub enum TokenFault {
    /// The library of the token's maker.
    #[error("the PKCS #11 module {} cannot be used ({detail}); check its path, and that it is installed", module.display())]
    Module {
        /// Its path.
        module: PathBuf,
        /// What it said.
        detail: String,
    },
    /// Not plugged in, or another name.
    #[error("there is no token with the label {token:?}; plug it in, or correct the label")]
    NoToken {
        /// The label.
        token: String,
    },
    /// Guessing which one is meant could sign with the wrong key.
    #[error("there are several tokens with the label {token:?}; give them different labels")]
    SeveralTokens {
        /// The label.
        token: String,
    },
    /// The token does not let us in.
    #[error("the token refused the PIN ({detail}); give the right one, before it locks itself")]
    Pin {
        /// What it said.
        detail: String,
    },
    /// No such key.
    #[error("the token holds no P-256 key pair with the label {object:?}; have one made, or correct the label")]
    NoKey {
        /// The label.
        object: String,
    },
    /// Overwriting a CA's key would be the end of that CA.
    #[error("the token already holds a key with the label {object:?}; choose another label")]
    Taken {
        /// The label.
        object: String,
    },
    /// A key that could be somewhere else too (promise P5).
    #[error("the key {object:?} could be read out of the token, so nobody knows where else it is; have a new one made in the token")]
    Extractable {
        /// The label.
        object: String,
    },
    /// No answer.
    #[error("the token does not answer; see whether it is still there, and the way to it")]
    Silent,
    /// No thread to ask it by.
    #[error("no thread can be started to ask the token by ({0}); see what this machine has run out of")]
    Thread(std::io::Error),
    /// No randomness.
    #[error(transparent)]
    Randomness(#[from] NoRandomness),
    /// Anything else.
    #[error("the token failed ({0}); see whether it is still there and in order")]
    Token(#[from] Error),
}

/// A P-256 key in a token. Signs for a CA; there is no way to get it out.
pub struct TokenKey {
    uri: KeyUri,
    public: PublicKey,
    /// The one thread that has the session: two must not use it at a time (PKCS #11 §2.6.7).
    worker: Worker,
}

struct Open {
    uri: KeyUri,
    pin: Zeroizing<String>,
    session: Session,
    key: ObjectHandle,
}

impl Open {
    fn sign(&mut self, digest: &[u8]) -> Result<Vec<u8>, TokenFault> {
        if let Ok(signature) = self.session.sign(&Mechanism::Ecdsa, self.key, digest) {
            return Ok(signature);
        }
        // Sessions end when a token is pulled out, or its daemon was restarted. Once, a new one is tried.
        self.session = session(&self.uri, &self.pin)?;
        self.key = private_key(&self.session, self.uri.object())?;
        Ok(self.session.sign(&Mechanism::Ecdsa, self.key, digest)?)
    }
}

impl fmt::Debug for TokenKey {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "TokenKey({})", self.uri)
    }
}

impl TokenKey {
    /// Makes a new key pair in the token.
    ///
    /// # Errors
    /// The token is not there, refuses, or has a key of this label.
    pub fn generate(uri: &KeyUri, pin: Zeroizing<String>) -> Result<Self, TokenFault> {
        let session = session(uri, &pin)?;
        let label = Attribute::Label(uri.object().as_bytes().to_vec());
        if !session.find_objects(std::slice::from_ref(&label))?.is_empty() {
            return Err(TokenFault::Taken { object: uri.object().into() });
        }
        let id = Attribute::Id(pki::random::<16>()?.to_vec());
        let shared = [Attribute::Token(true), Attribute::KeyType(KeyType::EC), label, id];
        let public = [Attribute::Private(false), Attribute::Verify(true), Attribute::EcParams(P256.to_vec())];
        let private = [
            Attribute::Private(true),
            Attribute::Sensitive(true),
            Attribute::Extractable(false),
            Attribute::Sign(true),
            Attribute::Derive(false),
            Attribute::Decrypt(false),
            Attribute::Unwrap(false),
        ];
        session.generate_key_pair(&Mechanism::EccKeyPairGen, &[&shared[..], &public].concat(), &[&shared[..], &private].concat())?;
        drop(session);
        Self::open(uri, pin)
    }

    /// A key pair that is in the token.
    ///
    /// # Errors
    /// The token is not there or refuses, has no such key, or would give it away.
    pub fn open(uri: &KeyUri, pin: Zeroizing<String>) -> Result<Self, TokenFault> {
        let session = session(uri, &pin)?;
        let key = private_key(&session, uri.object())?;
        let public = public_key(&session, key, uri.object())?;
        let mut open = Open { uri: uri.clone(), pin, session, key };
        let worker = Worker::start(move |digest| open.sign(digest))?;
        Ok(Self { uri: uri.clone(), public, worker })
    }

    /// Where it lies.
    pub fn uri(&self) -> &KeyUri {
        &self.uri
    }
}

impl CaKey for TokenKey {
    fn public(&self) -> PublicKey {
        self.public.clone()
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, KeyFault> {
        let digest = digest::digest(&digest::SHA256, message);
        let fixed = waiting(|| self.worker.ask(digest.as_ref(), PATIENCE)).map_err(|fault| {
            // What the token says is for the log: whoever asked for a certificate is not told.
            tracing::error!(key = %self.uri, %fault, "a CA's key signed nothing");
            KeyFault::NotSigned
        })?;
        pki::signature_to_der(&fixed).ok_or(KeyFault::NotSigned)
    }
}

/// Does something that may take as long as a token takes. On a thread of the asynchronous runtime, other work is given to
/// other threads meanwhile: a server goes on serving while its token thinks.
fn waiting<T>(work: impl FnOnce() -> T) -> T {
    match Handle::try_current().map(|runtime| runtime.runtime_flavor()) {
        Ok(RuntimeFlavor::MultiThread) => tokio::task::block_in_place(work),
        Ok(_) | Err(_) => work(),
    }
}

/// A session of somebody who may use private keys.
fn session(uri: &KeyUri, pin: &str) -> Result<Session, TokenFault> {
    let module = module::open(uri.module())?;
    let session = module.open_rw_session(module::token(&module, uri.token())?)?;
    match session.login(UserType::User, Some(&AuthPin::new(pin.into()))) {
        // One login counts for all sessions of the process.
        Ok(()) | Err(Error::Pkcs11(RvError::UserAlreadyLoggedIn, _)) => Ok(session),
        Err(error @ Error::Pkcs11(RvError::PinIncorrect | RvError::PinLocked | RvError::PinLenRange | RvError::PinInvalid, _)) => {
            Err(TokenFault::Pin { detail: error.to_string() })
        }
        Err(error) => Err(error.into()),
    }
}

/// The one private key with this label, of P-256, that stays in the token.
fn private_key(session: &Session, object: &str) -> Result<ObjectHandle, TokenFault> {
    let template =
        [Attribute::Class(ObjectClass::PRIVATE_KEY), Attribute::KeyType(KeyType::EC), Attribute::Label(object.as_bytes().to_vec())];
    let [key] = session.find_objects(&template)?[..] else { return Err(TokenFault::NoKey { object: object.into() }) };
    let kept = session.get_attributes(key, &[AttributeType::Sensitive, AttributeType::Extractable])?;
    if kept.contains(&Attribute::Sensitive(true)) && kept.contains(&Attribute::Extractable(false)) {
        Ok(key)
    } else {
        Err(TokenFault::Extractable { object: object.into() })
    }
}

/// Its public half: an object of the same identifier.
fn public_key(session: &Session, private: ObjectHandle, object: &str) -> Result<PublicKey, TokenFault> {
    let none = || TokenFault::NoKey { object: object.into() };
    let id = session.get_attributes(private, &[AttributeType::Id])?.pop().ok_or_else(none)?;
    let [public] = session.find_objects(&[Attribute::Class(ObjectClass::PUBLIC_KEY), id])?[..] else { return Err(none()) };
    let Some(Attribute::EcPoint(point)) = session.get_attributes(public, &[AttributeType::EcPoint])?.pop() else { return Err(none()) };
    // Some tokens leave the wrapping away.
    let point = point.strip_prefix(POINT_PREFIX).unwrap_or(&point);
    PublicKey::from_p256_point(point).map_err(|_| none())
}
