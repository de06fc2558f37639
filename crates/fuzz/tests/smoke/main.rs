//! A short run of every target on mutations of its seeds, and that the seeds reach what it is for.
//! It needs no instrumented build, and is not guided by coverage.
#![allow(clippy::panic, clippy::unwrap_used)]

mod mutate;

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use fuzz::limits::{MOST_RESIDENT, peak_resident};
use fuzz::{Read, TARGETS, Target, scratch};
use mutate::Mutator;

/// The contents of a target's seeds, in the order of their names.
fn seeds(target: &Target) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("seeds")
        .join(target.name);
    let entries = fs::read_dir(&folder);
    let entries = entries.unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.iter().map(|path| fs::read(path).unwrap()).collect()
}

/// The words of a target's dictionary.
fn words(target: &Target) -> Vec<Vec<u8>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("dictionaries")
        .join(format!("{}.dict", target.name));
    fs::read_to_string(path).map_or_else(|_| Vec::new(), |text| mutate::words(&text))
}

/// Gives an input to a target. An input that it fails on is kept in a file.
fn check(target: &Target, input: &[u8]) -> Read {
    catch_unwind(AssertUnwindSafe(|| (target.read)(input))).unwrap_or_else(|_| {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{}-crash", target.name));
        fs::write(&path, input).unwrap();
        panic!(
            "{0} fails on {1}; again: cargo xtask fuzz --target {0} --replay {1}",
            target.name,
            path.display()
        );
    })
}

/// One test, so that targets do not share the folder for their files at the same time, and that
/// the process's peak of memory is theirs.
#[test]
fn every_target_reads_a_seed_and_takes_mutations_of_its_seeds() {
    for target in TARGETS {
        let seeds = seeds(target);
        let whole = seeds
            .iter()
            .filter(|seed| check(target, seed) == Read::Whole);
        assert!(whole.count() > 0, "{}: every seed is refused", target.name);

        let mut mutator = Mutator::new(seeds, words(target));
        let mut read = 0;
        for _ in 0..target.smoke_runs {
            read += u32::from(check(target, &mutator.next_input()) == Read::Whole);
        }
        println!(
            "{}: {read} of {} inputs were read",
            target.name, target.smoke_runs
        );
        if let Some(peak) = peak_resident() {
            assert!(peak < MOST_RESIDENT, "{}: {} MB", target.name, peak >> 20);
        }
    }
    fs::remove_dir_all(scratch::folder()).unwrap();
}
