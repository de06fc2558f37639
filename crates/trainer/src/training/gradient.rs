//! Gradients as vectors: their length, their multiples and their sums.

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

/// Adds `factor` times `part` to `sum`.
pub fn add<M: Module>(module: &M, sum: &mut GradientsParams, part: GradientsParams, factor: f64) {
    module.visit(&mut Add { sum, part, factor });
}

/// `factor` times `gradients`.
#[must_use]
pub fn scaled<M: Module>(module: &M, gradients: GradientsParams, factor: f64) -> GradientsParams {
    let mut scaled = GradientsParams::new();
    add(module, &mut scaled, gradients, factor);
    scaled
}

/// `gradients`, all scaled by one factor where their norm as one vector is above `most`, as
/// `torch.nn.utils.clip_grad_norm_` does (Pascanu et al., 2013).
///
/// # Errors
/// [`TrainError::Device`] where they cannot be read.
pub fn clipped<M: Module>(
    module: &M,
    gradients: GradientsParams,
    most: f64,
) -> Result<GradientsParams, TrainError> {
    let factor = most / (norm(module, &gradients)? + 1e-6);
    Ok(if factor < 1.0 {
        scaled(module, gradients, factor)
    } else {
        gradients
    })
}

struct Add<'a> {
    sum: &'a mut GradientsParams,
    part: GradientsParams,
    factor: f64,
}

impl ModuleVisitor for Add<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if let Some(part) = self.part.remove::<D>(param.id) {
            let part = part.mul_scalar(self.factor);
            let sum = match self.sum.remove::<D>(param.id) {
                Some(sum) => sum + part,
                None => part,
            };
            self.sum.register(param.id, sum);
        }
    }
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
