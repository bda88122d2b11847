//! How the Java LINSTOR seals secrets: read to restore its encrypted backups, written into ours for it to read.
//!
//! A secret is padded to a multiple of 32 bytes, which conceals its length, and encrypted with AES-128 in CFB mode under the
//! master key; nothing authenticates it. The master key is encrypted in the same way with a key that PBKDF2 (HMAC-SHA1,
//! 5,000 iterations) derives from the passphrase, and stored with the SHA-512 of its padded form, by which a wrong passphrase
//! is recognised.

use aes_gcm::aes::Aes128;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use cfb_mode::cipher::KeyIvInit as _;
use linstor_wire::secret::Secret;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha512};

use super::NotOpened;

/// Bytes of a key, an initialisation vector and a salt.
pub const BYTES: usize = 16;
/// A padded secret is a multiple of this many bytes.
const BLOCK: usize = 32;
/// Bytes of the length before the secret.
const LENGTH: usize = 2;
const ITERATIONS: u32 = 5000;

/// A master key of LINSTOR as its database and its backups have it, each part in base64.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MasterKey {
    /// The padded key, encrypted with the passphrase.
    #[serde(rename = "masterPassword")]
    pub encrypted: String,
    /// SHA-512 of the padded key.
    #[serde(rename = "masterCryptHash")]
    pub hash: String,
    /// What the key is derived from beside the passphrase.
    #[serde(rename = "masterCryptSalt")]
    pub salt: String,
}

impl std::fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("sealed")
    }
}

/// Random bytes that encrypting needs.
#[derive(Clone)]
pub struct Random {
    /// Initialisation vector; no two secrets under one key have the same.
    pub iv: [u8; BYTES],
    /// Fills the last block; its first byte is not used where the secret is long.
    pub padding: [u8; BLOCK],
}

impl Random {
    /// Of a source of random bytes.
    pub fn of(fill: &mut dyn FnMut(&mut [u8])) -> Random {
        let mut random = Random {
            iv: [0; BYTES],
            padding: [0; BLOCK],
        };
        fill(&mut random.iv);
        fill(&mut random.padding);
        random
    }
}

/// A key of LINSTOR for the secrets that leave the cluster, made anew whenever the passphrase is set or entered: what is
/// sealed with it is opened with the passphrase of that time. It is in memory alone, since a passphrase is easier to guess from
/// what LINSTOR derives of it than from what the database has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exported {
    /// The key.
    pub key: Key,
    /// The key, sealed with the passphrase.
    pub sealed: MasterKey,
}

impl Exported {
    /// Takes some milliseconds.
    pub fn new(passphrase: &Secret, fill: &mut dyn FnMut(&mut [u8])) -> Exported {
        let (mut key, mut salt) = ([0; BYTES], [0; BYTES]);
        fill(&mut key);
        fill(&mut salt);
        let key = Key::new(key);
        let sealed = MasterKey::seal(&key, passphrase, salt, &Random::of(fill));
        Exported { key, sealed }
    }
}

/// A key of LINSTOR. Shows as `***`.
#[derive(Clone, PartialEq, Eq)]
pub struct Key([u8; BYTES]);

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("***")
    }
}

impl Key {
    /// A key of random bytes.
    pub const fn new(random: [u8; BYTES]) -> Self {
        Key(random)
    }

    fn derive(passphrase: &Secret, salt: &[u8]) -> Self {
        // LINSTOR makes a character of each byte, sign-extended, and Java's PBKDF2 writes characters as UTF-8.
        let bytes = passphrase.reveal().bytes();
        let characters = bytes.filter_map(|byte| match byte {
            0..=0x7f => Some(char::from(byte)),
            0x80.. => char::from_u32(0xff00 | u32::from(byte)),
        });
        let characters: String = characters.collect();
        let mut key = [0; BYTES];
        pbkdf2::pbkdf2_hmac::<sha1::Sha1>(characters.as_bytes(), salt, ITERATIONS, &mut key);
        Key(key)
    }

    /// Encrypts a secret, in base64. None when it is longer than 65,535 bytes.
    pub fn encrypt(&self, random: &Random, secret: &Secret) -> Option<String> {
        let padded = pad(random, secret.reveal().as_bytes())?;
        Some(BASE64.encode(self.encrypt_bytes(random, padded)))
    }

    /// Decrypts a secret, in base64. None when that is not possible; another key mostly has that result, not always.
    pub fn decrypt(&self, encrypted: &str) -> Option<Secret> {
        let padded = self.decrypt_bytes(&BASE64.decode(encrypted).ok()?)?;
        let secret = std::str::from_utf8(unpad(&padded)?).ok()?;
        Some(Secret::new(secret))
    }

    fn encrypt_bytes(&self, random: &Random, mut bytes: Vec<u8>) -> Vec<u8> {
        let cipher = cfb_mode::Encryptor::<Aes128>::new(&self.0.into(), &random.iv.into());
        cipher.encrypt(&mut bytes);
        [&random.iv[..], &bytes].concat()
    }

    fn decrypt_bytes(&self, encrypted: &[u8]) -> Option<Vec<u8>> {
        let (iv, bytes) = encrypted.split_first_chunk::<BYTES>()?;
        let mut bytes = bytes.to_vec();
        cfb_mode::Decryptor::<Aes128>::new(&self.0.into(), &(*iv).into()).decrypt(&mut bytes);
        Some(bytes)
    }
}

impl MasterKey {
    /// Encrypts a master key with a passphrase.
    pub fn seal(key: &Key, passphrase: &Secret, salt: [u8; BYTES], random: &Random) -> MasterKey {
        let padded = pad(random, &key.0).expect("a key is short");
        MasterKey {
            hash: BASE64.encode(Sha512::digest(&padded)),
            encrypted: BASE64.encode(Key::derive(passphrase, &salt).encrypt_bytes(random, padded)),
            salt: BASE64.encode(salt),
        }
    }

    /// The master key. Takes some milliseconds.
    ///
    /// # Errors
    ///
    /// When the passphrase is another one, or a part cannot be read.
    pub fn open(&self, passphrase: &Secret) -> Result<Key, NotOpened> {
        let part = |what: &str, text: &str| {
            let bytes = BASE64.decode(text);
            bytes.map_err(|error| NotOpened::Damaged(format!("its {what} cannot be read: {error}")))
        };
        let (salt, hash) = (part("salt", &self.salt)?, part("hash", &self.hash)?);
        let encrypted = part("key", &self.encrypted)?;
        let padded = Key::derive(passphrase, &salt).decrypt_bytes(&encrypted);
        let padded = padded.ok_or_else(|| NotOpened::Damaged("its key is too short".to_owned()))?;
        if Sha512::digest(&padded)[..] != hash[..] {
            return Err(NotOpened::WrongPassphrase);
        }
        let key = unpad(&padded).and_then(|key| key.try_into().ok());
        key.map(Key)
            .ok_or_else(|| NotOpened::Damaged(format!("its key has not {BYTES} bytes")))
    }
}

fn pad(random: &Random, secret: &[u8]) -> Option<Vec<u8>> {
    let length = u16::try_from(secret.len()).ok()?;
    let mut padded = [&length.to_be_bytes()[..], secret].concat();
    let rest = padded.len().next_multiple_of(BLOCK) - padded.len();
    padded.extend(&random.padding[BLOCK - rest..]);
    Some(padded)
}

fn unpad(padded: &[u8]) -> Option<&[u8]> {
    let (length, rest) = padded.split_first_chunk::<LENGTH>()?;
    rest.get(..usize::from(u16::from_be_bytes(*length)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HASH: &str =
        "8g24aVDR01TrOaQhxpOolPt5FgmaLAdaIscMRavAj8qc3m/5qTsxYRuxngsyt55wh8brxZnMYREMQMNs7RDqYA==";
    /// Passphrases with the master key 0x40, 0x41, ... encrypted with them by openssl, from a key that Python's hashlib derived.
    const ENCRYPTED: [(&str, &str); 2] = [
        (
            "correct horse",
            "CQkJCQkJCQkJCQkJCQkJCQc3GlNlPoeQzAM6ho6BElDQMy3SHUDWnUO740KDIVdT",
        ),
        (
            "paßwort",
            "CQkJCQkJCQkJCQkJCQkJCeuQDvoaTY+rmDXUf+vLrutoo1YQlnqvasFMjQykvqWV",
        ),
    ];

    fn master() -> Key {
        Key::new(std::array::from_fn(|index| 0x40 + index as u8))
    }

    fn row(encrypted: &str) -> MasterKey {
        MasterKey {
            encrypted: encrypted.to_owned(),
            hash: HASH.to_owned(),
            salt: "AAECAwQFBgcICQoLDA0ODw==".to_owned(),
        }
    }

    /// Another program's results are read, and written to the byte.
    #[test]
    fn master_keys_are_read_and_written_alike() {
        let salt = std::array::from_fn(|index| index as u8);
        let random = Random {
            iv: [9; BYTES],
            padding: [0xee; BLOCK],
        };
        for (passphrase, encrypted) in ENCRYPTED {
            let passphrase = Secret::new(passphrase);
            assert_eq!(row(encrypted).open(&passphrase), Ok(master()));
            let sealed = MasterKey::seal(&master(), &passphrase, salt, &random);
            assert_eq!(sealed, row(encrypted));
            let wrong = row(encrypted).open(&Secret::new("another"));
            assert_eq!(wrong, Err(NotOpened::WrongPassphrase));
        }
    }

    /// Keys of volumes likewise; lengths around a block come back as they were.
    #[test]
    fn secrets_are_read_and_written_alike() {
        let text = "BQUFBQUFBQUFBQUFBQUFBZ2/3Y3vyhkT4KXllGJCUJU2S+AFpFp8lNFIIcSzHf5FEC0edJTzFY15SrQMfUd9mlFERR8ukCKR/+zTskWHWVA=";
        let secret = Secret::new("a volume key of forty-four characters, base64");
        let random = Random {
            iv: [5; BYTES],
            padding: [0x11; BLOCK],
        };
        assert_eq!(master().decrypt(text), Some(secret.clone()));
        assert_eq!(master().encrypt(&random, &secret).as_deref(), Some(text));
        for length in [0, 1, 29, 30, 31, 62, 65_535] {
            let secret = Secret::new("k".repeat(length));
            let encrypted = master().encrypt(&random, &secret).unwrap();
            assert_eq!(master().decrypt(&encrypted), Some(secret), "{length}");
        }
        let long = Secret::new("k".repeat(65_536));
        assert_eq!(master().encrypt(&random, &long), None);
    }

    /// Damaged texts are said to be, and open nothing.
    #[test]
    fn damage_is_found() {
        let secret = Secret::new("correct horse");
        for (encrypted, hash, salt) in [
            ("AAAA", HASH, "AAAA"),
            ("?", HASH, "AAAA"),
            (ENCRYPTED[0].1, "?", "AAAA"),
            (ENCRYPTED[0].1, HASH, "?"),
        ] {
            let row = MasterKey {
                encrypted: encrypted.to_owned(),
                hash: hash.to_owned(),
                salt: salt.to_owned(),
            };
            assert!(
                matches!(row.open(&secret), Err(NotOpened::Damaged(_))),
                "{row:?}"
            );
        }
        for bad in ["", "AAAA", "?", "AAECAwQFBgcICQoLDA0ODw=="] {
            assert_eq!(master().decrypt(bad), None, "{bad}");
        }
        assert_eq!(format!("{:?}", master()), "***");
    }
}
