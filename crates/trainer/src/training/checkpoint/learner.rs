//! The state of Burn's Learner as bytes, and back.
//!
//! A Learner gives the state of its optimiser and its schedule to a checkpointer only. The one here
//! keeps what it is given instead of writing it, so that all parts go into one checkpoint. The
//! optimiser itself is shown to a step of the Learner's model only: so a copy of the Learner makes one
//! that changes nothing, in which everything is read from the device at once. A step is also the one way to
//! give a Learner weights that are on the device already.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, Sender, channel};

use burn::lr_scheduler::LrSchedulerRecord;
use burn::lr_scheduler::module_lr_scheduler::ModuleLrScheduler;
use burn::module::Module;
use burn::optim::{GradientsParams, ModuleOptimizer, OptimizerRecord};
use burn::store::ModuleRecord;
use burn::tensor::{Bytes, ExecutionError};
use burn_train::checkpoint::{
    AsyncCheckpointer, Checkpoint as Part, Checkpointer, CheckpointerError, CheckpointingAction,
    CheckpointingStrategy,
};
use burn_train::metric::store::EventStoreClient;
use burn_train::{Learner, LearningCheckpointer};

use super::error::CheckpointError;
use super::restore::Checkpoint;
use super::{MODEL, OPTIMIZER, SCHEDULE};
use crate::training::held::{AskedModule, AskedState, ReadState};
use crate::training::{Classifier, TrainError, lock};

/// What a step on this thread does.
enum Step {
    /// It trains.
    Trains,
    /// It reads everything from the device.
    Reads,
    /// It gives these weights and statistics in place of trained ones.
    Gives(Box<Classifier>),
    /// It has read the optimiser's state.
    Read(Result<ReadState, ExecutionError>),
}

thread_local! {
    static STEP: RefCell<Step> = const { RefCell::new(Step::Trains) };
}

/// What the step that is asked for gives where it does not train: other weights, or `classifier` in this machine's
/// memory. The optimiser's state is kept for [`ReadLearner::read`] then.
pub(crate) fn instead_of_training(
    classifier: &Classifier,
    optimizer: &ModuleOptimizer,
) -> Option<Classifier> {
    match STEP.replace(Step::Trains) {
        Step::Trains => return None,
        Step::Gives(given) => return Some(*given),
        Step::Reads | Step::Read(_) => {}
    }
    let (network, state) = (AskedModule::of(classifier), AskedState::of(optimizer));
    let read = network.read().and_then(|read| Ok((read, state.read()?)));
    let (read, state) = match read {
        Ok((read, state)) => (read, Ok(state)),
        Err(error) => (classifier.clone(), Err(error)),
    };
    STEP.set(Step::Read(state));
    Some(read)
}

/// Gives `learner` the weights and running statistics of `classifier`, which has autodiff and is on its device.
pub(crate) fn give(learner: &mut Learner<Classifier>, classifier: Classifier) {
    STEP.set(Step::Gives(Box::new(classifier)));
    learner.optimizer_step(GradientsParams::new());
}

/// A Learner whose weights, running statistics and optimiser's state were read from the device.
pub(crate) struct ReadLearner {
    learner: Learner<Classifier>,
    state: ReadState,
}

impl ReadLearner {
    /// Reads everything at once.
    ///
    /// # Errors
    /// [`TrainError::Device`] where it cannot be read.
    pub fn read(learner: &Learner<Classifier>) -> Result<Self, TrainError> {
        let mut learner = learner.clone();
        STEP.set(Step::Reads);
        learner.optimizer_step(GradientsParams::new());
        match STEP.replace(Step::Trains) {
            Step::Read(state) => {
                let state = state.map_err(TrainError::device)?;
                Ok(Self { learner, state })
            }
            Step::Trains | Step::Reads | Step::Gives(_) => Err(TrainError::Learner(
                "it did not show its optimiser to a step".to_owned(),
            )),
        }
    }

    /// The weights and running statistics, in this machine's memory.
    pub fn model(&self) -> Classifier {
        self.learner.model()
    }
}

/// Takes the state out of a Learner.
pub(crate) struct Mailbox {
    checkpointer: LearningCheckpointer<Classifier>,
    model: Receiver<ModuleRecord>,
    optimizer: Receiver<OptimizerRecord>,
    schedule: Receiver<LrSchedulerRecord>,
}

impl Mailbox {
    /// A mailbox with nothing in it.
    pub fn new() -> Self {
        let (model_slot, model) = Slot::new();
        let (optimizer_slot, optimizer) = Slot::new();
        let (schedule_slot, schedule) = Slot::new();
        Self {
            checkpointer: LearningCheckpointer::new(
                AsyncCheckpointer::new(model_slot),
                AsyncCheckpointer::new(optimizer_slot),
                AsyncCheckpointer::new(schedule_slot),
                Box::new(Always),
            ),
            model,
            optimizer,
            schedule,
        }
    }

    /// The Learner's weights with running statistics, optimiser state and schedule state, each with
    /// the name of its part.
    ///
    /// # Errors
    /// [`TrainError`] where Burn does not make a record.
    pub fn take(
        &mut self,
        read: ReadLearner,
        events: &EventStoreClient,
    ) -> Result<[(&'static str, Bytes); 3], TrainError> {
        let ReadLearner { learner, state } = read;
        state.during(|| self.checkpointer.checkpoint(&learner, 0, events));
        Ok([
            (MODEL, received(&self.model)?),
            (OPTIMIZER, received(&self.optimizer)?),
            (SCHEDULE, received(&self.schedule)?),
        ])
    }
}

/// The bytes of what a slot passed on.
fn received<R: Part>(records: &Receiver<R>) -> Result<Bytes, TrainError> {
    let record = records
        .recv()
        .map_err(|error| TrainError::Learner(error.to_string()))?;
    record
        .checkpoint_into_bytes()
        .map_err(|error| TrainError::Learner(error.to_string()))
}

/// Passes on what it is given.
struct Slot<R>(Mutex<Sender<R>>);

impl<R> Slot<R> {
    fn new() -> (Self, Receiver<R>) {
        let (sender, receiver) = channel();
        (Self(Mutex::new(sender)), receiver)
    }
}

impl<R: Part> Checkpointer<R> for Slot<R> {
    fn save(&self, _epoch: usize, record: R) -> Result<(), CheckpointerError> {
        lock(&self.0)
            .send(record)
            .map_err(|error| CheckpointerError::Unknown(error.to_string()))
    }

    fn delete(&self, _epoch: usize) -> Result<(), CheckpointerError> {
        Ok(())
    }

    fn restore(&self, _epoch: usize) -> Result<R, CheckpointerError> {
        Err(CheckpointerError::Unknown(
            "checkpoints are restored before the Learner is made".to_owned(),
        ))
    }
}

/// Saves whenever it is asked.
struct Always;

impl CheckpointingStrategy for Always {
    fn checkpointing(&mut self, _: usize, _: &EventStoreClient) -> Vec<CheckpointingAction> {
        vec![CheckpointingAction::Save]
    }
}

/// `classifier`, `optimizer` and `schedule` with the state that `checkpoint` holds.
///
/// # Errors
/// [`CheckpointError::Load`] where a part does not fit.
pub(crate) fn load_learner(
    checkpoint: &mut Checkpoint,
    classifier: Classifier,
    optimizer: ModuleOptimizer,
    schedule: ModuleLrScheduler,
) -> Result<(Classifier, ModuleOptimizer, ModuleLrScheduler), CheckpointError> {
    let path = checkpoint.path.clone();
    let misfit = |part, reason: String| CheckpointError::Load {
        path: path.clone(),
        part,
        reason,
    };
    let mut bytes = |part| checkpoint.take(part).map(Bytes::from_bytes_vec);
    let classifier = ModuleRecord::from_bytes(bytes(MODEL)?)
        .and_then(|record| classifier.try_load_record(record))
        .map_err(|error| misfit(MODEL, error.to_string()))?;
    let record = OptimizerRecord::from_bytes(bytes(OPTIMIZER)?)
        .map_err(|error| misfit(OPTIMIZER, error.to_string()))?;
    // Burn panics at a state whose shape is not its own.
    let optimizer = catch_unwind(AssertUnwindSafe(|| optimizer.load_record(record)))
        .map_err(|_| misfit(OPTIMIZER, "it is of other shapes".to_owned()))?;
    let record = LrSchedulerRecord::from_bytes(bytes(SCHEDULE)?)
        .map_err(|error| misfit(SCHEDULE, error.to_string()))?;
    let schedule = schedule.load_record(record);
    Ok((classifier, optimizer, schedule))
}
