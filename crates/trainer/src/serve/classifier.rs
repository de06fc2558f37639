//! The network's thread, and batches for it.

use std::fs;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use burn::tensor::Device;
use cifar10::Normalization;
use model::FoldedNetwork;
use tokio::sync::{mpsc, oneshot};

use super::refusal::{Refusal, machine};
use crate::device::DeviceChoice;
use crate::evaluation;
use crate::photo::Photo;
use crate::run::{CLASSES, RunFolder};
use crate::trained::{Trained, TrainedError, WeightChoice};
use crate::training::checkpoint::{Name, Store};

/// Images that go through the network together.
const BATCH: usize = 64;
/// Images that wait for the network; who comes after them waits to wait.
const QUEUE: usize = 256;
/// How often a run that goes on is looked at for newer weights.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// The probability of each class.
type Probabilities = [f32; CLASSES];

/// The way to a run's network, which lives on a thread of its own. Requests that arrive together share
/// a batch.
#[derive(Debug)]
pub struct Classifier {
    jobs: mpsc::Sender<Job>,
}

struct Job {
    photo: Photo,
    answer: oneshot::Sender<Result<Probabilities, Refusal>>,
}

impl Classifier {
    /// Starts the thread with the weights that `choice` names in `folder`. Those of a run that goes on
    /// are loaded again when there are newer ones, and may be missing at first.
    ///
    /// # Errors
    /// [`TrainedError`] where the run's network cannot be had.
    pub fn start(
        folder: RunFolder,
        choice: WeightChoice,
        device: DeviceChoice,
    ) -> Result<Self, TrainedError> {
        let mut weights = Weights {
            state: None,
            looked: Instant::now(),
            network: None,
            folder,
            choice,
            device,
        };
        weights.load()?;
        let (jobs, waiting) = mpsc::channel(QUEUE);
        thread::spawn(move || answer_all(waiting, weights));
        Ok(Self { jobs })
    }

    /// What the network says of a photo.
    ///
    /// # Errors
    /// `Refusal::NoWeights` where the run has none yet, `Refusal::Machine` where the device fails.
    pub async fn classify(&self, photo: Photo) -> Result<Probabilities, Refusal> {
        let (answer, answered) = oneshot::channel();
        let sent = self.jobs.send(Job { photo, answer }).await;
        sent.map_err(|error| machine(&error))?;
        answered.await.map_err(|error| machine(&error))?
    }
}

/// Takes what waits, up to a batch, and answers it, until there is nobody to ask.
fn answer_all(mut waiting: mpsc::Receiver<Job>, mut weights: Weights) {
    let mut jobs = Vec::new();
    while waiting.blocking_recv_many(&mut jobs, BATCH) > 0 {
        weights.look();
        let answers = weights.classify(&jobs);
        for (place, job) in jobs.drain(..).enumerate() {
            let answer = match &answers {
                Ok(rows) => rows.get(place).copied().ok_or(Refusal::Machine),
                Err(Refusal::NoWeights) => Err(Refusal::NoWeights),
                Err(_) => Err(Refusal::Machine),
            };
            // Who went away needs no answer.
            let _ = job.answer.send(answer);
        }
    }
}

/// What tells weights from others: the time of the file, and the names of the checkpoints.
type State = (Option<SystemTime>, Vec<Name>);

/// A run's weights, which may change while it goes on.
struct Weights {
    folder: RunFolder,
    choice: WeightChoice,
    device: DeviceChoice,
    network: Option<(FoldedNetwork, Normalization, Device)>,
    state: Option<State>,
    looked: Instant,
}

impl Weights {
    /// Loads the weights. That there are none yet is no error.
    fn load(&mut self) -> Result<(), TrainedError> {
        // Noted before, so that what comes in between is found at the next look.
        self.state = self.state_now();
        match Trained::open(&self.folder, &self.choice, &self.device) {
            Ok(trained) => {
                let network = trained.network.folded();
                self.network = Some((network, trained.normalization(), trained.device));
                Ok(())
            }
            Err(TrainedError::NoWeights(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Loads newer weights where there are any; those at hand stay where that fails, and standard error
    /// says so.
    fn look(&mut self) {
        if self.looked.elapsed() < LOOK_EVERY {
            return;
        }
        if self.state_now() != self.state
            && let Err(error) = self.load()
        {
            machine(&error);
        }
        self.looked = Instant::now();
    }

    fn state_now(&self) -> Option<State> {
        if matches!(self.choice, WeightChoice::File(_)) {
            return None;
        }
        let file = fs::metadata(self.folder.model_burnpack());
        let changed = file.and_then(|file| file.modified()).ok();
        let names = Store::new(self.folder.checkpoints()).names().ok()?;
        Some((changed, names))
    }

    fn classify(&self, jobs: &[Job]) -> Result<Vec<Probabilities>, Refusal> {
        let (network, normalization, device) = self.network.as_ref().ok_or(Refusal::NoWeights)?;
        let mut images = Vec::new();
        for job in jobs {
            job.photo.append_to(&mut images, normalization);
        }
        evaluation::classify(network, images, device).map_err(|error| machine(&error))
    }
}
