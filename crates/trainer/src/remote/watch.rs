//! Watches over a worker, which could otherwise be waited for without an end: where its machine sleeps, or the line
//! to it swallows everything, no connection breaks.

use std::io::{ErrorKind, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::sync::OnceLock;
use std::time::Duration;

use super::{Address, RemoteError};

/// How often a worker is asked whether it is there.
const EVERY: Duration = Duration::from_secs(2);
/// How long it may take to say so. Its threads for connections have nothing else to do.
const LONGEST: Duration = Duration::from_secs(4);
/// So many times in a row it may say nothing.
const MOST: u32 = 2;

static AT_SILENCE: OnceLock<fn(RemoteError)> = OnceLock::new();

/// Calls `end` where a worker that this process computes on has fallen silent. Whoever waits for it waits for ever,
/// so that `end` has to end the program. The first one that is set stays.
pub fn at_silence(end: fn(RemoteError)) {
    let _ = AT_SILENCE.set(end);
}

/// Watches the worker at `address` from here on, as long as the process lives.
pub(super) fn watch(address: Address) {
    // Without a thread nobody watches, and a run is as it would be.
    let _ = std::thread::Builder::new()
        .name("watch".to_owned())
        .spawn(move || {
            let mut silences = 0;
            while silences < MOST {
                std::thread::sleep(EVERY);
                silences = if is_silent(&address) { silences + 1 } else { 0 };
            }
            if let Some(end) = AT_SILENCE.get() {
                end(RemoteError::Silent { address });
            }
        });
}

/// Whether nothing comes back from there: not even that nobody listens, which whoever computes finds out at once.
fn is_silent(address: &Address) -> bool {
    let Ok(mut places) = (address.host(), address.port()).to_socket_addrs() else {
        return false;
    };
    let no_word = |kind| matches!(kind, ErrorKind::TimedOut | ErrorKind::WouldBlock);
    places.all(|place| match said(place) {
        Ok(()) => false,
        Err(error) => no_word(error.kind()),
    })
}

/// Waits for a byte of the answer to a question that has none.
fn said(place: std::net::SocketAddr) -> std::io::Result<()> {
    let mut stream = TcpStream::connect_timeout(&place, LONGEST)?;
    stream.set_read_timeout(Some(LONGEST))?;
    stream.set_write_timeout(Some(LONGEST))?;
    stream.write_all(b"GET /alive HTTP/1.1\r\nHost: worker\r\nConnection: close\r\n\r\n")?;
    stream.read(&mut [0]).map(|_| ())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that fails may panic")]

    use std::net::TcpListener;

    use super::*;

    #[test]
    fn a_listener_that_never_answers_is_silent_and_one_that_closes_or_is_absent_is_not() {
        let mute = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = |listener: &TcpListener| -> Address {
            format!("ws://{}", listener.local_addr().unwrap())
                .parse()
                .unwrap()
        };
        assert!(is_silent(&address(&mute)));
        let closing = TcpListener::bind("127.0.0.1:0").unwrap();
        let of_closing = address(&closing);
        let closer = std::thread::spawn(move || drop(closing.accept().unwrap()));
        assert!(!is_silent(&of_closing));
        closer.join().unwrap();
        assert!(!is_silent(&of_closing));
    }
}
