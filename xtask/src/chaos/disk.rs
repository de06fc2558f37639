//! A full disk: a small file system that is mounted for the test, or a limit on the size of files.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::Outcome;
use super::kill::note;
use super::random::Random;
use super::trainer::{Running, Trainer};

/// Sizes of the disk in kilobytes, taken in turn. It fills up in a later save, in the first save, at the
/// run's first files, and in a later save again.
const KILOBYTES: [std::ops::Range<u64>; 4] = [600..2_400, 32..540, 4..28, 600..2_400];

/// How far a run had come when its disk was full.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Stage {
    /// It had not begun, and left no folder.
    NotBegun,
    /// It had not saved anything.
    NotSaved,
    /// It had saved.
    Saved,
}

/// Lets the disk fill up at some moment of each run, makes room, and goes on.
pub fn full(trainer: &Trainer, random: &mut Random, count: usize) -> Outcome {
    let disk = trainer.folder.join("disk");
    fs::create_dir_all(&disk).map_err(|error| error.to_string())?;
    if !mount(&disk, "size=64m") {
        let (well, remark) = limited(trainer, random, count)?;
        return Ok((well, format!("a limit on the size of files; {remark}")));
    }
    unmount(&disk);
    let (mut well, mut remarks) = (0, Vec::new());
    let (mut sizes, mut stages) = (Vec::new(), Vec::<Stage>::new());
    for range in KILOBYTES.iter().cycle().take(count) {
        let size = range.start + random.below(range.end - range.start);
        if !mount(&disk, &format!("size={size}k")) {
            return Err("the small file system could not be mounted".into());
        }
        let outcome = fill(trainer, &disk, || mount(&disk, "remount,size=64m"));
        unmount(&disk);
        stages.extend(outcome.as_ref().ok());
        sizes.push(size);
        note(outcome, &mut well, &mut remarks);
    }
    sizes.sort_unstable();
    let of = |stage| stages.iter().filter(|one| **one == stage).count();
    remarks.push(format!(
        "disks of {} to {} kB: {} runs had not begun, {} had not saved, {} had saved",
        sizes.first().unwrap_or(&0),
        sizes.last().unwrap_or(&0),
        of(Stage::NotBegun),
        of(Stage::NotSaved),
        of(Stage::Saved),
    ));
    Ok((well, remarks.join("; ")))
}

/// Trains on the small disk until it is full, makes room, and goes on to the end.
fn fill(trainer: &Trainer, disk: &Path, make_room: impl Fn() -> bool) -> Result<Stage, String> {
    let artifacts = disk.join("artifacts");
    let command = trainer.command(&artifacts);
    let mut running = Running::spawn(command, &trainer.folder.join("full"))?;
    let status = running.wait()?;
    let said = running.said();
    let began = artifacts.join("latest").exists();
    let way_out = if began {
        "go on"
    } else {
        "give the same command again"
    };
    check_message(status.code(), &said, way_out)?;
    if !make_room() {
        return Err("no room could be made".to_owned());
    }
    if !began {
        let left = fs::read_dir(&artifacts).into_iter().flatten().count();
        if left > 0 {
            return Err(format!("a run that did not begin left something: {said}"));
        }
        trainer.train_whole(&artifacts)?;
        return Ok(Stage::NotBegun);
    }
    go_on(trainer, &artifacts, &said)?;
    Ok(if said.contains("saved up to") {
        Stage::Saved
    } else {
        Stage::NotSaved
    })
}

/// One message that says what to do, whose end is `way_out`, and no panic.
fn check_message(code: Option<i32>, said: &str, way_out: &str) -> Result<(), String> {
    let errors = said
        .lines()
        .filter(|line| line.starts_with("error: "))
        .count();
    if code != Some(1) || errors != 1 || said.contains("panicked") {
        return Err(format!("exit code {code:?}, {errors} errors: {said}"));
    }
    if !said.contains(&format!("make room, then {way_out}")) {
        return Err(format!("nothing says what to do: {said}"));
    }
    Ok(())
}

/// Goes on with a run that `said` why it ended, and checks that it does so from what was said to be saved,
/// and from nothing where nothing was.
pub fn go_on(trainer: &Trainer, artifacts: &Path, said: &str) -> Result<String, String> {
    let resumed = trainer.finish(artifacts)?;
    if said.contains("saved up to") != resumed.contains("going on from") {
        return Err(format!("{said} {resumed}"));
    }
    let saved = said
        .split("saved up to ")
        .nth(1)
        .and_then(|rest| rest.split(';').next());
    match saved {
        Some(name) if !resumed.contains(&format!("/{name}\n")) => {
            Err(format!("{name} was said to be saved: {resumed}"))
        }
        _ => Ok(resumed),
    }
}

/// The same with files that may not become as large as the run needs them.
fn limited(trainer: &Trainer, random: &mut Random, count: usize) -> Outcome {
    let (mut well, mut remarks) = (0, Vec::new());
    for number in 0..count {
        let artifacts = trainer.artifacts("limited", number);
        let train = trainer.command(&artifacts);
        let mut command = Command::new("sh");
        // Blocks of 512 bytes; a part of a checkpoint has about 500 of them.
        let script = format!(
            "trap '' XFSZ; ulimit -f {}; exec \"$0\" \"$@\"",
            40 + random.below(400)
        );
        command.args(["-c", &script]).arg(train.get_program());
        command.args(train.get_args());
        let mut running = Running::spawn(command, &artifacts)?;
        let status = running.wait()?;
        let said = running.said();
        let outcome = check_message(status.code(), &said, "go on")
            .and_then(|()| go_on(trainer, &artifacts, &said));
        note(outcome, &mut well, &mut remarks);
        let _ = fs::remove_dir_all(&artifacts);
    }
    Ok((well, remarks.join("; ")))
}

/// Mounts a file system in memory, or changes the one that is mounted.
fn mount(folder: &Path, options: &str) -> bool {
    Command::new("mount")
        .args(["-t", "tmpfs", "-o", options, "tmpfs"])
        .arg(folder)
        .output()
        .is_ok_and(|output| output.status.success())
}

fn unmount(folder: &Path) {
    // A file system that stays mounted is in the way of the next one, which then says so.
    let _ = Command::new("umount").arg(folder).output();
}
