//! Four lanes in plain Rust, which the compiler turns into the vectors that every target has.

#![allow(unsafe_code)]

use super::Simd;

/// Needs nothing from the processor.
#[derive(Clone, Copy)]
pub(super) struct Portable;

const LANES: usize = 4;

#[derive(Clone, Copy)]
#[repr(align(16))]
pub(super) struct Lanes([f32; LANES]);

#[inline(always)]
fn zip(a: Lanes, b: Lanes, with: impl Fn(f32, f32) -> f32) -> Lanes {
    Lanes(std::array::from_fn(|lane| with(a.0[lane], b.0[lane])))
}

impl Simd for Portable {
    const LANES: usize = LANES;
    const TILE: usize = 6;
    type V = Lanes;

    #[inline(always)]
    fn splat(self, value: f32) -> Lanes {
        Lanes([value; LANES])
    }
    #[inline(always)]
    fn add(self, a: Lanes, b: Lanes) -> Lanes {
        zip(a, b, |a, b| a + b)
    }
    #[inline(always)]
    fn sub(self, a: Lanes, b: Lanes) -> Lanes {
        zip(a, b, |a, b| a - b)
    }
    #[inline(always)]
    fn mul(self, a: Lanes, b: Lanes) -> Lanes {
        zip(a, b, |a, b| a * b)
    }
    #[inline(always)]
    fn max(self, a: Lanes, b: Lanes) -> Lanes {
        zip(a, b, |a, b| if a > b { a } else { b })
    }
    #[inline(always)]
    fn min(self, a: Lanes, b: Lanes) -> Lanes {
        zip(a, b, |a, b| if a < b { a } else { b })
    }
    #[inline(always)]
    fn div(self, a: Lanes, b: Lanes) -> Lanes {
        zip(a, b, |a, b| a / b)
    }
    #[inline(always)]
    fn sqrt(self, a: Lanes) -> Lanes {
        Lanes(a.0.map(f32::sqrt))
    }
    #[inline(always)]
    fn mul_add(self, a: Lanes, b: Lanes, c: Lanes) -> Lanes {
        self.add(self.mul(a, b), c)
    }
    #[inline(always)]
    fn neg_mul_add(self, a: Lanes, b: Lanes, c: Lanes) -> Lanes {
        self.sub(c, self.mul(a, b))
    }
    #[inline(always)]
    fn where_positive(self, gate: Lanes, value: Lanes) -> Lanes {
        zip(
            gate,
            value,
            |gate, value| if gate > 0.0 { value } else { 0.0 },
        )
    }
    #[inline(always)]
    fn where_wins(self, value: Lanes, greatest: Lanes, yes: Lanes, no: Lanes) -> Lanes {
        Lanes(std::array::from_fn(|lane| {
            let wins = value.0[lane] > greatest.0[lane] || value.0[lane].is_nan();
            if wins { yes.0[lane] } else { no.0[lane] }
        }))
    }
    #[inline(always)]
    fn where_equal(self, a: Lanes, b: Lanes, value: Lanes) -> Lanes {
        Lanes(std::array::from_fn(|lane| {
            if a.0[lane] == b.0[lane] {
                value.0[lane]
            } else {
                0.0
            }
        }))
    }
    #[inline(always)]
    unsafe fn load_bytes(self, from: *const u8) -> Lanes {
        // SAFETY: the caller says that four bytes can be read.
        Lanes(unsafe { from.cast::<[u8; LANES]>().read() }.map(f32::from))
    }
    #[inline(always)]
    unsafe fn store_bytes(self, to: *mut u8, value: Lanes) {
        // SAFETY: the caller says that four bytes can be written.
        unsafe {
            to.cast::<[u8; LANES]>()
                .write(value.0.map(|lane| lane as u8));
        }
    }
    #[inline(always)]
    unsafe fn load(self, from: *const f32) -> Lanes {
        // SAFETY: the caller says that four elements can be read; an array of `f32` needs no
        // more alignment than an `f32`.
        Lanes(unsafe { from.cast::<[f32; LANES]>().read() })
    }
    #[inline(always)]
    unsafe fn store(self, to: *mut f32, value: Lanes) {
        // SAFETY: the caller says that four elements can be written.
        unsafe { to.cast::<[f32; LANES]>().write(value.0) }
    }
}
