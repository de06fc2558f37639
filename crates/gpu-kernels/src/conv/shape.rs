//! What is convolved: windows, images and their sizes.

use cubecl::prelude::*;

use crate::Buffer;

/// A square window of filters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct Window {
    /// Its height and width.
    pub size: usize,
    /// Pixels from one place to the next.
    pub stride: usize,
    /// The input is spread by so much, with zeros between its pixels.
    pub spread: usize,
    /// Filters are turned by half a turn, and their inputs and outputs change places.
    pub flipped: bool,
}

#[derive(CubeLaunch, CubeType, Clone, Copy)]
pub(crate) struct Sizes {
    pub batch: u32,
    pub height: u32,
    pub width: u32,
    pub in_channels: u32,
    pub out_height: u32,
    pub out_width: u32,
    pub out_channels: u32,
    pub padding: u32,
}

impl Window {
    /// Three by three taps at every pixel.
    pub(crate) const PLAIN: Self = Self {
        size: 3,
        stride: 1,
        spread: 1,
        flipped: false,
    };

    /// How many rows of the input `length` rows of a tile need.
    pub(crate) fn halo(&self, length: usize) -> usize {
        if self.spread > 1 {
            length - 1 + self.size.div_ceil(self.spread)
        } else {
            (length - 1) * self.stride + self.size
        }
    }
}

/// The input of a convolution.
#[derive(Clone, Copy, Debug)]
pub struct Input<'a> {
    /// `[batch, height, width, channels]`.
    pub images: &'a Buffer,
    /// Scales and shifts, `[2 * channels]`, that normalise the images before a rectifier; without them
    /// the images are taken as they are.
    pub affine: Option<&'a Buffer>,
}

impl<'a> From<&'a Buffer> for Input<'a> {
    fn from(images: &'a Buffer) -> Self {
        Self {
            images,
            affine: None,
        }
    }
}

/// A convolution's shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Images.
    pub batch: usize,
    /// Rows of the input.
    pub height: usize,
    /// Columns of the input.
    pub width: usize,
    /// Channels of the input.
    pub in_channels: usize,
    /// Channels of the output.
    pub out_channels: usize,
    /// Height and width of the filters.
    pub size: usize,
    /// Pixels from one place of a filter to the next.
    pub stride: usize,
    /// Rows and columns of zeros around the input; fewer than `size`.
    pub padding: usize,
}

impl Shape {
    fn out(&self, length: usize) -> usize {
        (length + 2 * self.padding - self.size) / self.stride + 1
    }
    /// Rows of the output.
    #[must_use]
    pub fn out_height(&self) -> usize {
        self.out(self.height)
    }
    /// Columns of the output.
    #[must_use]
    pub fn out_width(&self) -> usize {
        self.out(self.width)
    }
    pub(super) fn in_length(&self) -> usize {
        self.batch * self.height * self.width * self.in_channels
    }
    pub(super) fn out_length(&self) -> usize {
        self.batch * self.out_height() * self.out_width() * self.out_channels
    }
    pub(super) fn forward_window(&self) -> Window {
        Window {
            size: self.size,
            stride: self.stride,
            spread: 1,
            flipped: false,
        }
    }
    pub(super) fn backward_window(&self) -> Window {
        Window {
            size: self.size,
            stride: 1,
            spread: self.stride,
            flipped: true,
        }
    }
}

/// Sizes in the order of [`Sizes`].
pub(super) fn forward_sizes(s: &Shape) -> [usize; 8] {
    [
        s.batch,
        s.height,
        s.width,
        s.in_channels,
        s.out_height(),
        s.out_width(),
        s.out_channels,
        s.padding,
    ]
}

/// As [`forward_sizes`], for the convolution that takes gradients by outputs to gradients by inputs.
pub(super) fn backward_sizes(s: &Shape) -> [usize; 8] {
    let padding = s.size - 1 - s.padding;
    [
        s.batch,
        s.out_height(),
        s.out_width(),
        s.out_channels,
        s.height,
        s.width,
        s.in_channels,
        padding,
    ]
}

/// Sizes as a kernel takes them.
pub(crate) fn sizes(of: [usize; 8]) -> SizesLaunch {
    let [
        batch,
        height,
        width,
        in_channels,
        out_height,
        out_width,
        out_channels,
        padding,
    ] = of.map(|n| n as u32);
    SizesLaunch::new(
        batch,
        height,
        width,
        in_channels,
        out_height,
        out_width,
        out_channels,
        padding,
    )
}
