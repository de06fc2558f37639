//! When a run is saved, and what goes into a checkpoint.

use std::time::{Duration, Instant};

use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::{Bytes, Tensor};
use burn_train::Learner;
use burn_train::metric::store::EventStoreClient;

use super::checkpoint::{
    BEST, CheckpointError, FORMAT, Identity, Keep, Mailbox, Manifest, Name, ReadLearner, Store,
};
use super::error::Kept;
use super::record::{Figures, Place, Record};
use super::tables::Tables;
use super::{Classifier, TrainError};
use crate::recipe::CheckpointSpec;

/// Saves a run.
pub struct Saver {
    store: Store,
    mailbox: Mailbox,
    spec: CheckpointSpec,
    steps_per_epoch: u64,
    identity: Identity,
    best_weights: Option<Bytes>,
    last: Option<(Place, Name)>,
    last_time: Instant,
}

/// A checkpoint that was written.
#[derive(Debug)]
pub struct Saved {
    /// Its name.
    pub name: Name,
    /// How long training waited for it.
    pub took: Duration,
    /// Why something older, which is not kept, could not be deleted.
    pub left: Option<CheckpointError>,
}

impl Saver {
    /// A saver of a run that begins, or goes on from a checkpoint at `last`, whose best epoch's
    /// weights are `best_weights`.
    pub fn new(
        store: Store,
        spec: CheckpointSpec,
        steps_per_epoch: u64,
        identity: Identity,
        last: Option<(Place, Name)>,
        best_weights: Option<Vec<u8>>,
    ) -> Self {
        Self {
            store,
            mailbox: Mailbox::new(),
            spec,
            steps_per_epoch,
            identity,
            best_weights: best_weights.map(Bytes::from_bytes_vec),
            last,
            last_time: Instant::now(),
        }
    }

    /// Whether the run is to be saved after step `step` of the whole run.
    pub fn is_due_after_step(&self, step: u64) -> bool {
        let every_steps = self.spec.every_steps as u64;
        let every_minutes = self.spec.every_minutes;
        (every_steps > 0 && step.is_multiple_of(every_steps))
            || (every_minutes > 0.0
                && self.last_time.elapsed().as_secs_f64() >= 60.0 * every_minutes)
    }

    /// Whether the run is to be saved after `epoch`, the last of the run or not.
    pub fn is_due_after_epoch(&self, epoch: u64) -> bool {
        let every_epochs = self.spec.every_epochs as u64;
        let keep_every = self.spec.keep_every as u64;
        (every_epochs > 0 && epoch.is_multiple_of(every_epochs))
            || (keep_every > 0 && epoch.is_multiple_of(keep_every))
    }

    /// Whether the run was last saved at `place`.
    pub fn is_saved_at(&self, place: Place) -> bool {
        self.last.is_some_and(|(last, _)| last == place)
    }

    /// What of the run is on the disk.
    pub fn kept(&self) -> Kept {
        match self.last {
            None => Kept::Nothing,
            Some((_, name)) if self.store.path(name).is_dir() => Kept::UpTo(name),
            Some((_, name)) => Kept::Gone(name),
        }
    }

    /// Keeps the weights of a new best epoch for the next checkpoint.
    ///
    /// # Errors
    /// [`TrainError`] where the weights cannot be read.
    pub fn keep_best(&mut self, counting: &Classifier) -> Result<(), TrainError> {
        self.best_weights = Some(super::weights::to_bytes(&counting.network)?);
        Ok(())
    }

    /// The best epoch's weights.
    pub fn best_weights(&self) -> Option<&Bytes> {
        self.best_weights.as_ref()
    }

    /// Saves the run with `more` parts, and deletes checkpoints that are not kept.
    ///
    /// # Errors
    /// [`TrainError`] where it cannot be saved. What was saved before is still there.
    pub fn save(
        &mut self,
        learner: &Learner<Classifier>,
        events: &EventStoreClient,
        tables: &mut Tables,
        (place, figures, record): (Place, &Figures, &Record),
        more: &[(&'static str, Bytes)],
    ) -> Result<Saved, TrainError> {
        let start = Instant::now();
        let read = ReadLearner::read(learner)?;
        if !weights_are_finite(&read.model())? {
            return Err(TrainError::Weights { step: record.steps });
        }
        let state = self.mailbox.take(read, events)?;
        let mut parts: Vec<(&str, &[u8])> = state
            .iter()
            .chain(more)
            .map(|(part, content)| (*part, &**content))
            .collect();
        if let Some(best) = &self.best_weights {
            parts.push((BEST, best));
        }
        let manifest = Manifest {
            format: FORMAT,
            program: env!("CARGO_PKG_VERSION").to_owned(),
            identity: self.identity.clone(),
            place,
            figures: figures.clone(),
            record: record.clone(),
            tables: tables.sync()?,
            parts: Vec::new(),
        };
        let name = self.store.commit(manifest, &parts)?;
        self.last = Some((place, name));
        self.last_time = Instant::now();
        let swept = self.store.sweep(&Keep {
            newest: self.spec.keep,
            best: record.best.map(|best| best.step),
            every_steps: self.spec.keep_every as u64 * self.steps_per_epoch,
        });
        Ok(Saved {
            name,
            took: start.elapsed(),
            // What cannot be deleted is no reason to end a run that is saved.
            left: swept.err(),
        })
    }
}

/// Whether no weight and no running statistic is infinite or no number. A run that goes wrong shows
/// it in its loss one step later only, and its last checkpoint must be a good one.
fn weights_are_finite(classifier: &Classifier) -> Result<bool, TrainError> {
    let mut sum = SumOfZeros(None);
    classifier.visit(&mut sum);
    match sum.0 {
        Some(sum) => Ok(sum.try_into_scalar::<f64>().map_err(TrainError::device)? == 0.0),
        None => Ok(true),
    }
}

/// The sum of all values times zero, which is 0 where they are finite and NaN otherwise.
struct SumOfZeros(Option<Tensor<1>>);

impl ModuleVisitor for SumOfZeros {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let zero = param.val().without_autodiff().mul_scalar(0.0).sum();
        self.0 = Some(match self.0.take() {
            Some(sum) => sum + zero,
            None => zero,
        });
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that fails may panic")]

    use burn::module::ModuleMapper;
    use burn::tensor::Device;
    use model::{Network, NetworkKind};

    use super::*;

    /// Multiplies the parameters of rank 1, such as biases, running means and variances.
    struct Multiply(f32);

    impl ModuleMapper for Multiply {
        fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
            let factor = if D == 1 { self.0 } else { 1.0 };
            param.map(|tensor| tensor.mul_scalar(factor))
        }
    }

    #[test]
    fn weights_and_statistics_that_are_infinite_or_no_numbers_are_seen() {
        #[allow(deprecated)]
        let device = Device::ndarray();
        for (factor, finite) in [(1e30, true), (f32::INFINITY, false), (f32::NAN, false)] {
            let network = Network::init(NetworkKind::ResNet20, 10, 0, &device).unwrap();
            let classifier = Classifier::new(network, 0.0).map(&mut Multiply(factor));
            assert_eq!(weights_are_finite(&classifier).unwrap(), finite, "{factor}");
        }
    }
}
