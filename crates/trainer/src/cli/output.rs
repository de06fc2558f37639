//! Standard output of a command.
//!
//! The standard macros panic where it cannot be written. In the commands these stand in their place.

use std::fmt;
use std::io::{self, ErrorKind, Write};

/// Writes a line to standard output, as [`write()`] does.
macro_rules! println {
    ($($part:tt)*) => {
        $crate::cli::output::write(format_args!("{}\n", format_args!($($part)*)))
    };
}

/// Writes to standard output, as [`write()`] does.
macro_rules! print {
    ($($part:tt)*) => { $crate::cli::output::write(format_args!($($part)*)) };
}

/// Writes text to standard output, as [`write_bytes`] does bytes.
pub fn write(text: fmt::Arguments<'_>) {
    ended(|output| output.write_fmt(text));
}

/// Writes to standard output. A reader that has seen enough (`| head`) ends the command quietly, as it
/// ends others; any other failure ends it with a message.
pub fn write_bytes(bytes: &[u8]) {
    ended(|output| output.write_all(bytes));
}

/// Lets `write` write to standard output, and ends the program where it cannot.
fn ended(write: impl FnOnce(&mut io::StdoutLock<'_>) -> io::Result<()>) {
    let mut output = io::stdout().lock();
    let Err(error) = write(&mut output).and_then(|()| output.flush()) else {
        return;
    };
    if error.kind() == ErrorKind::BrokenPipe {
        std::process::exit(0);
    }
    // A closed standard error takes no message, and the exit code still says it.
    let _ = writeln!(
        io::stderr(),
        "error: standard output cannot be written: {error}"
    );
    std::process::exit(1);
}
