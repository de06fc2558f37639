//! Threads that help the thread which calls an operation with its chunks.
//!
//! An operation lasts from some microseconds to some milliseconds, and a step has hundreds. So the
//! caller works too and never waits for a helper that has not begun, and a helper looks for the next
//! operation for a while before it sleeps: to be woken costs as much as a small operation. Where the
//! process has fewer cores than threads, nobody looks, since that would keep a core from who works.
//!
//! An operation of a few pieces is for as many participants, the first of the helpers. The others leave
//! it alone: they would find nothing to do, and the caller would have to wait for them.
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

/// The most threads that take part in an operation.
pub(crate) const MOST_PARTICIPANTS: usize = MOST_PIECES;

/// How long a helper looks for the next operation before it sleeps: longer than what lies between two
/// operations of a step.
const LOOK_FOR: Duration = Duration::from_micros(200);

/// Looks between two readings of the clock.
const LOOKS: usize = 64;

/// Looks of a caller that waits for a helper before it lets other threads run.
const PATIENT_LOOKS: usize = 2_000;

/// The part of the state that counts helpers at work.
const HELPERS: usize = (1 << 8) - 1;
/// One of the helpers that an operation is for, which the state counts beside those at work.
const INVITED: usize = 1 << 8;
/// Set in the state while an operation can be joined.
const OPEN: usize = 1 << 16;
/// What an operation adds to the state, so that no helper takes it for the one before.
const ROUND: usize = 1 << 17;
// Each of the two counts fits into its eight bits.
const _: () = assert!(MOST_PARTICIPANTS < INVITED);

/// What a helper is to do: `work` with the address of the operation and the helper's number.
#[derive(Clone, Copy)]
struct Order {
    work: unsafe fn(*const (), usize),
    operation: *const (),
}

/// What the caller and the helpers share.
struct Shared {
    /// The number of the operation, whether it can be joined, how many helpers it is for, and how
    /// many are at work on it.
    state: AtomicUsize,
    order: UnsafeCell<Order>,
    ends: AtomicBool,
    /// Whether each thread has a core, so that one may look and wait without giving it up.
    cores_for_all: bool,
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
            cores_for_all: thread::available_parallelism().is_ok_and(|cores| cores.get() > helpers),
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

    /// Calls `body(participant, chunk, parts)` for each of `chunks` chunks of `data`, and gives the
    /// number of participants, which the chunks and the crew alone decide. Participants count from
    /// zero, which is the caller. Where the helpers are at work for another thread, the caller does
    /// all of it.
    ///
    /// # Panics
    ///
    /// With what a call of `body` panicked with, after every other has ended.
    pub(crate) fn divide<D: Divide>(
        &self,
        chunks: usize,
        data: D,
        body: impl Fn(usize, usize, D) + Send + Sync,
    ) -> usize {
        let caller = match self.caller.try_lock() {
            Ok(caller) => Some(caller),
            Err(TryLockError::Poisoned(caller)) => Some(caller.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        };
        if caller.is_none() {
            each_chunk(0, chunks, data, &|chunk, data| body(0, chunk, data));
            return 1;
        }
        let operation = Operation::cut(chunks, data, &body, self.helpers.len() + 1);
        let participants = operation.participants;
        self.open(operation.order(), participants - 1);
        self.wake(participants - 1);
        operation.work(0);
        self.close();
        drop(caller);
        if let Some(payload) = operation.into_panic() {
            resume_unwind(payload);
        }
        participants
    }

    /// Lets the first `helpers` helpers join.
    fn open(&self, order: Order, helpers: usize) {
        // SAFETY: the caller holds `Crew::caller`, and `close` left no helper at work.
        unsafe { *self.shared.order.get() = order };
        let state = self.shared.state.load(Ordering::Relaxed);
        let next = (round_of(state).wrapping_add(ROUND) | OPEN) + helpers * INVITED;
        self.shared.state.store(next, Ordering::SeqCst);
    }

    /// Wakes those of the first `invited` helpers that sleep.
    fn wake(&self, invited: usize) {
        let helpers = self.helpers.iter().zip(&self.shared.asleep);
        for (helper, asleep) in helpers.take(invited) {
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
            if self.shared.cores_for_all && looks < PATIENT_LOOKS {
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
            done = round_of(state);
            // SAFETY: the state counts this helper, so that the order stands; the operation that it
            // points to lives until the count is down again.
            unsafe {
                let order = *self.order.get();
                (order.work)(order.operation, number + 1);
            }
            self.state.fetch_sub(1, Ordering::Release);
        }
    }

    /// The state of an operation that helper `number` can join and that is not the one of `done`;
    /// nothing where the crew ends.
    fn next_operation(&self, number: usize, done: usize) -> Option<usize> {
        let found = |ordering| {
            let state = self.state.load(ordering);
            (is_for(state, number) && round_of(state) != done).then_some(state)
        };
        let begun = Instant::now();
        while self.cores_for_all && begun.elapsed() < LOOK_FOR {
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
        let next = loop {
            let next = found(Ordering::SeqCst);
            if next.is_some() || self.ends.load(Ordering::SeqCst) {
                break next;
            }
            thread::park();
        };
        asleep.store(false, Ordering::SeqCst);
        next
    }
}

/// The part of a state that tells operations apart.
fn round_of(state: usize) -> usize {
    state & !(ROUND - 1)
}

/// Whether the operation of a state can be joined by helper `number`.
fn is_for(state: usize, number: usize) -> bool {
    state & OPEN > 0 && number < state % OPEN / INVITED
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

impl<'a, D: Divide, F: Fn(usize, usize, D) + Sync> Operation<'a, D, F> {
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
                self.work_on_part(part, number);
            }
        }));
        if let Err(payload) = outcome {
            let mut panic = self.panic.lock().unwrap_or_else(PoisonError::into_inner);
            panic.get_or_insert(payload);
        }
    }

    fn work_on_part(&self, part: usize, number: usize) {
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
                each_chunk(first, chunks, data, &|chunk, data| {
                    (self.body)(number, chunk, data);
                });
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
unsafe fn work<D: Divide, F: Fn(usize, usize, D) + Sync>(operation: *const (), number: usize) {
    // SAFETY: the caller's. Its fields can be used by several threads: `D` is `Send` and taken once
    // behind a lock, and `F` is `Sync`.
    let operation = unsafe { &*operation.cast::<Operation<'_, D, F>>() };
    operation.work(number);
}

#[cfg(test)]
mod tests;
