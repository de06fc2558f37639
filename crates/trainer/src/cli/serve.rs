//! `trainer serve`.

use std::io::Write;
use std::net::SocketAddr;
use std::process::ExitCode;

use clap::Args;
use model::NetworkKind;
use tokio::sync::watch;

use super::Outcome;
use super::options::{Common, address};
use super::signals;
use crate::recipe;
use crate::run::{self, RunFolder};
use crate::screen;
use crate::serve::{Classifier, Server, Site};
use crate::trained::WeightChoice;
use crate::training::datasets;

/// Show a run on a local web page: its curves while it trains, and its network's answers for photos
/// and test images.
///
/// Ctrl-C ends it. It listens to this machine only unless told otherwise.
#[derive(Debug, Args)]
#[command(args_override_self = true)]
#[command(after_help = "Examples:\n  trainer serve --run latest\n  \
    trainer serve --run latest --address 127.0.0.1:0")]
pub struct Serve {
    /// A run: a folder, a name in the artifacts folder, or latest.
    #[arg(long, value_name = "RUN", default_value = "latest")]
    run: String,
    /// last, best, or a file: safetensors, burnpack or PyTorch's state_dict.
    #[arg(long, value_name = "last|best|FILE", default_value = "last")]
    weights: String,
    /// Where to listen; port 0 takes a free one. With an address of the network, 0.0.0.0:8000 for all,
    /// everybody who reaches it can see the run and use the network, without a password.
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:8000", value_parser = address)]
    address: SocketAddr,
}

impl Serve {
    /// Serves the page until the program is told to end.
    pub fn run(&self, common: &Common) -> Outcome {
        let folder = RunFolder::open(run::resolve(&common.places.artifacts, &self.run)?)?;
        let config = folder.config().display().to_string();
        let recipe = recipe::load(&config, &[], &NetworkKind::NAMES)?;
        // A taken address is said before the network and the images are loaded.
        let server = Server::bind(self.address).map_err(|error| {
            format!(
                "cannot listen on {}: {error}; choose another address with --address",
                self.address
            )
        })?;
        let weights = WeightChoice::from(self.weights.as_str());
        let classifier = Classifier::start(folder.clone(), weights, common.device.choice()?)?;
        let verbosity = common.verbosity.choice();
        let data = datasets::images(&recipe, common.places.data_dir.as_deref(), verbosity);
        let test = data
            .inspect_err(|error| verbosity.note(&format!("no test images are shown: {error}")))
            .ok()
            .map(|data| data.test);
        let name = folder.name();
        let site = Site::new(folder, recipe, classifier, test);
        let (end, ended) = watch::channel(false);
        signals::on_end(move || {
            end.send_replace(true);
        })?;
        let address = server.address();
        if !address.ip().is_loopback() {
            verbosity.note(
                "everybody who reaches this address can see the run and use the network; there is no \
                 password",
            );
        }
        let url = format!("http://{address}/");
        let text = if common.json {
            serde_json::json!({ "run": name, "url": url }).to_string()
        } else {
            format!("{} is on {url}\nCtrl-C ends it", screen::escaped(&name))
        };
        writeln!(std::io::stdout(), "{text}")?;
        server.run(site, ended)?;
        Ok(ExitCode::SUCCESS)
    }
}
