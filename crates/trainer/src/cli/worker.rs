//! `trainer worker`.

use std::net::SocketAddr;

use clap::Args;

use super::Outcome;
use super::options::{Common, address};

/// Serve this machine's device to trainers on other machines (--backend remote).
///
/// Ctrl-C ends it. It listens to this machine only unless told otherwise, and to others only with a
/// token. What travels is not encrypted: reach it through an SSH tunnel.
#[derive(Debug, Args)]
#[command(args_override_self = true)]
#[command(after_help = "Examples:\n  trainer worker --backend ndarray\n  \
    trainer worker --listen 0.0.0.0:3000 --token-file token")]
pub struct Worker {
    /// Where to listen; port 0 takes a free one. An address that other machines reach needs a
    /// --token-file.
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:3000", value_parser = address)]
    listen: SocketAddr,
}

impl Worker {
    /// Serves the device until the program is told to end.
    #[cfg(not(feature = "remote"))]
    pub fn run(&self, _common: &Common) -> Outcome {
        // The address is named so that a build without the feature has no idle option.
        let listen = self.listen;
        Err(format!(
            "this program cannot serve a device on {listen}: build it with `--features remote`"
        )
        .into())
    }

    /// Serves the device until the program is told to end.
    #[cfg(feature = "remote")]
    pub fn run(&self, common: &Common) -> Outcome {
        use std::io::Write;

        use super::signals;
        use crate::check::trust;
        use crate::device::{BackendName, Precision};
        use crate::remote;

        let token = common.device.token()?;
        let secured = token.is_some();
        // A taken address and a missing token are said before the device is opened.
        let worker = remote::Worker::bind(self.listen, token)?;
        let choice = common.device.served()?;
        if choice.precision == Precision::Half {
            return Err(
                "a worker computes with the precision of what it is sent, which is single; leave `--precision half` \
                 out, and train with it on the machine with the GPU"
                    .into(),
            );
        }
        if choice.backend == BackendName::Remote {
            return Err(remote::WorkerError::Remote.into());
        }
        let device = choice.open()?;
        let verbosity = common.verbosity.choice();
        // Those who compute here cannot check the device's driver themselves.
        trust::before_training(&choice, &device, common.device.trust_device, verbosity)?;
        let about = remote::About::new(
            choice.backend.name(),
            choice.describe(&device),
            choice.computing(&device),
        );
        let (end, ended) = tokio::sync::watch::channel(false);
        signals::on_end(move || {
            end.send_replace(true);
        })?;
        let url = format!("ws://{}", worker.address());
        let text = if common.json {
            serde_json::json!({
                "url": url, "backend": about.backend, "device": about.device, "token": secured,
            })
            .to_string()
        } else {
            let whom = match secured {
                true => "to who knows the token",
                false => "to this machine, without a token",
            };
            format!(
                "{} on {} is served at {url} {whom}\nCtrl-C ends it",
                about.backend, about.device
            )
        };
        writeln!(std::io::stdout(), "{text}")?;
        worker.run(&device, &about, move |line| verbosity.note(line), ended)?;
        Ok(std::process::ExitCode::SUCCESS)
    }
}
