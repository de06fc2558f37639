//! What a trained network is good for: answers, exports, and a beginning for other runs.

// The example is a program, of which the test takes the function.
#[allow(dead_code)]
#[path = "../../../model/examples/embed.rs"]
mod embed;

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use super::{SMALL, assert_equal_runs, finished, result, table, text, trainer};

fn run(artifacts: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_trainer"));
    command.args(arguments).args(["--backend", "ndarray"]);
    command
        .arg("--artifacts")
        .arg(artifacts)
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

fn json(output: &Output) -> Value {
    let read = serde_json::from_slice(&output.stdout);
    assert!(read.is_ok(), "{}", text(&output.stderr));
    read.unwrap()
}

fn photo(name: &str) -> String {
    format!("{}/tests/files/{name}", env!("CARGO_MANIFEST_DIR"))
}

fn path(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn photos_in_a_folder_get_answers_and_the_others_are_named_and_counted() {
    let artifacts = tempfile::tempdir().unwrap();
    finished(artifacts.path(), &[]);
    let folder = tempfile::tempdir().unwrap();
    let below = folder.path().join("below");
    fs::create_dir(&below).unwrap();
    for copy in 0..30 {
        for name in ["turned.jpg", "turned.png", "turned.webp"] {
            fs::copy(photo(name), below.join(format!("{copy:02}-{name}"))).unwrap();
        }
    }
    for number in 0..10 {
        fs::write(folder.path().join(format!("{number}.jpg")), "no photo").unwrap();
    }
    let arguments = [
        "predict",
        "--json",
        "--top",
        "3",
        path(folder.path()),
        "absent.png",
    ];
    let output = run(artifacts.path(), &arguments);
    let message = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{message}");
    assert!(message.contains("11 of 101 files"), "{message}");
    assert!(
        message.contains("absent.png: cannot read this"),
        "{message}"
    );
    assert!(
        message.contains("9.jpg: this is no PNG, JPEG or WebP"),
        "{message}"
    );
    let answers = json(&output);
    assert_eq!(answers["photos"].as_array().unwrap().len(), 90);
    assert_eq!(answers["refused"].as_array().unwrap().len(), 11);
    for answer in answers["photos"].as_array().unwrap() {
        let classes = answer["classes"].as_array().unwrap();
        let probabilities: Vec<f64> = classes
            .iter()
            .map(|class| class["probability"].as_f64().unwrap())
            .collect();
        assert_eq!(classes.len(), 3);
        assert!(
            probabilities.is_sorted_by(|a, b| a >= b),
            "{probabilities:?}"
        );
    }
}

#[test]
fn a_photo_on_standard_input_gets_the_same_answer_as_the_file() {
    let artifacts = tempfile::tempdir().unwrap();
    finished(artifacts.path(), &[]);
    let file = run(
        artifacts.path(),
        &["predict", "--json", &photo("turned.png")],
    );
    assert_eq!(file.status.code(), Some(0), "{}", text(&file.stderr));
    let mut child = Command::new(env!("CARGO_BIN_EXE_trainer"))
        .args([
            "predict",
            "--json",
            "--backend",
            "ndarray",
            "-",
            "--artifacts",
        ])
        .arg(artifacts.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let bytes = fs::read(photo("turned.png")).unwrap();
    child.stdin.take().unwrap().write_all(&bytes).unwrap();
    let input = child.wait_with_output().unwrap();
    assert_eq!(
        json(&input)["photos"][0]["classes"],
        json(&file)["photos"][0]["classes"]
    );
    let many = run(
        artifacts.path(),
        &["predict", "--top", "11", &photo("turned.png")],
    );
    assert_eq!(many.status.code(), Some(2));
}

#[test]
fn an_export_gives_the_accuracy_of_its_run_and_says_what_it_takes() {
    let artifacts = tempfile::tempdir().unwrap();
    let trained = finished(artifacts.path(), &[]);
    for format in ["safetensors", "burnpack", "onnx"] {
        let file = artifacts.path().join(format!("network.{format}"));
        let arguments = ["export", "--format", format, "--output", path(&file)];
        let output = run(artifacts.path(), &arguments);
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
        let bytes = fs::read(&file).unwrap();
        for words in ["\"airplane\"", "classes", "mean", "simple_cnn"] {
            let words = if format == "safetensors" {
                words.replace('"', "\\\"")
            } else {
                words.to_owned()
            };
            let found = bytes
                .windows(words.len())
                .any(|window| window == words.as_bytes());
            assert!(found, "{format} lacks {words}");
        }
        let piped = ["export", "--format", format, "--output", "-"];
        let piped = run(artifacts.path(), &piped);
        assert_eq!(piped.stdout, bytes, "{}", text(&piped.stderr));
        let again = run(artifacts.path(), &arguments);
        assert_eq!(again.status.code(), Some(1));
        assert!(
            text(&again.stderr).contains("exists"),
            "{}",
            text(&again.stderr)
        );
        assert_eq!(fs::read(&file).unwrap(), bytes, "{format} was written over");
        if format != "onnx" {
            let output = run(
                artifacts.path(),
                &["eval", "--json", "--weights", path(&file)],
            );
            assert_eq!(
                json(&output)["accuracy"],
                result(&trained)["test_accuracy"],
                "{format}"
            );
        }
    }
}

#[test]
fn a_run_begins_with_another_ones_weights_and_its_record_says_so() {
    let artifacts = tempfile::tempdir().unwrap();
    let first = finished(artifacts.path(), &[]);
    let file = first.join("model.safetensors");
    let from = ["--init-from", path(&file)];
    let second = finished(artifacts.path(), &from);
    let loss = |run: &Path| table(run, "steps.csv", 1)[1].clone();
    assert_ne!(loss(&first), loss(&second));
    let environment: Value =
        serde_json::from_slice(&fs::read(second.join("environment.json")).unwrap()).unwrap();
    let record = &environment["initial_weights"];
    assert_eq!(record["taken"].as_array().unwrap().len(), 10, "{record}");
    assert_eq!(record["missing"].as_array().unwrap().len(), 0, "{record}");
    assert!(
        record["file"]
            .as_str()
            .unwrap()
            .ends_with("model.safetensors"),
        "{record}"
    );
    // What a file lacks is said however little is to be said.
    let mut bytes = fs::read(&file).unwrap();
    let name = b"conv1.bias";
    let place = bytes.windows(name.len()).position(|found| found == name);
    bytes[place.unwrap() + 4] = b'9';
    let other = artifacts.path().join("other.safetensors");
    fs::write(&other, bytes).unwrap();
    let other = ["--init-from", path(&other), "-q"];
    let partly = trainer(artifacts.path(), &[&SMALL[..], &other].concat());
    let said = text(&partly.stderr);
    assert!(partly.status.success(), "{said}");
    let words = "1 missing: conv1.bias; 1 unexpected: conv9.bias";
    assert!(said.contains(words), "{said}");
    let whole = trainer(artifacts.path(), &[&SMALL[..], &from, &["-q"]].concat());
    assert_eq!(text(&whole.stderr), "");
    // A run that is cut off before its first checkpoint begins again with the same weights.
    let copy = artifacts.path().join("copy");
    fs::rename(&second, &copy).unwrap();
    let third = finished(artifacts.path(), &from);
    for entry in fs::read_dir(third.join("checkpoints")).unwrap() {
        fs::remove_dir_all(entry.unwrap().path()).unwrap();
    }
    // Neither an end nor a checkpoint is on record then.
    for record in ["result.json", "events.jsonl"] {
        fs::remove_file(third.join(record)).unwrap();
    }
    let resumed = trainer(artifacts.path(), &["--resume", "latest"]);
    assert!(resumed.status.success(), "{}", text(&resumed.stderr));
    assert_equal_runs(&third, &copy);
}

#[test]
fn weights_that_do_not_fit_are_refused_with_the_file_and_leave_no_folder() {
    let artifacts = tempfile::tempdir().unwrap();
    let text_file = artifacts.path().join("some.txt");
    fs::write(&text_file, "no weights").unwrap();
    let text_file = path(&text_file);
    for (file, words) in [
        (photo("code.pt").as_str(), "posix.system"),
        (photo("module.pt").as_str(), "state_dict()"),
        (photo("state_dict.pt").as_str(), "no tensor in it fits"),
        (text_file, "no file of weights"),
        ("absent.safetensors", "absent.safetensors: cannot read this"),
        ("/dev/zero", "/dev/zero: this is not a file"),
    ] {
        let runs = artifacts.path().join("runs");
        let output = trainer(&runs, &[&SMALL[..], &["--init-from", file]].concat());
        let message = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{message}");
        assert!(message.contains(words), "{message}");
        assert!(!runs.exists(), "{file} left a folder");
    }
    let both = trainer(
        artifacts.path(),
        &["--resume", "latest", "--init-from", text_file],
    );
    assert_eq!(both.status.code(), Some(2));
    finished(artifacts.path(), &[]);
    let output = run(
        artifacts.path(),
        &["eval", "--weights", &photo("state_dict.pt")],
    );
    assert!(
        text(&output.stderr).contains("state_dict.pt"),
        "{}",
        text(&output.stderr)
    );
}

/// A PNG of 40 by 32 pixels.
fn png(color: png::ColorType, depth: png::BitDepth, bytes_a_row: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, 40, 32);
    encoder.set_color(color);
    encoder.set_depth(depth);
    if color == png::ColorType::Indexed {
        let palette = (0..16_u8).flat_map(|i| [16 * i, 255 - 16 * i, 9 * i]);
        encoder.set_palette(palette.collect::<Vec<u8>>());
        encoder.set_trns(vec![255, 128, 0]);
    }
    let pixels = (0..32 * bytes_a_row).map(|place| (place * 37 % 251) as u8);
    let mut writer = encoder.write_header().unwrap();
    writer
        .write_image_data(&pixels.collect::<Vec<u8>>())
        .unwrap();
    writer.finish().unwrap();
    bytes
}

#[test]
fn a_program_of_25_lines_answers_as_predict_does_for_every_kind_of_png_and_network() {
    use png::{BitDepth, ColorType};

    let example = include_str!("../../../model/examples/embed.rs");
    let is_code = |line: &&str| !line.trim().is_empty() && !line.starts_with("//");
    assert!(example.lines().filter(is_code).count() <= 25);

    let photos = tempfile::tempdir().unwrap();
    for (name, color, depth, bytes_a_row) in [
        ("rgb", ColorType::Rgb, BitDepth::Eight, 120),
        ("rgba", ColorType::Rgba, BitDepth::Eight, 160),
        ("grey", ColorType::Grayscale, BitDepth::Eight, 40),
        ("grey-alpha", ColorType::GrayscaleAlpha, BitDepth::Eight, 80),
        ("palette", ColorType::Indexed, BitDepth::Four, 20),
        ("one-bit", ColorType::Grayscale, BitDepth::One, 5),
        ("sixteen-bits", ColorType::Rgba, BitDepth::Sixteen, 320),
    ] {
        let file = photos.path().join(name).with_extension("png");
        fs::write(file, png(color, depth, bytes_a_row)).unwrap();
    }
    let half = ["--set", "data.normalize=\"half\""];
    for (network, more) in [
        ("simple_cnn", &half[..]),
        ("resnet20", &["--epochs", "1"]),
        ("airbench_narrow", &["--epochs", "1"]),
    ] {
        let artifacts = tempfile::tempdir().unwrap();
        finished(
            artifacts.path(),
            &[&["--network", network][..], more].concat(),
        );
        let file = artifacts.path().join("network.safetensors");
        let arguments = ["export", "--format", "safetensors", "--output", path(&file)];
        let output = run(artifacts.path(), &arguments);
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
        let arguments = ["predict", "--json", path(photos.path())];
        let answers = json(&run(artifacts.path(), &arguments));
        let answers = answers["photos"].as_array().unwrap();
        assert_eq!(answers.len(), 7, "{answers:?}");
        for answer in answers {
            let photo = answer["photo"].as_str().unwrap();
            let (class, probability) = embed::classify(path(&file), photo).unwrap();
            let expected = &answer["classes"][0];
            assert_eq!(
                class,
                expected["class"].as_str().unwrap(),
                "{network} on {photo}"
            );
            let difference = f64::from(probability) - expected["probability"].as_f64().unwrap();
            assert!(
                difference.abs() < 1e-4,
                "{network} on {photo}: {difference}"
            );
        }
    }
}

/// The share of right answers of a run's network on the hold-out.
fn valid_accuracy(artifacts: &Path, weights: &str) -> f64 {
    let line = ["eval", "--split", "valid", "--weights", weights, "--json"];
    json(&run(artifacts, &line))["accuracy"].as_f64().unwrap()
}

#[test]
fn a_run_that_has_not_ended_gives_the_network_that_its_validation_saw() {
    for settings in [
        &["select=\"average\"", "average.decay=0.98"][..],
        &["lookahead.every_steps=5", "lookahead.decay=0.9"],
        &[],
    ] {
        let artifacts = tempfile::tempdir().unwrap();
        let artifacts = artifacts.path();
        let set = settings.iter().flat_map(|setting| ["--set", setting]);
        let folder = finished(artifacts, &set.collect::<Vec<_>>());
        // So a process is gone that was killed after its last epoch.
        for file in ["result.json", "model.bpk", "model.safetensors"] {
            fs::remove_file(folder.join(file)).unwrap();
        }
        let metrics = table(&folder, "metrics.csv", 0);
        let column = metrics[0].iter().position(|name| name == "valid_accuracy");
        let seen: f64 = metrics[3][column.unwrap()].parse().unwrap();
        let given = valid_accuracy(artifacts, "last");
        assert!((given - seen).abs() < 1e-6, "{settings:?}: {given} {seen}");
    }
}

#[test]
fn a_finished_run_whose_weights_are_gone_gives_no_other_network() {
    let artifacts = tempfile::tempdir().unwrap();
    let artifacts = artifacts.path();
    let folder = finished(artifacts, &[]);
    fs::remove_file(folder.join("model.bpk")).unwrap();
    for line in [
        &["eval"][..],
        &["predict", &photo("turned.png")],
        &["export", "--format", "onnx", "--output", "unwritten.onnx"],
    ] {
        let output = run(artifacts, line);
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{line:?}: {said}");
        assert!(
            said.contains("model.bpk: this file of a finished run"),
            "{said}"
        );
    }
    let file = folder.join("model.safetensors");
    assert!(
        run(artifacts, &["eval", "--weights", path(&file)])
            .status
            .success()
    );
    assert!(
        run(artifacts, &["eval", "--weights", "best"])
            .status
            .success()
    );
}
