//! The owner of threads and scratch buffers.

use std::ops::Deref;

use thiserror::Error;

use crate::crew::{Crew, MOST_PARTICIPANTS, each_chunk};
use crate::divide::Divide;
use crate::isa::{Isa, IsaError};
use crate::product::{Group, Run, Term};
use crate::scratch::{self, Pool, Scratch};
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
/// result. Scratch buffers are kept for the next call, so that operations which come again, one at a
/// time and with the shapes that they had, allocate nothing, whichever thread does what. What is
/// kept is bounded: one set of buffers that the greatest operations fit into for what an operation
/// needs as a whole, and one for each thread for what it needs at a time. Callers at the same time
/// may each need a set of their own.
#[derive(Debug)]
pub struct Context {
    threads: usize,
    /// Absent with one thread: work then runs on the caller's thread.
    crew: Option<Crew>,
    isa: CheckedIsa,
    precision: Precision,
    /// What operations need as a whole.
    pool: Pool,
    /// For each thread what it needs for one chunk of an operation.
    workers: Vec<Pool>,
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
            pool: Pool::default(),
            workers: (0..threads.min(MOST_PARTICIPANTS))
                .map(|_| Pool::default())
                .collect(),
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

    /// Bytes of all scratch buffers, which the context keeps until it is dropped.
    #[must_use]
    pub fn scratch_bytes(&self) -> usize {
        self.pool.size() + self.workers.iter().map(Pool::size).sum::<usize>()
    }

    /// Calls `body(worker, chunk, parts)` for each of `chunks` chunks of `data`. What it needs for the
    /// chunk it asks of the worker, never of the context: which of the threads has come to a chunk
    /// in the first step is chance, but each then has the room for one.
    pub(crate) fn divide<D: Divide>(
        &self,
        chunks: usize,
        data: D,
        body: impl Fn(&Worker<'_>, usize, D) + Send + Sync,
    ) {
        let body = |number: usize, chunk: usize, data: D| {
            let pool = self.workers.get(number).unwrap_or(&self.pool);
            let context = self;
            body(&Worker { context, pool }, chunk, data);
        };
        let participants = match &self.crew {
            Some(crew) if chunks > 1 => crew.divide(chunks, data, body),
            _ => {
                each_chunk(0, chunks, data, &|chunk, data| body(0, chunk, data));
                1
            }
        };
        if self.crew.is_some() {
            scratch::share(self.workers.get(..participants).unwrap_or_default());
        }
    }

    /// Room for the runs of a product, with unspecified values.
    pub(crate) fn runs(&self, len: usize) -> Scratch<'_, Run> {
        self.pool.take(len)
    }

    /// A scratch buffer of `len` elements with unspecified values.
    pub(crate) fn floats(&self, len: usize) -> Scratch<'_, f32> {
        self.pool.take(len)
    }

    /// A scratch buffer of `len` elements with unspecified values, for sums in double precision.
    pub(crate) fn doubles(&self, len: usize) -> Scratch<'_, f64> {
        self.pool.take(len)
    }
}

/// A thread at work on a chunk: its context, and buffers of its own.
pub(crate) struct Worker<'c> {
    context: &'c Context,
    pool: &'c Pool,
}

impl<'c> Worker<'c> {
    /// A scratch buffer of `len` elements with unspecified values.
    pub(crate) fn floats(&self, len: usize) -> Scratch<'c, f32> {
        self.pool.take(len)
    }

    /// A scratch buffer of `len` bytes with unspecified values.
    pub(crate) fn bytes(&self, len: usize) -> Scratch<'c, u8> {
        self.pool.take(len)
    }

    /// Room for the terms of a sparse product, with unspecified values.
    pub(crate) fn terms(&self, len: usize) -> Scratch<'c, Term> {
        self.pool.take(len)
    }

    /// Room for the groups of a sparse product, with unspecified values.
    pub(crate) fn groups(&self, len: usize) -> Scratch<'c, Group> {
        self.pool.take(len)
    }
}

impl Deref for Worker<'_> {
    type Target = Context;

    fn deref(&self) -> &Context {
        self.context
    }
}
