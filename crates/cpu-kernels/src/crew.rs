//! Threads that help the thread which calls an operation with its chunks.
//!
//! An operation lasts from some microseconds to some milliseconds, and a step has hundreds. So the
//! caller works too and never waits for a helper that has not begun, and a helper looks for the next
//! operation for a while before it sleeps: to be woken costs as much as a small operation.
//!
//! Each participant begins with its own part of the chunks, the same one in every operation, because
//! the images of that part are in its cache, and goes on with what the others have left.

#![allow(unsafe_code)]

use std::any::Any;
use std::array;
use std::cell::UnsafeCell;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, TryLockError};
use std::thread::{self, Builder, JoinHandle};
use std::time::{Duration, Instant};

use crate::divide::Divide;

/// The most pieces that an operation is cut into. More would not be done any sooner, and they lie on
/// the caller's stack.
const MOST_PIECES: usize = 64;

/// How long a helper looks for the next operation before it sleeps: longer than what lies between two
/// operations of a step.
const LOOK_FOR: Duration = Duration::from_micros(200);

/// Looks between two readings of the clock.
const LOOKS: usize = 64;

/// Looks of a caller that waits for a helper before it lets other threads run.
const PATIENT_LOOKS: usize = 2_000;

/// Set in the state while an operation can be joined.
const OPEN: usize = 1 << 16;
/// What an operation adds to the state, so that no helper takes it for the one before.
const ROUND: usize = 1 << 17;
/// The part of the state that counts helpers at work.
const HELPERS: usize = OPEN - 1;

/// What a helper is to do: `work` with the address of the operation and the helper's number.
#[derive(Clone, Copy)]
struct Order {
    work: unsafe fn(*const (), usize),
    operation: *const (),
}

/// What the caller and the helpers share.
struct Shared {
    /// The number of the operation, whether it can be joined, and the helpers that are at work on it.
    state: AtomicUsize,
    order: UnsafeCell<Order>,
    ends: AtomicBool,
    /// For each helper whether it sleeps, or is about to.
    asleep: Vec<AtomicBool>,
}

// SAFETY: `order` is written only by the owner of `Crew::caller`, while the state is closed and counts
// no helper; it is read only by helpers that the state counts. The state's changes order the two. What
// it points to may be used by several threads at a time, as `Crew::divide` asks for.
unsafe impl Sync for Shared {}
// SAFETY: as above.
unsafe impl Send for Shared {}

/// Threads beside the caller's.
pub(crate) struct Crew {
    shared: Arc<Shared>,
    helpers: Vec<JoinHandle<()>>,
    /// Held by the thread whose operation the helpers work on.
    caller: Mutex<()>,
}

impl std::fmt::Debug for Crew {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut crew = formatter.debug_struct("Crew");
        crew.field("helpers", &self.helpers.len())
            .finish_non_exhaustive()
    }
}

impl Crew {
    /// Starts `helpers` threads.
    pub(crate) fn start(helpers: usize) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            state: AtomicUsize::new(0),
            order: UnsafeCell::new(Order {
                work: |_, _| {},
                operation: std::ptr::null(),
            }),
            ends: AtomicBool::new(false),
            asleep: (0..helpers).map(|_| AtomicBool::new(false)).collect(),
        });
        let mut crew = Self {
            shared,
            helpers: Vec::with_capacity(helpers),
            caller: Mutex::new(()),
        };
        for number in 0..helpers {
            let shared = Arc::clone(&crew.shared);
            let helper = Builder::new()
                .name(format!("cpu-kernels-{}", number + 1))
                .spawn(move || shared.help(number))?;
            crew.helpers.push(helper);
        }
        Ok(crew)
    }

    /// Calls `body(chunk, parts)` for each of `chunks` chunks of `data`. Where the helpers are at work
    /// for another thread, the caller does all of it.
    ///
    /// # Panics
    ///
    /// With what a call of `body` panicked with, after every other has ended.
    pub(crate) fn divide<D: Divide>(
        &self,
        chunks: usize,
        data: D,
        body: impl Fn(usize, D) + Send + Sync,
    ) {
        let caller = match self.caller.try_lock() {
            Ok(caller) => Some(caller),
            Err(TryLockError::Poisoned(caller)) => Some(caller.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        };
        if caller.is_none() {
            return each_chunk(0, chunks, data, &body);
        }
        let operation = Operation::cut(chunks, data, &body, self.helpers.len() + 1);
        self.open(operation.order());
        self.wake(operation.pieces - 1);
        operation.work(0);
        self.close();
        drop(caller);
        if let Some(payload) = operation.into_panic() {
            resume_unwind(payload);
        }
    }

    fn open(&self, order: Order) {
        // SAFETY: the caller holds `Crew::caller`, and `close` left no helper at work.
        unsafe { *self.shared.order.get() = order };
        let state = self.shared.state.load(Ordering::Relaxed);
        let next = (state & !(OPEN | HELPERS)).wrapping_add(ROUND) | OPEN;
        self.shared.state.store(next, Ordering::SeqCst);
    }

    /// Wakes sleeping helpers, as many as have something to do.
    fn wake(&self, most: usize) {
        let helpers = self.helpers.iter().zip(&self.shared.asleep);
        for (helper, asleep) in helpers.take(most) {
            if asleep.load(Ordering::SeqCst) {
                helper.thread().unpark();
            }
        }
    }

    /// Lets no further helper join, and waits for those at work.
    fn close(&self) {
        let state = &self.shared.state;
        state.fetch_and(!OPEN, Ordering::AcqRel);
        let mut looks = 0;
        while state.load(Ordering::Acquire) & HELPERS > 0 {
            if looks < PATIENT_LOOKS {
                looks += 1;
                std::hint::spin_loop();
            } else {
                thread::yield_now();
            }
        }
    }
}

impl Drop for Crew {
    fn drop(&mut self) {
        self.shared.ends.store(true, Ordering::SeqCst);
        for helper in self.helpers.drain(..) {
            helper.thread().unpark();
            // A helper catches what an operation panics with, and has nothing else to report.
            let _ = helper.join();
        }
    }
}

impl Shared {
    /// What helper `number` does all its life.
    fn help(&self, number: usize) {
        let mut done = 0;
        while let Some(state) = self.next_operation(number, done) {
            let joined =
                self.state
                    .compare_exchange(state, state + 1, Ordering::AcqRel, Ordering::Relaxed);
            if joined.is_err() {
                continue;
            }
            done = state & !(OPEN | HELPERS);
            // SAFETY: the state counts this helper, so that the order stands; the operation that it
            // points to lives until the count is down again.
            unsafe {
                let order = *self.order.get();
                (order.work)(order.operation, number + 1);
            }
            self.state.fetch_sub(1, Ordering::Release);
        }
    }

    /// The state of an operation that can be joined and is not the one of `done`; nothing where the
    /// crew ends.
    fn next_operation(&self, number: usize, done: usize) -> Option<usize> {
        let found = |ordering| {
            let state = self.state.load(ordering);
            let is_new = state & OPEN > 0 && state & !(OPEN | HELPERS) != done;
            is_new.then_some(state)
        };
        loop {
            let begun = Instant::now();
            while begun.elapsed() < LOOK_FOR {
                for _ in 0..LOOKS {
                    if let Some(state) = found(Ordering::Acquire) {
                        return Some(state);
                    }
                    std::hint::spin_loop();
                }
                if self.ends.load(Ordering::Relaxed) {
                    return None;
                }
            }
            // A caller that opens an operation sees the mark, or this sees the operation.
            let asleep = self.asleep.get(number)?;
            asleep.store(true, Ordering::SeqCst);
            while found(Ordering::SeqCst).is_none() && !self.ends.load(Ordering::SeqCst) {
                thread::park();
            }
            asleep.store(false, Ordering::SeqCst);
        }
    }
}

/// One call of [`Crew::divide`].
struct Operation<'a, D, F> {
    body: &'a F,
    /// The first chunk of each piece, how many it has, and their data, until somebody takes them.
    data: [Mutex<Option<(usize, usize, D)>>; MOST_PIECES],
    pieces: usize,
    /// For each participant the next piece of its part.
    next: [AtomicUsize; MOST_PIECES],
    participants: usize,
    panic: Mutex<Option<Box<dyn Any + Send>>>,
}

impl<'a, D: Divide, F: Fn(usize, D) + Sync> Operation<'a, D, F> {
    fn cut(chunks: usize, data: D, body: &'a F, participants: usize) -> Self {
        let pieces = chunks.clamp(1, MOST_PIECES);
        let participants = participants.min(pieces);
        let mut rest = Some(data);
        let end = |piece: usize| piece * chunks / pieces;
        let data = array::from_fn(|piece| {
            let (first, count) = (end(piece), end(piece + 1) - end(piece));
            let taken = match rest.take() {
                Some(data) if piece + 1 < pieces => {
                    let (taken, others) = data.split(count);
                    rest = Some(others);
                    Some(taken)
                }
                last => last,
            };
            Mutex::new(taken.map(|data| (first, count, data)))
        });
        Self {
            body,
            data,
            pieces,
            next: array::from_fn(|part| AtomicUsize::new(part * pieces / participants)),
            participants,
            panic: Mutex::new(None),
        }
    }

    /// What helpers are told.
    fn order(&self) -> Order {
        Order {
            work: work::<D, F>,
            operation: (&raw const *self).cast(),
        }
    }

    /// Does what participant `number` finds to be done: its own part first.
    fn work(&self, number: usize) {
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            for other in 0..self.participants {
                let part = (number + other) % self.participants;
                self.work_on_part(part);
            }
        }));
        if let Err(payload) = outcome {
            let mut panic = self.panic.lock().unwrap_or_else(PoisonError::into_inner);
            panic.get_or_insert(payload);
        }
    }

    fn work_on_part(&self, part: usize) {
        let end = (part + 1) * self.pieces / self.participants;
        let Some(next) = self.next.get(part) else {
            return;
        };
        loop {
            let piece = next.fetch_add(1, Ordering::Relaxed);
            if piece >= end {
                return;
            }
            let taken = self.data.get(piece).and_then(|data| {
                let mut data = data.lock().unwrap_or_else(PoisonError::into_inner);
                data.take()
            });
            if let Some((first, chunks, data)) = taken {
                each_chunk(first, chunks, data, self.body);
            }
        }
    }

    fn into_panic(self) -> Option<Box<dyn Any + Send>> {
        self.panic
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// Calls `body` for each of `chunks` chunks of `data`, of which the first has the number `first`.
pub(crate) fn each_chunk<D: Divide>(
    first: usize,
    chunks: usize,
    data: D,
    body: &impl Fn(usize, D),
) {
    let mut rest = data;
    for chunk in first..first + chunks {
        let (part, others) = rest.split(1);
        body(chunk, part);
        rest = others;
    }
}

/// [`Operation::work`] of the operation at an address.
///
/// # Safety
///
/// `operation` is the address of an `Operation<D, F>` that lives until this returns.
unsafe fn work<D: Divide, F: Fn(usize, D) + Sync>(operation: *const (), number: usize) {
    // SAFETY: the caller's. Its fields can be used by several threads: `D` is `Send` and taken once
    // behind a lock, and `F` is `Sync`.
    let operation = unsafe { &*operation.cast::<Operation<'_, D, F>>() };
    operation.work(number);
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU64;

    use super::*;
    use crate::divide::Chunked;

    /// Adds one to each element and its chunk's number to the first of a chunk.
    fn mark(chunk: usize, part: Chunked<'_, u64>) {
        for value in part.data.iter_mut() {
            *value += 1;
        }
        if let Some(value) = part.data.first_mut() {
            *value += 1_000 * chunk as u64;
        }
    }

    #[test]
    fn every_chunk_is_done_once_with_any_number_of_helpers_and_chunks() {
        for helpers in [0, 1, 2, 5, 70] {
            let crew = Crew::start(helpers).unwrap();
            for chunks in [1, 2, 3, 16, 63, 64, 65, 200] {
                let mut data = vec![0_u64; 3 * chunks - 1];
                crew.divide(chunks, Chunked::new(&mut data, 3), mark);
                for (index, value) in data.into_iter().enumerate() {
                    let first = if index % 3 == 0 {
                        1_000 * (index as u64 / 3)
                    } else {
                        0
                    };
                    assert_eq!(
                        value,
                        1 + first,
                        "{helpers} helpers, {chunks} chunks, {index}"
                    );
                }
            }
        }
    }

    #[test]
    fn helpers_that_have_fallen_asleep_are_woken() {
        let crew = Crew::start(1).unwrap();
        for _ in 0..20 {
            thread::sleep(3 * LOOK_FOR);
            // Each chunk waits for the other, so that the two are not done by one thread.
            let begun = AtomicU64::new(0);
            let mut data = [0_u64; 2];
            crew.divide(2, Chunked::new(&mut data, 1), |_, _| {
                begun.fetch_add(1, Ordering::SeqCst);
                while begun.load(Ordering::SeqCst) < 2 {
                    thread::yield_now();
                }
            });
        }
    }

    #[test]
    fn many_callers_at_a_time_each_get_their_own_results() {
        let crew = &Crew::start(2).unwrap();
        thread::scope(|scope| {
            for caller in 0..4_u64 {
                scope.spawn(move || {
                    for _ in 0..500 {
                        let mut data = [caller; 40];
                        crew.divide(10, Chunked::new(&mut data, 4), |chunk, part| {
                            part.data.fill(10 * caller + chunk as u64);
                        });
                        for (index, value) in data.into_iter().enumerate() {
                            assert_eq!(value, 10 * caller + index as u64 / 4);
                        }
                    }
                });
            }
        });
    }

    #[test]
    fn an_operation_inside_of_another_is_done_by_its_caller() {
        let crew = Crew::start(2).unwrap();
        let mut data = vec![0_u64; 8 * 6];
        crew.divide(8, Chunked::new(&mut data, 6), |_, part| {
            crew.divide(6, Chunked::new(part.data, 1), |chunk, part| {
                part.data.fill(chunk as u64);
            });
        });
        for (index, value) in data.into_iter().enumerate() {
            assert_eq!(value, index as u64 % 6);
        }
    }

    #[test]
    fn a_panic_reaches_the_caller_and_the_crew_works_on() {
        let crew = Crew::start(2).unwrap();
        for broken in 0..16 {
            let mut data = [0_u64; 16];
            let outcome = catch_unwind(AssertUnwindSafe(|| {
                crew.divide(16, Chunked::new(&mut data, 1), |chunk, _| {
                    assert!(chunk != broken, "chunk {chunk} is broken");
                });
            }));
            let payload = outcome.unwrap_err();
            let message = payload.downcast_ref::<String>().unwrap();
            assert_eq!(*message, format!("chunk {broken} is broken"));
            let mut data = [0_u64; 16];
            crew.divide(16, Chunked::new(&mut data, 1), |_, part| part.data.fill(1));
            assert_eq!(data, [1; 16]);
        }
    }
}
