//! Small updates of many tensors, gathered so that a few kernels make them all.
//!
//! On a GPU a kernel costs the host more than the few numbers of most parameters cost the device. Within
//! [`together`] an update gives out the room for its result, and what is written there waits for the end.

use std::cell::RefCell;
use std::mem::take;

use burn_cubecl::CubeDevice;
use burn_cubecl::cubecl::client::Client;
use gpu_kernels::moments::{self, Follow};
use gpu_kernels::muon;
use gpu_kernels::update::{self, ByMeans, Step};
use gpu_kernels::{Buffer, Parts, add_parts};

/// The most numbers that wait to be added: parts are many times as large as their sums.
const MOST_WAITING: usize = 16 << 20;

/// Updates that wait.
#[derive(Default)]
struct Waiting {
    /// Where all of them are to be made.
    device: Option<(CubeDevice, Client)>,
    sums: Vec<Parts>,
    follows: Vec<Follow>,
    steps: Vec<Step>,
    by_means: Vec<ByMeans>,
    muon: Vec<muon::Step>,
}

impl Waiting {
    fn launch(&mut self) {
        if let Some((_, client)) = self.device.take() {
            add_parts(&client, &take(&mut self.sums));
            moments::follow(&client, &take(&mut self.follows));
            update::sgd(&client, &take(&mut self.steps));
            update::adamw(&client, &take(&mut self.by_means));
            muon::muon(&client, &take(&mut self.muon));
        }
    }

    /// Has the updates of another device made before one of `device` is added.
    fn turn_to(&mut self, device: &CubeDevice, client: &Client) {
        if self.device.as_ref().is_none_or(|(of, _)| of != device) {
            self.launch();
            self.device = Some((device.clone(), client.clone()));
        }
    }
}

thread_local! {
    /// The updates of the outermost [`together`] of this thread.
    static WAITING: RefCell<Option<Waiting>> = const { RefCell::new(None) };
}

/// Runs `updates`, and makes the gradients of parameters, running statistics and optimiser's steps that it asked for
/// at its end, with a few kernels. Until then, and after a panic, their values are none: `updates` must not read them.
pub fn together<R>(updates: impl FnOnce() -> R) -> R {
    struct AtEnd;

    impl Drop for AtEnd {
        fn drop(&mut self) {
            let waiting = WAITING.take();
            // A device that failed may fail again, and a panic during another ends the program.
            if let (Some(mut waiting), false) = (waiting, std::thread::panicking()) {
                waiting.launch();
            }
        }
    }

    let is_outermost = WAITING.with_borrow(Option::is_none);
    if !is_outermost {
        return updates();
    }
    WAITING.set(Some(Waiting::default()));
    let _at_end = AtEnd;
    updates()
}

/// Adds the parts of sums, at once or at the end of the [`together`] around. Gives where the sums are then.
pub(super) fn sums(device: &CubeDevice, client: &Client, parts: Parts) -> Buffer {
    let total = parts.total.clone();
    if parts.waiting() > 0 {
        later(device, client, |waiting| {
            let held: usize = waiting.sums.iter().map(Parts::waiting).sum();
            if held + parts.waiting() > MOST_WAITING {
                add_parts(client, &take(&mut waiting.sums));
            }
            waiting.sums.push(parts);
        });
    }
    total
}

/// Makes a step, at once or at the end of the [`together`] around.
pub(super) fn step(device: &CubeDevice, client: &Client, step: Step) {
    later(device, client, |waiting| waiting.steps.push(step));
}

/// Makes a step of AdamW, at once or at the end of the [`together`] around.
pub(super) fn by_means(device: &CubeDevice, client: &Client, step: ByMeans) {
    later(device, client, |waiting| waiting.by_means.push(step));
}

/// Makes a step of Muon, at once or at the end of the [`together`] around.
pub(super) fn muon(device: &CubeDevice, client: &Client, step: muon::Step) {
    later(device, client, |waiting| waiting.muon.push(step));
}

/// Makes running statistics, at once or at the end of the [`together`] around.
pub(super) fn follow(device: &CubeDevice, client: &Client, follow: Follow) {
    later(device, client, |waiting| waiting.follows.push(follow));
}

fn later(device: &CubeDevice, client: &Client, add: impl FnOnce(&mut Waiting)) {
    WAITING.with_borrow_mut(|waiting| match waiting {
        Some(waiting) => {
            waiting.turn_to(device, client);
            add(waiting);
        }
        None => {
            let mut alone = Waiting::default();
            alone.turn_to(device, client);
            add(&mut alone);
            alone.launch();
        }
    });
}
