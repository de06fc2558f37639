//! The side that trains: opens a worker's device, and finds out whether it is gone.

use std::cell::Cell;
use std::net::{TcpStream, ToSocketAddrs};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, Once, PoisonError, mpsc};
use std::time::Duration;

use burn::remote::{ConnectError, RemoteHost};
use burn::tensor::Device;

use super::about::About;
use super::{Address, RemoteError, Token};

/// How long a machine may take to take a connection. Burn alone would try for 16 seconds.
const LONGEST_CONNECT: Duration = Duration::from_secs(5);
/// How long a worker may take to open a session and to say what it is.
const LONGEST_GREETING: Duration = Duration::from_secs(10);
/// How long is waited for an answer of a worker that may be gone. One that is gone is known at once.
const LONGEST_ANSWER: Duration = Duration::from_secs(2);

/// A worker that this process computes on.
#[derive(Clone)]
struct Opened {
    address: Address,
    device: Device,
    about: About,
}

static OPENED: Mutex<Vec<Opened>> = Mutex::new(Vec::new());

/// Opens the device of the worker at `address`, and compares versions with it.
///
/// # Errors
/// [`RemoteError`] with what is wrong, within [`LONGEST_CONNECT`] and [`LONGEST_GREETING`].
pub fn connect(address: &Address, token: Option<&Token>) -> Result<Device, RemoteError> {
    is_there(address)?;
    let host = RemoteHost::websocket(&address.to_string());
    let host = match token {
        Some(token) => host.with_credential(token.as_str()),
        None => host,
    };
    let (device, about) = within(LONGEST_GREETING, move || {
        let device = Device::remote_options(&host).init()?;
        let about = model::backend::remote::about(&device);
        Ok((device, about))
    })
    .unwrap_or_else(|| {
        Err(ConnectError::Unreachable {
            reason: format!("no greeting within {} seconds", LONGEST_GREETING.as_secs()),
        })
    })
    .map_err(|error| refused(address, token, error))?;
    let no_worker = |reason: String| RemoteError::NoWorker {
        address: address.clone(),
        reason,
    };
    let about = about.map_err(|error| no_worker(error.to_string()))?;
    let theirs: About = serde_json::from_str(&about)
        .map_err(|error| no_worker(format!("its greeting cannot be read: {error}")))?;
    let ours = About::our_versions();
    if theirs.versions() != ours {
        return Err(RemoteError::Version {
            address: address.clone(),
            theirs: theirs.versions(),
            ours,
        });
    }
    opened().push(Opened {
        address: address.clone(),
        device: device.clone(),
        about: theirs,
    });
    super::watch::watch(address.clone());
    hold_panics_of_losses_back();
    Ok(device)
}

thread_local! {
    /// Whether this thread asks a worker that may be gone.
    static ASKS: Cell<bool> = const { Cell::new(false) };
}

/// Keeps panics quiet that follow from the loss of a worker: Burn's operations have no other way to fail, and
/// the program ends with one error that says what was lost.
fn hold_panics_of_losses_back() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if !ASKS.get() && lost().is_none() {
                before(panic);
            }
        }));
    });
}

/// What the worker of `device` said of itself when it was opened.
#[must_use]
pub fn about(device: &Device) -> Option<About> {
    // The newest: another worker may listen where one was.
    let opened = opened();
    let worker = opened.iter().rev().find(|worker| worker.device == *device);
    worker.map(|worker| worker.about.clone())
}

/// A worker of this process that is gone, as an error to report in place of what followed from it.
#[must_use]
pub fn lost() -> Option<RemoteError> {
    let opened = opened().clone();
    let gone = opened.into_iter().find(|worker| {
        let device = worker.device.clone();
        let asked = within(LONGEST_ANSWER, move || {
            ASKS.set(true);
            // Burn's own thread of a device that failed may have panicked, and then so does who asks it.
            catch_unwind(AssertUnwindSafe(|| {
                model::backend::remote::about(&device).is_ok()
            }))
            .unwrap_or(false)
        });
        // A worker that is only busy has not answered yet.
        asked == Some(false)
    });
    gone.map(|worker| RemoteError::Lost {
        address: worker.address,
    })
}

fn opened() -> std::sync::MutexGuard<'static, Vec<Opened>> {
    OPENED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether anybody listens there.
fn is_there(address: &Address) -> Result<(), RemoteError> {
    let absent = |reason: String| RemoteError::Absent {
        address: address.clone(),
        reason,
    };
    let places = (address.host(), address.port())
        .to_socket_addrs()
        .map_err(|error| absent(error.to_string()))?;
    let mut reason = "the name has no address".to_owned();
    for place in places {
        match TcpStream::connect_timeout(&place, LONGEST_CONNECT) {
            Ok(_) => return Ok(()),
            Err(error) => reason = error.to_string(),
        }
    }
    Err(absent(reason))
}

/// What Burn's refusal means.
fn refused(address: &Address, token: Option<&Token>, error: ConnectError) -> RemoteError {
    let address = address.clone();
    match error {
        ConnectError::Unauthorized => RemoteError::Token {
            address,
            given: token.is_some(),
        },
        ConnectError::IncompatibleProtocol {
            client_version,
            server_version,
        } => RemoteError::Version {
            address,
            theirs: format!("a program with version {server_version} of Burn's protocol"),
            ours: format!("one with version {client_version}"),
        },
        other => {
            // Burn names each layer that failed, and the innermost one says why.
            let reason = other.to_string();
            let reason = reason.rsplit("error: ").next().unwrap_or_default();
            RemoteError::NoWorker {
                address,
                reason: reason.to_owned(),
            }
        }
    }
}

/// What `work` gives, in a thread of its own; nothing where it takes longer than `most`. The thread is left
/// alone then, and ends with the process.
fn within<T: Send + 'static>(
    most: Duration,
    work: impl FnOnce() -> T + Send + 'static,
) -> Option<T> {
    let (done, result) = mpsc::channel();
    std::thread::spawn(move || {
        // Nobody waits any more where this fails.
        let _ = done.send(work());
    });
    result.recv_timeout(most).ok()
}
