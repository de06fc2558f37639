//! How many kernels a piece of work asks of devices, Burn's own among them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use cubecl::config::{TypeNameFormatLevel, type_name_format};
use cubecl::dry_run::DryRun;
use cubecl::logging::{LaunchObservation, LaunchObserver};

/// Kernels by name.
#[derive(Default)]
struct Counts(Mutex<BTreeMap<&'static str, usize>>);

impl LaunchObserver for Counts {
    fn launched(&self, kernel: &'static str) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *counts.entry(kernel).or_default() += 1;
    }
}

/// Counts by name the kernels that `work` launches. None of them reaches a device while it runs, nor does any other
/// of this process: what `work` reads is any, and nothing else may be computed meanwhile.
pub fn launches(work: impl FnOnce()) -> BTreeMap<String, usize> {
    let counts = Arc::new(Counts::default());
    let dry_run = DryRun::new();
    let observation = LaunchObservation::new(counts.clone());
    work();
    drop((observation, dry_run));
    let counts = counts.0.lock().unwrap_or_else(PoisonError::into_inner);
    let mut named = BTreeMap::new();
    for (kernel, count) in counts.iter() {
        // Kernels that differ in types alone have one name.
        let name = type_name_format(kernel, TypeNameFormatLevel::Short);
        let name = name.split('<').next().unwrap_or_default().to_owned();
        *named.entry(name).or_default() += count;
    }
    named
}
