use cpu_kernels::{AdamWStep, Context, Isa, Precision, SgdStep, adamw_step, reference, sgd_step};

use super::compare::{assert_close_on_scale, to_f64};
use super::random::Random;

#[test]
fn steps_of_sgd_agree_with_the_reference_on_every_instruction_set() {
    for isa in Isa::ALL.into_iter().filter(|isa| isa.is_available()) {
        let context = &Context::with(1, Precision::Exact, isa).unwrap();
        for len in [0, 1, 7, 16, 33, 70_001] {
            for (momentum, nesterov, weight_decay) in
                [(0.0, false, 0.0), (0.9, false, 5e-4), (0.9, true, 1e-2)]
            {
                let step = SgdStep {
                    lr: 0.1,
                    momentum,
                    nesterov,
                    weight_decay,
                };
                let random = &mut Random::new(len as u64);
                let mut weights = random.values(len);
                // Whatever the velocity holds, the first step does not read it.
                let mut velocity = vec![f32::NAN; len];
                let (mut exact_weights, mut exact_velocity) = (to_f64(&weights), vec![0.0; len]);
                for number in 0..3 {
                    let (gradient, first) = (random.values(len), number == 0);
                    sgd_step(
                        context,
                        &step,
                        &mut weights,
                        &gradient,
                        &mut velocity,
                        first,
                    )
                    .unwrap();
                    reference::sgd_step(
                        &step,
                        &mut exact_weights,
                        &to_f64(&gradient),
                        &mut exact_velocity,
                        first,
                    );
                }
                if len > 0 {
                    // A weight may be nearly zero after a step, so the scale is that of all values.
                    let case = &(isa, step, len);
                    assert_close_on_scale(case, &weights, &exact_weights, 0.5);
                    assert_close_on_scale(case, &velocity, &exact_velocity, 0.5);
                }
            }
        }
    }
}

#[test]
fn steps_of_adamw_agree_with_the_reference_on_every_instruction_set() {
    for isa in Isa::ALL.into_iter().filter(|isa| isa.is_available()) {
        let context = &Context::with(1, Precision::Exact, isa).unwrap();
        for len in [0, 1, 7, 16, 33, 70_001] {
            let random = &mut Random::new(len as u64);
            let mut weights = random.values(len);
            let (mut first, mut second) = (vec![0.0; len], vec![0.0; len]);
            let mut exact = [to_f64(&weights), vec![0.0; len], vec![0.0; len]];
            for time in 1..4 {
                let step = AdamWStep {
                    lr: 0.01,
                    beta1: 0.9,
                    beta2: 0.99,
                    epsilon: 1e-3,
                    weight_decay: 0.1,
                    shares: AdamWStep::shares([0.9, 0.99], time),
                };
                let gradient = random.values(len);
                adamw_step(
                    context,
                    &step,
                    &mut weights,
                    &gradient,
                    &mut first,
                    &mut second,
                )
                .unwrap();
                let [w, m, v] = &mut exact;
                reference::adamw_step(&step, w, &to_f64(&gradient), m, v);
            }
            if len > 0 {
                let case = &(isa, len);
                let [exact_weights, exact_first, exact_second] = &exact;
                assert_close_on_scale(case, &weights, exact_weights, 0.5);
                assert_close_on_scale(case, &first, exact_first, 0.5);
                assert_close_on_scale(case, &second, exact_second, 0.5);
            }
        }
    }
}

#[test]
fn shares_of_adamw_are_those_of_its_paper() {
    assert_eq!(AdamWStep::shares([0.5, 0.75], 1), [0.5, 0.25]);
    assert_eq!(AdamWStep::shares([0.5, 0.75], 2), [0.75, 0.4375]);
}
