//! Writes the seeds of every target anew: `cargo run -p fuzz --example seeds`.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::io::Write;
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;
use fuzz::targets::{FILE_SEPARATOR, saved_export, saved_network};

#[path = "../../cifar10/tests/common/pickles.rs"]
mod pickles;

fn main() {
    let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds");
    let write = |target: &str, name: &str, content: &[u8]| {
        let folder = seeds.join(target);
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join(name), content).unwrap();
        println!("{target}/{name}: {} bytes", content.len());
    };
    data_files(&write);
    archives(&write);
    recipes(&write);
    run_files(&write);
    weight_files(&write);
}

/// Bytes that look like an image's.
fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|place| (place / 7 * 13) as u8).collect()
}

fn data_files(write: &impl Fn(&str, &str, &[u8])) {
    let record = [[9].as_slice(), &pattern(3072)].concat();
    write("records", "one", &record);
    write(
        "records",
        "one_and_a_part",
        &[&record, &record[..5]].concat(),
    );

    write(
        "pickle",
        "python2",
        &pickles::python2(&pattern(24), &[3, 1, 4], 8),
    );
    write(
        "pickle",
        "python3",
        &pickles::python3(&pattern(24), &[3, 1, 4], 8),
    );

    for (name, filter) in [("up", png::Filter::Up), ("paeth", png::Filter::Paeth)] {
        write("sheet", name, &sheet(filter));
    }
}

/// A sheet of three images.
fn sheet(filter: png::Filter) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, 1024, 3);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.set_filter(filter);
    let mut writer = encoder.write_header().unwrap();
    writer.write_image_data(&pattern(3 * 3072)).unwrap();
    writer.finish().unwrap();
    bytes
}

fn archives(write: &impl Fn(&str, &str, &[u8])) {
    let bin = "cifar-10-batches-bin";
    let readme = entry(&format!("{bin}/readme.html"), b"<html>", b'0');
    let outside = entry("../../data_batch_1.bin", b"outside", b'0');
    let link = entry(&format!("{bin}/data_batch_1.bin"), b"", b'2');
    let long = entry("././@LongLink", &[b'a'; 200], b'L');
    let extended = entry("PaxHeader/x", b"30 path=package/data_batch_1\n", b'x');
    let end = [0; 1024];
    let tar = [&readme, &outside, &long, &extended, &link, end.as_slice()].concat();
    write("archive", "tar", &tar);
    write(
        "archive",
        "readme_only",
        &[&readme, end.as_slice()].concat(),
    );
    write(
        "archive",
        "gzip",
        &gzip(&[&readme, &outside, end.as_slice()].concat()),
    );

    let labels = entry("package/test_lables.json", b"[1, 2, 3]", b'0');
    let image = entry("package/data_batch_1.png", &sheet(png::Filter::Up), b'0');
    let other = entry("package/package.json", b"{}", b'0');
    write(
        "package",
        "tar",
        &[&other, &labels, &image, end.as_slice()].concat(),
    );
    write(
        "package",
        "gzip",
        &gzip(&[&other, &extended, &long, end.as_slice()].concat()),
    );
    write("package", "with_labels", &gzip(&labelled(&image)));
}

/// A package with the right number of labels, so that its sheets are looked at.
fn labelled(image: &[u8]) -> Vec<u8> {
    let list = |count: usize| format!("[{}0]", "0,".repeat(count - 1));
    let train = entry("package/train_lables.json", list(50_000).as_bytes(), b'0');
    let test = entry("package/test_lables.json", list(10_000).as_bytes(), b'0');
    [&train, &test, image, [0; 1024].as_slice()].concat()
}

/// An entry of a tar file with the given type, padded to whole blocks.
fn entry(name: &str, content: &[u8], kind: u8) -> Vec<u8> {
    let mut header = tar::Header::new_ustar();
    // Written into the header directly, because the library refuses names that lead outside.
    header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
    header.set_entry_type(tar::EntryType::new(kind));
    header.set_size(content.len() as u64);
    header.set_mode(0o644);
    header.set_cksum();
    let mut bytes = header.as_bytes().to_vec();
    bytes.extend(content);
    bytes.resize(bytes.len().next_multiple_of(512), 0);
    bytes
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
    gzip.write_all(bytes).unwrap();
    gzip.finish().unwrap()
}

fn recipes(write: &impl Fn(&str, &str, &[u8])) {
    for recipe in trainer::recipe::builtin() {
        let recipe_of =
            |text| trainer::recipe::from_text(recipe.name, text, &[], &[NETWORKS].concat());
        write(
            "recipe",
            recipe.name,
            recipe_of(recipe.text).unwrap().to_toml().as_bytes(),
        );
    }
    write(
        "recipe",
        "short",
        b"optimizer = { name = \"adamw\", beta1 = 0.9 }\nschedule.name = 'step'\nschedule.milestones = [1, 2e0]\n",
    );
    write(
        "overrides",
        "numbers",
        b"optimizer.lr=0.1\nepochs = 1.5\nseed=0x10\nvalidation=0\n",
    );
    write(
        "overrides",
        "words",
        b"network=simple_cnn\ndata.dataset=synthetic\ndata.train_images=600\nselect=best\n",
    );
    write(
        "overrides",
        "tables",
        b"optimizer={name=\"adamw\",epsilon=1e-8}\nschedule.milestones=[1,2]\nschedule.name=step\n\
          data.augment=[{name=\"crop\",padding=4},{name=\"flip\"}]\n",
    );
}

const NETWORKS: &[&str] = &model::NetworkKind::NAMES;

fn run_files(write: &impl Fn(&str, &str, &[u8])) {
    write("result", "finished", RESULT.as_bytes());
    let failed = RESULT.replace("finished", "failed").replace(
        "\"seconds\": 12.5",
        "\"error\": \"the loss became NaN\", \"seconds\": null",
    );
    write("result", "failed", failed.as_bytes());

    let metrics = "epoch,step,train_loss,train_accuracy,valid_loss,valid_accuracy,learning_rate,seconds,images_per_second\n\
                   1,391,1.5,0.4,1.4,0.5,0.1,10.0,4500.0\n2,782,1.2,0.5,,,0.05,20.0,4500.0\n";
    let steps = "step,epoch,loss,learning_rate,seconds\n1,1,2.3,0.001,0.1\n";
    let config = "name = \"default\"\nnetwork = \"resnet20\"\n\n[data]\ndataset = \"cifar10\"\n";
    let parts = [config, ENVIRONMENT, RESULT, metrics, steps].map(str::as_bytes);
    write("runs", "whole", &parts.join(FILE_SEPARATOR));
    write("runs", "begun", config.as_bytes());

    write("manifest", "whole", MANIFEST.as_bytes());
    let best = MANIFEST.find("    \"best\": {").unwrap();
    write("manifest", "cut", &MANIFEST.as_bytes()[..best]);
    let probabilities = ",0.55,0.05,0.05,0.05,0.05,0.05,0.05,0.05,0.05,0.05\n";
    let classes = cifar10::CLASS_NAMES.join(",");
    let rows = format!("index,label,{classes}\n0,3{probabilities}1,8{probabilities}");
    write("predictions", "two", rows.as_bytes());

    // The header and the description of the tensors; the numbers begin at a multiple of 256 bytes.
    let (_, file) = saved_network().unwrap();
    let description = u32::from_le_bytes(file[6..10].try_into().unwrap()) as usize;
    write("weights", "header", &file[..10 + description]);
    write("weights", "magic_number", &file[..4]);
}

/// Weights that PyTorch wrote are those of the trainer's own tests.
fn weight_files(write: &impl Fn(&str, &str, &[u8])) {
    let files = Path::new(env!("CARGO_MANIFEST_DIR")).join("../trainer/tests/files");
    for name in ["state_dict.pt", "nested.pt", "module.pt", "code.pt"] {
        write("weight_file", name, &fs::read(files.join(name)).unwrap());
    }
    let header = r#"{"__metadata__":{"format":"pt"},"a.bias":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"a.weight":{"dtype":"F16","shape":[2,1],"data_offsets":[8,12]}}"#;
    let length = (header.len() as u64).to_le_bytes();
    let file = [&length, header.as_bytes(), &pattern(12)].concat();
    write("weight_file", "safetensors", &file);
    let (_, burnpack) = saved_network().unwrap();
    write("weight_file", "burnpack", &burnpack[..1_000]);
    let exported = saved_export().unwrap();
    let header = u64::from_le_bytes(exported[..8].try_into().unwrap()) as usize;
    write("exported", "header", &exported[..8 + header]);
}

/// A run of seven epochs at its end.
const MANIFEST: &str = r#"{
  "format": 1,
  "program": "0.1.0",
  "identity": {
    "recipe": "20ac46bdb7ff29627c77ffc34c0aaeb2f4f02a3e518866400756ff17221f8010",
    "data": "3695c0e330b6491d2fdb51d37b7e88d1fb0787a1bcbdde3654971ed6cc5418c7",
    "seed": 200
  },
  "place": {
    "epoch": 8,
    "step": 0
  },
  "figures": {
    "loss": {
      "sum": "0000000000000000",
      "weight": "0000000000000000"
    },
    "hits": {
      "sum": "0000000000000000",
      "weight": "0000000000000000"
    },
    "learning_rate": "0000000000000000",
    "seconds": "0000000000000000"
  },
  "record": {
    "steps": 630,
    "images": 315000,
    "train_loss": "3ff1a1d8fb60b60b",
    "valid_accuracy": "3fecc7e28240b780",
    "best": {
      "epoch": 7,
      "step": 630,
      "accuracy": "3fecc7e28240b780"
    },
    "seconds": "406519fbdc9cf975"
  },
  "tables": {
    "metrics": 928,
    "steps": 35882,
    "events": 79114,
    "tensorboard": 44992
  },
  "parts": [
    {
      "file": "model.bpk",
      "bytes": 1189376,
      "sha256": "9b7d52c1bafe332f2f0aa63ff8696e19b7bea35a62eeee54dc76fd2325e01dff"
    },
    {
      "file": "optimizer.bpk",
      "bytes": 1178752,
      "sha256": "7177c30dd5206fbfaab54ea5c47aaa016c5dcba49250e84c7b8d4d6cf8fddd7a"
    },
    {
      "file": "schedule.bpk",
      "bytes": 256,
      "sha256": "4630fe2c2932dffa3d3cdce105387a07de56fa935107869b523335830d47b034"
    },
    {
      "file": "best.bpk",
      "bytes": 1189120,
      "sha256": "60cd11b6a653bcea4ef45111f7ace73a58be01d5762af4c6e56feaf4c5b9923d"
    }
  ]
}
"#;

const RESULT: &str = r#"{
  "recipe": "default", "network": "resnet20", "backend": "ndarray", "seed": 0,
  "dataset": "cifar10", "epochs": 3.0, "steps": 1056, "train_loss": 0.7,
  "valid_accuracy": 0.77, "best_epoch": 3, "best_valid_accuracy": 0.77, "test_accuracy": 0.7694,
  "state": "finished", "seconds": 12.5, "images_per_second": 800.0
}
"#;

const ENVIRONMENT: &str = r#"{
  "version": "0.1.0", "git_commit": null, "rustc": "rustc 1.95.0", "burn": "0.22.1",
  "backend": "ndarray", "device": "cpu", "threads": 2, "cpu": "a processor", "os": "linux",
  "arch": "x86_64", "data": { "dataset": "cifar10", "origin": "cache", "sha256": [["a.bin", "00"]] },
  "recipe_hash": "00", "command": ["trainer", "train"], "started": "2026-11-24T12:00:00Z"
}
"#;
