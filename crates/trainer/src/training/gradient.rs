//! Gradients of a batch, and gradients as vectors: their length, their multiples and their sums.

use burn::module::{Module, ModuleVisitor, Param};
use burn::optim::GradientsParams;
use burn::tensor::{Int, Tensor};
use burn_train::{ClassificationOutput, TrainOutput, TrainStep};

use super::read::ReadAtOnce;
use super::{Batch, Classifier, TrainError};

/// The loss of a batch and its gradients, computed in `parts` one after the other: the graph of one part
/// is in memory at a time. The gradients are those of the whole batch but for what normalisation does,
/// which sees a part.
#[must_use]
pub fn of_batch(
    classifier: &Classifier,
    batch: &Batch,
    parts: usize,
) -> TrainOutput<ClassificationOutput> {
    let [images] = batch.targets.dims();
    let most = images.div_ceil(parts);
    if most == images {
        return TrainStep::step(classifier, batch.clone());
    }
    let mut sum = Sum::new(classifier, images);
    for start in (0..images).step_by(most) {
        let count = most.min(images - start);
        sum.add(TrainStep::step(classifier, batch.part(start, count)));
    }
    sum.finish()
}

/// A batch's loss and gradients, from those of its parts.
pub struct Sum<'a> {
    classifier: &'a Classifier,
    images: usize,
    grads: GradientsParams,
    losses: Vec<Tensor<1>>,
    logits: Vec<Tensor<2>>,
    targets: Vec<Tensor<1, Int>>,
}

impl<'a> Sum<'a> {
    /// Nothing yet of a batch of `images` images.
    #[must_use]
    pub fn new(classifier: &'a Classifier, images: usize) -> Self {
        Self {
            classifier,
            images,
            grads: GradientsParams::new(),
            losses: Vec::new(),
            logits: Vec::new(),
            targets: Vec::new(),
        }
    }

    /// Adds the next part.
    pub fn add(&mut self, part: TrainOutput<ClassificationOutput>) {
        let [count] = part.item.targets.dims();
        let share = count as f64 / self.images as f64;
        // A summed loss is the sum over the parts, a mean one their mean by images.
        let factor = if self.classifier.sums() { 1.0 } else { share };
        add(self.classifier, &mut self.grads, part.grads, factor);
        self.losses.push(part.item.loss.detach().mul_scalar(share));
        self.logits.push(part.item.output.detach());
        self.targets.push(part.item.targets);
    }

    /// The whole.
    #[must_use]
    pub fn finish(self) -> TrainOutput<ClassificationOutput> {
        let loss = Tensor::cat(self.losses, 0).sum();
        let (logits, targets) = (Tensor::cat(self.logits, 0), Tensor::cat(self.targets, 0));
        TrainOutput {
            grads: self.grads,
            item: ClassificationOutput::new(loss, logits, targets),
        }
    }
}

/// The Euclidean norm of all of a module's gradients as one vector.
///
/// # Errors
/// [`TrainError::Device`] where they cannot be read.
pub fn norm<M: Module>(module: &M, gradients: &GradientsParams) -> Result<f64, TrainError> {
    let mut squares = Squares {
        gradients,
        found: Vec::new(),
    };
    module.visit(&mut squares);
    let Some(device) = squares.found.first().map(Tensor::device) else {
        return Ok(0.0);
    };
    // The device is waited for once, and not for each parameter.
    let reading = (squares.found.into_iter()).fold(ReadAtOnce::of(&device), ReadAtOnce::register);
    let read = reading.asked().read().map_err(TrainError::device)?;
    let squares = read.iter().flat_map(|square| square.iter::<f64>());
    Ok(squares.fold(0.0, |sum, square| sum + square).sqrt())
}

/// Adds `factor` times `part` to `sum`.
pub fn add<M: Module>(module: &M, sum: &mut GradientsParams, part: GradientsParams, factor: f64) {
    module.visit(&mut Add { sum, part, factor });
}

/// `factor` times `gradients`.
#[must_use]
pub fn scaled<M: Module>(module: &M, gradients: GradientsParams, factor: f64) -> GradientsParams {
    let mut scaled = GradientsParams::new();
    add(module, &mut scaled, gradients, factor);
    scaled
}

/// `gradients`, all scaled by one factor where their norm as one vector is above `most`, as
/// `torch.nn.utils.clip_grad_norm_` does (Pascanu et al., 2013).
///
/// # Errors
/// [`TrainError::Device`] where they cannot be read.
pub fn clipped<M: Module>(
    module: &M,
    gradients: GradientsParams,
    most: f64,
) -> Result<GradientsParams, TrainError> {
    let factor = most / (norm(module, &gradients)? + 1e-6);
    Ok(if factor < 1.0 {
        scaled(module, gradients, factor)
    } else {
        gradients
    })
}

struct Add<'a> {
    sum: &'a mut GradientsParams,
    part: GradientsParams,
    factor: f64,
}

impl ModuleVisitor for Add<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if let Some(part) = self.part.remove::<D>(param.id) {
            let part = part.mul_scalar(self.factor);
            let sum = match self.sum.remove::<D>(param.id) {
                Some(sum) => sum + part,
                None => part,
            };
            self.sum.register(param.id, sum);
        }
    }
}

struct Squares<'a> {
    gradients: &'a GradientsParams,
    found: Vec<Tensor<1>>,
}

impl ModuleVisitor for Squares<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if let Some(gradient) = self.gradients.get::<D>(param.id) {
            self.found.push(gradient.square().sum());
        }
    }
}
