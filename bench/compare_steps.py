#!/usr/bin/env python3
"""Repeats twenty training steps of the project in PyTorch, from the same weights on the same batches.

    cargo run -p trainer --example twenty_steps -- simple_cnn 32 /tmp/steps
    python bench/compare_steps.py --net simple_cnn --batch 32 --folder /tmp/steps --bound 1e-4

Prints the largest relative difference of a loss, and exits 1 where it is above the bound. Rounding grows from step
to step, the faster the higher the learning rate; how fast is shown by PyTorch against itself in channels-last order.
"""
import argparse
import json
import pathlib
import sys

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


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--net", required=True)
    p.add_argument("--batch", type=int, required=True)
    p.add_argument("--folder", type=pathlib.Path, required=True)
    p.add_argument("--bound", type=float, required=True)
    a = p.parse_args()
    ours = json.loads((a.folder / "losses.json").read_text())
    theirs = train(a, len(ours), torch.contiguous_format)
    again = train(a, len(ours), torch.channels_last)
    for step, (x, y) in enumerate(zip(ours, theirs), 1):
        print(f"step {step}: {y:.6f}, relative difference {abs(x - y) / abs(y):.1e}", file=sys.stderr)
    worst = largest(ours, theirs)
    print(json.dumps({"net": a.net, "batch": a.batch, "steps": len(ours), "largest_relative_difference": worst,
                      "torch_against_itself": largest(again, theirs)}))
    sys.exit(worst > a.bound)


if __name__ == "__main__":
    main()
