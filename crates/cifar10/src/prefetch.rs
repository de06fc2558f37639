//! Batches prepared ahead by threads, so that the device never waits for the host.
//!
//! Step `s` of an epoch is prepared by thread `s % threads` and collected from that same thread.
//! So batches come in the epoch's order whatever the threads' speeds, and are the same as without
//! threads.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{Builder, JoinHandle};

use crate::error::Error;
use crate::loader::{Epoch, HostBatch, Loader};

/// Batches that are under way or ready for each thread.
const AHEAD_PER_THREAD: usize = 2;

/// Prepares batches ahead with threads that live as long as it does.
///
/// ```no_run
/// # fn train(_: &cifar10::HostBatch) {}
/// # fn run(loader: cifar10::Loader) -> Result<(), cifar10::Error> {
/// let mut prefetcher = cifar10::Prefetcher::new(loader, 2)?;
/// let mut batch = cifar10::HostBatch::default();
/// for epoch in 0..8 {
///     prefetcher.start(epoch, 0);
///     while prefetcher.next(&mut batch)? {
///         train(&batch);
///     }
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Prefetcher {
    loader: Loader,
    workers: Vec<Worker>,
    spare: Vec<HostBatch>,
    epoch: Arc<Epoch>,
    next_to_ask: usize,
    next_to_give: usize,
}

/// What a thread does with a job; a parameter so that a test can make it fail.
type Prepare = fn(&Epoch, usize, &mut HostBatch) -> Result<(), Error>;

struct Job {
    epoch: Arc<Epoch>,
    step: usize,
    batch: HostBatch,
}

#[derive(Debug)]
struct Worker {
    /// `None` only while the worker is shut down.
    jobs: Option<Sender<Job>>,
    results: Receiver<Result<HostBatch, Error>>,
    thread: Option<JoinHandle<()>>,
}

impl Prefetcher {
    /// Starts `threads` threads, at least one, that prepare batches of `loader`. They wait until
    /// [`Prefetcher::start`].
    ///
    /// # Errors
    /// [`Error::Worker`] if the system gives no thread.
    pub fn new(loader: Loader, threads: usize) -> Result<Self, Error> {
        Self::with(loader, threads, Epoch::batch)
    }

    fn with(loader: Loader, threads: usize, prepare: Prepare) -> Result<Self, Error> {
        let workers = (0..threads.max(1))
            .map(|number| Worker::spawn(number, prepare))
            .collect::<Result<Vec<_>, _>>()?;
        // There is nothing to give until an epoch is started.
        let epoch = Arc::new(loader.epoch(0));
        let steps = epoch.steps();
        Ok(Self {
            loader,
            workers,
            spare: Vec::new(),
            epoch,
            next_to_ask: steps,
            next_to_give: steps,
        })
    }

    /// Begins `epoch` at `first_step`, 0 unless a run resumes inside it. What was still under way
    /// is dropped.
    pub fn start(&mut self, epoch: u64, first_step: usize) {
        self.drain();
        self.epoch = Arc::new(self.loader.epoch(epoch));
        self.next_to_ask = first_step;
        self.next_to_give = first_step;
        self.ask();
    }

    /// Number of batches in an epoch.
    #[must_use]
    pub fn steps(&self) -> usize {
        self.loader.steps()
    }

    /// Puts the next batch in `batch` and takes the memory that was there for a later one. Returns
    /// false at the epoch's end, and `batch` is then as it was.
    ///
    /// # Errors
    /// [`Error::Worker`] if a thread has died; a panic there arrives here, and never as a hang.
    pub fn next(&mut self, batch: &mut HostBatch) -> Result<bool, Error> {
        if self.next_to_give >= self.epoch.steps() {
            return Ok(false);
        }
        // After an error nothing may be under way, and waiting would never end.
        self.ask();
        let prepared = self.receive()?;
        self.spare.push(std::mem::replace(batch, prepared));
        self.ask();
        Ok(true)
    }

    /// Hands out jobs until enough are under way.
    fn ask(&mut self) {
        let ahead = AHEAD_PER_THREAD * self.workers.len();
        let end = self.epoch.steps().min(self.next_to_give + ahead);
        while self.next_to_ask < end {
            let step = self.next_to_ask;
            let job = Job {
                epoch: Arc::clone(&self.epoch),
                step,
                batch: self.spare.pop().unwrap_or_default(),
            };
            let index = step % self.workers.len();
            if let Some(jobs) = self
                .workers
                .get(index)
                .and_then(|worker| worker.jobs.as_ref())
            {
                // A dead thread takes no job; receiving from it says so.
                let _ = jobs.send(job);
            }
            self.next_to_ask += 1;
        }
    }

    /// Waits for the oldest batch under way.
    fn receive(&mut self) -> Result<HostBatch, Error> {
        let index = self.next_to_give % self.workers.len();
        self.next_to_give += 1;
        let dead = || Error::Worker(format!("batch thread {index} is gone"));
        self.workers
            .get(index)
            .ok_or_else(dead)?
            .results
            .recv()
            .map_err(|_| dead())?
    }

    /// Takes back what is under way.
    fn drain(&mut self) {
        while self.next_to_give < self.next_to_ask {
            if let Ok(batch) = self.receive() {
                self.spare.push(batch);
            }
        }
    }
}

impl Worker {
    fn spawn(number: usize, prepare: Prepare) -> Result<Self, Error> {
        let (jobs, incoming) = channel::<Job>();
        let (outgoing, results) = channel();
        let thread = Builder::new()
            .name(format!("batch-{number}"))
            .spawn(move || {
                for mut job in incoming {
                    let prepared = catch_unwind(AssertUnwindSafe(|| {
                        prepare(&job.epoch, job.step, &mut job.batch)
                    }));
                    let result = match prepared {
                        Ok(result) => result.map(|()| job.batch),
                        Err(payload) => Err(Error::Worker(message(payload.as_ref()))),
                    };
                    if outgoing.send(result).is_err() {
                        break;
                    }
                }
            })
            .map_err(|error| Error::Worker(format!("no thread could be started: {error}")))?;
        Ok(Self {
            jobs: Some(jobs),
            results,
            thread: Some(thread),
        })
    }
}

impl Drop for Worker {
    /// Lets the thread finish the jobs it has, at most [`AHEAD_PER_THREAD`], and waits for it.
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            // The thread catches panics, and a destructor could not report one anyway.
            let _ = thread.join();
        }
    }
}

/// The text of a panic.
fn message(payload: &(dyn std::any::Any + Send)) -> String {
    if let Some(text) = payload.downcast_ref::<&str>() {
        (*text).to_owned()
    } else if let Some(text) = payload.downcast_ref::<String>() {
        text.clone()
    } else {
        "a panic without a message".to_owned()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use super::*;
    use crate::loader::LoaderConfig;
    use crate::synthetic::{self, Part};

    fn loader() -> Loader {
        let images = synthetic::generate(Part::Train, 103, 0);
        Loader::all(images, LoaderConfig::training(10, 0)).unwrap()
    }

    #[test]
    fn a_panic_in_a_thread_becomes_an_error_and_not_a_hang() {
        fn prepare(epoch: &Epoch, step: usize, batch: &mut HostBatch) -> Result<(), Error> {
            assert!(step != 5, "step five is broken");
            epoch.batch(step, batch)
        }
        let mut prefetcher = Prefetcher::with(loader(), 2, prepare).unwrap();
        let mut batch = HostBatch::default();
        prefetcher.start(0, 0);
        for _ in 0..5 {
            assert!(prefetcher.next(&mut batch).unwrap());
        }
        let error = prefetcher.next(&mut batch).unwrap_err().to_string();
        assert!(error.contains("step five is broken"), "{error}");

        // The threads survive, so that another epoch can be started.
        prefetcher.start(1, 6);
        assert!(prefetcher.next(&mut batch).unwrap());
        assert_eq!(batch.indices, loader().epoch(1).order()[60..70]);
    }

    #[test]
    fn a_dead_thread_becomes_an_error_and_not_a_hang() {
        let mut prefetcher = Prefetcher::with(loader(), 1, Epoch::batch).unwrap();
        let (jobs, _) = channel();
        let (_, results) = channel();
        prefetcher.workers = vec![Worker {
            jobs: Some(jobs),
            results,
            thread: None,
        }];
        prefetcher.start(0, 0);
        assert!(matches!(
            prefetcher.next(&mut HostBatch::default()),
            Err(Error::Worker(_))
        ));
    }
}
