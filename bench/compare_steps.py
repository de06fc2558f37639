#!/usr/bin/env python3
"""Repeats twenty training steps of the project in PyTorch, from the same weights on the same batches.

    python bench/compare_steps.py

trains SimpleCnn and ResNet-20 here, by `cargo run -p trainer --example twenty_steps`, and there. One network, from
what that program left in a folder:

    cargo run -p trainer --example twenty_steps -- simple_cnn 32 /tmp/steps
    python bench/compare_steps.py --net simple_cnn --batch 32 --folder /tmp/steps --bound 1e-4

Prints the largest relative difference of a loss, and exits 1 where it is above the bound. Rounding grows from step
to step, the faster the higher the learning rate; how fast is shown by PyTorch against itself in channels-last order.
"""
import argparse
import json
import pathlib
import subprocess
import sys
import tempfile

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import load_file

from networks import build

PIXELS = 3 * 32 * 32


def train(a, steps, layout):
    """Losses of the steps in PyTorch."""
    net = build(a.net)
    missing, unexpected = net.load_state_dict(load_file(a.folder / "weights.safetensors"), strict=False)
    missing = [name for name in missing if not name.endswith("num_batches_tracked")]
    if missing or unexpected:
        sys.exit(f"names differ: missing {missing}, unexpected {list(unexpected)}")
    net = net.to(memory_format=layout)
    raw = (a.folder / "batches.bin").read_bytes()
    step_bytes = a.batch * (4 * PIXELS + 1)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.001, momentum=0.9)
    losses = []
    for step in range(steps):
        part = raw[step * step_bytes:(step + 1) * step_bytes]
        images = np.frombuffer(part, dtype="<f4", count=a.batch * PIXELS).reshape(-1, 3, 32, 32)
        labels = np.frombuffer(part, dtype=np.uint8, offset=4 * a.batch * PIXELS)
        optimizer.zero_grad()
        logits = net(torch.from_numpy(images.copy()).to(memory_format=layout))
        loss = F.cross_entropy(logits, torch.from_numpy(labels.astype(np.int64)))
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def largest(x, y):
    """The largest relative difference of two lists of losses."""
    return max(abs(p - q) / abs(q) for p, q in zip(x, y))


def compare(a):
    """Whether the losses in a folder are PyTorch's to the bound."""
    ours = json.loads((a.folder / "losses.json").read_text())
    theirs = train(a, len(ours), torch.contiguous_format)
    again = train(a, len(ours), torch.channels_last)
    for step, (x, y) in enumerate(zip(ours, theirs), 1):
        print(f"step {step}: {y:.6f}, relative difference {abs(x - y) / abs(y):.1e}", file=sys.stderr)
    worst = largest(ours, theirs)
    print(json.dumps({"net": a.net, "batch": a.batch, "steps": len(ours), "largest_relative_difference": worst,
                      "torch_against_itself": largest(again, theirs)}))
    return worst <= a.bound


def train_here(folder, net, batch, bound):
    """Twenty steps of the project, and what to compare them with."""
    command = ["cargo", "run", "--quiet", "-p", "trainer", "--example", "twenty_steps", "--", net, str(batch), folder]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return argparse.Namespace(net=net, batch=batch, folder=pathlib.Path(folder), bound=bound)


def main():
    p = argparse.ArgumentParser(epilog="Without options: both networks, whose steps are made first.")
    p.add_argument("--net")
    p.add_argument("--batch", type=int)
    p.add_argument("--folder", type=pathlib.Path)
    p.add_argument("--bound", type=float)
    a = p.parse_args()
    given = [a.net, a.batch, a.folder, a.bound]
    if all(value is not None for value in given):
        sys.exit(not compare(a))
    if any(value is not None for value in given):
        p.error("give --net, --batch, --folder and --bound, or none of them")
    agree = []
    for net, batch, bound in [("simple_cnn", 32, 1e-4), ("resnet20", 16, 1e-3)]:
        with tempfile.TemporaryDirectory() as folder:
            agree.append(compare(train_here(folder, net, batch, bound)))
    sys.exit(not all(agree))


if __name__ == "__main__":
    main()
