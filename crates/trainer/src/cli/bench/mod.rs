//! `trainer bench`.

mod find;
mod stock;

use std::error::Error;
use std::process::ExitCode;
use std::time::Instant;

use burn::module::Module;
use burn::tensor::{Device, Distribution, Int, Tensor};
use burn_train::TrainStep;
use clap::{Args, ValueEnum};
use model::{Network, NetworkKind};

use find::{TrialError, Trials};
use stock::StockStep;

use super::Outcome;
use super::options::Common;
use crate::device::{DeviceChoice, Precision};
use crate::recipe::OptimizerSpec;
use crate::run::CLASSES;
use crate::training::{Batch, Classifier, Recorder, TrainError, optimizer};

/// Measure a network's speed on one random batch.
///
/// A training step is forward, loss, backward and SGD with momentum 0.9, as in training and
/// without loading. The figure is the median of five rounds after a warm-up; where a step takes
/// longer than --seconds, one step is measured.
#[derive(Debug, Args)]
#[command(args_override_self = true)]
#[command(
    after_help = "Examples:\n  trainer bench --network resnet20 --batch 128 --json\n  \
    trainer bench --network resnet18 --find-batch --seconds 1"
)]
pub struct Bench {
    /// simple_cnn, resnet20, resnet18, resnet9, wrn16_4, airbench_narrow, airbench94, airbench95 or
    /// airbench96.
    #[arg(long, value_name = "NAME", default_value = "resnet20")]
    network: String,
    /// Images in a batch.
    #[arg(long, value_name = "N", default_value_t = 128, value_parser = clap::value_parser!(u32).range(1..=65_535))]
    batch: u32,
    /// What to measure.
    #[arg(long, value_enum, default_value = "train")]
    mode: Mode,
    /// How long to measure, about.
    #[arg(long, value_name = "S", default_value_t = 5.0)]
    seconds: f64,
    /// Measures the same network of Burn's own layers and optimiser in place of ours.
    #[arg(long)]
    stock: bool,
    /// Finds the largest batch that fits, by trials in a process each, and measures each that does. One that
    /// fails for another reason than memory ends the search.
    #[arg(long, conflicts_with = "batch")]
    find_batch: bool,
    /// The largest batch to try.
    #[arg(long, value_name = "N", default_value_t = 4096, requires = "find_batch", value_parser = clap::value_parser!(u32).range(1..=65_535))]
    limit: u32,
    /// Address space of a trial in MiB: more counts as too much. For CPU backends, on Unix.
    #[arg(long, value_name = "MIB", requires = "find_batch")]
    memory: Option<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Mode {
    /// A whole training step.
    Train,
    /// A forward pass without a graph.
    Infer,
}

impl Mode {
    fn name(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Infer => "infer",
        }
    }
}

const ROUNDS: usize = 5;
/// Steps of which the host's time is taken.
const HOST_STEPS: usize = 9;

impl Bench {
    /// Measures and prints images a second.
    pub fn run(&self, common: &Common) -> Outcome {
        if !(self.seconds.is_finite() && self.seconds > 0.0) {
            return Err(format!("--seconds must be above 0, found {}", self.seconds).into());
        }
        if self.stock && self.mode == Mode::Infer {
            return Err("--stock measures training; leave out --mode infer".into());
        }
        let kind = NetworkKind::from_name(&self.network)?;
        if self.stock && !StockStep::exists(kind) {
            let name = &self.network;
            return Err(
                format!("--stock has no {name}; take simple_cnn, resnet20 or resnet18").into(),
            );
        }
        if self.find_batch {
            return self.find(common);
        }
        let choice = self.device(common)?;
        let device = choice.open()?;
        let batch = self.batch as usize;
        let measured = self.measure(kind, batch, &choice, &device);
        let Measured { rates, host } = measured.map_err(|error| error.at_batch(batch))?;
        let (Some(least), Some(most)) = (rates.first(), rates.last()) else {
            return Err("nothing was measured".into());
        };
        let median = rates.get(rates.len() / 2).copied().unwrap_or_default();
        let mode = self.mode.name();
        if common.json {
            println!(
                "{}",
                serde_json::json!({
                    "network": self.network, "stock": self.stock, "batch": batch, "mode": mode,
                    "backend": choice.backend.name(), "device": choice.describe(&device),
                    "threads": choice.threads(), "isa": choice.kernel_isa(),
                    "precision": choice.precision.name(), "images_per_s": median,
                    "min": least, "max": most, "host_s_per_step": host,
                })
            );
        } else {
            println!(
                "{} {mode}, batch {batch}, {}: {median:.1} images/s ({least:.1} to {most:.1})",
                self.network,
                choice.backend.name()
            );
            if let Some(host) = host {
                // Both are medians of their own: in a short measurement the host's may be the larger one.
                let step = (batch as f64 / median).max(host);
                println!(
                    "the host is busy with a step for {:.2} ms of {:.2} ms",
                    host * 1e3,
                    step * 1e3
                );
            }
        }
        Ok(ExitCode::SUCCESS)
    }

    /// The device that the options name.
    fn device(&self, common: &Common) -> Result<DeviceChoice, Box<dyn Error>> {
        let choice = common.device.choice()?;
        if choice.precision == Precision::Half && (self.stock || self.mode != Mode::Train) {
            return Err("half precision is for the steps of a training with this program's operations: leave \
                        `--precision half` out, or `--stock` and `--mode infer`"
                .into());
        }
        Ok(choice)
    }

    /// Measures rounds of steps, and where the host asks another device, how long it is busy with one.
    fn measure(
        &self,
        kind: NetworkKind,
        batch: usize,
        choice: &DeviceChoice,
        device: &Device,
    ) -> Result<Measured, TrainError> {
        let asks = !choice.backend.is_processor();
        let mut step = self.step(kind, batch, choice.precision, device)?;
        // The first step makes buffers; steps that take long need no more to warm up.
        let first = timed(&mut step, 1, device)?.seconds;
        if first < self.seconds {
            timed(&mut step, 2, device)?;
        }
        let once = timed(&mut step, 1, device)?.seconds;
        let rounds = if once < self.seconds { ROUNDS } else { 1 };
        let steps = (self.seconds / rounds as f64 / once).ceil().max(1.0) as usize;
        let mut rates = Vec::with_capacity(rounds);
        for _ in 0..rounds {
            rates.push((batch * steps) as f64 / timed(&mut step, steps, device)?.seconds);
        }
        rates.sort_by(f64::total_cmp);
        let host = asks.then(|| host_seconds(&mut step, device)).transpose()?;
        Ok(Measured { rates, host })
    }

    /// Finds the largest batch that fits, and prints what each one tried gave.
    fn find(&self, common: &Common) -> Outcome {
        let choice = self.device(common)?;
        let mut arguments = vec!["bench".to_owned(), "--json".to_owned()];
        arguments.extend(["--network".to_owned(), self.network.clone()]);
        arguments.extend(["--mode".to_owned(), self.mode.name().to_owned()]);
        arguments.extend(["--seconds".to_owned(), self.seconds.to_string()]);
        arguments.extend(self.stock.then(|| "--stock".to_owned()));
        arguments.extend(common.for_another_process(1));
        let process = Trials::new(arguments, self.memory)?;
        let mut trials = Vec::new();
        let largest = find::largest(self.limit as usize, |batch| {
            let trial = process.measure(batch)?;
            if !common.json {
                println!("{}", trial.line());
            }
            let fits = trial.images_per_s.is_some();
            trials.push(trial);
            Ok::<_, TrialError>(fits)
        })?;
        if largest == 0 {
            let reason = trials.last().and_then(|trial| trial.reason.clone());
            let reason = reason.unwrap_or_default();
            return Err(format!("not even one image fits: {reason}").into());
        }
        let bounded = if largest == self.limit as usize {
            "; no larger one was tried, by --limit"
        } else {
            ""
        };
        if common.json {
            println!(
                "{}",
                serde_json::json!({
                    "network": self.network, "mode": self.mode.name(), "stock": self.stock,
                    "backend": choice.backend.name(), "largest_batch": largest,
                    "limit": self.limit, "trials": trials,
                })
            );
        } else {
            println!(
                "{} {}, {}: the largest batch that fits has {largest} images{bounded}",
                self.network,
                self.mode.name(),
                choice.backend.name(),
            );
        }
        Ok(ExitCode::SUCCESS)
    }

    /// One step of what is measured.
    fn step(
        &self,
        kind: NetworkKind,
        batch: usize,
        precision: Precision,
        device: &Device,
    ) -> Result<Box<dyn FnMut() -> Step>, TrainError> {
        let train = self.mode == Mode::Train;
        let device = if train {
            device.clone().autodiff()
        } else {
            device.clone()
        };
        let images =
            Tensor::<4>::random([batch, 3, 32, 32], Distribution::Normal(0.0, 1.0), &device);
        let network = Network::init(kind, CLASSES, 0, &device)?;
        if !train {
            let network = network.folded();
            return Ok(Box::new(move || Ok(Some(network.forward(images.clone())?))));
        }
        let targets: Vec<i32> = (0..batch).map(|index| (index % CLASSES) as i32).collect();
        let batch = Batch {
            images,
            targets: Tensor::<1, Int>::from_data(targets.as_slice(), &device),
            mixed: None,
        };
        if self.stock {
            let mut stock = StockStep::new(kind, batch, &device);
            return Ok(Box::new(move || {
                Ok(stock.step().map(|loss| loss.reshape([1, 1])))
            }));
        }
        let classifier = Classifier::new(network, 0.0).computing(precision).train();
        let sgd = OptimizerSpec::Sgd {
            lr: 0.01,
            momentum: 0.9,
            nesterov: false,
            weight_decay: 0.0,
            decay_norm_and_bias: true,
        };
        let mut optimizer = optimizer::optimizer(&sgd, &[], &classifier.network);
        let mut classifier = Some(classifier);
        let mut recorder = Recorder::default();
        Ok(Box::new(move || {
            let Some(current) = classifier.take() else {
                return Ok(None);
            };
            let output = recorder.step(&current, &batch);
            classifier = Some(current.optimize(&mut optimizer, 0.01.into(), output.grads));
            Ok(Some(output.item.loss.reshape([1, 1])))
        }))
    }
}

/// What a step came to: its logits, or its loss.
type Step = Result<Option<Tensor<2>>, TrainError>;

/// What was measured.
struct Measured {
    /// Images a second of each round, the least first.
    rates: Vec<f64>,
    /// Seconds for which the host is busy with a step.
    host: Option<f64>,
}

/// What steps took.
struct Timed {
    /// Seconds until the device had done them.
    seconds: f64,
    /// Seconds until the host had asked for them.
    host: f64,
}

/// Times `steps` steps. What the last one came to is read, since a device that stopped computing takes
/// no time at all.
fn timed(
    step: &mut dyn FnMut() -> Step,
    steps: usize,
    device: &Device,
) -> Result<Timed, TrainError> {
    let start = Instant::now();
    let mut last = None;
    for _ in 0..steps {
        last = step()?;
    }
    let host = start.elapsed().as_secs_f64();
    device.sync().map_err(TrainError::device)?;
    let seconds = start.elapsed().as_secs_f64();
    if let Some(last) = last {
        last.try_into_data_as::<f32>().map_err(TrainError::device)?;
    }
    Ok(Timed { seconds, host })
}

/// Seconds that the host needs to ask for one step, the median of several, each of which finds the device
/// idle, so that no full queue holds the host up.
fn host_seconds(step: &mut dyn FnMut() -> Step, device: &Device) -> Result<f64, TrainError> {
    let mut seconds = Vec::with_capacity(HOST_STEPS);
    for _ in 0..HOST_STEPS {
        seconds.push(timed(step, 1, device)?.host);
    }
    seconds.sort_by(f64::total_cmp);
    Ok(seconds.get(HOST_STEPS / 2).copied().unwrap_or_default())
}
