//! What a checkpoint promises, whatever stops it: the order of its flushes, and that one whole
//! checkpoint is there at every moment.

#![allow(clippy::unwrap_used, reason = "a test that fails may panic")]

use std::cell::{Cell, RefCell};
use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::path::Path;

use tempfile::TempDir;

use super::*;
use crate::training::record::{Figures, Place, Record};

/// The disk, watched: it notes every operation, and can fail at one of them, once or for good, or keep
/// something else than it was given.
#[derive(Default)]
struct Watched {
    calls: RefCell<Vec<String>>,
    fail_at: Cell<Option<usize>>,
    killed: bool,
    alters: Option<&'static str>,
}

impl Watched {
    fn failing(at: usize, killed: bool) -> Self {
        Self {
            fail_at: Cell::new(Some(at)),
            killed,
            ..Self::default()
        }
    }

    fn note(&self, operation: &str, path: &Path) -> io::Result<()> {
        let mut calls = self.calls.borrow_mut();
        let name = path.file_name().unwrap().to_string_lossy();
        calls.push(format!("{operation} {name}"));
        match self.fail_at.get() {
            Some(at) if calls.len() == at || (self.killed && calls.len() > at) => {
                Err(ErrorKind::StorageFull.into())
            }
            _ => Ok(()),
        }
    }
}

impl FileSystem for &Watched {
    fn create_folder(&self, path: &Path) -> io::Result<()> {
        self.note("create_folder", path)?;
        Disk.create_folder(path)
    }

    fn write(&self, path: &Path, content: &[u8]) -> io::Result<File> {
        // A full disk takes a part of the file.
        if let Err(error) = self.note("write", path) {
            fs::write(path, &content[..content.len() / 2])?;
            return Err(error);
        }
        if self.alters.is_some_and(|name| path.ends_with(name)) {
            return Disk.write(path, &[content, b"!"].concat());
        }
        Disk.write(path, content)
    }

    fn sync_file(&self, path: &Path, file: File) -> io::Result<()> {
        self.note("sync_file", path)?;
        Disk.sync_file(path, file)
    }

    fn sync_folder(&self, path: &Path) -> io::Result<()> {
        self.note("sync_folder", path)?;
        Disk.sync_folder(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.note("rename", to)?;
        Disk.rename(from, to)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.note("remove_file", path)?;
        Disk.remove_file(path)
    }

    fn remove_folder(&self, path: &Path) -> io::Result<()> {
        self.note("remove_folder", path)?;
        Disk.remove_folder(path)
    }
}

const KEEP: Keep = Keep {
    newest: 2,
    best: None,
    every_steps: 0,
};

fn manifest(step: u64) -> Manifest {
    Manifest {
        format: FORMAT,
        program: "0.1.0".to_owned(),
        identity: Identity {
            recipe: "ab".to_owned(),
            data: "cd".to_owned(),
            seed: 3,
        },
        place: Place { epoch: 2, step: 1 },
        figures: Figures {
            learning_rate: 0.1 + 0.2,
            ..Figures::default()
        },
        record: Record {
            steps: step,
            train_loss: Some(1.0 / 3.0),
            ..Record::default()
        },
        tables: TableLengths {
            metrics: 10,
            steps: 20,
            events: 30,
            tensorboard: 40,
        },
        parts: Vec::new(),
    }
}

/// Commits a checkpoint whose parts tell its step, and sweeps.
fn save<F: FileSystem>(store: &Store<F>, step: u64) -> Result<Name, CheckpointError> {
    let model = vec![step as u8; 100];
    let parts: [(&str, &[u8]); 3] = [(MODEL, &model), (OPTIMIZER, b"velocity"), (SCHEDULE, b"")];
    let name = store.commit(manifest(step), &parts)?;
    store.sweep(&KEEP)?;
    Ok(name)
}

fn store(home: &TempDir) -> Store {
    Store::new(home.path().join("checkpoints"))
}

fn latest_step(home: &TempDir) -> u64 {
    let mut found = store(home).latest().unwrap().checkpoint.unwrap();
    let step = found.manifest.record.steps;
    assert_eq!(found.take(MODEL).unwrap(), vec![step as u8; 100]);
    step
}

fn names(home: &TempDir) -> Vec<String> {
    let names = store(home).names().unwrap();
    names.iter().map(ToString::to_string).collect()
}

#[test]
fn everything_is_flushed_before_the_rename_and_the_names_after_it_and_only_then_is_anything_deleted()
 {
    let home = TempDir::new().unwrap();
    for step in [1, 2] {
        save(&store(&home), step).unwrap();
    }
    let watched = Watched::default();
    let watching = Store::with(home.path().join("checkpoints"), &watched);
    save(&watching, 3).unwrap();
    let expected = [
        "create_folder .step-3.tmp",
        "write model.bpk",
        "sync_file model.bpk",
        "write optimizer.bpk",
        "sync_file optimizer.bpk",
        "write schedule.bpk",
        "sync_file schedule.bpk",
        "write manifest.json",
        "sync_file manifest.json",
        "write manifest.sha256",
        "sync_file manifest.sha256",
        "sync_folder .step-3.tmp",
        "rename step-3",
        "sync_folder checkpoints",
        "rename .step-1.old",
    ];
    let calls = watched.calls.borrow();
    assert_eq!(calls[..expected.len()], expected);
    assert!(
        calls[expected.len()..]
            .iter()
            .all(|call| call.starts_with("remove_"))
    );
    assert_eq!(names(&home), ["step-3", "step-2"]);
}

#[test]
fn the_first_checkpoint_makes_its_folder_and_flushes_the_name() {
    let home = TempDir::new().unwrap();
    let watched = Watched::default();
    let watching = Store::with(home.path().join("checkpoints"), &watched);
    save(&watching, 1).unwrap();
    let calls = watched.calls.borrow();
    assert_eq!(calls[0], "create_folder checkpoints");
    assert!(calls[1].starts_with("sync_folder"));
}

/// A kill or a failure at each operation in turn: afterwards the newest whole checkpoint is the old
/// one or the new one, and the next save goes well.
#[test]
fn whatever_operation_fails_or_is_the_last_one_a_whole_checkpoint_is_there() {
    for killed in [false, true] {
        let mut outcomes = Vec::new();
        for at in 1.. {
            let home = TempDir::new().unwrap();
            for step in [1, 2] {
                save(&store(&home), step).unwrap();
            }
            let watched = Watched::failing(at, killed);
            let result = save(&Store::with(home.path().join("checkpoints"), &watched), 3);
            let found = latest_step(&home);
            assert!(found == 2 || found == 3, "operation {at} left step {found}");
            // What was reported as saved is there.
            assert!(result.is_err() || found == 3);
            if let Err(error) = &result {
                let text = error.to_string();
                assert!(text.contains("space") || text.contains("full"), "{text}");
            }
            assert!(names(&home).len() >= 2, "operation {at}");
            save(&store(&home), 4).unwrap();
            assert_eq!(latest_step(&home), 4);
            let entries = store(&home).entries().unwrap();
            assert_eq!(entries.len(), 2, "operation {at} left {entries:?}");
            outcomes.push(found);
            if result.is_ok() {
                break;
            }
        }
        assert!(outcomes.len() > 20, "every operation had its turn");
        assert!(outcomes.contains(&2) && outcomes.contains(&3));
    }
}

/// Only what was read back counts as saved, and lets older checkpoints go.
#[test]
fn a_disk_that_keeps_something_else_is_found_at_once_and_nothing_older_is_deleted() {
    for part in [MODEL, "manifest.json", "manifest.sha256"] {
        let home = TempDir::new().unwrap();
        for step in [1, 2] {
            save(&store(&home), step).unwrap();
        }
        let watched = Watched {
            alters: Some(part),
            ..Watched::default()
        };
        let folder = home.path().join("checkpoints");
        let error = save(&Store::with(folder.clone(), &watched), 3).unwrap_err();
        assert!(
            matches!(&error, CheckpointError::ReadBack { path, .. } if *path == folder.join("step-3")),
            "{part}: {error}"
        );
        assert_eq!(names(&home), ["step-3", "step-2", "step-1"], "{part}");
        assert_eq!(latest_step(&home), 2, "{part}");
    }
}

#[test]
fn a_flipped_byte_or_a_cut_file_is_named_and_the_previous_checkpoint_is_used() {
    let home = TempDir::new().unwrap();
    for step in [1, 2] {
        save(&store(&home), step).unwrap();
    }
    let newest = home.path().join("checkpoints/step-2");
    let mut places = 0;
    for entry in fs::read_dir(&newest).unwrap() {
        let path = entry.unwrap().path();
        let whole = fs::read(&path).unwrap();
        let mut alterations: Vec<Vec<u8>> = (0..whole.len())
            .flat_map(|at| [1_u8, 0x20, 0x80].map(|bit| (at, bit)))
            .map(|(at, bit)| {
                let mut flipped = whole.clone();
                flipped[at] ^= bit;
                flipped
            })
            .collect();
        alterations.extend((0..whole.len()).map(|length| whole[..length].to_vec()));
        for altered in alterations {
            fs::write(&path, &altered).unwrap();
            let found = store(&home).latest().unwrap();
            assert_eq!(found.checkpoint.unwrap().manifest.record.steps, 1);
            let lines: Vec<String> = found.refused.iter().map(ToString::to_string).collect();
            assert_eq!(lines.len(), 1);
            assert!(lines[0].contains("step-2") && !lines[0].contains('\n'));
            places += 1;
        }
        fs::remove_file(&path).unwrap();
        let found = store(&home).latest().unwrap();
        assert_eq!(
            found.refused[0].problem,
            Problem::Missing(path.file_name().unwrap().to_string_lossy().into_owned())
        );
        fs::write(&path, &whole).unwrap();
    }
    assert!(places > 1000);
    assert_eq!(latest_step(&home), 2);
}

/// The newest checkpoint's problem, found on a thread of its own: where a reader waits, this fails and does
/// not hang. The one before must have been used.
fn newest_problem(home: &TempDir) -> Problem {
    let store = store(home);
    let (sender, receiver) = std::sync::mpsc::channel();
    std::thread::spawn(move || drop(sender.send(store.latest())));
    let answer = receiver.recv_timeout(std::time::Duration::from_secs(20));
    let mut found = answer.unwrap().unwrap();
    assert_eq!(found.checkpoint.unwrap().manifest.record.steps, 1);
    assert_eq!(found.refused.len(), 1);
    found.refused.remove(0).problem
}

/// A file of more bytes than any memory has: who reads it whole fails otherwise than with its size.
#[test]
fn a_file_that_has_grown_is_not_read_and_a_pipe_is_not_waited_for() {
    const ENORMOUS: u64 = 1 << 40;
    for part in [MODEL, SCHEDULE, "manifest.json", "manifest.sha256"] {
        let home = TempDir::new().unwrap();
        for step in [1, 2] {
            save(&store(&home), step).unwrap();
        }
        let path = home.path().join("checkpoints/step-2").join(part);
        let file = File::options().write(true).open(&path).unwrap();
        file.set_len(ENORMOUS).unwrap();
        let problem = newest_problem(&home);
        let Problem::TooLong { file, found, limit } = &problem else {
            unreachable!("{part}: {problem}");
        };
        assert_eq!((file.as_str(), *found), (part, ENORMOUS));
        assert!(*limit <= 1 << 20, "{part}: {limit}");
        #[cfg(unix)]
        {
            fs::remove_file(&path).unwrap();
            let made = std::process::Command::new("mkfifo").arg(&path).status();
            assert!(made.unwrap().success());
            let problem = newest_problem(&home).to_string();
            assert_eq!(problem, format!("{part} cannot be read: it is not a file"));
        }
    }
}

#[test]
fn an_altered_checkpoint_is_set_aside_and_deleted_after_the_next_save() {
    let home = TempDir::new().unwrap();
    for step in [1, 2] {
        save(&store(&home), step).unwrap();
    }
    fs::write(home.path().join("checkpoints/step-2/model.bpk"), "x").unwrap();
    let found = store(&home).latest().unwrap();
    store(&home).set_aside(&found.refused).unwrap();
    assert_eq!(names(&home), ["step-1"]);
    assert!(home.path().join("checkpoints/damaged-step-2").is_dir());
    save(&store(&home), 2).unwrap();
    assert_eq!(names(&home), ["step-2", "step-1"]);
    assert!(!home.path().join("checkpoints/damaged-step-2").exists());
}

#[test]
fn checkpoints_of_which_none_is_whole_are_an_error_that_names_each_and_none_is_no_error() {
    let home = TempDir::new().unwrap();
    assert!(store(&home).latest().unwrap().checkpoint.is_none());
    for step in [1, 2] {
        save(&store(&home), step).unwrap();
        let part = format!("checkpoints/step-{step}/{OPTIMIZER}");
        fs::write(home.path().join(part), "x").unwrap();
    }
    let error = store(&home).latest().unwrap_err().to_string();
    assert!(
        error.contains("step-1") && error.contains("step-2"),
        "{error}"
    );
}

#[test]
fn the_newest_the_best_and_every_so_many_stay() {
    let home = TempDir::new().unwrap();
    let model = [7; 10];
    let parts: [(&str, &[u8]); 3] = [(MODEL, &model), (OPTIMIZER, b""), (SCHEDULE, b"")];
    for step in 1..=10 {
        store(&home).commit(manifest(step), &parts).unwrap();
        let keep = Keep {
            newest: 2,
            best: Some(3).filter(|best| *best <= step),
            every_steps: 4,
        };
        store(&home).sweep(&keep).unwrap();
    }
    assert_eq!(
        names(&home),
        ["step-10", "step-9", "step-8", "step-4", "step-3"]
    );
}

#[test]
fn a_step_that_is_saved_again_gets_a_name_of_its_own_and_is_the_newest() {
    let home = TempDir::new().unwrap();
    save(&store(&home), 9).unwrap();
    let again = save(&store(&home), 9).unwrap();
    assert_eq!(again.to_string(), "step-9-2");
    assert_eq!(
        store(&home).latest().unwrap().checkpoint.unwrap().name,
        again
    );
    for (text, read) in [("step-10", true), ("step-9-12", true)] {
        assert_eq!(text.parse::<Name>().is_ok(), read, "{text}");
        assert!(text.parse::<Name>().unwrap() > "step-9".parse().unwrap());
    }
    for text in [
        "step-",
        "step-09",
        "step-9-1",
        "step-+9",
        "step-9-",
        "damaged-step-9",
        "best",
    ] {
        assert!(text.parse::<Name>().is_err(), "{text}");
    }
}

/// The bits of a third, the mean loss.
const THIRD: &str = "3fd5555555555555";

#[test]
fn a_manifest_reads_back_bit_for_bit_and_refuses_what_it_cannot_be() {
    let home = TempDir::new().unwrap();
    save(&store(&home), 5).unwrap();
    let text = fs::read(home.path().join("checkpoints/step-5/manifest.json")).unwrap();
    let found = Manifest::parse(&text).unwrap();
    let wrote = manifest(5);
    assert_eq!(
        (&found.record, &found.figures),
        (&wrote.record, &wrote.figures)
    );
    let text = String::from_utf8(text).unwrap();
    for (from, to) in [
        ("\"format\": 1", "\"format\": 2"),
        ("model.bpk", "../../model.bpk"),
        ("schedule.bpk", "model.bpk"),
        ("\"epoch\": 2", "\"epoch\": 0"),
        ("\"seed\": 3", "\"seed\": -3"),
        ("\"seed\": 3", "\"seed\": 3, \"more\": 1"),
        (THIRD, "7ff1a1d8fb60b60b"),
        (THIRD, "fff0000000000000"),
    ] {
        assert!(text.contains(from), "{from}");
        let problem = Manifest::parse(text.replace(from, to).as_bytes()).unwrap_err();
        assert!(!problem.to_string().contains('\n'), "{problem}");
    }
}

#[test]
fn a_checkpoint_of_another_run_is_refused() {
    let home = TempDir::new().unwrap();
    save(&store(&home), 1).unwrap();
    let found = store(&home).latest().unwrap().checkpoint.unwrap();
    let same = manifest(1).identity;
    found.check(&same).unwrap();
    let other = Identity {
        data: "ef".to_owned(),
        ..same
    };
    let error = found.check(&other).unwrap_err().to_string();
    assert!(error.contains("data set"), "{error}");
}
