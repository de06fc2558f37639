//! Fifty training steps of a recipe from known weights on known batches, for a comparison with PyTorch.
//!
//! Reads `recipe.toml` of a folder, and writes beside it `weights.safetensors` (the network before the
//! first step), `batches.bin` (per step the images as little-endian f32, `[batch, 3, 32, 32]`, the
//! labels as bytes, and where images are mixed the other labels as bytes and the shares as f32),
//! `losses.json`, and `end.safetensors` (the network that counts after the last step).
//! `bench/compare_optimisers.py` repeats the steps in PyTorch.
//!
//!     cargo run -p trainer --example fifty_steps -- /tmp/steps

use std::error::Error;
use std::fs;
use std::path::Path;

use burn::module::Module;
use burn::tensor::{Int, Tensor, TensorData};
use burn_train::Learner;
use cifar10::synthetic::{Part, generate};
use cifar10::{HostBatch, Loader, LoaderConfig};
use model::{Network, NetworkKind};
use trainer::device::{BackendName, DeviceChoice, DeviceName};
use trainer::recipe;
use trainer::training::{
    Averages, Batch, Classifier, Mixed, Schedule, gradient, optimizer, weights,
};

const STEPS: u64 = 50;
/// So many of a schedule's epochs go by.
const EPOCHS: u64 = 5;

fn main() -> Result<(), Box<dyn Error>> {
    let folder = std::env::args().nth(1).ok_or("usage: fifty_steps FOLDER")?;
    let folder = Path::new(&folder);
    let recipe = folder.join("recipe.toml").display().to_string();
    let recipe = recipe::load(&recipe, &[], &NetworkKind::NAMES)?;
    let choice = DeviceChoice {
        backend: BackendName::Ndarray,
        device: DeviceName::Default,
        threads: None,
        precision: Default::default(),
        token_file: None,
    };
    let device = choice.open()?.autodiff();
    let kind = NetworkKind::from_name(&recipe.network)?;
    let network = Network::init(kind, 10, 0, &device)?;
    weights::save_safetensors(&network, &folder.join("weights.safetensors"))?;
    let images = generate(Part::Train, STEPS as usize * recipe.batch_size, 0);
    let config = LoaderConfig {
        augmentations: recipe.data.augment.clone(),
        ..LoaderConfig::training(recipe.batch_size, 0)
    };
    let epoch = Loader::all(images, config)?.epoch(0);
    let classifier = Classifier::with_loss(network, recipe.loss).train();
    let optimizer = optimizer::optimizer(&recipe.optimizer, &recipe.groups, &classifier.network);
    let peak = recipe.optimizer.lr();
    let schedule = Schedule::new(recipe.schedule.clone(), peak, STEPS, STEPS / EPOCHS)
        .of_network(&recipe.groups, &classifier.network);
    let mut averages = Averages::new(&recipe, STEPS, &classifier);
    let mut learner = Learner::new(classifier, optimizer, schedule);
    let (mut host, mut batches, mut losses) = (HostBatch::default(), Vec::new(), Vec::new());
    for step in 0..STEPS {
        epoch.batch(step as usize, &mut host)?;
        batches.extend(host.images.iter().flat_map(|value| value.to_le_bytes()));
        batches.extend(&host.labels);
        batches.extend(&host.other_labels);
        batches.extend(host.shares.iter().flat_map(|value| value.to_le_bytes()));
        let classes = |labels: &[u8]| {
            let labels: Vec<i32> = labels.iter().map(|&label| i32::from(label)).collect();
            Tensor::<1, Int>::from_data(labels.as_slice(), &device)
        };
        let data = TensorData::new(host.images.clone(), [host.len(), 3, 32, 32]);
        let batch = Batch {
            images: Tensor::from_data(data, &device),
            targets: classes(&host.labels),
            mixed: (!host.shares.is_empty()).then(|| Mixed {
                targets: classes(&host.other_labels),
                shares: Tensor::from_data(host.shares.as_slice(), &device),
            }),
        };
        let model = learner.model();
        let output = gradient::of_batch(&model, &batch, recipe.gradients.accumulate);
        losses.push(output.item.loss.into_scalar::<f32>());
        let grads = match recipe.gradients.clip_norm {
            0.0 => output.grads,
            most => gradient::clipped(&model, output.grads, most)?,
        };
        learner.lr_step();
        learner.optimizer_step(grads);
        averages.follow(&mut learner, step + 1);
    }
    let end = averages.counting(&learner.model()).network;
    weights::save_safetensors(&end, &folder.join("end.safetensors"))?;
    fs::write(folder.join("batches.bin"), batches)?;
    fs::write(folder.join("losses.json"), serde_json::to_string(&losses)?)?;
    Ok(())
}
