//! What a GPU records of a step.

use std::time::Instant;

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param, ParamId};
use burn::optim::GradientsParams;
use burn::tensor::Tensor;
use burn_train::{ClassificationOutput, TrainOutput, TrainStep};
use model::backend::recording::{Numbers, Recording, copy};

use super::BEFORE;
use crate::training::{Batch, Classifier};

/// How far recording has come.
#[derive(Debug)]
pub enum State {
    /// So many batches of this size were seen.
    Before { images: usize, seen: usize },
    /// Batches of one size are recorded.
    Recorded(Box<Recorded>),
    /// Nothing is recorded, or no longer, and why where it was tried.
    Off(Option<String>),
}

impl Default for State {
    fn default() -> Self {
        Self::Before { images: 0, seen: 0 }
    }
}

impl State {
    /// What a recording computes; nothing where there is none for this batch. `always` asks for one that does not
    /// pay as well.
    pub fn step(
        &mut self,
        classifier: &Classifier,
        batch: &Batch,
        always: bool,
    ) -> Option<TrainOutput<ClassificationOutput>> {
        if batch.mixed.is_some() || matches!(self, Self::Off(_)) {
            return None;
        }
        let [count] = batch.targets.dims();
        if let Self::Before { images, seen } = self {
            if Numbers::of_float(batch.images.clone()).is_none() {
                *self = Self::Off(None);
                return None;
            }
            if *images != count {
                (*images, *seen) = (count, 0);
            }
            *seen += 1;
            if *seen < BEFORE || (*seen == BEFORE && always) {
                return None;
            }
            if *seen == BEFORE {
                let (output, pays) = measured(classifier, batch);
                if !pays {
                    *self = Self::Off(None);
                }
                return Some(output);
            }
            *self = match Recorded::new(classifier, batch) {
                Ok(recorded) => Self::Recorded(Box::new(recorded)),
                Err(refusal) => Self::Off(refusal),
            };
        }
        let Self::Recorded(recorded) = self else {
            return None;
        };
        if recorded.images != count {
            return None;
        }
        match recorded.step(classifier, batch) {
            Ok(output) => Some(output),
            Err(refusal) => {
                *self = Self::Off(Some(refusal));
                None
            }
        }
    }
}

/// A step, and whether it took the host most of the time until the device had done it.
fn measured(classifier: &Classifier, batch: &Batch) -> (TrainOutput<ClassificationOutput>, bool) {
    let device = batch.images.device();
    // A device that fails here fails at the next reading as well, which says so.
    let _ = device.sync();
    let begun = Instant::now();
    let output = TrainStep::step(classifier, batch.clone());
    let asked = begun.elapsed();
    let _ = device.sync();
    (output, 2 * asked > begun.elapsed())
}

/// The loss and the gradients of a batch of one size, recorded.
#[derive(Debug)]
pub struct Recorded {
    images: usize,
    recording: Recording<Inputs, Option<Outputs>>,
}

/// What the recording reads.
#[derive(Debug)]
struct Inputs {
    /// A network of its own, whose weights and statistics are `rooms`.
    classifier: Classifier,
    batch: Batch,
    /// Weights and statistics in the order of the network's fields, and then images and classes.
    rooms: Vec<Numbers>,
    /// The statistics among them, and their names.
    statistics: Vec<(ParamId, Numbers)>,
}

/// What it makes.
#[derive(Debug)]
struct Outputs {
    loss: Numbers,
    logits: Numbers,
    gradients: GradientsParams,
    statistics: Vec<(ParamId, Numbers)>,
}

/// What is said where tensors are not as a recording needs them.
const OTHERWISE: &str = "its tensors lie otherwise than before";

impl Recorded {
    /// Records the step of `classifier` on batches such as `batch`. Neither changes.
    fn new(classifier: &Classifier, batch: &Batch) -> Result<Self, Option<String>> {
        // Where nothing is on a GPU there is nothing to say.
        let now = numbers(classifier, batch).ok_or(None)?;
        let [count] = batch.targets.dims();
        let inputs = Inputs::new(classifier, &now).ok_or(None)?;
        // So that no number that the first times compute with is one of chance.
        if !copy(&now.into_iter().zip(&inputs.rooms).collect::<Vec<_>>()) {
            return Err(Some(OTHERWISE.to_owned()));
        }
        let beside = inputs.rooms.first().ok_or(None)?.clone();
        let recording = Recording::of(&beside, inputs, Inputs::step)?;
        match recording.result() {
            Some(_) => Ok(Self {
                images: count,
                recording,
            }),
            None => Err(Some(OTHERWISE.to_owned())),
        }
    }

    /// The step of `classifier`, whose statistics follow.
    fn step(
        &self,
        classifier: &Classifier,
        batch: &Batch,
    ) -> Result<TrainOutput<ClassificationOutput>, String> {
        let inputs = self.recording.inputs();
        let now = numbers(classifier, batch).ok_or(OTHERWISE)?;
        let pairs: Vec<_> = now.into_iter().zip(&inputs.rooms).collect();
        if pairs.len() != inputs.rooms.len() || !copy(&pairs) {
            return Err(OTHERWISE.to_owned());
        }
        self.recording.again()?;
        let outputs = self.recording.result().as_ref().ok_or(OTHERWISE)?;
        // What is read some steps later is copied, since the recording will have made others then; gradients are
        // read before.
        let statistics: Vec<_> = (outputs.statistics.iter())
            .map(|(id, numbers)| (*id, numbers.room()))
            .collect();
        let [loss, logits] = [&outputs.loss, &outputs.logits].map(Numbers::room);
        let made = outputs.statistics.iter().map(|(_, numbers)| numbers);
        let made = made.chain([&outputs.loss, &outputs.logits]).cloned();
        let kept = statistics.iter().map(|(_, room)| room);
        let kept = made.zip(kept.chain([&loss, &logits]));
        if !copy(&kept.collect::<Vec<_>>()) {
            return Err(OTHERWISE.to_owned());
        }
        set(classifier, &statistics);
        let mut same = Same {
            from: &outputs.gradients,
            to: GradientsParams::new(),
        };
        classifier.visit(&mut same);
        let item = ClassificationOutput::new(
            Tensor::from_inner(loss.float()),
            Tensor::from_inner(logits.float()),
            batch.targets.clone(),
        );
        Ok(TrainOutput {
            grads: same.to,
            item,
        })
    }
}

impl Inputs {
    fn new(classifier: &Classifier, now: &[Numbers]) -> Option<Self> {
        let rooms: Vec<Numbers> = now.iter().map(Numbers::room).collect();
        let (of_batch, of_network) = (rooms.len().checked_sub(2)?, rooms.get(..rooms.len() - 2)?);
        let mut placed = Placed {
            rooms: of_network.iter(),
            parameters: parameters(classifier),
            statistics: Vec::new(),
        };
        // Clones share their statistics; this one gets its own.
        let own = classifier.valid().train().map(&mut placed);
        let statistics = placed.statistics;
        let [images, targets] = [rooms.get(of_batch)?, rooms.get(of_batch + 1)?];
        Some(Self {
            classifier: own,
            batch: Batch {
                images: Tensor::from_inner(images.float()),
                targets: targets.int(),
                mixed: None,
            },
            statistics,
            rooms,
        })
    }

    /// The step that is recorded: from the same statistics each time.
    fn step(&self) -> Option<Outputs> {
        set(&self.classifier, &self.statistics);
        let output = TrainStep::step(&self.classifier, self.batch.clone());
        let mut found = Statistics {
            parameters: parameters(&self.classifier),
            found: Some(Vec::new()),
        };
        self.classifier.visit(&mut found);
        Some(Outputs {
            loss: Numbers::of_float(output.item.loss)?,
            logits: Numbers::of_float(output.item.output)?,
            gradients: output.grads,
            statistics: found.found?,
        })
    }
}

/// The parameters of a network; what else has numbers are running statistics.
fn parameters(classifier: &Classifier) -> Vec<ParamId> {
    let roles = classifier.network.roles().into_iter();
    roles.map(|parameter| parameter.id).collect()
}

/// The numbers of a network in the order of its fields, and then of a batch; none where they are not on a GPU.
fn numbers(classifier: &Classifier, batch: &Batch) -> Option<Vec<Numbers>> {
    struct All(Option<Vec<Numbers>>);

    impl ModuleVisitor for All {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            match (&mut self.0, Numbers::of_float(param.val())) {
                (Some(all), Some(numbers)) => all.push(numbers),
                (all, _) => *all = None,
            }
        }
    }

    let mut all = All(Some(Vec::new()));
    classifier.visit(&mut all);
    let mut all = all.0?;
    all.push(Numbers::of_float(batch.images.clone())?);
    all.push(Numbers::of_int(batch.targets.clone())?);
    Some(all)
}

/// Gives a network rooms for its numbers, one after the other.
struct Placed<'a> {
    rooms: std::slice::Iter<'a, Numbers>,
    parameters: Vec<ParamId>,
    statistics: Vec<(ParamId, Numbers)>,
}

impl ModuleMapper for Placed<'_> {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let Some(room) = self.rooms.next() else {
            return param;
        };
        if !self.parameters.contains(&param.id) {
            self.statistics.push((param.id, room.clone()));
        }
        let trains = param.val().is_require_grad();
        let tensor = Tensor::from_inner(room.float());
        Param::initialized(param.id, tensor.set_require_grad(trains))
    }
}

/// Takes a network's running statistics.
struct Statistics {
    parameters: Vec<ParamId>,
    found: Option<Vec<(ParamId, Numbers)>>,
}

impl ModuleVisitor for Statistics {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if self.parameters.contains(&param.id) {
            return;
        }
        match (&mut self.found, Numbers::of_float(param.val())) {
            (Some(found), Some(numbers)) => found.push((param.id, numbers)),
            (found, _) => *found = None,
        }
    }
}

/// Gives a network, and its clones, running statistics.
fn set(classifier: &Classifier, statistics: &[(ParamId, Numbers)]) {
    struct Set<'a>(&'a [(ParamId, Numbers)]);

    impl ModuleMapper for Set<'_> {
        fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
            match self.0.iter().find(|(id, _)| *id == param.id) {
                Some((id, numbers)) => Param::initialized(*id, Tensor::from_inner(numbers.float())),
                None => param,
            }
        }
    }

    let _ = classifier.clone().map(&mut Set(statistics));
}

/// The same gradients once more.
struct Same<'a> {
    from: &'a GradientsParams,
    to: GradientsParams,
}

impl ModuleVisitor for Same<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if let Some(gradient) = self.from.get::<D>(param.id) {
            self.to.register(param.id, gradient);
        }
    }
}
