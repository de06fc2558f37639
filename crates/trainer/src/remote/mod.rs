//! A device of another machine: `trainer worker` serves it, `--backend remote` computes on it.
//!
//! | file | what it holds |
//! | --- | --- |
//! | here | a worker's address and token, and what can go wrong between the two sides |
//! | `about` | what a worker says of itself before the first tensor |
//! | `client` | the side that trains |
//! | `worker` | the side that computes |
//! | `watch` | finds out whether a worker has fallen silent |
//! | `local` | workers of tests |

#[cfg(feature = "remote")]
mod about;
#[cfg(feature = "remote")]
mod client;
#[cfg(all(test, feature = "remote"))]
pub(crate) mod local;
#[cfg(feature = "remote")]
mod watch;
#[cfg(feature = "remote")]
mod worker;

use std::error::Error;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::{Path, PathBuf};
use std::str::FromStr;

#[cfg(feature = "remote")]
pub use about::About;
#[cfg(feature = "remote")]
pub use client::{about, connect, lost};
#[cfg(feature = "remote")]
pub use watch::at_silence;
#[cfg(feature = "remote")]
pub use worker::{Worker, WorkerError};

/// The longest token in bytes: a file that is no token is not sent anywhere.
const LONGEST_TOKEN: usize = 4096;

/// Where a worker listens, as `--device` names it: `ws://HOST:PORT`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    host: String,
    port: u16,
}

impl Address {
    /// The name or number of the machine, without the brackets of IPv6.
    #[must_use]
    pub fn host(&self) -> &str {
        self.host.trim_matches(['[', ']'])
    }

    /// The port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }
}

/// The text is no address of a worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no address of the form ws://HOST:PORT")]
pub struct NoAddress;

impl FromStr for Address {
    type Err = NoAddress;

    fn from_str(text: &str) -> Result<Self, NoAddress> {
        let place = text.strip_prefix("ws://").ok_or(NoAddress)?;
        let place = place.strip_suffix('/').unwrap_or(place);
        let (host, port) = place.rsplit_once(':').ok_or(NoAddress)?;
        let port = port.parse().map_err(|_| NoAddress)?;
        let is_bracketed = host.starts_with('[') && host.ends_with(']');
        let is_wrong = host.is_empty()
            || host.contains(['/', '@', '?', '#', ' '])
            || (host.contains(':') && !is_bracketed);
        if is_wrong {
            return Err(NoAddress);
        }
        Ok(Self {
            host: host.to_owned(),
            port,
        })
    }
}

/// As [`Address::from_str`] reads it.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ws://{}:{}", self.host, self.port)
    }
}

/// What a worker asks of those who want to compute on it. It is shown nowhere.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token")
    }
}

impl Token {
    /// The token of a file: its text, without white space around it.
    ///
    /// # Errors
    /// [`RemoteError`] where the file cannot be read or holds no token.
    pub fn read(path: &Path) -> Result<Self, RemoteError> {
        let text = std::fs::read_to_string(path).map_err(|error| RemoteError::TokenFile {
            path: path.to_owned(),
            reason: error.to_string(),
        })?;
        let token = text.trim();
        if token.is_empty() || token.len() > LONGEST_TOKEN {
            return Err(RemoteError::TokenFile {
                path: path.to_owned(),
                reason: format!("a token is a line of 1 to {LONGEST_TOKEN} bytes"),
            });
        }
        Ok(Self(token.to_owned()))
    }

    /// The token itself.
    #[cfg(feature = "remote")]
    fn as_str(&self) -> &str {
        &self.0
    }
}

/// Something went wrong between the two sides.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RemoteError {
    /// The file of the token cannot be used.
    #[error("the token in {} cannot be used: {reason}; write one with `openssl rand -hex 32`, the same on \
             both machines", path.display())]
    TokenFile {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// Nobody listens there.
    #[error(
        "no worker answers at {address} ({reason}); start one there with `trainer worker`, or look at the \
         address and at the tunnel to it"
    )]
    Absent {
        /// Where.
        address: Address,
        /// What the system says.
        reason: String,
    },
    /// Somebody listens there who is no worker, or one that ends at once.
    #[error(
        "what answers at {address} is no worker of this program ({reason}); look at the address, and at what \
         the worker says"
    )]
    NoWorker {
        /// Where.
        address: Address,
        /// What was wrong with the answer.
        reason: String,
    },
    /// Another token, or none.
    #[error(
        "the worker at {address} refuses the token; name the file with its token with `--token-file`{}",
        if *given { ", which names another one" } else { "" }
    )]
    Token {
        /// Where.
        address: Address,
        /// Whether a token was given at all.
        given: bool,
    },
    /// The two sides are different programs.
    #[error(
        "the worker at {address} is {theirs}, and this is {ours}; build both from the same sources"
    )]
    Version {
        /// Where.
        address: Address,
        /// The worker's versions.
        theirs: String,
        /// This program's versions.
        ours: String,
    },
    /// Nothing comes back any more, and no connection broke.
    #[error(
        "the worker at {address} has fallen silent: its machine sleeps, it was stopped, or the line to it is \
         broken; go on from the last checkpoint with `trainer train --resume` when it answers again"
    )]
    Silent {
        /// Where it was.
        address: Address,
    },
    /// The connection is gone in the middle of the work.
    #[error(
        "the worker at {address} is gone: it ended, or the connection to it broke; look at what it says, and \
         start it again"
    )]
    Lost {
        /// Where it was.
        address: Address,
    },
}

/// A worker that this process computes on and that is gone: none in a program without workers.
#[cfg(not(feature = "remote"))]
#[must_use]
pub fn lost() -> Option<RemoteError> {
    None
}

/// Does `work`, and says of a failure that followed from the loss of a worker that this is what it was.
/// Burn's operations have no way to return an error, so that it may be a panic.
///
/// # Errors
/// That of `work`, or [`RemoteError::Lost`].
pub fn explained<T>(work: impl FnOnce() -> Result<T, Box<dyn Error>>) -> Result<T, Box<dyn Error>> {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(match lost() {
            // A run says itself what it lost, and what was saved.
            Some(lost) if !error.to_string().contains(&lost.to_string()) => lost.into(),
            _ => error,
        }),
        Err(payload) => match lost() {
            Some(lost) => Err(lost.into()),
            None => resume_unwind(payload),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_as_they_are_written_and_others_are_refused() {
        for text in ["ws://gpu:3000", "ws://10.0.0.1:1", "ws://[::1]:65535"] {
            let address: Address = text.parse().unwrap();
            assert_eq!(address.to_string(), text);
        }
        let address: Address = "ws://[::1]:3000/".parse().unwrap();
        assert_eq!((address.host(), address.port()), ("::1", 3000));
        for text in [
            "gpu:3000",
            "ws://gpu",
            "ws://:3000",
            "ws://gpu:70000",
            "ws://gpu:3000/session",
            "ws://user@gpu:3000",
            "ws://::1:3000",
            "wss://gpu:3000",
        ] {
            assert_eq!(text.parse::<Address>(), Err(NoAddress), "{text}");
        }
    }

    #[test]
    fn a_token_is_the_text_of_its_file_and_never_shown() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        std::fs::write(&path, " secret\n").unwrap();
        let token = Token::read(&path).unwrap();
        assert_eq!(token, Token("secret".to_owned()));
        assert!(!format!("{token:?}").contains("secret"));
        for text in [String::new(), " \n".to_owned(), "a".repeat(5000)] {
            std::fs::write(&path, text).unwrap();
            let error = Token::read(&path).unwrap_err().to_string();
            assert!(error.contains("1 to 4096 bytes"), "{error}");
        }
        assert!(Token::read(&folder.path().join("none")).is_err());
    }
}
