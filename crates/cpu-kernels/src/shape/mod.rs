//! The shapes that operations take. A shape is checked once, when it is made.

mod channel;
mod conv;
mod conv_pool;
mod linear;
mod loss;

use thiserror::Error;

pub use channel::ChannelShape;
pub use conv::ConvShape;
pub use conv_pool::ConvPoolShape;
pub use linear::LinearShape;
pub use loss::LossShape;

/// Why a shape, or a slice for a shape, was refused.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ShapeError {
    /// A size is zero.
    #[error("{dimension} is 0, but it must be at least 1")]
    Zero {
        /// The size that is zero.
        dimension: &'static str,
    },
    /// The channels of a convolution's input are not those of its weights.
    #[error("the input has {input} channels, but the weights are for {weight}")]
    Channels {
        /// The channels of the input.
        input: usize,
        /// The input channels of the weights.
        weight: usize,
    },
    /// A kernel does not fit into its padded input.
    #[error("a kernel of {axis} {kernel} does not fit into a padded input of {axis} {padded}")]
    KernelTooLarge {
        /// `height` or `width`.
        axis: &'static str,
        /// The size of the kernel.
        kernel: usize,
        /// The size of the input with its padding on both sides.
        padded: usize,
    },
    /// The place of a maximum within its window would not fit into a byte.
    #[error("a pooling kernel of {kernel} is larger than the greatest supported, {greatest}")]
    PoolKernelTooLarge {
        /// The size of the kernel.
        kernel: usize,
        /// The greatest size that is supported.
        greatest: usize,
    },
    /// The place of a maximum does not lie in its window.
    #[error(
        "an index of {index} was given for a window of {places} places; take the forward pass's"
    )]
    PoolIndex {
        /// The index.
        index: u8,
        /// The places of a window, `kernel * kernel`.
        places: usize,
    },
    /// Operands of a third convolution are not there exactly where the group has one.
    #[error("a group has operands of a third convolution exactly where it has one; they differ")]
    ThirdConvolution,
    /// Parameters or outputs of a projection are not there exactly where the block has one.
    #[error("a block has a projection exactly where it changes the shape; its operands differ")]
    Projection,
    /// The number of elements does not fit into memory.
    #[error("the number of elements of {operand} is too large for this machine")]
    Overflow {
        /// The operand that is too large.
        operand: &'static str,
    },
    /// A slice does not have the length that the shape asks for.
    #[error("{operand} has {actual} elements, but the shape asks for {expected}")]
    Length {
        /// The operand, by the name of its parameter.
        operand: &'static str,
        /// The length that the shape asks for.
        expected: usize,
        /// The length of the slice.
        actual: usize,
    },
}

/// Checks that `slice` has `expected` elements.
pub(crate) fn check_len<T>(
    operand: &'static str,
    slice: &[T],
    expected: usize,
) -> Result<(), ShapeError> {
    if slice.len() == expected {
        Ok(())
    } else {
        Err(ShapeError::Length {
            operand,
            expected,
            actual: slice.len(),
        })
    }
}

fn check_positive(sizes: &[(&'static str, usize)]) -> Result<(), ShapeError> {
    match sizes.iter().find(|(_, size)| *size == 0) {
        Some(&(dimension, _)) => Err(ShapeError::Zero { dimension }),
        None => Ok(()),
    }
}

/// The product of `sizes`, which must be few enough for a slice of `f32`.
fn elements(operand: &'static str, sizes: &[usize]) -> Result<usize, ShapeError> {
    let greatest = isize::MAX as usize / size_of::<f32>();
    sizes
        .iter()
        .try_fold(1_usize, |product, &size| product.checked_mul(size))
        .filter(|&product| product <= greatest)
        .ok_or(ShapeError::Overflow { operand })
}

/// The places of a kernel along one axis: `(size + 2 padding - kernel) / stride + 1`.
pub(crate) fn positions(
    axis: &'static str,
    size: usize,
    kernel: usize,
    stride: usize,
    padding: usize,
) -> Result<usize, ShapeError> {
    let padded = padding
        .checked_mul(2)
        .and_then(|both| both.checked_add(size))
        .filter(|&padded| padded <= isize::MAX as usize)
        .ok_or(ShapeError::Overflow { operand: "x" })?;
    match padded.checked_sub(kernel) {
        Some(room) => Ok(room / stride + 1),
        None => Err(ShapeError::KernelTooLarge {
            axis,
            kernel,
            padded,
        }),
    }
}
