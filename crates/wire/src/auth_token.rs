//! Tokens with which callers of the REST API authenticate.
//!
//! The token itself is known to its owner alone. The database has its hash, and a satellite reports the hash of the token
//! that is on its node, so that the controller knows whether to give it another one.

use crate::digest::sha256;
use crate::secret::Secret;

/// The file with a node's token, in the directory of DRBD's resource files: `{"token": "..."}`. LINSTOR's clients on the node
/// look for it there.
pub const FILE_NAME: &str = "auth.json";
/// Random bytes that a token is made of.
pub const RANDOM_BYTES: usize = 2 * CHARS;

const CHARS: usize = 32;
const ALPHABET: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

/// A token of random bytes that cannot be predicted: 32 letters and digits.
pub fn from_random(random: [u8; RANDOM_BYTES]) -> Secret {
    let pairs = random.chunks_exact(2);
    let index = |pair: &[u8]| usize::from(u16::from_le_bytes([pair[0], pair[1]])) % ALPHABET.len();
    Secret::new(
        pairs
            .map(|pair| char::from(ALPHABET[index(pair)]))
            .collect::<String>(),
    )
}

/// The hash of a token as it is stored: SHA-256, in hexadecimal digits. A token is random, so that guessing it from a fast
/// hash is as hopeless as guessing it.
pub fn hash(token: &str) -> String {
    sha256(token.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Tokens are of letters and digits, and the hash is the one that LINSTOR stores.
    #[test]
    fn tokens_and_hashes() {
        let token = from_random(std::array::from_fn(|n| n as u8));
        assert_eq!(token.reveal().len(), 32);
        assert!(token.reveal().bytes().all(|b| b.is_ascii_alphanumeric()));
        assert_ne!(token, from_random([7; RANDOM_BYTES]));
        let expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(hash("abc"), expected);
    }
}
