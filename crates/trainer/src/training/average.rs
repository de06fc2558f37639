//! Networks kept beside the one that trains: the average over the steps, and Lookahead's slow weights.
//!
//! Each is a network of its own, with running statistics of its own, which are averaged as weights are:
//! a clone of Burn's running statistics would be the training network's.

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::optim::GradientsParams;
use burn::store::ModuleRecord;
use burn::tensor::{Bytes, Tensor};
use burn_train::Learner;

use super::checkpoint::{AVERAGE, Checkpoint, CheckpointError, LOOKAHEAD, MODEL, give};
use super::held::on_host;
use super::{Classifier, TrainError};
use crate::recipe::{AverageSpec, LookaheadSpec, Recipe, Select};

/// What a run keeps beside the weights that it trains.
pub struct Averages {
    average: Option<Classifier>,
    slow: Option<Classifier>,
    average_spec: AverageSpec,
    lookahead_spec: LookaheadSpec,
    steps: u64,
}

impl Averages {
    /// What `recipe` asks for, in a run of `steps` steps that begins with `classifier`.
    #[must_use]
    pub fn new(recipe: &Recipe, steps: u64, classifier: &Classifier) -> Self {
        // A copy without autodiff has running statistics of its own.
        let copy = |wanted: bool| wanted.then(|| classifier.valid());
        Self {
            average: copy(recipe.select == Select::Average),
            slow: copy(recipe.lookahead.every_steps > 0),
            average_spec: recipe.average,
            lookahead_spec: recipe.lookahead,
            steps,
        }
    }

    /// As [`Averages::new`], with what `checkpoint` holds.
    ///
    /// # Errors
    /// [`CheckpointError::Load`] where a part is absent or does not fit.
    pub fn restored(
        recipe: &Recipe,
        steps: u64,
        classifier: &Classifier,
        checkpoint: &mut Checkpoint,
    ) -> Result<Self, CheckpointError> {
        let mut averages = Self::new(recipe, steps, classifier);
        for (kept, part) in [
            (&mut averages.average, AVERAGE),
            (&mut averages.slow, LOOKAHEAD),
        ] {
            if let Some(network) = kept.take() {
                let bytes = Bytes::from_bytes_vec(checkpoint.take(part)?);
                let loaded = ModuleRecord::from_bytes(bytes)
                    .and_then(|record| network.try_load_record(record))
                    .map_err(|error| CheckpointError::Load {
                        path: checkpoint.path.clone(),
                        part,
                        reason: error.to_string(),
                    })?;
                *kept = Some(loaded);
            }
        }
        Ok(averages)
    }

    /// Follows the run's step `step`, counted from 1, and sends the fast weights back to the slow ones
    /// where that is due.
    pub fn follow(&mut self, learner: &mut Learner<Classifier>, step: u64) {
        let due = |every: usize| step.is_multiple_of(every as u64);
        let LookaheadSpec {
            every_steps,
            decay,
            power,
        } = self.lookahead_spec;
        if let Some(mut slow) = self.slow.take() {
            if due(every_steps) {
                let part = step as f64 / self.steps as f64;
                slow = moved(slow, &learner.model(), decay * part.powf(power));
                // Statistics of their own, since those of the slow ones move on by themselves.
                give(learner, slow.clone().train());
            }
            self.slow = Some(slow);
        }
        if let Some(average) = self.average.take() {
            let AverageSpec { decay, every_steps } = self.average_spec;
            // The average begins at its first update, as PyTorch's does: the weights before it would
            // stay in it for as long as any others, and the first ones are random. Until then it is
            // the network that trains.
            self.average = Some(if step <= every_steps as u64 {
                learner.model().valid()
            } else if due(every_steps) {
                moved(average, &learner.model(), decay)
            } else {
                average
            });
        }
    }

    /// The network that is validated and that the run gives, without autodiff: the average where there
    /// is one, else the slow weights where there are, else `trained`.
    #[must_use]
    pub fn counting(&self, trained: &Classifier) -> Classifier {
        let kept = self.average.as_ref().or(self.slow.as_ref());
        kept.cloned().unwrap_or_else(|| trained.valid())
    }

    /// The part of a checkpoint that holds the network of [`Averages::counting`].
    #[must_use]
    pub fn counting_part(recipe: &Recipe) -> &'static str {
        match recipe.select {
            Select::Average => AVERAGE,
            Select::Last | Select::Best if recipe.lookahead.every_steps > 0 => LOOKAHEAD,
            Select::Last | Select::Best => MODEL,
        }
    }

    /// What a checkpoint holds of them.
    ///
    /// # Errors
    /// [`TrainError::Learner`] where they cannot be read from the device.
    pub fn to_parts(&self) -> Result<Vec<(&'static str, Bytes)>, TrainError> {
        [(AVERAGE, &self.average), (LOOKAHEAD, &self.slow)]
            .into_iter()
            .filter_map(|(part, kept)| Some((part, kept.as_ref()?)))
            .map(|(part, kept)| {
                let kept = on_host(kept).map_err(TrainError::device)?;
                let bytes = kept.into_record().into_bytes();
                let bytes = bytes.map_err(|error| TrainError::Learner(error.to_string()))?;
                Ok((part, bytes))
            })
            .collect()
    }
}

/// `decay * kept + (1 - decay) * trained`, for weights and running statistics alike.
fn moved(kept: Classifier, trained: &Classifier, decay: f64) -> Classifier {
    // A container of tensors by parameter, which is all that gradients are to Burn.
    let mut towards = Towards {
        tensors: GradientsParams::new(),
        decay,
    };
    trained.valid().visit(&mut towards);
    kept.map(&mut towards)
}

struct Towards {
    tensors: GradientsParams,
    decay: f64,
}

impl ModuleVisitor for Towards {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        self.tensors.register(param.id, param.val());
    }
}

impl ModuleMapper for Towards {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let Some(other) = self.tensors.remove::<D>(param.id) else {
            return param;
        };
        let decay = self.decay;
        param.map(|kept| kept.mul_scalar(decay) + other.mul_scalar(1.0 - decay))
    }
}
