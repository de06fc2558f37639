//! The Gaussian error linear unit (Hendrycks and Gimpel, 2016, arXiv:1606.08415), exact and not
//! its approximation by a hyperbolic tangent: `x * cdf(x)`, where `cdf` is the distribution function
//! of the standard normal distribution.
//!
//! `cdf(x) - 1/2` and the derivative less 1/2 are odd, so that each is `x` times a quotient of two
//! polynomials in `x^2`, fitted to the least greatest error. In `f32` each differs from its true
//! value by less than 4e-7, and the unit by less than that times `x`, or times 1 near zero.

use super::Simd;

/// Beyond this the distribution function is 0 or 1 to within 1e-7.
const CDF_RANGE: f32 = 5.2;
/// Of the distribution function: the polynomial above, from the power 0 on.
const CDF_ABOVE: [f32; 5] = [
    3.989_419_2e-1,
    4.959_279e-2,
    5.518_683e-3,
    3.142_55e-4,
    5.840_464_4e-6,
];
/// Of the distribution function: the polynomial below.
const CDF_BELOW: [f32; 6] = [
    1.0,
    2.909_714_6e-1,
    3.733_942_7e-2,
    2.703_702e-3,
    1.127_375_1e-4,
    5.018_871e-7,
];
/// Beyond this the derivative is 0 or 1 to within 2e-7.
const DERIVATIVE_RANGE: f32 = 5.8;
/// Of the derivative: the polynomial above.
const DERIVATIVE_ABOVE: [f32; 6] = [
    7.978_853_6e-1,
    -3.099_559_8e-2,
    1.423_027_8e-2,
    1.922_594_3e-5,
    3.595_567_6e-5,
    1.929_255_2e-7,
];
/// Of the derivative: the polynomial below.
const DERIVATIVE_BELOW: [f32; 6] = [
    1.0,
    2.944_943_6e-1,
    4.098_028_7e-2,
    3.523_039_6e-3,
    1.920_374_3e-4,
    8.952_296e-6,
];

/// The polynomial with `coefficients` from the power 0 on.
#[inline(always)]
fn polynomial<S: Simd, const N: usize>(simd: S, coefficients: [f32; N], x: S::V) -> S::V {
    let mut value = simd.splat(coefficients[N - 1]);
    for coefficient in coefficients[..N - 1].iter().rev() {
        value = simd.mul_add(value, x, simd.splat(*coefficient));
    }
    value
}

/// `x` within `-range` and `range`; no number stays none.
#[inline(always)]
fn clamp<S: Simd>(simd: S, x: S::V, range: f32) -> S::V {
    simd.min(simd.splat(range), simd.max(simd.splat(-range), x))
}

/// `1/2 + x * above(x^2) / below(x^2)`.
#[inline(always)]
fn odd_and_half<S: Simd, const N: usize, const M: usize>(
    simd: S,
    above: [f32; N],
    below: [f32; M],
    x: S::V,
) -> S::V {
    let square = simd.mul(x, x);
    let above = simd.mul(x, polynomial(simd, above, square));
    let quotient = simd.div(above, polynomial(simd, below, square));
    simd.add(simd.splat(0.5), quotient)
}

/// `x * cdf(x)`.
#[inline(always)]
pub(crate) fn gelu<S: Simd>(simd: S, x: S::V) -> S::V {
    let cdf = odd_and_half(simd, CDF_ABOVE, CDF_BELOW, clamp(simd, x, CDF_RANGE));
    // Far below zero the product would be as large as the error of the distribution function.
    simd.mul(simd.max(simd.splat(-CDF_RANGE), x), cdf)
}

/// The derivative of [`gelu`], `cdf(x) + x * density(x)`.
#[inline(always)]
pub(crate) fn gelu_derivative<S: Simd>(simd: S, x: S::V) -> S::V {
    let x = clamp(simd, x, DERIVATIVE_RANGE);
    odd_and_half(simd, DERIVATIVE_ABOVE, DERIVATIVE_BELOW, x)
}

#[cfg(test)]
mod tests {
    use super::super::{CheckedIsa, Kernel, dispatch};
    use super::*;
    use crate::isa::Isa;
    use crate::reference;

    /// Sixteen values, their units and the derivatives there.
    struct Evaluate([f32; 16]);

    impl Kernel for Evaluate {
        type Output = [[f32; 16]; 2];

        #[inline(always)]
        fn run<S: Simd>(self, simd: S) -> Self::Output {
            let mut out = [[0.0; 16]; 2];
            for first in (0..16).step_by(S::LANES) {
                // SAFETY: sixteen is a multiple of the lanes of every instruction set.
                #[allow(unsafe_code)]
                unsafe {
                    let x = simd.load(self.0.as_ptr().add(first));
                    simd.store(out[0].as_mut_ptr().add(first), gelu(simd, x));
                    simd.store(out[1].as_mut_ptr().add(first), gelu_derivative(simd, x));
                }
            }
            out
        }
    }

    #[test]
    fn units_and_their_derivatives_are_exact_to_a_millionth() {
        let available = Isa::ALL.into_iter().filter(|isa| isa.is_available());
        for isa in available.map(|isa| CheckedIsa::new(isa).unwrap()) {
            for block in -100..100 {
                let values: [f32; 16] =
                    std::array::from_fn(|lane| (block * 16 + lane as i32) as f32 / 200.0);
                let [units, derivatives] = dispatch(isa, Evaluate(values));
                for (lane, x) in values.into_iter().map(f64::from).enumerate() {
                    let error = f64::from(units[lane]) - reference::gelu(x);
                    assert!(
                        error.abs() < 1e-6 * x.abs().max(1.0),
                        "gelu({x}): {error:e}"
                    );
                    let error = f64::from(derivatives[lane]) - reference::gelu_derivative(x);
                    assert!(error.abs() < 1e-6, "derivative at {x}: {error:e}");
                }
            }
        }
    }

    #[test]
    fn what_is_far_or_no_number_keeps_its_meaning() {
        let mut values = [0.0; 16];
        values[..5].copy_from_slice(&[1e30, -1e30, f32::INFINITY, f32::NEG_INFINITY, f32::NAN]);
        let available = Isa::ALL.into_iter().filter(|isa| isa.is_available());
        for isa in available.map(|isa| CheckedIsa::new(isa).unwrap()) {
            let [units, derivatives] = dispatch(isa, Evaluate(values));
            assert_eq!(units[2], f32::INFINITY);
            assert!((units[0] / 1e30 - 1.0).abs() < 1e-6 && (derivatives[0] - 1.0).abs() < 1e-6);
            for far in [1, 3] {
                assert!(units[far].abs() < 2e-6 && derivatives[far].abs() < 1e-6);
            }
            assert!(units[4].is_nan() && derivatives[4].is_nan());
            assert_eq!((units[5], derivatives[5]), (0.0, 0.5));
        }
    }
}
