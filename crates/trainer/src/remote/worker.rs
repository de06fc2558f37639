//! The side that computes: serves a device to those who know the token.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use burn::server::{
    AuthorizationRequest, PeerAuthorizer, ServeError, TokenAuthorizer, WebSocketTransport,
};
use burn::tensor::Device;
use socket2::SockRef;
use tokio::sync::watch;

use super::Token;
use super::about::About;

/// How long sessions may take to end when the program is told to end.
const LAST_TASKS: Duration = Duration::from_secs(2);

/// A worker that listens and does not serve yet.
#[derive(Debug)]
pub struct Worker {
    listener: TcpListener,
    address: SocketAddr,
    token: Option<Token>,
}

/// A worker cannot serve.
#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    /// Everybody who reaches the address could use the machine.
    #[error(
        "{0} can be reached by other machines, so a token is needed: write one with `openssl rand -hex 32`, \
         name its file with `--token-file`, or listen on 127.0.0.1"
    )]
    Open(SocketAddr),
    /// Nothing can listen there.
    #[error("cannot listen on {address}: {source}; choose another address with --listen")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
    /// The device is itself one of another machine.
    #[error("a worker serves a device of its own machine; leave `--backend remote` out")]
    Remote,
    /// The token cannot be used.
    #[error("the token is empty")]
    Token,
    /// The system has no room for it.
    #[error("the worker cannot be started: {0}")]
    Runtime(io::Error),
    /// Serving ended by itself.
    #[error("the worker failed: {0}")]
    Serve(ServeError),
}

impl Worker {
    /// Listens on `address`; with port 0 on a free one.
    ///
    /// # Errors
    /// [`WorkerError`] where nothing can listen there, or other machines could without a token.
    pub fn bind(address: SocketAddr, token: Option<Token>) -> Result<Self, WorkerError> {
        if token.is_none() && !address.ip().is_loopback() {
            return Err(WorkerError::Open(address));
        }
        let listen = |source| WorkerError::Listen { address, source };
        let listener = TcpListener::bind(address).map_err(listen)?;
        // Connections have it from their listener. Without it the system holds a short answer back until the
        // one before has been acknowledged; it only takes longer where a system does not pass it on.
        let _ = SockRef::from(&listener).set_tcp_nodelay(true);
        let address = listener.local_addr().map_err(listen)?;
        Ok(Self {
            listener,
            address,
            token,
        })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves `device` until `ended` says so, and calls `log` with a line for each connection.
    ///
    /// # Errors
    /// [`WorkerError`] where the device cannot be served, or serving fails.
    pub fn run(
        self,
        device: &Device,
        about: &About,
        log: impl Fn(&str) + Send + Sync + 'static,
        mut ended: watch::Receiver<bool>,
    ) -> Result<(), WorkerError> {
        // A structure of texts always has a JSON.
        let greeting = serde_json::to_string(about).unwrap_or_default();
        let server =
            model::backend::remote::server(device, &greeting).ok_or(WorkerError::Remote)?;
        let doorman = Doorman {
            authorizer: match &self.token {
                None => None,
                Some(token) => {
                    Some(TokenAuthorizer::new(token.as_str()).map_err(|_| WorkerError::Token)?)
                }
            },
            log,
        };
        // It reads and answers, and is woken for nearly every operation while the trainer is ahead. A second thread
        // would be woken with it each time, and take the core from what computes.
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .map_err(WorkerError::Runtime)?;
        let served = runtime.block_on(async {
            let serving = server
                .with_authorizer(doorman)
                .serve_async(WebSocketTransport::from_listener(self.listener));
            tokio::select! {
                served = serving => served.map_err(WorkerError::Serve),
                _ = ended.wait_for(|ended| *ended) => Ok(()),
            }
        });
        runtime.shutdown_timeout(LAST_TASKS);
        served
    }
}

/// Lets those in who know the token, and writes down who came.
struct Doorman<L> {
    authorizer: Option<TokenAuthorizer>,
    log: L,
}

impl<L: Fn(&str) + Send + Sync + 'static> PeerAuthorizer for Doorman<L> {
    fn authorize(&self, request: AuthorizationRequest<'_>) -> Result<(), String> {
        let client = request.client.to_string();
        let outcome = match &self.authorizer {
            Some(authorizer) => authorizer.authorize(request),
            None => Ok(()),
        };
        (self.log)(&match &outcome {
            Ok(()) => format!("{client} computes here"),
            Err(reason) => format!("refused: {reason}"),
        });
        outcome
    }
}
