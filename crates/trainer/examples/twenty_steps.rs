//! Twenty training steps from known weights on known batches, for a comparison with PyTorch.
//!
//! Writes `weights.safetensors` (the network before the first step), `batches.bin` (per step the
//! images as little-endian f32, `[batch, 3, 32, 32]`, then the labels as bytes) and `losses.json`
//! into a folder. `bench/compare_steps.py` repeats the steps in PyTorch.
//!
//!     cargo run -p trainer --example twenty_steps -- simple_cnn 32 /tmp/steps

use std::error::Error;
use std::fs;
use std::path::Path;

use burn::module::Module;
use burn::tensor::{Int, Tensor, TensorData};
use burn_train::TrainStep;
use cifar10::synthetic::{Part, generate};
use cifar10::{HostBatch, Loader, LoaderConfig};
use model::{Network, NetworkKind};
use trainer::device::{BackendName, DeviceChoice, DeviceName};
use trainer::recipe::OptimizerSpec;
use trainer::training::{Batch, Classifier, optimizer, weights};

const STEPS: usize = 20;
/// The tutorial's. A higher one lets rounding grow faster from step to step.
const LEARNING_RATE: f64 = 0.001;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [network, batch, folder, rest @ ..] = arguments.as_slice() else {
        return Err("usage: twenty_steps NETWORK BATCH FOLDER [BACKEND [DEVICE]]".into());
    };
    let choice = DeviceChoice {
        backend: rest
            .first()
            .map_or(Ok(BackendName::Ndarray), |name| name.parse())?,
        device: rest
            .get(1)
            .map_or(Ok(DeviceName::Default), |name| name.parse())?,
        threads: None,
        precision: Default::default(),
        token_file: None,
    };
    let device = choice.open()?.autodiff();
    let folder = Path::new(folder);
    fs::create_dir_all(folder)?;
    let batch_size: usize = batch.parse()?;
    let images = generate(Part::Train, STEPS * batch_size, 0);
    let epoch = Loader::all(images, LoaderConfig::training(batch_size, 0))?.epoch(0);
    let mut host = HostBatch::default();
    epoch.batch(0, &mut host)?;
    let network = Network::init(NetworkKind::from_name(network)?, 10, 0, &device)?;
    let network = network.whitened(&host.images);
    weights::save_safetensors(&network, &folder.join("weights.safetensors"))?;
    let sgd = OptimizerSpec::Sgd {
        lr: LEARNING_RATE,
        momentum: 0.9,
        nesterov: false,
        weight_decay: 0.0,
        decay_norm_and_bias: true,
    };
    let mut classifier = Classifier::new(network, 0.0).train();
    let mut optimizer = optimizer::optimizer(&sgd, &[], &classifier.network);
    let (mut batches, mut losses) = (Vec::new(), Vec::new());
    for step in 0..STEPS {
        epoch.batch(step, &mut host)?;
        batches.extend(host.images.iter().flat_map(|value| value.to_le_bytes()));
        batches.extend(&host.labels);
        let labels: Vec<i32> = host.labels.iter().map(|&label| i32::from(label)).collect();
        let data = TensorData::new(host.images.clone(), [host.len(), 3, 32, 32]);
        let output = TrainStep::step(
            &classifier,
            Batch {
                images: Tensor::from_data(data, &device),
                targets: Tensor::<1, Int>::from_data(labels.as_slice(), &device),
                mixed: None,
            },
        );
        losses.push(output.item.loss.into_scalar::<f32>());
        classifier = classifier.optimize(&mut optimizer, LEARNING_RATE.into(), output.grads);
    }
    fs::write(folder.join("batches.bin"), batches)?;
    fs::write(folder.join("losses.json"), serde_json::to_string(&losses)?)?;
    println!("{}", serde_json::to_string(&losses)?);
    Ok(())
}
