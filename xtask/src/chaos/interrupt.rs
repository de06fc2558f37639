//! Ctrl-C with the dashboard and without, a closed terminal, and a panic in a thread beside the
//! training one.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::disk::go_on;
use super::kill::note;
use super::random::Random;
use super::trainer::{Running, Trainer};
use super::{Failure, Outcome};

/// How many runs for each one that counts may end before they are interrupted.
const MOST_TOO_LATE: usize = 10;

/// Images of an epoch after which a run has saved at least once: it does so every 20 steps of 32.
const SAVED_ONCE: u64 = 22 * 32;

/// Images of an epoch.
const IMAGES: u64 = 1_800;

/// Interrupts runs that write lines. One that had ended before is tried again at another moment.
pub fn plain(trainer: &Trainer, random: &mut Random, count: usize) -> Outcome {
    let (mut well, mut remarks, mut too_late) = (0, Vec::new(), 0);
    let (mut number, mut interrupted) = (0, 0);
    while interrupted < count {
        let artifacts = trainer.artifacts("plain", number);
        number += 1;
        let mut running = trainer.start(&artifacts, &[], &[])?;
        std::thread::sleep(random.up_to(trainer.takes * 2 / 3));
        running.signal("-INT")?;
        let code = running.wait()?.code();
        if code == Some(0) {
            too_late += 1;
            if too_late > MOST_TOO_LATE * count {
                return Err("runs end before they can be interrupted".into());
            }
        } else {
            interrupted += 1;
            let outcome = if code == Some(130) {
                trainer.finish(&artifacts)
            } else {
                Err(format!("exit code {code:?}: {}", running.said()))
            };
            note(outcome, &mut well, &mut remarks);
        }
        let _ = fs::remove_dir_all(&artifacts);
    }
    remarks.push(format!("{too_late} more had ended before and do not count"));
    Ok((well, remarks.join("; ")))
}

/// Presses Ctrl-C in a terminal that shows the dashboard.
pub fn dashboard(trainer: &Trainer, random: &mut Random, count: usize) -> Outcome {
    let (mut well, mut remarks) = (0, Vec::new());
    let (mut number, mut pressed) = (0, 0);
    while pressed < count {
        let artifacts = trainer.artifacts("dashboard", number);
        number += 1;
        let moment = random.up_to(trainer.takes * 2 / 3);
        match press(trainer, &artifacts, moment) {
            Ok(true) => {
                pressed += 1;
                note(trainer.finish(&artifacts), &mut well, &mut remarks);
            }
            // It had ended before.
            Ok(false) => {}
            Err(error) => {
                pressed += 1;
                remarks.push(error);
            }
        }
        let _ = fs::remove_dir_all(&artifacts);
    }
    Ok((well, remarks.join("; ")))
}

/// Closes the terminal that shows the dashboard. A closing terminal sends SIGHUP to the shell in it, whose
/// end reaches the run; a shell that ignores it, which programs inherit, keeps the run from being told.
pub fn closed(trainer: &Trainer, random: &mut Random, count: usize) -> Outcome {
    if ignores_hang_up(Command::new("sh"))? {
        return Err(Failure::NotRun(
            "SIGHUP is ignored here, as `nohup` has it: start the command without it".to_owned(),
        ));
    }
    let (mut well, mut remarks) = (0, Vec::new());
    for number in 0..count {
        let artifacts = trainer.artifacts("closed", number);
        let moment = random.up_to(trainer.takes / 2);
        let outcome = close(trainer, &artifacts, moment).and_then(|()| trainer.finish(&artifacts));
        note(outcome, &mut well, &mut remarks);
        let _ = fs::remove_dir_all(&artifacts);
    }
    Ok((well, remarks.join("; ")))
}

/// Whether `shell` lives on after a SIGHUP.
fn ignores_hang_up(mut shell: Command) -> Result<bool, String> {
    shell
        .args(["-c", "kill -HUP $$"])
        .status()
        .map(|status| status.success())
        .map_err(|error| format!("`sh` could not be started: {error}"))
}

fn close(trainer: &Trainer, artifacts: &Path, moment: Duration) -> Result<(), String> {
    let mut script = in_terminal(trainer, artifacts)?;
    wait_for_run(artifacts)?;
    std::thread::sleep(moment);
    // The terminal goes with the program that made it.
    script.kill().map_err(|error| error.to_string())?;
    script.wait().map_err(|error| error.to_string())?;
    let result = artifacts.join("latest/result.json");
    for _ in 0..5_000 {
        if let Ok(text) = fs::read_to_string(&result) {
            return if text.contains("\"interrupted\"") {
                wait_for_end(&artifacts.join("latest/run.lock"))
            } else {
                Err(format!("it did not stop as told: {text}"))
            };
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    Err("it ended without a result".to_owned())
}

/// Waits until the process that held a run's lock has ended, which is after it wrote its result.
fn wait_for_end(lock: &Path) -> Result<(), String> {
    let file = fs::File::open(lock).map_err(|error| format!("{}: {error}", lock.display()))?;
    for _ in 0..5_000 {
        if file.try_lock().is_ok() {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    Err("it wrote its result and did not end".to_owned())
}

/// Starts a run in a terminal of its own, whose screen goes to a file beside `artifacts`. A shell in it
/// lives through the interrupt, and says how the program ended and in which state the terminal is.
fn in_terminal(trainer: &Trainer, artifacts: &Path) -> Result<Child, String> {
    let train = trainer.command(artifacts);
    let words: Vec<String> = std::iter::once(train.get_program())
        .chain(train.get_args())
        .map(|word| format!("'{}'", word.to_string_lossy()))
        .collect();
    let line = format!(
        "stty rows 40 columns 140; trap : INT; {}; echo \"exit=$?\"; stty -a",
        words.join(" ")
    );
    let screen =
        fs::File::create(artifacts.with_extension("screen")).map_err(|error| error.to_string())?;
    Command::new("script")
        .args([
            "--quiet",
            "--flush",
            "--return",
            "--command",
            &line,
            "/dev/null",
        ])
        .env("TERM", "xterm-256color")
        .env("SHELL", "/bin/sh")
        .stdin(Stdio::piped())
        .stdout(screen)
        .spawn()
        .map_err(|error| format!("`script` could not be started: {error}"))
}

/// Presses Ctrl-C at a moment, and checks how the run left the terminal. Says whether it still ran.
fn press(trainer: &Trainer, artifacts: &Path, moment: Duration) -> Result<bool, String> {
    let mut script = in_terminal(trainer, artifacts)?;
    let mut keys = script.stdin.take().ok_or("`script` takes no keys")?;
    wait_for_run(artifacts)?;
    std::thread::sleep(moment);
    let finished = artifacts.join("latest/result.json").exists();
    // A run that has ended takes no key.
    let _ = keys.write_all(b"\x03");
    script.wait().map_err(|error| error.to_string())?;
    drop(keys);
    let screen = fs::read(artifacts.with_extension("screen")).map_err(|error| error.to_string())?;
    let screen = String::from_utf8_lossy(&screen);
    if finished {
        return Ok(false);
    }
    let left = screen.rfind("\x1b[?1049l");
    let entered = screen.rfind("\x1b[?1049h");
    let restored = screen.contains(" icanon") && screen.contains(" echo ");
    if !screen.contains("exit=130") || left < entered || !restored {
        let end: String = screen.chars().rev().take(600).collect();
        let end: String = end.chars().rev().collect();
        return Err(format!(
            "Ctrl-C after {moment:?} left this terminal: {}",
            end.escape_debug()
        ));
    }
    Ok(true)
}

/// Waits until the run's folder is there.
fn wait_for_run(artifacts: &Path) -> Result<(), String> {
    for _ in 0..10_000 {
        if artifacts.join("latest/config.toml").exists() {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    Err("no run began in the terminal".to_owned())
}

/// Lets the thread of the metrics panic: in every other run after the first save, which must be found again,
/// and else anywhere in the first epoch.
pub fn panic(trainer: &Trainer, random: &mut Random, count: usize) -> Outcome {
    let (mut well, mut remarks, mut saved) = (0, Vec::new(), 0);
    for number in 0..count {
        let after = if number % 2 == 0 { SAVED_ONCE } else { 1 };
        let image = after + random.below(IMAGES - after);
        let artifacts = trainer.artifacts("panic", number);
        fs::create_dir_all(&artifacts).map_err(|error| error.to_string())?;
        let mut command = trainer.command(&artifacts);
        command.env("TRAINER_PANIC_AT", image.to_string());
        let mut running = Running::spawn(command, &artifacts)?;
        let code = running.wait()?.code();
        let said = running.said();
        let had_saved = said.contains("saved up to");
        saved += usize::from(had_saved);
        let outcome = if code != Some(1) || !said.contains("a part of the program panicked") {
            Err(format!("exit code {code:?}: {said}"))
        } else if image >= SAVED_ONCE && !had_saved {
            Err(format!("nothing was saved up to image {image}: {said}"))
        } else {
            go_on(trainer, &artifacts, &said)
        };
        note(outcome, &mut well, &mut remarks);
        let _ = fs::remove_dir_all(&artifacts);
    }
    remarks.push(format!("{saved} had saved before"));
    Ok((well, remarks.join("; ")))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[cfg(target_os = "linux")]
    #[test]
    fn an_ignored_hang_up_is_inherited_and_seen() {
        let mut under_nohup = Command::new("sh");
        under_nohup.args(["-c", "trap '' HUP; exec sh \"$@\"", "sh"]);
        assert!(ignores_hang_up(under_nohup).unwrap());
        // These tests may themselves have been started by a program that ignores it.
        let status = fs::read_to_string("/proc/self/status").unwrap();
        let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
        let ignored = u64::from_str_radix(ignored.unwrap().trim(), 16).unwrap();
        let seen = ignores_hang_up(Command::new("sh")).unwrap();
        assert_eq!(seen, ignored & 1 == 1);
    }
}
