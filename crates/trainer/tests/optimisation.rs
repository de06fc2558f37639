//! What training promises beside the steps of its optimisers, each against its formula.
#![allow(clippy::unwrap_used)]

use burn::module::{Module, ModuleVisitor, Param};
use burn::optim::GradientsParams;
use burn::tensor::{Device, Int, Tensor, TensorData};
use burn_train::Learner;
use cifar10::synthetic::{Part, generate};
use model::{Network, NetworkKind};
use trainer::recipe::{self, LossSpec, Recipe, Reduction};
use trainer::training::{Averages, Batch, Classifier, Mixed, Schedule, gradient, optimizer};

fn device() -> Device {
    #[allow(deprecated)]
    Device::ndarray().autodiff()
}

fn classifier(kind: NetworkKind) -> Classifier {
    Classifier::new(Network::init(kind, 10, 0, &device()).unwrap(), 0.1).train()
}

fn batch(images: usize, from: u64) -> Batch {
    let data = generate(Part::Train, images, from);
    let values: Vec<f32> = data
        .pixels()
        .iter()
        .map(|byte| f32::from(*byte) / 127.5 - 1.0)
        .collect();
    let labels: Vec<i32> = data
        .labels()
        .iter()
        .map(|label| i32::from(*label))
        .collect();
    Batch {
        images: Tensor::from_data(TensorData::new(values, [images, 3, 32, 32]), &device()),
        targets: Tensor::<1, Int>::from_data(labels.as_slice(), &device()),
        mixed: None,
    }
}

/// All values of a module or its gradients, parameter by parameter.
struct Values<'a> {
    of: Option<&'a GradientsParams>,
    found: Vec<Vec<f32>>,
}

impl ModuleVisitor for Values<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let tensor = match self.of {
            Some(gradients) => gradients.get::<D>(param.id),
            None => Some(param.val().detach()),
        };
        self.found
            .extend(tensor.map(|tensor| tensor.into_data().try_to_vec().unwrap()));
    }
}

fn values<M: Module>(module: &M, of: Option<&GradientsParams>) -> Vec<Vec<f32>> {
    let mut values = Values { of, found: vec![] };
    module.visit(&mut values);
    values.found
}

fn assert_close(found: &[Vec<f32>], expected: &[Vec<f32>], bound: f32) {
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(expected) {
        let largest = expected
            .iter()
            .fold(0.0_f32, |most, value| most.max(value.abs()));
        for (a, b) in found.iter().zip(expected) {
            assert!((a - b).abs() <= bound * largest, "{a} and {b} of {largest}");
        }
    }
}

#[test]
fn gradients_of_parts_sum_to_those_of_the_whole_batch() {
    let batch = batch(50, 0);
    let network = Network::init(NetworkKind::SimpleCnn, 10, 0, &device()).unwrap();
    for reduction in [Reduction::Mean, Reduction::Sum] {
        let loss = LossSpec {
            label_smoothing: 0.1,
            reduction,
        };
        let classifier = Classifier::with_loss(network.clone(), loss).train();
        let whole = gradient::of_batch(&classifier, &batch, 1);
        let loss = |output: &burn_train::TrainOutput<burn_train::ClassificationOutput>| {
            output.item.loss.clone().into_scalar::<f32>()
        };
        let expected = values(&classifier, Some(&whole.grads));
        // 50 in 4 parts are 13, 13, 13 and 11.
        for parts in [2, 4, 50] {
            let found = gradient::of_batch(&classifier, &batch, parts);
            assert_close(&values(&classifier, Some(&found.grads)), &expected, 1e-5);
            assert!((loss(&found) - loss(&whole)).abs() < 1e-5);
            assert_eq!(found.item.output.dims(), [50, 10]);
        }
    }
}

#[test]
fn a_summed_loss_has_the_gradients_of_the_mean_times_the_images_and_shows_the_mean() {
    let batch = batch(20, 0);
    let network = Network::init(NetworkKind::SimpleCnn, 10, 0, &device()).unwrap();
    let of = |reduction| {
        let loss = LossSpec {
            label_smoothing: 0.0,
            reduction,
        };
        let classifier = Classifier::with_loss(network.clone(), loss).train();
        let output = gradient::of_batch(&classifier, &batch, 1);
        let gradients = values(&classifier, Some(&output.grads));
        (gradients, output.item.loss.into_scalar::<f32>())
    };
    let ((mean, loss), (sum, shown)) = (of(Reduction::Mean), of(Reduction::Sum));
    assert_eq!(loss, shown);
    let times: Vec<Vec<f32>> = mean
        .iter()
        .map(|values| values.iter().map(|value| 20.0 * value).collect())
        .collect();
    assert_close(&sum, &times, 1e-5);
}

#[test]
fn clipped_gradients_keep_their_direction_and_have_the_norm_that_was_asked_for() {
    let classifier = classifier(NetworkKind::SimpleCnn);
    let gradients = || gradient::of_batch(&classifier, &batch(20, 0), 1).grads;
    let norm = gradient::norm(&classifier, &gradients()).unwrap();
    let plain = values(&classifier, Some(&gradients()));
    let by_hand: f64 = plain
        .iter()
        .flatten()
        .map(|value| f64::from(*value).powi(2))
        .sum();
    assert!((norm - by_hand.sqrt()).abs() < 1e-4 * norm);
    let clipped = gradient::clipped(&classifier, gradients(), norm / 4.0).unwrap();
    let quarter: Vec<Vec<f32>> = plain
        .iter()
        .map(|values| values.iter().map(|value| value / 4.0).collect())
        .collect();
    assert_close(&values(&classifier, Some(&clipped)), &quarter, 1e-4);
    let whole = gradient::clipped(&classifier, gradients(), 2.0 * norm).unwrap();
    assert_eq!(values(&classifier, Some(&whole)), plain);
}

/// The loss is linear in the targets, so that a mixture's is the mixture of the losses.
#[test]
fn the_loss_of_a_mixture_is_the_mixture_of_the_losses() {
    let classifier = classifier(NetworkKind::SimpleCnn);
    let plain = batch(1, 0);
    let loss = |batch: &Batch| {
        let output = gradient::of_batch(&classifier, batch, 1);
        output.item.loss.into_scalar::<f32>()
    };
    let target = |class: i32| Tensor::<1, Int>::from_data([class], &device());
    let of = |class| {
        loss(&Batch {
            targets: target(class),
            ..plain.clone()
        })
    };
    let mixed = loss(&Batch {
        targets: target(3),
        mixed: Some(Mixed {
            targets: target(7),
            shares: Tensor::from_data([0.3_f32], &device()),
        }),
        ..plain.clone()
    });
    let expected = 0.3 * of(3) + 0.7 * of(7);
    assert!(of(3) != of(7));
    assert!((mixed - expected).abs() < 1e-6, "{mixed} and {expected}");
}

fn recipe(text: &str) -> Recipe {
    recipe::from_text("test", text, &[], &NetworkKind::NAMES).unwrap()
}

/// A learner with what it keeps beside its weights, and its state after each of a few steps.
fn trained(text: &str, steps: u64) -> (Averages, Classifier, Vec<[Vec<Vec<f32>>; 2]>) {
    let recipe = recipe(text);
    let classifier = classifier(NetworkKind::ResNet20);
    let optimizer = optimizer::optimizer(&recipe.optimizer, &recipe.groups, &classifier.network);
    let schedule = Schedule::new(recipe.schedule.clone(), recipe.optimizer.lr(), steps, 2)
        .of_network(&recipe.groups, &classifier.network);
    let mut averages = Averages::new(&recipe, steps, &classifier);
    let mut learner = Learner::new(classifier, optimizer, schedule);
    let mut states = vec![];
    for step in 1..=steps {
        let output = gradient::of_batch(&learner.model(), &batch(8, step), 1);
        learner.lr_step();
        learner.optimizer_step(output.grads);
        let before = values(&learner.model().valid(), None);
        averages.follow(&mut learner, step);
        states.push([before, values(&learner.model().valid(), None)]);
    }
    (averages, learner.model(), states)
}

fn mixed(a: &[Vec<f32>], b: &[Vec<f32>], share: f32) -> Vec<Vec<f32>> {
    let mix = |(a, b): (&Vec<f32>, &Vec<f32>)| {
        let pairs = a.iter().zip(b);
        pairs.map(|(a, b)| share * a + (1.0 - share) * b).collect()
    };
    a.iter().zip(b).map(mix).collect()
}

const CONSTANT: &str = "schedule.name = \"constant\"\noptimizer.lr = 0.05\n";

#[test]
fn the_average_follows_weights_and_running_statistics_by_its_formula_and_changes_neither() {
    let text =
        format!("{CONSTANT}select = \"average\"\naverage = {{ decay = 0.7, every_steps = 2 }}");
    let (averages, model, states) = trained(&text, 6);
    let (_, _, plain) = trained(CONSTANT, 6);
    assert_eq!(states, plain, "training is as without an average");
    // It begins at its first update, that of the second step.
    let fourth = mixed(&states[1][0], &states[3][0], 0.7);
    let sixth = mixed(&fourth, &states[5][0], 0.7);
    let found = values(&averages.counting(&model), None);
    assert_close(&found, &sixth, 1e-5);
    assert_eq!(values(&model.valid(), None), states[5][1]);
    // Until then it is the network that trains.
    let (averages, model, states) = trained(&text, 1);
    let found = values(&averages.counting(&model), None);
    assert_eq!(found, states[0][1]);
}

#[test]
fn fast_weights_and_statistics_return_to_the_slow_ones_by_the_formula() {
    let text = format!("{CONSTANT}lookahead = {{ every_steps = 2, decay = 0.8, power = 1 }}");
    let (averages, model, states) = trained(&text, 4);
    let start = values(&classifier(NetworkKind::ResNet20).valid(), None);
    // After half of the run 0.8 / 2 of the slow weights stay.
    let second = mixed(&start, &states[1][0], 0.4);
    assert_close(&states[1][1], &second, 1e-5);
    assert_eq!(states[0][0], states[0][1]);
    let fourth = mixed(&second, &states[3][0], 0.8);
    assert_close(&states[3][1], &fourth, 1e-5);
    assert_eq!(values(&averages.counting(&model), None), states[3][1]);
}

#[test]
fn a_group_whose_epochs_are_over_stays_and_the_others_move() {
    let text = format!(
        "{CONSTANT}optimizer.group = [{{ role = \"filters\", name = \"muon\", epochs = 1 }}]"
    );
    // Two steps are an epoch.
    let (.., states) = trained(&text, 4);
    let filters = |step: usize| &states[step][1][0];
    let head = |step: usize| &states[step][1][states[step][1].len() - 2];
    assert_ne!(filters(0), filters(1));
    assert_eq!(filters(1), filters(2));
    assert_eq!(filters(1), filters(3));
    assert_ne!(head(1), head(2));
}
