//! The length of a gradient.

use burn::module::{Module, ModuleVisitor, Param};
use burn::optim::GradientsParams;
use burn::tensor::Tensor;

use super::TrainError;

/// The Euclidean norm of all of a module's gradients as one vector.
///
/// # Errors
/// [`TrainError::Device`] where they cannot be read.
pub fn norm<M: Module>(module: &M, gradients: &GradientsParams) -> Result<f64, TrainError> {
    let mut squares = Squares {
        gradients,
        sum: Ok(0.0),
    };
    module.visit(&mut squares);
    squares.sum.map(f64::sqrt)
}

struct Squares<'a> {
    gradients: &'a GradientsParams,
    sum: Result<f64, TrainError>,
}

impl ModuleVisitor for Squares<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if let Ok(sum) = &mut self.sum
            && let Some(gradient) = self.gradients.get::<D>(param.id)
        {
            match gradient.square().sum().try_into_scalar::<f64>() {
                Ok(square) => *sum += square,
                Err(error) => self.sum = Err(TrainError::device(error)),
            }
        }
    }
}
