//! The operations on images in half precision.

use burn::tensor::Tensor;

use super::operations::{Biased, Normalised, OnDevice, Operations};
use crate::layers::{in_half_precision, in_single_precision};

/// The operations of the device that their arguments are on, with images in half precision: arguments are taken there
/// and results back.
#[derive(Debug, Clone, Copy)]
pub struct InHalf;

/// Numbers of images, `[batch, features]`, in half precision.
fn features(x: Tensor<2>) -> Tensor<2> {
    let [batch, features] = x.dims();
    in_half_precision(x.reshape([batch, features, 1, 1])).reshape([batch, features])
}

/// The same in single precision.
fn back(x: Tensor<2>) -> Tensor<2> {
    let [batch, features] = x.dims();
    in_single_precision(x.reshape([batch, features, 1, 1])).reshape([batch, features])
}

impl Operations for InHalf {
    fn conv_norm_relu(
        &self,
        x: Tensor<4>,
        p: &Normalised,
        stride: usize,
        padding: usize,
    ) -> Tensor<4> {
        let x = in_half_precision(x);
        in_single_precision(OnDevice.conv_norm_relu(x, p, stride, padding))
    }

    fn norm_relu(&self, x: Tensor<4>, p: &Biased<1>) -> Tensor<4> {
        in_single_precision(OnDevice.norm_relu(in_half_precision(x), p))
    }

    fn convolve(
        &self,
        x: Tensor<4>,
        weight: Tensor<4>,
        stride: usize,
        padding: usize,
    ) -> Tensor<4> {
        let x = in_half_precision(x);
        in_single_precision(OnDevice.convolve(x, weight, stride, padding))
    }

    fn residual(&self, x: Tensor<4>, p: &[Normalised; 2]) -> Tensor<4> {
        in_single_precision(OnDevice.residual(in_half_precision(x), p))
    }

    fn projected_residual(&self, x: Tensor<4>, p: &[Normalised; 3], stride: usize) -> Tensor<4> {
        let x = in_half_precision(x);
        in_single_precision(OnDevice.projected_residual(x, p, stride))
    }

    fn conv_bias(
        &self,
        x: Tensor<4>,
        p: &Biased<4>,
        stride: usize,
        padding: usize,
        rectify: bool,
    ) -> Tensor<4> {
        let x = in_half_precision(x);
        in_single_precision(OnDevice.conv_bias(x, p, stride, padding, rectify))
    }

    fn conv_bias_add_relu(&self, x: Tensor<4>, p: &Biased<4>, around: Tensor<4>) -> Tensor<4> {
        let (x, around) = (in_half_precision(x), in_half_precision(around));
        in_single_precision(OnDevice.conv_bias_add_relu(x, p, around))
    }

    fn conv_relu_pool(&self, x: Tensor<4>, p: &Biased<4>, pool: usize) -> Tensor<4> {
        in_single_precision(OnDevice.conv_relu_pool(in_half_precision(x), p, pool))
    }

    fn fully_connected(&self, x: Tensor<2>, p: &Biased<2>, rectify: bool) -> Tensor<2> {
        OnDevice.fully_connected(features(x), p, rectify)
    }

    fn global_avg_pool(&self, x: Tensor<4>) -> Tensor<2> {
        back(OnDevice.global_avg_pool(in_half_precision(x)))
    }

    fn global_max_pool(&self, x: Tensor<4>) -> Tensor<2> {
        back(OnDevice.global_max_pool(in_half_precision(x)))
    }

    fn conv_group(&self, x: Tensor<4>, p: &[Normalised; 2], epsilon: f32) -> Tensor<4> {
        in_single_precision(OnDevice.conv_group(in_half_precision(x), p, epsilon))
    }

    fn residual_conv_group(&self, x: Tensor<4>, p: &[Normalised; 3], epsilon: f32) -> Tensor<4> {
        let x = in_half_precision(x);
        in_single_precision(OnDevice.residual_conv_group(x, p, epsilon))
    }

    fn conv_gelu(&self, x: Tensor<4>, p: &Biased<4>, padding: usize) -> Tensor<4> {
        in_single_precision(OnDevice.conv_gelu(in_half_precision(x), p, padding))
    }

    fn conv_pool_gelu(&self, x: Tensor<4>, p: &Biased<4>) -> Tensor<4> {
        in_single_precision(OnDevice.conv_pool_gelu(in_half_precision(x), p))
    }

    fn conv_add_gelu(&self, x: Tensor<4>, p: &Biased<4>, around: Tensor<4>) -> Tensor<4> {
        let (x, around) = (in_half_precision(x), in_half_precision(around));
        in_single_precision(OnDevice.conv_add_gelu(x, p, around))
    }
}
