//! Flipped bytes and cut files.

use std::fs;
use std::path::{Path, PathBuf};

use super::Outcome;
use super::kill::note;
use super::random::Random;
use super::trainer::{Trainer, checkpoints};

/// Alters one place of the newest checkpoint of a run that was killed near its end, and goes on with it.
pub fn damage(trainer: &Trainer, random: &mut Random, count: usize) -> Outcome {
    let original = trainer.artifacts("damaged", 0);
    let mut running = trainer.start(&original, &[], &[])?;
    while running.last_step() < 200 {
        if running.ended()?.is_some() {
            return Err("the run ended before it was killed".into());
        }
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    running.kill()?;
    let name = running
        .run
        .file_name()
        .ok_or("a run has a name")?
        .to_owned();
    let (mut well, mut remarks, mut cuts) = (0, Vec::new(), 0);
    for number in 1..=count {
        let artifacts = trainer.artifacts("damaged", number);
        let run = artifacts.join(&name);
        copy(&original.join(&name), &run)?;
        std::os::unix::fs::symlink(&name, artifacts.join("latest"))
            .map_err(|error| error.to_string())?;
        let Some((_, newest)) = checkpoints(&run).into_iter().next() else {
            return Err("the killed run has no checkpoint".into());
        };
        cuts += usize::from(alter(&newest, random)?);
        let step = newest.file_name().unwrap_or_default().to_string_lossy();
        let outcome = trainer.finish(&artifacts).and_then(|said| {
            let named = said
                .lines()
                .filter(|line| line.contains(&*step) && line.contains("passed over"))
                .count();
            if named == 1 {
                Ok(said)
            } else {
                Err(format!("{step} was named {named} times: {said}"))
            }
        });
        note(outcome, &mut well, &mut remarks);
        let _ = fs::remove_dir_all(&artifacts);
    }
    remarks.push(format!("{} flipped, {cuts} cut", count - cuts));
    Ok((well, remarks.join("; ")))
}

/// Flips a bit of a file of the checkpoint, or cuts the file. Says whether it was cut.
fn alter(checkpoint: &Path, random: &mut Random) -> Result<bool, String> {
    let failed = |error: std::io::Error| format!("{}: {error}", checkpoint.display());
    let mut files: Vec<PathBuf> = fs::read_dir(checkpoint)
        .map_err(failed)?
        .map(|entry| Ok(entry.map_err(failed)?.path()))
        .collect::<Result<_, String>>()?;
    files.sort();
    let file = &files[random.below(files.len() as u64) as usize];
    let mut bytes = fs::read(file).map_err(failed)?;
    let place = random.below(bytes.len() as u64) as usize;
    let cut = random.below(4) == 0;
    if cut {
        bytes.truncate(place);
    } else if let Some(byte) = bytes.get_mut(place) {
        *byte ^= 1 << random.below(8);
    }
    fs::write(file, bytes).map_err(failed)?;
    Ok(cut)
}

/// Copies a folder with everything in it.
fn copy(from: &Path, to: &Path) -> Result<(), String> {
    let failed = |error: std::io::Error| format!("{}: {error}", from.display());
    fs::create_dir_all(to).map_err(failed)?;
    for entry in fs::read_dir(from).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), target).map_err(failed)?;
        }
    }
    Ok(())
}
