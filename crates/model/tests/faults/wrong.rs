//! Backends with one wrong operation each.

use std::cell::{Cell, RefCell};

use burn::tensor::{Int, Tensor};
use model::backend::types::{MuonStep, SgdStep};
use model::check::operations::{Biased, Normalised, OnDevice, Operations};

/// What is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// A stride of 1 where 2 was asked for, and every second pixel left out in one direction alone.
    Stride,
    /// Edges repeated where zeros belong.
    Padding,
    /// A convolution without its bias.
    DroppedBias,
    /// Windows that begin one pixel too late.
    PoolingOffByOne,
    /// The last row of pixels left out of a mean.
    RowLeftOut,
    /// One value that is no number.
    NotANumber,
    /// The result of the computation before, where it has the same shape.
    StaleBuffer,
    /// Filters turned by half a turn.
    TurnedFilters,
    /// Sums of numbers that were rounded to ten bits, as tensor cores do.
    Rounded,
    /// The gradient by the input a hundredth too large.
    GradientScaled,
    /// No gradient by the biases.
    GradientLost,
    /// The gradient by the scales with the wrong sign.
    GradientNegated,
    /// Label smoothing that is not heeded.
    NoSmoothing,
    /// Weight decay that is not heeded.
    NoDecay,
    /// One iteration of Newton and Schulz too few.
    IterationLeftOut,
    /// The algorithm of large convolutions wrong, and that of small ones right.
    OnlyLarge,
    /// Each group of images computed of the first one's.
    OnlyInGroups,
}

impl Fault {
    pub const ALL: [Self; 17] = [
        Self::Stride,
        Self::Padding,
        Self::DroppedBias,
        Self::PoolingOffByOne,
        Self::RowLeftOut,
        Self::NotANumber,
        Self::StaleBuffer,
        Self::TurnedFilters,
        Self::Rounded,
        Self::GradientScaled,
        Self::GradientLost,
        Self::GradientNegated,
        Self::NoSmoothing,
        Self::NoDecay,
        Self::IterationLeftOut,
        Self::OnlyLarge,
        Self::OnlyInGroups,
    ];

    /// The operation that is wrong.
    pub fn operation(self) -> &'static str {
        match self {
            Self::Stride | Self::Padding => "conv_norm_relu",
            Self::DroppedBias => "conv_bias",
            Self::PoolingOffByOne => "conv_relu_pool",
            Self::RowLeftOut => "global_avg_pool",
            Self::NotANumber | Self::GradientLost => "fully_connected",
            Self::StaleBuffer | Self::GradientNegated => "residual",
            Self::TurnedFilters => "projected_residual",
            Self::Rounded => "conv_add_gelu",
            Self::GradientScaled => "conv_group",
            Self::NoSmoothing => "cross_entropy",
            Self::NoDecay => "sgd_step",
            Self::IterationLeftOut => "muon_step",
            Self::OnlyLarge | Self::OnlyInGroups => "convolve",
        }
    }
}

/// The operations of a device, one of them wrong.
pub struct Wrong {
    fault: Fault,
    kept: RefCell<Option<Tensor<4>>>,
    /// Images that go at once.
    at_once: Cell<usize>,
}

impl Wrong {
    pub fn new(fault: Fault) -> Self {
        Self {
            fault,
            kept: RefCell::default(),
            at_once: Cell::new(usize::MAX),
        }
    }

    fn has(&self, fault: Fault) -> bool {
        self.fault == fault
    }
}

/// `x` with a gradient that is `factor` times what it should be.
fn misled<const D: usize>(x: Tensor<D>, factor: f64) -> Tensor<D> {
    let constant = x.clone().detach().mul_scalar(1.0 - factor);
    x.mul_scalar(factor) + constant
}

/// `x` with each edge repeated once.
fn edges_repeated(x: Tensor<4>) -> Tensor<4> {
    [2, 3].into_iter().fold(x, |x, axis| {
        let last = x.dims()[axis] - 1;
        let (first, last) = (
            x.clone().narrow(axis, 0, 1),
            x.clone().narrow(axis, last, 1),
        );
        Tensor::cat(vec![first, x, last], axis)
    })
}

/// `x` with its first `images` again in place of those that follow.
fn first_again(x: Tensor<4>, images: usize) -> Tensor<4> {
    let batch = x.dims()[0];
    let first = x.narrow(0, 0, images);
    let again = Tensor::cat(vec![first; batch.div_ceil(images)], 0);
    again.narrow(0, 0, batch)
}

/// `x` with ten bits of its numbers.
fn rounded(x: Tensor<4>) -> Tensor<4> {
    let shape = x.dims();
    let device = x.device();
    let values: Vec<f32> = x.into_data().iter::<f32>().collect();
    let values = values
        .into_iter()
        .map(|value| f32::from_bits((value.to_bits() + (1 << 12)) & !((1 << 13) - 1)));
    let data = burn::tensor::TensorData::new(values.collect::<Vec<f32>>(), shape);
    Tensor::from_data(data, &device)
}

/// Products of an input's and an output's channel from which on a convolution is large.
const LARGE: usize = 1 << 25;

impl Operations for Wrong {
    fn in_groups_of(&self, images: usize, work: &mut dyn FnMut()) {
        self.at_once.set(images);
        OnDevice.in_groups_of(images, work);
        self.at_once.set(usize::MAX);
    }

    fn convolve(
        &self,
        x: Tensor<4>,
        weight: Tensor<4>,
        stride: usize,
        padding: usize,
    ) -> Tensor<4> {
        let [batch, from, height, width] = x.dims();
        let [to, ..] = weight.dims();
        let x = if self.has(Fault::OnlyLarge) && batch * from * height * width * to > LARGE {
            x.mul_scalar(1.001)
        } else if self.has(Fault::OnlyInGroups) && batch > self.at_once.get() {
            first_again(x, self.at_once.get())
        } else {
            x
        };
        OnDevice.convolve(x, weight, stride, padding)
    }

    fn conv_norm_relu(
        &self,
        x: Tensor<4>,
        p: &Normalised,
        stride: usize,
        padding: usize,
    ) -> Tensor<4> {
        if self.has(Fault::Stride) && stride == 2 {
            let y = OnDevice.conv_norm_relu(x, p, 1, padding);
            let [batch, channels, height, width] = y.dims();
            let wide = y.reshape([batch, channels, height * width / 4, 4]);
            let half = wide.narrow(3, 0, 1);
            return half.reshape([batch, channels, height / 2, width / 2]);
        }
        if self.has(Fault::Padding) && padding == 1 {
            return OnDevice.conv_norm_relu(edges_repeated(x), p, stride, 0);
        }
        OnDevice.conv_norm_relu(x, p, stride, padding)
    }

    fn residual(&self, x: Tensor<4>, p: &[Normalised; 2]) -> Tensor<4> {
        if self.has(Fault::GradientNegated) {
            let mut p = p.clone();
            p[1].gamma = misled(p[1].gamma.clone(), -1.0);
            return OnDevice.residual(x, &p);
        }
        let y = OnDevice.residual(x, p);
        if self.has(Fault::StaleBuffer) {
            let now = y.clone().detach();
            let before = self.kept.replace(Some(now.clone()));
            if let Some(before) = before.filter(|before| before.dims() == y.dims()) {
                // The gradients are right all the same.
                return y - now + before;
            }
        }
        y
    }

    fn projected_residual(&self, x: Tensor<4>, p: &[Normalised; 3], stride: usize) -> Tensor<4> {
        let mut p = p.clone();
        if self.has(Fault::TurnedFilters) {
            p[0].weight = p[0].weight.clone().flip([2, 3]);
        }
        OnDevice.projected_residual(x, &p, stride)
    }

    fn conv_bias(
        &self,
        x: Tensor<4>,
        p: &Biased<4>,
        stride: usize,
        padding: usize,
        rectify: bool,
    ) -> Tensor<4> {
        let mut p = p.clone();
        if self.has(Fault::DroppedBias) {
            p.bias = p.bias.zeros_like();
        }
        OnDevice.conv_bias(x, &p, stride, padding, rectify)
    }

    fn conv_relu_pool(&self, x: Tensor<4>, p: &Biased<4>, pool: usize) -> Tensor<4> {
        if !self.has(Fault::PoolingOffByOne) {
            return OnDevice.conv_relu_pool(x, p, pool);
        }
        let width = x.dims()[3];
        let last = x.clone().narrow(3, width - 1, 1);
        let moved = Tensor::cat(vec![x.narrow(3, 1, width - 1), last], 3);
        OnDevice.conv_relu_pool(moved, p, pool)
    }

    fn fully_connected(&self, x: Tensor<2>, p: &Biased<2>, rectify: bool) -> Tensor<2> {
        let mut p = p.clone();
        if self.has(Fault::GradientLost) {
            p.bias = p.bias.detach();
        }
        let y = OnDevice.fully_connected(x, &p, rectify);
        if self.has(Fault::NotANumber) {
            let [rows, columns] = y.dims();
            let mut spoilt = vec![0.0; rows * columns];
            spoilt[rows * columns - 1] = f32::NAN;
            let spoilt = burn::tensor::TensorData::new(spoilt, [rows, columns]);
            let device = y.device();
            return y + Tensor::from_data(spoilt, &device);
        }
        y
    }

    fn global_avg_pool(&self, x: Tensor<4>) -> Tensor<2> {
        if !self.has(Fault::RowLeftOut) {
            return OnDevice.global_avg_pool(x);
        }
        let height = x.dims()[2];
        let share = (height - 1) as f64 / height as f64;
        let most = OnDevice.global_avg_pool(x.narrow(2, 0, height - 1));
        most.mul_scalar(share)
    }

    fn conv_group(&self, x: Tensor<4>, p: &[Normalised; 2], epsilon: f32) -> Tensor<4> {
        let x = if self.has(Fault::GradientScaled) {
            misled(x, 1.01)
        } else {
            x
        };
        OnDevice.conv_group(x, p, epsilon)
    }

    fn conv_add_gelu(&self, x: Tensor<4>, p: &Biased<4>, around: Tensor<4>) -> Tensor<4> {
        if !self.has(Fault::Rounded) {
            return OnDevice.conv_add_gelu(x, p, around);
        }
        let mut p = p.clone();
        p.weight = rounded(p.weight);
        OnDevice.conv_add_gelu(rounded(x), &p, around)
    }

    fn cross_entropy(
        &self,
        logits: Tensor<2>,
        targets: Tensor<1, Int>,
        smoothing: f32,
    ) -> Tensor<1> {
        let smoothing = if self.has(Fault::NoSmoothing) {
            0.0
        } else {
            smoothing
        };
        OnDevice.cross_entropy(logits, targets, smoothing)
    }

    fn sgd_step(
        &self,
        weight: Tensor<2>,
        gradient: Tensor<2>,
        velocity: Tensor<2>,
        mut settings: SgdStep,
    ) -> [Tensor<2>; 2] {
        if self.has(Fault::NoDecay) {
            settings.weight_decay = 0.0;
        }
        OnDevice.sgd_step(weight, gradient, velocity, settings)
    }

    fn muon_step(
        &self,
        weight: Tensor<4>,
        gradient: Tensor<4>,
        momentum: Tensor<4>,
        mut settings: MuonStep,
    ) -> [Tensor<4>; 2] {
        if self.has(Fault::IterationLeftOut) {
            settings.newton_schulz_steps -= 1;
        }
        OnDevice.muon_step(weight, gradient, momentum, settings)
    }
}
