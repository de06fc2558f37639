//! A run's memory does not grow with its epochs.

use std::fs;
use std::time::Duration;

use super::resume::Running;

const EPOCHS: usize = 10;
/// What the program may take more after its second epoch than before.
const GROWTH: f64 = 1.02;

/// Memory of a process in KiB; nothing where it has ended.
fn resident(id: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{id}/status")).ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix(" kB")?.trim().parse().ok()
}

#[test]
fn ten_epochs_take_no_more_memory_than_two() {
    let artifacts = tempfile::tempdir().unwrap();
    // A network that takes so much that a block of the allocator is less than what may be added.
    let settings = [
        "--network",
        "resnet20",
        "--batch-size",
        "256",
        // What several threads hold at once depends on how they are scheduled.
        "--threads",
        "1",
        "--epochs",
        "10",
        "--set",
        "data.train_images=768",
        "--set",
        "validation=256",
        "--set",
        "checkpoint.every_epochs=1",
    ];
    let mut running = Running::start(artifacts.path(), &settings);
    let table = running.run.join("metrics.csv");
    let mut most = [0; EPOCHS];
    // The figures count until the last epoch is over: the final test is another thing.
    loop {
        let rows = fs::read_to_string(&table).map_or(0, |text| text.lines().count());
        let (Some(kibibytes), Some(most)) = (
            resident(running.child.id()),
            most.get_mut(rows.saturating_sub(1)),
        ) else {
            break;
        };
        *most = kibibytes.max(*most);
        std::thread::sleep(Duration::from_millis(1));
    }
    assert_eq!(running.child.wait().unwrap().code(), Some(0));
    println!("KiB in each epoch: {most:?}");
    let seen = most.iter().filter(|most| **most > 0).count();
    assert!(seen >= EPOCHS / 2, "{most:?}");
    let (first, later) = most.split_at(2);
    let (first, later) = (first.iter().max().unwrap(), later.iter().max().unwrap());
    assert!(*later as f64 <= GROWTH * *first as f64, "{most:?}");
}
