//! Ctrl-C while a command waits: the user reads what goes on without the command, which exits with 130.

use std::io::Write;
use std::sync::{Mutex, Once, PoisonError};

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

/// What is true of every request that changes something.
pub const GOES_ON: &str =
    "the controller continues what was requested; 'linstor job list' shows what is in progress";

/// What goes on; none while no command waits.
static WAITING: Mutex<Option<String>> = Mutex::new(None);
static LISTENS: Once = Once::new();

/// As long as it exists, an interrupt prints the text that it was made with.
pub struct Waiting(Option<String>);

/// Prints the text if the command is interrupted from now on.
pub fn waiting(goes_on: String) -> Waiting {
    LISTENS.call_once(|| {
        // Without the handler an interrupt ends the program as well, but silently.
        let Ok(mut signals) = Signals::new([SIGINT, SIGTERM]) else {
            return;
        };
        std::thread::spawn(move || {
            if let Some(signal) = signals.forever().next() {
                let waiting = WAITING.lock().unwrap_or_else(PoisonError::into_inner);
                if let Some(goes_on) = &*waiting {
                    let _ = writeln!(std::io::stderr(), "\nInterrupted; {goes_on}");
                }
                std::process::exit(128 + signal);
            }
        });
    });
    let mut waiting = WAITING.lock().unwrap_or_else(PoisonError::into_inner);
    Waiting(waiting.replace(goes_on))
}

impl Drop for Waiting {
    fn drop(&mut self) {
        *WAITING.lock().unwrap_or_else(PoisonError::into_inner) = self.0.take();
    }
}
