//! The terminal under Burn's dashboard.
//!
//! The dashboard puts the terminal into raw mode, where Ctrl-C is a key and no signal, and reads
//! all keys itself. Here the terminal is told to go on making a signal of that one key, so that an
//! interrupt works the same with the dashboard and without it.

use std::fs::File;
use std::io::{self, IsTerminal, Write, stderr, stdin, stdout};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::termios::{self, LocalModes, OptionalActions};

/// How long the dashboard's thread may take to enter raw mode.
const RAW_MODE_WITHIN: Duration = Duration::from_secs(2);

/// How often is looked whether it has. A Ctrl-C in between would be a key that nobody reads.
const LOOK_EVERY: Duration = Duration::from_micros(20);

/// Waits until the dashboard has entered raw mode, then makes Ctrl-C a signal again. Without a
/// terminal on standard input there is nothing to do.
pub fn keep_interrupt_key() {
    if !stdin().is_terminal() {
        return;
    }
    let deadline = Instant::now() + RAW_MODE_WITHIN;
    while Instant::now() < deadline {
        let Ok(mut modes) = termios::tcgetattr(stdin()) else {
            return;
        };
        if !modes.local_modes.contains(LocalModes::ICANON) {
            modes.local_modes.insert(LocalModes::ISIG);
            // Where this fails Ctrl-C stays a key, and the dashboard's own `q` still stops a run.
            let _ = termios::tcsetattr(stdin(), OptionalActions::Now, &modes);
            return;
        }
        std::thread::sleep(LOOK_EVERY);
    }
}

/// Gives the terminal back at once, for an exit that does not wait for the dashboard.
pub fn restore() {
    if !stdin().is_terminal() || !stdout().is_terminal() {
        return;
    }
    if let Ok(mut modes) = termios::tcgetattr(stdin()) {
        modes
            .local_modes
            .insert(LocalModes::ICANON | LocalModes::ECHO | LocalModes::ISIG | LocalModes::IEXTEN);
        modes.output_modes.insert(termios::OutputModes::OPOST);
        modes.input_modes.insert(termios::InputModes::ICRNL);
        let _ = termios::tcsetattr(stdin(), OptionalActions::Now, &modes);
    }
    // Mouse reporting off, the main screen back, the cursor shown.
    let _ = stdout().write_all(b"\x1b[?1000l\x1b[?1002l\x1b[?1003l\x1b[?1006l\x1b[?1049l\x1b[?25h");
    let _ = stdout().flush();
}

/// Standard error, which goes to a file until this is dropped.
///
/// The dashboard's libraries report what they cannot do to the terminal there. When the terminal has
/// been closed that fails too, and would end the program before it has saved.
#[derive(Debug)]
pub struct ErrorsAside {
    terminal: OwnedFd,
}

impl ErrorsAside {
    /// Lets standard error go to the end of the file `path`.
    ///
    /// # Errors
    /// What the system says.
    pub fn into(path: &Path) -> io::Result<Self> {
        let terminal = stderr().as_fd().try_clone_to_owned()?;
        let file = File::options().append(true).create(true).open(path)?;
        rustix::stdio::dup2_stderr(&file)?;
        Ok(Self { terminal })
    }
}

impl Drop for ErrorsAside {
    fn drop(&mut self) {
        // Where this fails, errors go on going to the file.
        let _ = rustix::stdio::dup2_stderr(&self.terminal);
    }
}
