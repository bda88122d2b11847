//! `linstor encryption`: the master passphrase.

use clap::Subcommand;
use linstor_api::encryption::{PassphraseCreate, PassphraseStatus};
use linstor_api::secret_text::SecretText;

use crate::action::{Action, read};
use crate::define::Verbs;
use crate::failure::Failure;
use crate::passphrase;
use crate::request::{Method, Request};

const PATH: [&str; 2] = ["encryption", "passphrase"];

/// Subcommands of `encryption`.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Create the master passphrase
    #[command(visible_alias = "cp")]
    CreatePassphrase {
        /// The passphrase; without this option it is read from the terminal or standard input
        #[arg(short = 'p', long)]
        passphrase: Option<String>,
    },
    /// Enter the master passphrase, after the controller was started
    #[command(visible_alias = "ep")]
    EnterPassphrase {
        /// The passphrase; without this option it is read from the terminal or standard input
        #[arg(short = 'p', long)]
        passphrase: Option<String>,
    },
    /// Change the master passphrase
    #[command(visible_alias = "mp")]
    ModifyPassphrase {
        /// The passphrase in force; without this option it is read from the terminal or standard input
        #[arg(long)]
        old_passphrase: Option<String>,
        /// The new one; without this option it is read from the terminal or standard input
        #[arg(long)]
        new_passphrase: Option<String>,
    },
    /// Show whether a master passphrase is set, and whether it was entered
    #[command(visible_alias = "s")]
    Status,
}

impl Verbs for Command {
    fn action(self) -> Result<Action, Failure> {
        match self {
            Command::CreatePassphrase { passphrase } => {
                let body = PassphraseCreate {
                    new_passphrase: Some(passphrase::new(passphrase, "Passphrase")?),
                    old_passphrase: None,
                };
                Action::modify(Request::post(&PATH, &body))
            }
            Command::EnterPassphrase { passphrase } => {
                let given: SecretText = passphrase::known(passphrase, "Passphrase")?;
                Action::modify(Request::new(Method::Patch, &PATH).body(&given))
            }
            Command::ModifyPassphrase {
                old_passphrase,
                new_passphrase,
            } => {
                let body = PassphraseCreate {
                    old_passphrase: Some(passphrase::known(old_passphrase, "Current passphrase")?),
                    new_passphrase: Some(passphrase::new(new_passphrase, "New passphrase")?),
                };
                Action::modify(Request::put(&PATH, &body))
            }
            Command::Status => Ok(Action::Object {
                request: Request::get(&PATH),
                show: Box::new(|text, screen| {
                    let status: PassphraseStatus = read(text)?;
                    screen.line(&format!("Master passphrase: {}", status.status))
                }),
            }),
        }
    }
}
