//! Convolutions and normalisations that stand alone, as before and after the sums of networks that
//! normalise first.

use burn::backend::Dispatch;
use burn::tensor::activation::relu;
use burn::tensor::{Device, Tensor, module};
use model::CnnBackend;
use model::backend::types::Affine;

use super::{KINKED, SMOOTH, burn_convolution, check, random};

pub fn convolutions_agree(device: &Device) {
    let (step, bound) = SMOOTH;
    for (x, w, stride, padding) in [
        ([4, 3, 9, 7], [5, 3, 3, 3], 1, 1),
        ([4, 4, 8, 8], [6, 4, 3, 3], 2, 1),
        ([3, 16, 8, 8], [32, 16, 1, 1], 2, 0),
        ([3, 16, 8, 8], [16, 16, 3, 3], 1, 1),
    ] {
        let what = format!("convolution of {x:?} by {w:?} alone, stride {stride}");
        let (x, w) = (random(1, x, device), random(2, w, device));
        let ours = |x: Tensor<4>, w: Tensor<4>| -> Tensor<4> {
            let (x, w) = (x.into_dispatch(), w.into_dispatch());
            Tensor::from_dispatch(<Dispatch as CnnBackend>::convolve(x, w, stride, padding))
        };
        let burns = |x, w| burn_convolution(x, w, stride, padding);
        let name = format!("{what}, by its input");
        let f = |x| ours(x, w.clone());
        check(&name, &x, step, bound, f, |x| burns(x, w.clone()));
        let name = format!("{what}, by its weights");
        let f = |w| ours(x.clone(), w);
        check(&name, &w, step, bound, f, |w| burns(x.clone(), w));
    }
}

pub fn normalisations_agree(device: &Device) {
    let (step, bound) = KINKED;
    for shape in [[4, 3, 5, 7], [3, 16, 4, 4]] {
        let what = format!("normalisation of {shape:?} alone");
        let x = random(1, shape, device);
        let gamma = random(2, [shape[1]], device).add_scalar(1.5);
        let beta = random(3, [shape[1]], device);
        let ours = |x: Tensor<4>, gamma: Tensor<1>, beta: Tensor<1>| -> Tensor<4> {
            let parameters = Affine {
                weight: gamma.into_dispatch(),
                bias: beta.into_dispatch(),
            };
            let forward = <Dispatch as CnnBackend>::norm_relu(x.into_dispatch(), parameters);
            Tensor::from_dispatch(forward.y)
        };
        let burns = |x, gamma, beta| relu(module::batch_norm_train(x, gamma, beta, 1e-5).output);
        let name = format!("{what}, by its input");
        let f = |x| ours(x, gamma.clone(), beta.clone());
        check(&name, &x, step, bound, f, |x| {
            burns(x, gamma.clone(), beta.clone())
        });
        let name = format!("{what}, by its scale");
        let f = |gamma| ours(x.clone(), gamma, beta.clone());
        check(&name, &gamma, step, bound, f, |gamma| {
            burns(x.clone(), gamma, beta.clone())
        });
        let name = format!("{what}, by its shift");
        let f = |beta| ours(x.clone(), gamma.clone(), beta);
        check(&name, &beta, step, bound, f, |beta| {
            burns(x.clone(), gamma.clone(), beta)
        });
    }
}
