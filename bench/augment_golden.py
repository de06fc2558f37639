#!/usr/bin/env python3
"""Writes what torchvision's TrivialAugmentWide makes of one picture: the bytes that a test of `cifar10` expects.

    python bench/augment_golden.py

writes crates/cifar10/tests/data/trivial_augment.png: a row an operation, a column every fifth strength from -30 to
30. The picture is a formula, bytes are torchvision's on a tensor of uint8. `--step 1 --output FILE` makes a sheet
of every strength; `CIFAR10_GOLDEN=FILE cargo test -p cifar10 --test trivial_augment` compares with that one.
"""
import argparse
import pathlib

import torch
from torchvision.io import encode_png
from torchvision.transforms import InterpolationMode
from torchvision.transforms.autoaugment import TrivialAugmentWide, _apply_op

DATA = pathlib.Path(__file__).parent.parent / "crates/cifar10/tests/data"
STRENGTHS = 31


def picture():
    """Slopes in both directions, on which a shift by one pixel is seen, and in blue steps as well."""
    x, y = torch.arange(32), torch.arange(32)[:, None]
    planes = [20 + 6 * x + 0 * y, 225 - 5 * y + 0 * x, 10 + 3 * (x + y) + 29 * (x * y // 4 % 2)]
    return torch.stack(planes).to(torch.uint8)


def applied(name, magnitudes, signed, strength):
    """The picture after an operation, as TrivialAugmentWide calls it."""
    magnitude = float(magnitudes[abs(strength)]) if magnitudes.ndim else 0.0
    if signed and strength < 0:
        magnitude = -magnitude
    return _apply_op(picture(), name, magnitude, interpolation=InterpolationMode.NEAREST, fill=None)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--step", type=int, default=5, help="strengths from one column to the next, a divisor of 30")
    parser.add_argument("--output", type=pathlib.Path, default=DATA / "trivial_augment.png")
    a = parser.parse_args()
    strengths = range(1 - STRENGTHS, STRENGTHS, a.step)
    space = TrivialAugmentWide()._augmentation_space(STRENGTHS)
    rows = [torch.cat([applied(name, *space[name], one) for one in strengths], 2) for name in space]
    a.output.write_bytes(encode_png(torch.cat(rows, 1), 9).numpy().tobytes())


if __name__ == "__main__":
    main()
