//! The owner of threads and scratch buffers.

use std::ops::{Deref, DerefMut};
use std::sync::{Mutex, PoisonError};

use rayon::ThreadPool;
use rayon::prelude::*;
use thiserror::Error;

/// Why a [`Context`] could not be made.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ContextError {
    /// The number of threads is zero.
    #[error("the number of threads is 0, but it must be at least 1")]
    NoThreads,
    /// The operating system refused the threads.
    #[error("could not start {threads} threads; ask for fewer")]
    Threads {
        /// The number of threads that was asked for.
        threads: usize,
        /// What the thread pool reported.
        source: rayon::ThreadPoolBuildError,
    },
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
    pool: Option<ThreadPool>,
    floats: Shelf<f32>,
    doubles: Shelf<f64>,
}

impl Context {
    /// A context with `threads` threads. With one thread, operations run on the caller's thread
    /// and no thread is started.
    ///
    /// # Errors
    ///
    /// `threads` is zero, or the operating system refuses to start so many.
    pub fn new(threads: usize) -> Result<Self, ContextError> {
        let pool = match threads {
            0 => return Err(ContextError::NoThreads),
            1 => None,
            _ => Some(
                rayon::ThreadPoolBuilder::new()
                    .num_threads(threads)
                    .thread_name(|index| format!("cpu-kernels-{index}"))
                    .build()
                    .map_err(|source| ContextError::Threads { threads, source })?,
            ),
        };
        Ok(Self {
            threads,
            pool,
            floats: Shelf::default(),
            doubles: Shelf::default(),
        })
    }

    /// The number of threads.
    #[must_use]
    pub fn threads(&self) -> usize {
        self.threads
    }

    /// A scratch buffer of `len` elements with unspecified values.
    pub(crate) fn floats(&self, len: usize) -> Scratch<'_, f32> {
        self.floats.take(len)
    }

    /// A scratch buffer of `len` elements with unspecified values, for sums in double precision.
    pub(crate) fn doubles(&self, len: usize) -> Scratch<'_, f64> {
        self.doubles.take(len)
    }

    /// Calls `body(index, chunk)` for every chunk of `chunk_len` elements of `data`.
    pub(crate) fn for_each_chunk<T: Send>(
        &self,
        data: &mut [T],
        chunk_len: usize,
        body: impl Fn(usize, &mut [T]) + Send + Sync,
    ) {
        match &self.pool {
            Some(pool) if data.len() > chunk_len => pool.install(|| {
                data.par_chunks_mut(chunk_len)
                    .enumerate()
                    .for_each(|(index, chunk)| body(index, chunk));
            }),
            _ => {
                for (index, chunk) in data.chunks_mut(chunk_len).enumerate() {
                    body(index, chunk);
                }
            }
        }
    }

    /// Calls `body(index, first_chunk, second_chunk)` for the chunks of two slices that are cut
    /// into the same number of chunks.
    pub(crate) fn for_each_chunk_pair<T: Send, U: Send>(
        &self,
        (first, first_len): (&mut [T], usize),
        (second, second_len): (&mut [U], usize),
        body: impl Fn(usize, &mut [T], &mut [U]) + Send + Sync,
    ) {
        match &self.pool {
            Some(pool) if first.len() > first_len => pool.install(|| {
                first
                    .par_chunks_mut(first_len)
                    .zip(second.par_chunks_mut(second_len))
                    .enumerate()
                    .for_each(|(index, (a, b))| body(index, a, b));
            }),
            _ => {
                let pairs = first
                    .chunks_mut(first_len)
                    .zip(second.chunks_mut(second_len));
                for (index, (a, b)) in pairs.enumerate() {
                    body(index, a, b);
                }
            }
        }
    }
}

/// Buffers that nobody uses at the moment.
#[derive(Debug, Default)]
struct Shelf<T>(Mutex<Vec<Vec<T>>>);

impl<T: Copy + Default> Shelf<T> {
    fn take(&self, len: usize) -> Scratch<'_, T> {
        let mut buffer = self.best_fit(len).unwrap_or_default();
        if buffer.len() < len {
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
