//! A first layer whose filters are computed from the data.

use burn::backend::Dispatch;
use burn::module::{Module, Param};
use burn::tensor::{Tensor, TensorData};

use crate::IMAGE_CHANNELS;
use crate::backend::CnnBackend;
use crate::backend::types::Affine;
use crate::random::WeightSource;
use crate::whitening::{CHANNELS, PATCH, PATCH_SIZE};

/// A 2x2 convolution without padding from 3 to 24 channels, whose filters whiten the patches of
/// images, with a bias and GELU (Page, 2018; Jordan, 2024, arXiv:2404.00498). The filters do not
/// train; the bias does until [`Whitening::train_bias`] ends it.
#[derive(Module, Debug)]
pub struct Whitening {
    weight: Param<Tensor<4>>,
    bias: Param<Tensor<1>>,
}

impl Whitening {
    /// Filters that take one value of a patch each, and their negatives; biases of 0.
    #[must_use]
    pub fn new(source: &mut WeightSource) -> Self {
        let mut filters = vec![0.0; CHANNELS * PATCH];
        for (channel, filter) in filters.chunks_exact_mut(PATCH).enumerate() {
            filter[channel % PATCH] = if channel < PATCH { 1.0 } else { -1.0 };
        }
        let shape = [CHANNELS, IMAGE_CHANNELS, PATCH_SIZE, PATCH_SIZE];
        Self {
            weight: source.values(shape, filters).set_require_grad(false),
            bias: source.constant([CHANNELS], 0.0),
        }
    }

    /// The layer with other filters, `[24, 3, 2, 2]`, see
    /// [`whitening::filters`](crate::whitening::filters).
    #[must_use]
    pub(crate) fn with_filters(mut self, filters: Vec<f32>) -> Self {
        self.weight = self.weight.map(|weight| {
            let data = TensorData::new(filters, weight.dims());
            Tensor::from_data(data, &weight.device()).set_require_grad(false)
        });
        self
    }

    /// The layer whose bias trains, or does not. Where it does not, nothing of the network needs a
    /// gradient by this layer's output, and the step is cheaper by that.
    #[must_use]
    pub fn train_bias(mut self, trains: bool) -> Self {
        self.bias = self.bias.set_require_grad(trains);
        self
    }

    /// Filters and biases.
    pub(crate) fn parameters(&self) -> (Tensor<4>, Tensor<1>) {
        (self.weight.val(), self.bias.val())
    }

    /// `[batch, 3, height, width]` to `[batch, 24, height - 1, width - 1]`.
    #[must_use]
    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let parameters = Affine {
            weight: self.weight.val().into_dispatch(),
            bias: self.bias.val().into_dispatch(),
        };
        let y = <Dispatch as CnnBackend>::conv_gelu(x.into_dispatch(), parameters, 0);
        Tensor::from_dispatch(y)
    }
}
