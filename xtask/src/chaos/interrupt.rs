//! Ctrl-C with the dashboard and without, and a panic in a thread beside the training one.

use std::fs;
use std::io::Write;
use std::process::{Command, Stdio};
use std::time::Duration;

use super::Outcome;
use super::kill::note;
use super::random::Random;
use super::trainer::{Running, Trainer};

/// Interrupts runs that write lines.
pub fn plain(trainer: &Trainer, random: &mut Random, count: usize) -> Outcome {
    let (mut well, mut remarks, mut too_late) = (0, Vec::new(), 0);
    for number in 0..count {
        let artifacts = trainer.artifacts("plain", number);
        // The interrupt is to come before the last epoch's end.
        let mut running = trainer.start(&artifacts, &[], &[])?;
        std::thread::sleep(random.up_to(trainer.takes * 2 / 3));
        running.signal("-INT")?;
        let code = running.wait()?.code();
        let outcome = match code {
            Some(130) => trainer.finish(&artifacts),
            Some(0) => {
                too_late += 1;
                trainer.finish(&artifacts)
            }
            other => Err(format!("exit code {other:?}: {}", running.said())),
        };
        note(outcome, &mut well, &mut remarks);
        let _ = fs::remove_dir_all(&artifacts);
    }
    remarks.push(format!("{too_late} had ended before"));
    Ok((well, remarks.join("; ")))
}

/// Presses Ctrl-C in a terminal that shows the dashboard.
pub fn dashboard(trainer: &Trainer, random: &mut Random, count: usize) -> Outcome {
    let (mut well, mut remarks) = (0, Vec::new());
    for number in 0..count {
        let artifacts = trainer.artifacts("dashboard", number);
        let moment = random.up_to(trainer.takes * 2 / 3);
        let outcome = press(trainer, &artifacts, moment).and_then(|()| trainer.finish(&artifacts));
        note(outcome, &mut well, &mut remarks);
        let _ = fs::remove_dir_all(&artifacts);
    }
    Ok((well, remarks.join("; ")))
}

fn press(trainer: &Trainer, artifacts: &std::path::Path, moment: Duration) -> Result<(), String> {
    let train = trainer.command(artifacts);
    let words: Vec<String> = std::iter::once(train.get_program())
        .chain(train.get_args())
        .map(|word| format!("'{}'", word.to_string_lossy()))
        .collect();
    // The shell lives through the interrupt, and says how the program ended and in which state the
    // terminal is.
    let line = format!(
        "stty rows 40 columns 140; trap : INT; {}; echo \"exit=$?\"; stty -a",
        words.join(" ")
    );
    let said = artifacts.with_extension("screen");
    let screen = fs::File::create(&said).map_err(|error| error.to_string())?;
    let mut script = Command::new("script")
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
        .map_err(|error| format!("`script` could not be started: {error}"))?;
    let keys = script.stdin.take();
    wait_for_run(artifacts)?;
    std::thread::sleep(moment);
    let mut keys = keys.ok_or("`script` takes no keys")?;
    keys.write_all(b"\x03").map_err(|error| error.to_string())?;
    script.wait().map_err(|error| error.to_string())?;
    drop(keys);
    let screen = fs::read(&said).map_err(|error| error.to_string())?;
    let screen = String::from_utf8_lossy(&screen);
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
    Ok(())
}

/// Waits until the run's folder is there.
fn wait_for_run(artifacts: &std::path::Path) -> Result<(), String> {
    for _ in 0..10_000 {
        if artifacts.join("latest/config.toml").exists() {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    Err("no run began in the terminal".to_owned())
}

/// Lets the thread of the metrics panic.
pub fn panic(trainer: &Trainer, random: &mut Random, count: usize) -> Outcome {
    let (mut well, mut remarks) = (0, Vec::new());
    for number in 0..count {
        let artifacts = trainer.artifacts("panic", number);
        fs::create_dir_all(&artifacts).map_err(|error| error.to_string())?;
        let mut command = trainer.command(&artifacts);
        command.env("TRAINER_PANIC_AT", (1 + random.below(1_800)).to_string());
        let mut running = Running::spawn(command, &artifacts)?;
        let code = running.wait()?.code();
        let said = running.said();
        let outcome = if code == Some(1) && said.contains("a part of the program panicked") {
            trainer.finish(&artifacts)
        } else {
            Err(format!("exit code {code:?}: {said}"))
        };
        note(outcome, &mut well, &mut remarks);
        let _ = fs::remove_dir_all(&artifacts);
    }
    Ok((well, remarks.join("; ")))
}
