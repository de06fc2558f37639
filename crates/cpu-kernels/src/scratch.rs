//! Buffers that an operation writes, reads and forgets.
//!
//! A pool hands out its first buffer that nobody uses, whatever its length, and makes it longer where
//! it is too short. So it depends on the order of what is asked for alone which buffer serves what, and
//! an order that comes again finds every buffer long enough: what a pool holds is bounded by the
//! most buffers that are in use at a time, each as long as the longest that was asked for in its
//! place. A buffer chosen by its length would also depend on what came before.

use std::ops::{Deref, DerefMut};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::product::{Group, Run, Term};

/// Buffers of every kind, kept for the next time.
#[derive(Debug, Default)]
pub(crate) struct Pool(Mutex<Buffers>);

#[derive(Debug, Default)]
pub(crate) struct Buffers {
    runs: Vec<Slot<Run>>,
    terms: Vec<Slot<Term>>,
    groups: Vec<Slot<Group>>,
    floats: Vec<Slot<f32>>,
    bytes: Vec<Slot<u8>>,
    doubles: Vec<Slot<f64>>,
}

/// A buffer's place.
#[derive(Debug, Default)]
pub(crate) struct Slot<T> {
    /// Empty while the buffer is in use.
    buffer: Vec<T>,
    in_use: bool,
    /// Elements of the buffer, here or in use.
    len: usize,
    /// The most elements that were asked for since buffers were last [shared](share).
    asked: usize,
}

/// What a buffer may hold.
pub(crate) trait Element: Copy + Default {
    /// The places of its buffers.
    fn slots(buffers: &mut Buffers) -> &mut Vec<Slot<Self>>;
}

macro_rules! elements {
    ($($element:ty: $field:ident),*) => {
        $(impl Element for $element {
            fn slots(buffers: &mut Buffers) -> &mut Vec<Slot<Self>> {
                &mut buffers.$field
            }
        })*

        impl Buffers {
            /// Notes what was asked of `other`, as if it had been asked of these.
            fn learn(&mut self, other: &Self) {
                $(learn(&mut self.$field, &other.$field);)*
            }

            /// Makes room for what was asked of these and noted, and forgets it.
            fn settle(&mut self) {
                $(self.$field.iter_mut().for_each(Slot::settle);)*
            }

            fn size(&self) -> usize {
                0 $(+ self.$field.iter().map(Slot::size).sum::<usize>())*
            }
        }
    };
}

elements!(Run: runs, Term: terms, Group: groups, f32: floats, u8: bytes, f64: doubles);

impl<T: Element> Slot<T> {
    fn grow(&mut self, len: usize) {
        if self.len < len {
            // What the buffer held is of no use, and is not to be copied.
            self.buffer = Vec::new();
            self.buffer.reserve_exact(len);
            self.buffer.resize(len, T::default());
            self.len = len;
        }
    }

    /// Makes room for what was asked for, and forgets it. A buffer in use has that room.
    fn settle(&mut self) {
        let asked = std::mem::take(&mut self.asked);
        if !self.in_use {
            self.grow(asked);
        }
    }

    fn size(&self) -> usize {
        self.len * size_of::<T>()
    }
}

fn learn<T: Element>(slots: &mut Vec<Slot<T>>, others: &[Slot<T>]) {
    if slots.len() < others.len() {
        slots.resize_with(others.len(), Slot::default);
    }
    for (slot, other) in slots.iter_mut().zip(others) {
        slot.asked = slot.asked.max(other.asked);
    }
}

impl Pool {
    /// A buffer of `len` elements with unspecified values.
    pub(crate) fn take<T: Element>(&self, len: usize) -> Scratch<'_, T> {
        let mut buffers = self.lock();
        let slots = T::slots(&mut buffers);
        let free = slots.iter().position(|slot| !slot.in_use);
        let index = free.unwrap_or(slots.len());
        if index == slots.len() {
            slots.push(Slot::default());
        }
        let slot = &mut slots[index];
        slot.grow(len);
        slot.asked = slot.asked.max(len);
        slot.in_use = true;
        Scratch {
            pool: self,
            index,
            buffer: std::mem::take(&mut slot.buffer),
            len,
        }
    }

    /// Bytes of all buffers.
    pub(crate) fn size(&self) -> usize {
        self.lock().size()
    }

    fn lock(&self) -> MutexGuard<'_, Buffers> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Makes room in each pool for what was asked of any of them since this was last called.
pub(crate) fn share(pools: &[Pool]) {
    let Some((first, others)) = pools.split_first() else {
        return;
    };
    let mut first = first.lock();
    for other in others {
        first.learn(&other.lock());
    }
    for other in others {
        let mut other = other.lock();
        other.learn(&first);
        other.settle();
    }
    first.settle();
}

/// A scratch buffer, which goes back to its pool when it is dropped.
pub(crate) struct Scratch<'p, T: Element> {
    pool: &'p Pool,
    index: usize,
    buffer: Vec<T>,
    len: usize,
}

impl<T: Element> Deref for Scratch<'_, T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.buffer[..self.len]
    }
}

impl<T: Element> DerefMut for Scratch<'_, T> {
    fn deref_mut(&mut self) -> &mut [T] {
        &mut self.buffer[..self.len]
    }
}

impl<T: Element> Drop for Scratch<'_, T> {
    fn drop(&mut self) {
        let mut buffers = self.pool.lock();
        if let Some(slot) = T::slots(&mut buffers).get_mut(self.index) {
            slot.buffer = std::mem::take(&mut self.buffer);
            slot.in_use = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_that_comes_again_finds_every_buffer_long_enough() {
        let pool = Pool::default();
        // A pool that chose the shortest buffer that is long enough would grow in the second round.
        let round = || {
            let short = pool.take::<f32>(10);
            let middle = pool.take::<f32>(20);
            drop(short);
            let long = pool.take::<f32>(100);
            assert_eq!((middle.len(), long.len()), (20, 100));
            drop((middle, long));
            pool.size()
        };
        let first = round();
        assert_eq!(first, 120 * size_of::<f32>());
        for _ in 0..10 {
            assert_eq!(round(), first);
        }
    }

    #[test]
    fn what_one_pool_was_asked_for_all_have_room_for() {
        let pools: Vec<_> = (0..3).map(|_| Pool::default()).collect();
        let chunk = |pool: &Pool| {
            let floats = pool.take::<f32>(100);
            let (more, bytes) = (pool.take::<f32>(7), pool.take::<u8>(50));
            drop((floats, more, bytes));
        };
        chunk(&pools[1]);
        share(&pools);
        let sizes: Vec<_> = pools.iter().map(Pool::size).collect();
        assert_eq!(sizes, [107 * size_of::<f32>() + 50; 3]);
        pools.iter().for_each(chunk);
        assert_eq!(pools.iter().map(Pool::size).collect::<Vec<_>>(), sizes);
    }

    #[test]
    fn pools_that_take_no_part_get_no_room() {
        let pools: Vec<_> = (0..3).map(|_| Pool::default()).collect();
        drop(pools[0].take::<f64>(100));
        share(&pools[..2]);
        let sizes: Vec<_> = pools.iter().map(Pool::size).collect();
        assert_eq!(sizes, [800, 800, 0]);
        // What was shared is forgotten, so that a smaller operation of all three shares no more.
        drop(pools[1].take::<f64>(10));
        share(&pools);
        let sizes: Vec<_> = pools.iter().map(Pool::size).collect();
        assert_eq!(sizes, [800, 800, 80]);
    }
}
