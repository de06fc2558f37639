//! Vectors of `f32`: one trait, an implementation for each instruction set, and the way from a
//! kernel that is written once to the code that this processor runs.
//!
//! A kernel is a [`Kernel`] whose `run` is generic over [`Simd`] and inlined, with everything that
//! it calls, into a function that is compiled for one instruction set.

#![allow(unsafe_code)]

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
pub(crate) mod gelu;
mod portable;

use crate::isa::Isa;
use portable::Portable;

/// Vectors of one instruction set. A value of an implementing type is the proof that the processor
/// has the instructions, which is why arithmetic is safe.
pub(crate) trait Simd: Copy {
    /// Elements of a vector.
    const LANES: usize;
    /// The most pixels that a register tile has for two vectors of output channels, such that the
    /// tile's sums fit into the registers.
    const TILE: usize;
    /// A vector.
    type V: Copy;

    /// Every lane `value`.
    fn splat(self, value: f32) -> Self::V;
    /// `a + b`.
    fn add(self, a: Self::V, b: Self::V) -> Self::V;
    /// `a - b`.
    fn sub(self, a: Self::V, b: Self::V) -> Self::V;
    /// `a * b`.
    fn mul(self, a: Self::V, b: Self::V) -> Self::V;
    /// The larger of each two lanes; `b` where either is no number.
    fn max(self, a: Self::V, b: Self::V) -> Self::V;
    /// The smaller of each two lanes; `b` where either is no number.
    fn min(self, a: Self::V, b: Self::V) -> Self::V;
    /// `a / b`.
    fn div(self, a: Self::V, b: Self::V) -> Self::V;
    /// The root of each lane.
    fn sqrt(self, a: Self::V) -> Self::V;
    /// `a * b + c`, rounded once where the instruction set can.
    fn mul_add(self, a: Self::V, b: Self::V, c: Self::V) -> Self::V;
    /// `c - a * b`, rounded once where the instruction set can.
    fn neg_mul_add(self, a: Self::V, b: Self::V, c: Self::V) -> Self::V;
    /// `value` where `gate` is above zero, and zero elsewhere.
    fn where_positive(self, gate: Self::V, value: Self::V) -> Self::V;
    /// `yes` where `value` is above `greatest` or is no number, and `no` elsewhere.
    fn where_wins(self, value: Self::V, greatest: Self::V, yes: Self::V, no: Self::V) -> Self::V;

    /// `value` where `a` and `b` are equal, and zero elsewhere.
    fn where_equal(self, a: Self::V, b: Self::V, value: Self::V) -> Self::V;

    /// The bytes at `from` as numbers.
    ///
    /// # Safety
    ///
    /// [`LANES`](Simd::LANES) bytes from `from` on can be read.
    unsafe fn load_bytes(self, from: *const u8) -> Self::V;
    /// Writes whole numbers from 0 to 255 to `to`, a byte each.
    ///
    /// # Safety
    ///
    /// [`LANES`](Simd::LANES) bytes from `to` on can be written.
    unsafe fn store_bytes(self, to: *mut u8, value: Self::V);
    /// The vector at `from`.
    ///
    /// # Safety
    ///
    /// [`LANES`](Simd::LANES) elements from `from` on can be read.
    unsafe fn load(self, from: *const f32) -> Self::V;
    /// Writes `value` to `to`.
    ///
    /// # Safety
    ///
    /// [`LANES`](Simd::LANES) elements from `to` on can be written.
    unsafe fn store(self, to: *mut f32, value: Self::V);

    /// Every lane zero.
    #[inline(always)]
    fn zero(self) -> Self::V {
        self.splat(0.0)
    }

    /// The sum of all lanes, added in pairs.
    #[inline(always)]
    fn sum(self, value: Self::V) -> f32 {
        let mut lanes = [0.0_f32; 16];
        debug_assert!(Self::LANES <= lanes.len());
        // SAFETY: no instruction set has more than sixteen lanes.
        unsafe {
            self.store(lanes.as_mut_ptr(), value);
        }
        let mut count = Self::LANES;
        while count > 1 {
            count /= 2;
            for lane in 0..count {
                lanes[lane] += lanes[lane + count];
            }
        }
        lanes[0]
    }

    /// The sum of all lanes of each of four vectors.
    #[inline(always)]
    fn sums(self, values: [Self::V; 4]) -> [f32; 4] {
        values.map(|value| self.sum(value))
    }
}

/// Something to compute with vectors.
pub(crate) trait Kernel {
    /// What it gives.
    type Output;
    /// Computes. Implementations are `#[inline(always)]`.
    fn run<S: Simd>(self, simd: S) -> Self::Output;
}

/// Runs `kernel` with the vectors of `isa`.
#[inline]
pub(crate) fn dispatch<K: Kernel>(isa: CheckedIsa, kernel: K) -> K::Output {
    match isa.0 {
        // SAFETY: a `CheckedIsa` exists only for what the processor has.
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512 => unsafe { avx512::run(kernel) },
        // SAFETY: as above.
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2 => unsafe { avx2::run(kernel) },
        _ => kernel.run(Portable),
    }
}

/// An instruction set that this processor has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct CheckedIsa(Isa);

impl CheckedIsa {
    /// The proof for `isa`, if the processor has it.
    pub(crate) fn new(isa: Isa) -> Result<Self, crate::isa::IsaError> {
        isa.available().map(Self)
    }

    pub(crate) fn isa(self) -> Isa {
        self.0
    }

    /// Elements of a vector.
    pub(crate) fn lanes(self) -> usize {
        match self.0 {
            Isa::Portable => 4,
            Isa::Avx2 => 8,
            Isa::Avx512 => 16,
        }
    }
}
