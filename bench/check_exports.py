#!/usr/bin/env python3
"""Takes each network out of the project and back: a short training on CIFAR-10, an export, PyTorch and
ONNX Runtime on the 10,000 test images, and the weights back from PyTorch's own files, by `eval --weights`
and by `train --init-from`.

    python check_exports.py --trainer target/debug/trainer --data DIR_WITH_test_batch.bin

Exits 1 unless each accuracy agrees within one image, logits agree within 1e-4, and trainings that begin
with the weights of each file are one training, bit for bit.
"""
import argparse
import csv
import json
import pathlib
import subprocess
import sys
import tempfile

import numpy as np
import onnxruntime
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from networks import build

# A network, the recipe that it is trained by, and epochs that take it above chance.
NETWORKS = {
    "simple_cnn": ("tutorial", "0.5"),
    "resnet20": ("resnet20-quick", "0.2"),
    "airbench94": ("speedrun-94", "0.3"),
    "resnet18": ("resnet18", "0.1"),
}
CHANCE = 0.1
ONE_IMAGE = 1.0001e-4
TOLERANCE = 1e-4


def run(trainer, *arguments):
    """Runs the trainer and gives the JSON object that it prints last."""
    command = [trainer, *map(str, arguments), "--json", "-q"]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return json.loads(output.splitlines()[-1])


def test_images(folder, metadata):
    """Normalised by the constants of an exported file."""
    raw = np.fromfile(pathlib.Path(folder) / "test_batch.bin", dtype=np.uint8).reshape(-1, 3073)
    images = raw[:, 1:].reshape(-1, 3, 32, 32).astype(np.float32) / 255
    mean, std = (np.array(json.loads(metadata[key]), np.float32) for key in ("mean", "std"))
    return (images - mean.reshape(1, 3, 1, 1)) / std.reshape(1, 3, 1, 1), raw[:, 0].astype(np.int64)


def log_softmax(logits):
    shifted = logits - logits.max(1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(1, keepdims=True))


def begun_with(file, a, recipe, folder):
    """The weights after some steps of a training that begins with those of a file, and the names of those
    that it did not take."""
    steps = ("--epochs", "0.01", "--set", "evaluation.tta=none")
    run(a.trainer, "train", "--config", recipe, *steps, "--init-from", file, "--data-dir", a.data,
        "--artifacts", folder)
    latest = folder / "latest"
    record = json.loads((latest / "environment.json").read_text())["initial_weights"]
    left_out = [record[key] for key in ("missing", "unexpected", "different")]
    return (latest / "model.safetensors").read_bytes(), sum(map(len, left_out))


def check(name, a, folder):
    """The figures of one network, and whether all agree."""
    recipe, epochs = NETWORKS[name]
    place = ("--artifacts", folder / name, "--data-dir", a.data)
    trained = run(a.trainer, "train", "--config", recipe, "--network", name, "--epochs", epochs,
                  "--set", "evaluation.tta=none", *place)
    files = {kind: folder / f"{name}.{kind}" for kind in ("safetensors", "onnx", "burnpack")}
    for kind, file in files.items():
        run(a.trainer, "export", "--run", "latest", "--format", kind, "--output", file, *place)
    with safe_open(files["safetensors"], "pt") as file:
        metadata = file.metadata()
    images, labels = test_images(a.data, metadata)

    network = build(name)
    network.load_state_dict(load_file(files["safetensors"]), strict=True)
    network.eval()
    with torch.no_grad():
        torch_logits = np.concatenate([network(b).numpy() for b in torch.from_numpy(images).split(500)])
    session = onnxruntime.InferenceSession(files["onnx"], providers=["CPUExecutionProvider"])
    described = session.get_modelmeta().custom_metadata_map
    onnx_logits = np.concatenate(
        [session.run(None, {"images": b})[0] for b in np.split(images, len(images) // 500)]
    )
    with open(folder / name / "latest" / "predictions.csv", newline="") as file:
        rows = list(csv.reader(file))[1:]
    own = np.array([row[2:] for row in rows], np.float64)
    likely = own > 1e-6  # Below, a probability's rounding says nothing of a logit.

    torch.save(network.state_dict(), folder / f"{name}.pt")
    save_file(network.state_dict(), folder / f"{name}.torch.safetensors")
    back = {}
    for suffix in ("pt", "torch.safetensors", "burnpack", "safetensors"):
        weights = ("--weights", folder / f"{name}.{suffix}")
        back[suffix] = run(a.trainer, "eval", "--run", "latest", *weights, *place)["accuracy"]

    first, *others = [begun_with(folder / f"{name}.{suffix}", a, recipe, folder / f"{name}-{suffix}")
                      for suffix in back]
    same_training = first[1] == 0 and all(other == first for other in others)

    def distance(logits):
        return float(np.abs(log_softmax(logits.astype(np.float64)) - np.log(own.clip(1e-30)))[likely].max())

    accuracy = trained["test_accuracy"]
    figures = {
        "network": name,
        "accuracy": accuracy,
        "pytorch": float((torch_logits.argmax(1) == labels).mean()),
        "onnxruntime": float((onnx_logits.argmax(1) == labels).mean()),
        "onnxruntime_to_pytorch": float(np.abs(onnx_logits - torch_logits).max()),
        "pytorch_to_trainer": distance(torch_logits),
        "onnxruntime_to_trainer": distance(onnx_logits),
        "back": back,
        "same_training": same_training,
        "metadata_equal": all(described[key] == text for key, text in metadata.items() if key in described)
        and {"classes", "mean", "std"} <= described.keys(),
    }
    accuracies = [figures["pytorch"], figures["onnxruntime"], *back.values()]
    logits = [figures[key] for key in figures if "_to_" in key]
    agree = all(abs(other - accuracy) <= ONE_IMAGE for other in accuracies)
    agree = agree and max(logits) <= TOLERANCE and same_training
    return figures, agree and figures["metadata_equal"] and accuracy > CHANCE


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--trainer", required=True, help="the built program")
    p.add_argument("--data", required=True, help="a folder with test_batch.bin")
    p.add_argument("--networks", nargs="+", choices=NETWORKS, default=["simple_cnn", "resnet20", "airbench94"])
    a = p.parse_args()
    failed = False
    with tempfile.TemporaryDirectory() as folder:
        for name in a.networks:
            figures, agree = check(name, a, pathlib.Path(folder))
            print(json.dumps(figures), "agrees" if agree else "DIFFERS", flush=True)
            failed |= not agree
    sys.exit(failed)


if __name__ == "__main__":
    main()
