//! The master passphrase.

use crate::lenient::object;
use crate::secret_text::SecretText;

object! {
    /// A passphrase that is set, or changed when the old one is given.
    pub struct PassphraseCreate {
        /// The new one.
        pub new_passphrase: Option<SecretText>,
        /// The one in force.
        pub old_passphrase: Option<SecretText>,
    }

    /// Whether secrets can be sealed and opened.
    pub struct PassphraseStatus {
        /// `unset`, `locked` or `unlocked`.
        pub status: String,
    }
}
