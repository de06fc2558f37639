//! Workers of the process itself, for tests.
#![allow(clippy::unwrap_used, reason = "a test that fails may panic")]

use burn::remote::RemoteHost;
use burn::server::WebSocketTransport;
use burn::tensor::Device;

/// The device of a worker of this process.
pub(crate) fn worker() -> Device {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("ws://{}", listener.local_addr().unwrap());
    let server = model::backend::remote::server(&Device::flex(), "").unwrap();
    std::thread::spawn(move || server.serve(WebSocketTransport::from_listener(listener)));
    Device::remote_options(&RemoteHost::websocket(&url))
        .init()
        .unwrap()
}
