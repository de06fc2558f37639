//! A full disk: a small file system that is mounted for the test, or a limit on the size of files.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::Outcome;
use super::kill::note;
use super::random::Random;
use super::trainer::{Running, Trainer};

/// A run takes at least so much, or its folder is not even begun; and at most so much at once.
const KILOBYTES: std::ops::Range<u64> = 100..2_400;

/// Lets the disk fill up at some moment of each run, makes room, and goes on.
pub fn full(trainer: &Trainer, random: &mut Random, count: usize) -> Outcome {
    let disk = trainer.folder.join("disk");
    fs::create_dir_all(&disk).map_err(|error| error.to_string())?;
    if !mount(&disk, "size=64m") {
        let (well, remark) = limited(trainer, random, count)?;
        return Ok((well, format!("a limit on the size of files; {remark}")));
    }
    unmount(&disk);
    let (mut well, mut remarks, mut saved) = (0, Vec::new(), 0);
    let mut sizes = Vec::new();
    for _ in 0..count {
        let size = KILOBYTES.start + random.below(KILOBYTES.end - KILOBYTES.start);
        if !mount(&disk, &format!("size={size}k")) {
            return Err("the small file system could not be mounted".into());
        }
        let outcome = fill(trainer, &disk, || mount(&disk, "remount,size=64m"));
        unmount(&disk);
        saved += usize::from(
            outcome
                .as_ref()
                .is_ok_and(|said| said.contains("going on from")),
        );
        sizes.push(size);
        note(outcome, &mut well, &mut remarks);
    }
    sizes.sort_unstable();
    remarks.push(format!(
        "disks of {} to {} kB, {saved} had saved before",
        sizes.first().unwrap_or(&0),
        sizes.last().unwrap_or(&0)
    ));
    Ok((well, remarks.join("; ")))
}

/// Trains on the small disk until it is full, makes room, and goes on to the end.
fn fill(trainer: &Trainer, disk: &Path, make_room: impl Fn() -> bool) -> Result<String, String> {
    let artifacts = disk.join("artifacts");
    let command = trainer.command(&artifacts);
    let mut running = Running::spawn(command, &trainer.folder.join("full"))?;
    let status = running.wait()?;
    let said = running.said();
    check_message(status.code(), &said)?;
    if !make_room() {
        return Err("no room could be made".to_owned());
    }
    let resumed = go_on(trainer, &artifacts, &said)?;
    let had_saved = said.contains("saved up to");
    if had_saved != resumed.contains("going on from") {
        return Err(format!("{said} {resumed}"));
    }
    Ok(resumed)
}

/// One message that says what to do, and no panic.
fn check_message(code: Option<i32>, said: &str) -> Result<(), String> {
    let errors = said
        .lines()
        .filter(|line| line.starts_with("error: "))
        .count();
    if code != Some(1) || errors != 1 || said.contains("panicked") {
        return Err(format!("exit code {code:?}, {errors} errors: {said}"));
    }
    if !said.contains("make room, then go on") {
        return Err(format!("nothing says what to do: {said}"));
    }
    Ok(())
}

/// Goes on, and checks that it does so from what was said to be saved.
fn go_on(trainer: &Trainer, artifacts: &Path, said: &str) -> Result<String, String> {
    let resumed = trainer.finish(artifacts)?;
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
        let outcome =
            check_message(status.code(), &said).and_then(|()| go_on(trainer, &artifacts, &said));
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
