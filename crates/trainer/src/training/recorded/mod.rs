//! Steps of a training that a GPU is asked for again as they were recorded.
//!
//! A small batch is computed sooner than the host can ask for it: hundreds of kernels, each with its search, its
//! reservations and its bindings, and the graph of their gradients. Where asking takes most of the time, a loss and its
//! gradients are computed by a recording (`model::backend::recording`): weights, running statistics and images are
//! copied to where it reads them, and the same kernels compute the same bits. The optimiser's step, which changes from
//! step to step, is asked for as ever. A device that has enough to do keeps its memory, which a recording takes again.

#[cfg(feature = "wgpu")]
mod gpu;

use burn_train::{ClassificationOutput, TrainOutput, TrainStep};

use super::{Batch, Classifier};

/// Batches of one size before they are recorded. The first ones make kernels, and the last shows whether it pays.
#[cfg(feature = "wgpu")]
const BEFORE: usize = 3;

/// Computes batches, from a recording where that pays.
#[derive(Debug, Default)]
pub struct Recorder {
    #[cfg(feature = "wgpu")]
    state: gpu::State,
    #[cfg(feature = "wgpu")]
    always: bool,
    has_spoken: bool,
}

impl Recorder {
    /// One that records whether it pays or not.
    #[must_use]
    pub fn always() -> Self {
        Self {
            #[cfg(feature = "wgpu")]
            always: true,
            ..Self::default()
        }
    }

    /// The loss of a batch and its gradients, as the classifier's own step has them.
    pub fn step(
        &mut self,
        classifier: &Classifier,
        batch: &Batch,
    ) -> TrainOutput<ClassificationOutput> {
        #[cfg(feature = "wgpu")]
        if let Some(output) = self.state.step(classifier, batch, self.always) {
            return output;
        }
        TrainStep::step(classifier, batch.clone())
    }

    /// Whether batches come from a recording.
    #[must_use]
    pub fn records(&self) -> bool {
        #[cfg(feature = "wgpu")]
        return matches!(self.state, gpu::State::Recorded(_));
        #[cfg(not(feature = "wgpu"))]
        false
    }

    /// What is to be said of recording, once.
    pub fn news(&mut self) -> Option<String> {
        if self.has_spoken {
            return None;
        }
        let news = if self.records() {
            Some("steps are recorded, since they are computed sooner than they are asked for one by one".to_owned())
        } else {
            self.refusal()
        };
        self.has_spoken = news.is_some();
        news
    }

    #[cfg(feature = "wgpu")]
    fn refusal(&self) -> Option<String> {
        match &self.state {
            gpu::State::Off(Some(refusal)) => Some(format!("steps are not recorded: {refusal}")),
            _ => None,
        }
    }

    #[cfg(not(feature = "wgpu"))]
    fn refusal(&self) -> Option<String> {
        None
    }
}
