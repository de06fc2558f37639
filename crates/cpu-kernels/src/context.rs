//! The owner of threads and scratch buffers.

use std::ops::{Deref, DerefMut};
use std::sync::{Mutex, PoisonError};

use thiserror::Error;

use crate::crew::{Crew, each_chunk};
use crate::divide::Divide;
use crate::isa::{Isa, IsaError};
use crate::product::{Group, Run, Term};
use crate::simd::{CheckedIsa, Kernel, dispatch};

/// The most threads that a context starts. More would take minutes to start and stop a machine.
pub const MOST_THREADS: usize = 1024;

/// Why a [`Context`] could not be made.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ContextError {
    /// The number of threads is zero, or above [`MOST_THREADS`].
    #[error("the number of threads is {threads}, but it must be from 1 to {MOST_THREADS}")]
    ThreadCount {
        /// The number of threads that was asked for.
        threads: usize,
    },
    /// The operating system refused the threads.
    #[error("could not start {threads} threads; ask for fewer")]
    Threads {
        /// The number of threads that was asked for.
        threads: usize,
        /// What the system said.
        source: std::io::Error,
    },
    /// The instruction set that was asked for cannot be used.
    #[error(transparent)]
    Isa(#[from] IsaError),
}

/// How exactly convolutions are computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Precision {
    /// Every product of the definition.
    Exact,
    /// Winograd's algorithm where it pays: up to four times fewer products, and rounding errors of
    /// some 1e-6 of a value in place of some 1e-7.
    #[default]
    Fast,
}

/// Threads and scratch buffers for the operations of this crate.
///
/// One context serves any number of callers at a time. The number of threads never changes a
/// result. Scratch buffers are kept for the next call, so that a training step that repeats the
/// shapes of the one before allocates nothing.
#[derive(Debug)]
pub struct Context {
    threads: usize,
    /// Absent with one thread: work then runs on the caller's thread.
    crew: Option<Crew>,
    isa: CheckedIsa,
    precision: Precision,
    runs: Shelf<Run>,
    terms: Shelf<Term>,
    groups: Shelf<Group>,
    floats: Shelf<f32>,
    bytes: Shelf<u8>,
    doubles: Shelf<f64>,
}

impl Context {
    /// A context with `threads` threads, [`Precision::Fast`], and the instruction set that
    /// [`Isa::chosen`] gives. With one thread, operations run on the caller's thread and no thread
    /// is started.
    ///
    /// # Errors
    ///
    /// `threads` is zero, the operating system refuses to start so many, or
    /// [`crate::isa::ISA_VARIABLE`] names what this processor lacks.
    pub fn new(threads: usize) -> Result<Self, ContextError> {
        Self::with(threads, Precision::default(), Isa::chosen()?)
    }

    /// A context with `threads` threads, `precision` and `isa`.
    ///
    /// # Errors
    ///
    /// As [`Context::new`], where this processor lacks `isa`.
    pub fn with(threads: usize, precision: Precision, isa: Isa) -> Result<Self, ContextError> {
        let isa = CheckedIsa::new(isa)?;
        let crew = match threads {
            1 => None,
            // The thread that calls is one of them.
            2..=MOST_THREADS => Some(
                Crew::start(threads - 1)
                    .map_err(|source| ContextError::Threads { threads, source })?,
            ),
            _ => return Err(ContextError::ThreadCount { threads }),
        };
        Ok(Self {
            threads,
            crew,
            isa,
            precision,
            runs: Shelf::default(),
            terms: Shelf::default(),
            groups: Shelf::default(),
            floats: Shelf::default(),
            bytes: Shelf::default(),
            doubles: Shelf::default(),
        })
    }

    /// The number of threads.
    #[must_use]
    pub fn threads(&self) -> usize {
        self.threads
    }

    /// The instruction set in use.
    #[must_use]
    pub fn isa(&self) -> Isa {
        self.isa.isa()
    }

    /// How exactly convolutions are computed.
    #[must_use]
    pub fn precision(&self) -> Precision {
        self.precision
    }

    /// Elements of a vector.
    pub(crate) fn lanes(&self) -> usize {
        self.isa.lanes()
    }

    /// Runs `kernel` on the caller's thread.
    #[inline]
    pub(crate) fn compute<K: Kernel>(&self, kernel: K) -> K::Output {
        dispatch(self.isa, kernel)
    }

    /// Calls `body(chunk, parts)` for each of `chunks` chunks of `data`.
    pub(crate) fn divide<D: Divide>(
        &self,
        chunks: usize,
        data: D,
        body: impl Fn(usize, D) + Send + Sync,
    ) {
        match &self.crew {
            Some(crew) if chunks > 1 => crew.divide(chunks, data, body),
            _ => each_chunk(0, chunks, data, &body),
        }
    }

    /// Room for the runs of a product, with unspecified values.
    pub(crate) fn runs(&self, len: usize) -> Scratch<'_, Run> {
        self.runs.take(len)
    }

    /// Room for the terms of a sparse product, with unspecified values.
    pub(crate) fn terms(&self, len: usize) -> Scratch<'_, Term> {
        self.terms.take(len)
    }

    /// Room for the groups of a sparse product, with unspecified values.
    pub(crate) fn groups(&self, len: usize) -> Scratch<'_, Group> {
        self.groups.take(len)
    }

    /// A scratch buffer of `len` elements with unspecified values.
    pub(crate) fn floats(&self, len: usize) -> Scratch<'_, f32> {
        self.floats.take(len)
    }

    /// A scratch buffer of `len` bytes with unspecified values.
    pub(crate) fn bytes(&self, len: usize) -> Scratch<'_, u8> {
        self.bytes.take(len)
    }

    /// A scratch buffer of `len` elements with unspecified values, for sums in double precision.
    pub(crate) fn doubles(&self, len: usize) -> Scratch<'_, f64> {
        self.doubles.take(len)
    }
}

/// Buffers that nobody uses at the moment.
#[derive(Debug, Default)]
struct Shelf<T>(Mutex<Vec<Vec<T>>>);

impl<T: Copy + Default> Shelf<T> {
    fn take(&self, len: usize) -> Scratch<'_, T> {
        let mut buffer = self.best_fit(len).unwrap_or_default();
        if buffer.len() < len {
            buffer.reserve_exact(len - buffer.len());
            buffer.resize(len, T::default());
        }
        Scratch {
            shelf: self,
            buffer,
            len,
        }
    }

    /// Removes the smallest buffer that holds `len` elements, or else the largest one.
    fn best_fit(&self, len: usize) -> Option<Vec<T>> {
        let mut buffers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (index, _) = buffers.iter().enumerate().min_by_key(|(_, buffer)| {
            let missing = len.saturating_sub(buffer.len());
            (missing, buffer.len())
        })?;
        Some(buffers.swap_remove(index))
    }
}

/// A scratch buffer, which goes back to its context when it is dropped.
pub(crate) struct Scratch<'a, T: Copy + Default> {
    shelf: &'a Shelf<T>,
    buffer: Vec<T>,
    len: usize,
}

impl<T: Copy + Default> Deref for Scratch<'_, T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.buffer[..self.len]
    }
}

impl<T: Copy + Default> DerefMut for Scratch<'_, T> {
    fn deref_mut(&mut self) -> &mut [T] {
        &mut self.buffer[..self.len]
    }
}

impl<T: Copy + Default> Drop for Scratch<'_, T> {
    fn drop(&mut self) {
        let buffer = std::mem::take(&mut self.buffer);
        self.shelf
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(buffer);
    }
}
