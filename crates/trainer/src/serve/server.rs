//! Listens, within limits of connections and time, and ends.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpStream;
use tokio::select;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::routes::{self, Site};

/// Connections at once; others wait in the system's queue.
const MOST_CONNECTIONS: usize = 128;
/// How long a client may take for the head of a request, and may be silent between two requests.
const LONGEST_HEAD: Duration = Duration::from_secs(10);
/// The longest head in bytes.
const MOST_HEAD: usize = 1 << 14;
/// A connection is closed after this time, between two requests where it can be: a client that does not
/// read its answers must not keep its place for ever.
const LONGEST_CONNECTION: Duration = Duration::from_secs(300);
/// How long an answer may take that is under way when its connection is to close.
const LAST_ANSWER: Duration = Duration::from_secs(60);
/// How long all answers may take that are under way when the program is told to end.
const LAST_ANSWERS: Duration = Duration::from_secs(2);
/// How long is waited where the system has no more room for connections.
const NO_ROOM: Duration = Duration::from_millis(100);
/// Threads that decode photos and draw curves.
const BLOCKING_THREADS: usize = 4;

/// A page that can be served.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
}

impl Server {
    /// Listens on `address`; with port 0 on a free one.
    ///
    /// # Errors
    /// [`io::Error`] where nothing can listen there.
    pub fn bind(address: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        Ok(Self { listener, address })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves `site` until `ended` says so. What is under way then is answered within two seconds.
    ///
    /// # Errors
    /// [`io::Error`] where the system has no room for it.
    pub fn run(self, site: Site, ended: watch::Receiver<bool>) -> io::Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .enable_time()
            .max_blocking_threads(BLOCKING_THREADS)
            .build()?;
        let router = routes::router(site, self.address.ip().is_loopback());
        runtime.block_on(accept_all(self.listener, router, ended))?;
        // A photo that is being decoded for nobody is not waited for.
        runtime.shutdown_background();
        Ok(())
    }
}

async fn accept_all(
    listener: TcpListener,
    router: Router,
    ended: watch::Receiver<bool>,
) -> io::Result<()> {
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let mut connections = JoinSet::new();
    let mut end = ended.clone();
    loop {
        select! {
            _ = end.wait_for(|ended| *ended) => break,
            Some(_) = connections.join_next() => {}
            accepted = listener.accept(), if connections.len() < MOST_CONNECTIONS => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(serve(stream, router.clone(), ended.clone()));
                }
                // One client went away at once, or there are too many open files.
                Err(_) => sleep(NO_ROOM).await,
            },
        }
    }
    drop(listener);
    // Who has no answer by then does not get one.
    let _ = timeout(LAST_ANSWERS, async {
        while connections.join_next().await.is_some() {}
    })
    .await;
    Ok(())
}

/// Serves one connection, request after request.
async fn serve(stream: TcpStream, router: Router, mut ended: watch::Receiver<bool>) {
    // Answers are small and whole; where this fails they are only later.
    let _ = stream.set_nodelay(true);
    let router = TowerToHyperService::new(router);
    let asked = Arc::new(AtomicBool::new(false));
    let service = service_fn({
        let asked = Arc::clone(&asked);
        move |request: Request<Incoming>| {
            asked.store(true, Ordering::Relaxed);
            router.call(request)
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(LONGEST_HEAD)
        .max_buf_size(MOST_HEAD)
        // A client may close its side when it has sent its request, and still gets its answer.
        .half_close(true)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = pin!(connection);
    select! {
        // How a connection ends is its client's business.
        _ = connection.as_mut() => return,
        _ = ended.wait_for(|ended| *ended) => {}
        () = sleep(LONGEST_CONNECTION) => {}
    }
    // This closes a connection that is between two requests, but not one that waits for its first.
    connection.as_mut().graceful_shutdown();
    if asked.load(Ordering::Relaxed) {
        let _ = timeout(LAST_ANSWER, connection).await;
    }
}
