#!/usr/bin/env python3
"""Repeats twenty training steps of the project in PyTorch, from the same weights on the same batches.

    cargo run -p trainer --example twenty_steps -- simple_cnn 32 /tmp/steps
    python bench/compare_steps.py --net simple_cnn --batch 32 --folder /tmp/steps --bound 1e-4

Prints the largest relative difference of a loss, and exits 1 where it is above the bound.
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


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--net", required=True)
    p.add_argument("--batch", type=int, required=True)
    p.add_argument("--folder", type=pathlib.Path, required=True)
    p.add_argument("--bound", type=float, required=True)
    a = p.parse_args()
    net = build(a.net)
    missing, unexpected = net.load_state_dict(load_file(a.folder / "weights.safetensors"), strict=False)
    missing = [name for name in missing if not name.endswith("num_batches_tracked")]
    if missing or unexpected:
        sys.exit(f"names differ: missing {missing}, unexpected {list(unexpected)}")
    ours = json.loads((a.folder / "losses.json").read_text())
    raw = (a.folder / "batches.bin").read_bytes()
    step_bytes = a.batch * (4 * PIXELS + 1)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.01, momentum=0.9)
    worst = 0.0
    for step, our_loss in enumerate(ours):
        part = raw[step * step_bytes:(step + 1) * step_bytes]
        images = torch.from_numpy(np.frombuffer(part, dtype="<f4", count=a.batch * PIXELS).reshape(-1, 3, 32, 32).copy())
        labels = torch.from_numpy(np.frombuffer(part, dtype=np.uint8, offset=4 * a.batch * PIXELS).astype(np.int64))
        optimizer.zero_grad()
        loss = F.cross_entropy(net(images), labels)
        loss.backward()
        optimizer.step()
        worst = max(worst, abs(our_loss - loss.item()) / abs(loss.item()))
    print(json.dumps({"net": a.net, "batch": a.batch, "steps": len(ours), "largest_relative_difference": worst}))
    sys.exit(worst > a.bound)


if __name__ == "__main__":
    main()
