//! How the crate tells its caller what takes long, without knowing a terminal.

use std::io::Read;

/// Something worth telling while data is fetched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event<'a> {
    /// One line for the user, such as which source is tried or which file is corrupt.
    Note(&'a str),
    /// A longer task begins.
    Start {
        /// What is done, such as "downloading cifar-10-binary.tar.gz".
        task: &'a str,
        /// Bytes in all. The time left follows from this and the rate of [`Event::Advance`].
        total: u64,
    },
    /// The running task has handled this many bytes in all. The first event of a resumed
    /// download starts above zero.
    Advance(u64),
    /// The running task is over, successfully or not.
    Finish,
}

/// Receives events. The trainer implements it with a progress bar.
pub trait Progress: Send + Sync {
    /// Called from the thread that loads, often; it should return quickly.
    fn report(&self, event: Event<'_>);
}

/// Ignores every event.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Progress for Silent {
    fn report(&self, _event: Event<'_>) {}
}

impl<F: Fn(Event<'_>) + Send + Sync> Progress for F {
    fn report(&self, event: Event<'_>) {
        self(event);
    }
}

/// A running task. Dropping it finishes it, so that an error leaves no bar behind.
pub(crate) struct Task<'a> {
    progress: &'a dyn Progress,
    done: u64,
}

impl<'a> Task<'a> {
    pub(crate) fn start(progress: &'a dyn Progress, task: &str, total: u64) -> Self {
        progress.report(Event::Start { task, total });
        Self { progress, done: 0 }
    }

    /// Sets the number of bytes handled so far.
    pub(crate) fn set(&mut self, done: u64) {
        self.done = done;
        self.progress.report(Event::Advance(done));
    }

    /// Adds to the number of bytes handled so far.
    pub(crate) fn add(&mut self, bytes: u64) {
        self.set(self.done + bytes);
    }
}

/// A reader that counts for a task what goes through it.
pub(crate) struct CountingReader<'a, 'b, R> {
    inner: R,
    task: &'a mut Task<'b>,
}

impl<'a, 'b, R: Read> CountingReader<'a, 'b, R> {
    pub(crate) fn new(inner: R, task: &'a mut Task<'b>) -> Self {
        Self { inner, task }
    }
}

impl<R: Read> Read for CountingReader<'_, '_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.task.add(count as u64);
        Ok(count)
    }
}

impl Drop for Task<'_> {
    fn drop(&mut self) {
        self.progress.report(Event::Finish);
    }
}
