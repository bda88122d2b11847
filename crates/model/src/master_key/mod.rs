//! The master key, which seals the secrets in the database, and the passphrase that opens it.
//!
//! The key is random. The database has it sealed with a key that Argon2id derives from the passphrase, so that the
//! passphrase can be changed without sealing anything else again. Secrets are sealed with AES-256-GCM: one that was
//! changed, or is read for another purpose than it was sealed for, does not open.

pub mod linstor;

use std::fmt;

use aes_gcm::Aes256Gcm;
use aes_gcm::aead::{Aead, KeyInit, Payload};
use argon2::{Algorithm, Argon2, Params, Version};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use chacha20poly1305::XChaCha20Poly1305;
use linstor_wire::secret::Secret;
use serde::{Deserialize, Serialize};

/// Bytes of a key.
pub const KEY_BYTES: usize = 32;
/// Bytes of a salt.
pub const SALT_BYTES: usize = 16;
/// Bytes of a nonce. They are random: a key would have to seal billions of secrets before one comes twice.
pub const NONCE_BYTES: usize = 12;
/// Bytes of a nonce of XChaCha20-Poly1305.
const XCHACHA_NONCE_BYTES: usize = 24;

const MASTER_KEY: &str = "master key";
/// OWASP's first choice for Argon2id: 19 MiB, two passes.
const MEMORY_KIB: u32 = 19 * 1024;
const PASSES: u32 = 2;
const LANES: u32 = 1;
/// A damaged row must not take all memory or time.
const MEMORY_KIB_MAX: u32 = 1024 * 1024;
const PASSES_MAX: u32 = 100;

/// A key that seals secrets. Shows as `***`.
#[derive(Clone, PartialEq, Eq)]
pub struct Key([u8; KEY_BYTES]);

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// A secret that only its key opens: in base64 a nonce, then what was sealed, then its tag.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Sealed {
    /// With AES-256-GCM.
    #[serde(rename = "aes-256-gcm")]
    Aes256Gcm(String),
    /// With XChaCha20-Poly1305, as the first builds did.
    #[serde(rename = "sealed")]
    XChaCha20Poly1305(String),
}

impl Sealed {
    /// The text, which is of no use without the key.
    pub fn text(&self) -> &str {
        let (Sealed::Aes256Gcm(text) | Sealed::XChaCha20Poly1305(text)) = self;
        text
    }
}

impl fmt::Debug for Sealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("sealed")
    }
}

impl Key {
    /// A key of random bytes.
    pub const fn new(random: [u8; KEY_BYTES]) -> Self {
        Key(random)
    }

    /// Seals a secret for a purpose. No two secrets may have the same nonce.
    pub fn seal(&self, nonce: [u8; NONCE_BYTES], purpose: &str, secret: &Secret) -> Sealed {
        self.seal_bytes(nonce, purpose, secret.reveal().as_bytes())
    }

    /// Opens a secret; none when it was sealed with another key or for another purpose, or was changed.
    pub fn open(&self, purpose: &str, sealed: &Sealed) -> Option<Secret> {
        let bytes = self.open_bytes(purpose, sealed)?;
        String::from_utf8(bytes).ok().map(Secret::new)
    }

    fn seal_bytes(&self, nonce: [u8; NONCE_BYTES], purpose: &str, secret: &[u8]) -> Sealed {
        let payload = Payload {
            msg: secret,
            aad: purpose.as_bytes(),
        };
        let sealed = Aes256Gcm::new(&self.0.into())
            .encrypt(&nonce.into(), payload)
            .expect("a secret has less than 64 GiB");
        Sealed::Aes256Gcm(BASE64.encode([&nonce[..], &sealed].concat()))
    }

    fn open_bytes(&self, purpose: &str, sealed: &Sealed) -> Option<Vec<u8>> {
        let bytes = BASE64.decode(sealed.text()).ok()?;
        let aad = purpose.as_bytes();
        match sealed {
            Sealed::Aes256Gcm(_) => {
                let (nonce, msg) = bytes.split_first_chunk::<NONCE_BYTES>()?;
                let cipher = Aes256Gcm::new(&self.0.into());
                cipher.decrypt(&(*nonce).into(), Payload { msg, aad }).ok()
            }
            Sealed::XChaCha20Poly1305(_) => {
                let (nonce, msg) = bytes.split_first_chunk::<XCHACHA_NONCE_BYTES>()?;
                let cipher = XChaCha20Poly1305::new(&self.0.into());
                cipher.decrypt(&(*nonce).into(), Payload { msg, aad }).ok()
            }
        }
    }
}

/// The master key as the database has it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MasterKey {
    /// How the key that seals it is derived from the passphrase.
    pub derivation: Derivation,
    /// The master key, sealed with it.
    pub key: Sealed,
}

/// How a key is derived from a passphrase: Argon2id, version 1.3.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Derivation {
    /// The salt, in base64.
    pub salt: String,
    /// Memory, in KiB.
    pub memory_kib: u32,
    /// Passes over it.
    pub passes: u32,
    /// Lanes in it.
    pub lanes: u32,
}

impl Derivation {
    fn key(&self, passphrase: &Secret) -> Result<Key, String> {
        if self.memory_kib > MEMORY_KIB_MAX || self.passes > PASSES_MAX {
            return Err("its parameters are out of bounds".to_owned());
        }
        let salt = BASE64.decode(&self.salt);
        let salt = salt.map_err(|error| format!("its salt cannot be read: {error}"))?;
        let params = Params::new(self.memory_kib, self.passes, self.lanes, Some(KEY_BYTES));
        let params = params.map_err(|error| format!("its parameters are not valid: {error}"))?;
        let mut key = [0; KEY_BYTES];
        Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
            .hash_password_into(passphrase.reveal().as_bytes(), &salt, &mut key)
            .map_err(|error| format!("no key can be derived: {error}"))?;
        Ok(Key(key))
    }
}

/// Why a passphrase does not give the master key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotOpened {
    /// It is another one.
    WrongPassphrase,
    /// The row does not say how.
    Damaged(String),
}

impl MasterKey {
    /// Seals a master key with a passphrase. Takes some 20 ms and 19 MiB, as [`MasterKey::open`] does.
    pub fn seal(
        key: &Key,
        passphrase: &Secret,
        salt: [u8; SALT_BYTES],
        nonce: [u8; NONCE_BYTES],
    ) -> MasterKey {
        let derivation = Derivation {
            salt: BASE64.encode(salt),
            memory_kib: MEMORY_KIB,
            passes: PASSES,
            lanes: LANES,
        };
        let sealing = derivation.key(passphrase);
        let sealing = sealing.expect("the parameters are ours, a passphrase has less than 4 GiB");
        MasterKey {
            derivation,
            key: sealing.seal_bytes(nonce, MASTER_KEY, &key.0),
        }
    }

    /// The master key.
    ///
    /// # Errors
    ///
    /// When the passphrase is another one, or the row is damaged.
    pub fn open(&self, passphrase: &Secret) -> Result<Key, NotOpened> {
        let sealing = self
            .derivation
            .key(passphrase)
            .map_err(NotOpened::Damaged)?;
        let key = sealing.open_bytes(MASTER_KEY, &self.key);
        let key = key.and_then(|bytes| <[u8; KEY_BYTES]>::try_from(bytes).ok());
        key.map(Key).ok_or(NotOpened::WrongPassphrase)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A secret opens with its key and for its purpose alone, and only unchanged.
    #[test]
    fn only_the_key_opens_a_secret() {
        let (key, other) = (Key::new([1; KEY_BYTES]), Key::new([2; KEY_BYTES]));
        let secret = Secret::new("sesame");
        let sealed = key.seal([7; NONCE_BYTES], "remote a", &secret);
        assert_eq!(key.open("remote a", &sealed), Some(secret));
        assert_eq!(key.open("remote b", &sealed), None);
        assert_eq!(other.open("remote a", &sealed), None);
        let last = sealed.text().len() - 5;
        let other = if sealed.text().as_bytes()[last] == b'A' {
            "B"
        } else {
            "A"
        };
        let mut changed = sealed.text().to_owned();
        changed.replace_range(last..=last, other);
        for changed in [Sealed::Aes256Gcm(changed), Sealed::Aes256Gcm("AAAA".into())] {
            assert_eq!(key.open("remote a", &changed), None);
        }
        let json = serde_json::to_string(&sealed).unwrap();
        assert!(
            json.starts_with(r#"{"aes-256-gcm":""#) && !json.contains("sesame"),
            "{json}"
        );
        assert!(!format!("{key:?} {sealed:?}").contains("sesame"));
    }

    /// The passphrase opens the master key, another one does not, and the key is the same after the passphrase changes.
    #[test]
    fn the_passphrase_opens_the_master_key() {
        let key = Key::new([3; KEY_BYTES]);
        let (first, second) = (Secret::new("first pass"), Secret::new("second"));
        let row = MasterKey::seal(&key, &first, [4; SALT_BYTES], [5; NONCE_BYTES]);
        assert_eq!(row.open(&first), Ok(key.clone()));
        assert_eq!(row.open(&second), Err(NotOpened::WrongPassphrase));
        let changed = MasterKey::seal(&key, &second, [6; SALT_BYTES], [7; NONCE_BYTES]);
        assert_eq!(changed.open(&second), Ok(key));
        assert_eq!(changed.open(&first), Err(NotOpened::WrongPassphrase));
    }

    /// What the first builds sealed is still opened.
    #[test]
    fn the_former_cipher_is_read() {
        let nonce = [7; XCHACHA_NONCE_BYTES];
        let payload = Payload {
            msg: b"sesame",
            aad: b"remote a",
        };
        let cipher = XChaCha20Poly1305::new(&[1; KEY_BYTES].into());
        let sealed = cipher.encrypt(&nonce.into(), payload).unwrap();
        let text = BASE64.encode([&nonce[..], &sealed].concat());
        let row = format!(r#"{{"sealed":"{text}"}}"#);
        let sealed: Sealed = serde_json::from_str(&row).unwrap();
        let key = Key::new([1; KEY_BYTES]);
        assert_eq!(key.open("remote a", &sealed), Some(Secret::new("sesame")));
        assert_eq!(serde_json::to_string(&sealed).unwrap(), row);
    }

    /// A damaged row does not make the controller derive for hours.
    #[test]
    fn parameters_are_bounded() {
        let key = Key::new([3; KEY_BYTES]);
        let secret = Secret::new("x");
        let row = MasterKey::seal(&key, &secret, [4; SALT_BYTES], [5; NONCE_BYTES]);
        for (memory_kib, passes) in [(u32::MAX, 1), (19 * 1024, u32::MAX), (0, 1), (19 * 1024, 0)] {
            let mut row = row.clone();
            (row.derivation.memory_kib, row.derivation.passes) = (memory_kib, passes);
            assert!(matches!(row.open(&secret), Err(NotOpened::Damaged(_))));
        }
    }
}
