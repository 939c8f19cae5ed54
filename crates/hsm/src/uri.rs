//! Where a key lies: `pkcs11:token=CA;object=issuing?module-path=/usr/lib/softhsm/libsofthsm2.so` (RFC 7512).

use std::{
    fmt,
    path::{Path, PathBuf},
    str::FromStr,
};

/// The longest address of a key.
const URI_BYTES_MAX: usize = 1024;

/// Which key of which token, reached through which module.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct KeyUri {
    module: PathBuf,
    token: String,
    object: String,
    pin_source: Option<PathBuf>,
}

/// Why a text is no address of a key in a token.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum KeyUriFault {
    /// Not of the form.
    #[error(
        "{0:?} is no address of a key in a token; write it like pkcs11:token=CA;object=issuing?module-path=/usr/lib/softhsm/libsofthsm2.so"
    )]
    Form(String),
    /// Something that we would not honour.
    #[error("the address of the key has {0:?}, which is not understood here; it takes token, object, module-path and pin-source")]
    Attribute(String),
    /// A secret where everybody reads it.
    #[error(
        "the address of the key holds a PIN, which would then be in files and process lists; take it out, and give the PIN in a file (pin-source=/PATH)"
    )]
    Pin,
}

impl KeyUri {
    /// The key `object` of the token `token`, both by label.
    pub fn new(module: impl Into<PathBuf>, token: &str, object: &str) -> Self {
        Self { module: module.into(), token: token.into(), object: object.into(), pin_source: None }
    }

    /// Another key of the same token.
    #[must_use]
    pub fn with_object(&self, object: &str) -> Self {
        Self { object: object.into(), ..self.clone() }
    }

    /// The file with the token's PIN, if the address names it.
    pub fn pin_source(&self) -> Option<&Path> {
        self.pin_source.as_deref()
    }

    /// The PKCS #11 module.
    pub fn module(&self) -> &Path {
        &self.module
    }

    /// The token's label.
    pub fn token(&self) -> &str {
        &self.token
    }

    /// The key's label.
    pub fn object(&self) -> &str {
        &self.object
    }
}

impl FromStr for KeyUri {
    type Err = KeyUriFault;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let form = || KeyUriFault::Form(text.chars().take(URI_BYTES_MAX).collect());
        let rest = text.strip_prefix("pkcs11:").filter(|_| text.len() <= URI_BYTES_MAX).ok_or_else(form)?;
        let (path, query) = rest.split_once('?').ok_or_else(form)?;
        let [mut token, mut object, mut module, mut pin_source] = [const { None }; 4];
        for attribute in path.split(';').chain(query.split('&')) {
            let (name, value) = attribute.split_once('=').ok_or_else(form)?;
            let place = match name {
                "token" => &mut token,
                "object" => &mut object,
                "module-path" => &mut module,
                "pin-source" => &mut pin_source,
                "pin-value" => return Err(KeyUriFault::Pin),
                other => return Err(KeyUriFault::Attribute(other.into())),
            };
            let value = decoded(value).filter(|value| !value.is_empty()).ok_or_else(form)?;
            if place.replace(value).is_some() {
                return Err(form());
            }
        }
        match (module, token, object) {
            (Some(module), Some(token), Some(object)) if module.starts_with('/') => {
                let pin_source = pin_source.map(|source| file(&source).ok_or_else(form)).transpose()?;
                Ok(Self { pin_source, ..Self::new(module, &token, &object) })
            }
            _ => Err(form()),
        }
    }
}

/// A file on this machine, by its path or as a URI (RFC 7512 §2.4). A program (`|…`) is not run.
fn file(source: &str) -> Option<PathBuf> {
    let path = source.strip_prefix("file:").map_or(source, |path| path.strip_prefix("//").unwrap_or(path));
    path.starts_with('/').then(|| path.into())
}

/// Without percent-coding; `None` if that is broken, or there is a control character.
fn decoded(text: &str) -> Option<String> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|value| u8::try_from(value).ok());
    let (mut out, mut bytes) = (Vec::new(), text.bytes());
    while let Some(byte) = bytes.next() {
        out.push(match byte {
            b'%' => digit(bytes.next()?)? << 4 | digit(bytes.next()?)?,
            plain => plain,
        });
    }
    String::from_utf8(out).ok().filter(|text| !text.chars().any(char::is_control))
}

impl fmt::Display for KeyUri {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let module = self.module.to_string_lossy();
        write!(out, "pkcs11:token={};object={}?module-path={}", coded(&self.token), coded(&self.object), coded(&module))?;
        match &self.pin_source {
            Some(path) => write!(out, "&pin-source={}", coded(&path.to_string_lossy())),
            None => Ok(()),
        }
    }
}

fn coded(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte);
    text.bytes().map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back() {
        for uri in [KeyUri::new("/usr/lib/x.so", "CA", "issuing"), KeyUri::new("/a b/x?.so", "Büro; 1", "a&b=c%")] {
            assert_eq!(uri.to_string().parse(), Ok(uri));
        }
        let uri: KeyUri = "pkcs11:object=issuing;token=My%20CA?module-path=/usr/lib/x.so".parse().unwrap();
        assert_eq!((uri.token(), uri.object(), uri.module()), ("My CA", "issuing", Path::new("/usr/lib/x.so")));
    }

    #[test]
    fn the_pin_is_in_a_file_and_nowhere_else() {
        let with = |source: &str| format!("pkcs11:token=a;object=b?module-path=/x&pin-source={source}").parse::<KeyUri>();
        for source in ["/etc/pin", "file:/etc/pin", "file:///etc/pin", "%2fetc%2fpin"] {
            let uri = with(source).unwrap();
            assert_eq!(uri.pin_source(), Some(Path::new("/etc/pin")), "{source}");
            assert_eq!(uri.to_string().parse(), Ok(uri.clone()));
            assert_eq!(uri.with_object("c").pin_source(), uri.pin_source());
        }
        for bad in ["pin", "|/usr/bin/askpin", "file:pin", "http://x/pin", ""] {
            assert!(matches!(with(bad), Err(KeyUriFault::Form(_))), "{bad}");
        }
    }

    #[test]
    fn what_is_missing_or_unknown_is_told() {
        for bad in [
            "",
            "pkcs11:",
            "pkcs11:token=a;object=b",
            "pkcs11:token=a?module-path=/x",
            "pkcs11:token=a;object=b?module-path=x.so",
            "pkcs11:token=a;token=b;object=b?module-path=/x",
            "pkcs11:token=;object=b?module-path=/x",
            "pkcs11:token=%0a;object=b?module-path=/x",
            "pkcs11:token=%;object=b?module-path=/x",
            "file:token=a;object=b?module-path=/x",
        ] {
            assert!(matches!(bad.parse::<KeyUri>(), Err(KeyUriFault::Form(_))), "{bad}");
        }
        let with = |more: &str| format!("pkcs11:token=a;object=b{more}").parse::<KeyUri>();
        assert_eq!(with(";slot-id=1?module-path=/x"), Err(KeyUriFault::Attribute("slot-id".into())));
        assert_eq!(with("?module-path=/x&pin-value=1234"), Err(KeyUriFault::Pin));
    }
}
