//! Every operation and a network of each family on a worker of this machine: what a worker's own
//! device gives, bit for bit.
#![cfg(feature = "remote")]
#![allow(deprecated, clippy::unwrap_used)]

use std::net::TcpListener;

use burn::remote::RemoteHost;
use burn::server::WebSocketTransport;
use burn::tensor::Device;
use model::NetworkKind;
use model::backend::remote::{AboutError, about, server};
use model::check::cases::cases;
use model::check::networks;
use model::check::operations::OnDevice;

/// The device of a worker that serves `device` and says `text` of itself.
fn served(device: &Device, text: &str) -> Device {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("ws://{}", listener.local_addr().unwrap());
    let server = server(device, text).unwrap();
    std::thread::spawn(move || server.serve(WebSocketTransport::from_listener(listener)));
    Device::remote_options(&RemoteHost::websocket(&url))
        .init()
        .unwrap()
}

#[test]
fn a_worker_says_what_it_is_and_serves_only_its_own_device() {
    let text = "a worker with Ü and a \"quote\"";
    let device = served(&Device::flex(), text);
    assert_eq!(about(&device).unwrap(), text);
    assert!(matches!(about(&Device::flex()), Err(AboutError::NotRemote)));
    assert!(server(&device, text).is_none());
}

#[test]
fn every_operation_gives_what_the_workers_device_gives() {
    for device in [Device::ndarray(), Device::flex()] {
        let remote = served(&device, "");
        for case in cases() {
            let found = case.on(&OnDevice, &remote, 1).unwrap();
            let expected = case.on(&OnDevice, &device, 1).unwrap();
            let (errors, _) = found.errors(&expected);
            assert_eq!((errors.value, errors.gradient), (0.0, 0.0), "{case:?}");
        }
    }
}

#[test]
fn networks_give_the_gradients_of_the_workers_device() {
    let device = Device::ndarray();
    let remote = served(&device, "").autodiff();
    let device = device.autodiff();
    let kinds = [
        NetworkKind::SimpleCnn,
        NetworkKind::ResNet20,
        NetworkKind::Airbench94,
    ];
    for kind in kinds {
        let answer = |device: &Device| {
            let network = networks::network(kind, device).unwrap();
            networks::answer(&network, networks::batch(3, 1, device)).unwrap()
        };
        let (found, expected) = (answer(&remote), answer(&device));
        assert_eq!(found.loss, expected.loss, "{}", kind.name());
        assert_eq!(found.logits, expected.logits, "{}", kind.name());
        assert_eq!(found.gradients, expected.gradients, "{}", kind.name());
    }
}
