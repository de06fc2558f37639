#!/usr/bin/env python3
"""Repeats fifty training steps of recipes in PyTorch, from the same weights on the same batches.

    python bench/compare_optimisers.py

builds the project's side by cargo; `--program` names one that is built. Each case is a recipe that names all the settings
it uses. Prints a line a case: the largest relative difference of a loss, and of a tensor of the last weights and running
statistics (of one whose norm is below 1 the difference itself), which must be within the bound; and the largest
difference of a tensor's way from its first values to its last, which must be small beside the way, and which shows a
wrong setting of a group that moves little.
"""
import argparse
import json
import pathlib
import subprocess
import sys
import tempfile
import tomllib

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import nn
from torch.optim import lr_scheduler
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from networks import build

STEPS, STEPS_PER_EPOCH = 50, 10
PIXELS = 3 * 32 * 32
# Larger where rounding grows faster. A wrong setting of one group is far above.
PATH_BOUND = {"simple_cnn": 0.01, "resnet20": 0.05}

SMALL = 'network = "simple_cnn"\nbatch_size = 32\n'
RESNET = 'network = "resnet20"\nbatch_size = 32\n'
SGD = '[optimizer]\nlr = 0.003\nmomentum = 0.9\nnesterov = %s\nweight_decay = 5e-4\ndecay_norm_and_bias = true\n'
CONSTANT = 'schedule.name = "constant"\n'
# Rounding grows from step to step, the faster the higher the rate, most of all where there is normalisation.
SLOW = (SGD % "true").replace("0.003", "0.0001")
CASES = {
    "sgd": SMALL + CONSTANT + SGD % "false",
    "nesterov": SMALL + CONSTANT + SGD % "true",
    "adamw": SMALL + CONSTANT + 'optimizer = {name = "adamw", lr = 0.0003, beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8, '
             'weight_decay = 0.01, decay_norm_and_bias = true}\n',
    "muon": SMALL + CONSTANT + SGD % "true" + '[[optimizer.group]]\nrole = "filters"\nname = "muon"\nlr = 0.01\n'
            'momentum = 0.6\nnesterov = true\nweight_decay = 0.01\nnewton_schulz_steps = 3\nrescale = true\n',
    "muon plain": SMALL + CONSTANT + SGD % "true" + '[[optimizer.group]]\nrole = "filters"\nname = "muon"\nlr = 0.005\n'
                  'momentum = 0.9\nnesterov = false\nweight_decay = 0.0\nnewton_schulz_steps = 5\nrescale = false\n',
    "groups": RESNET + CONSTANT + SLOW +
              '[[optimizer.group]]\nrole = "biases"\nname = "sgd"\nlr = 0.0004\nmomentum = 0.5\nnesterov = true\n'
              'weight_decay = 0.001\n'
              '[[optimizer.group]]\nrole = "normalisation"\nname = "sgd"\nlr = 0.0002\nmomentum = 0.9\nnesterov = false\n'
              'weight_decay = 0.0\nepochs = 2\nschedule = "run"\n'
              '[[optimizer.group]]\nrole = "head"\nname = "adamw"\nlr = 0.0001\nbeta1 = 0.9\nbeta2 = 0.99\n'
              'epsilon = 1e-8\nweight_decay = 0.1\n',
    "label smoothing, clipped": SMALL + CONSTANT + "loss.label_smoothing = 0.2\n" + SGD % "true" + "clip_norm = 0.05\n",
    "accumulated": SMALL + CONSTANT + SGD % "true" + "accumulate = 4\n",
    "summed": SMALL + CONSTANT + 'optimizer = {lr = 0.0001, momentum = 0.9, nesterov = true, weight_decay = 0.01, '
              'decay_norm_and_bias = true}\nloss = {reduction = "sum", label_smoothing = 0.1}\n',
    "mixup": SMALL + CONSTANT + 'loss.label_smoothing = 0.1\n'
             'data.augment = [{name = "flip"}, {name = "mixup", alpha = 0.5}]\n' + SGD % "true",
    "cutmix": SMALL + CONSTANT + 'data.augment = [{name = "cutmix"}]\n' + SGD % "true",
    "decay spared": SMALL + CONSTANT + 'optimizer = {lr = 0.003, momentum = 0.9, nesterov = true, weight_decay = 0.5, '
                    'decay_norm_and_bias = false}\n',
    "group's own schedule": SMALL + 'schedule = {name = "linear"}\n' + SGD % "true" + '[[optimizer.group]]\n'
                            'role = "biases"\nname = "sgd"\nlr = 0.01\nmomentum = 0.9\nnesterov = true\n'
                            'weight_decay = 5e-4\nepochs = 3\nschedule = "group"\n',
    "average": RESNET + CONSTANT + 'select = "average"\naverage = {decay = 0.9, every_steps = 1}\n' + SLOW,
    "lookahead": RESNET + CONSTANT + 'lookahead = {every_steps = 5, decay = 0.7738, power = 3}\n' + SLOW,
    "cosine": SMALL + 'schedule = {name = "cosine"}\n' + SGD % "true",
    "linear": SMALL + 'schedule = {name = "linear"}\n' + SGD % "true",
    "step": SMALL + 'schedule = {name = "step", milestones = [2, 4], gamma = 0.1}\n' + SGD % "true",
    "piecewise": SMALL + 'schedule = {name = "piecewise", points = [[0, 0.2], [0.23, 1], [1, 0.07]]}\n' + SGD % "true",
    "constant after a warm-up": SMALL + 'schedule = {name = "constant", warmup = 0.2}\n' + SGD % "true",
    "cosine after a warm-up": SMALL + 'schedule = {name = "cosine", warmup = 0.2, final = 0.1}\n' + SGD % "true",
    "linear after a warm-up": SMALL + 'schedule = {name = "linear", warmup = 0.2, final = 0.1}\n' + SGD % "true",
    "step after a warm-up": SMALL + 'schedule = {name = "step", milestones = [2, 4], gamma = 0.1, warmup = 0.2}\n' +
                            SGD % "true",
    "one cycle": SMALL + 'schedule = {name = "one_cycle", warmup = 0.2, final = 0.1}\n' + SGD % "true",
}


class Muon(torch.optim.Optimizer):
    """Muon on filters as matrices, in float32."""

    @torch.no_grad()
    def step(self):
        for g in self.param_groups:
            for p in g["params"]:
                state = self.state[p]
                m = state["m"] = g["momentum"] * state["m"] + p.grad if "m" in state else p.grad.clone()
                x = (p.grad + g["momentum"] * m if g["nesterov"] else m).reshape(len(p), -1)
                x = x / (x.norm() + 1e-7)
                tall = x.shape[0] > x.shape[1]
                x = x.T if tall else x
                for _ in range(g["newton_schulz_steps"]):
                    a = x @ x.T
                    x = 3.4445 * x + (-4.7750 * a + 2.0315 * a @ a) @ x
                x = x.T if tall else x
                if g["rescale"]:
                    p.mul_(len(p) ** 0.5 / p.norm())
                p.mul_(1 - g["lr"] * g["weight_decay"]).sub_(x.view_as(p), alpha=g["lr"])


def role(name, parameter):
    if parameter.ndim == 4:
        return "filters"
    if parameter.ndim == 2:
        return "head"
    return "biases" if name.endswith("bias") else "normalisation"


def optimizer_of(parameters, s):
    name = s.get("name", "sgd")
    if name == "adamw":
        return torch.optim.AdamW(parameters, s["lr"], (s["beta1"], s["beta2"]), s["epsilon"], s["weight_decay"])
    if name == "muon":
        keys = ["lr", "momentum", "nesterov", "weight_decay", "newton_schulz_steps", "rescale"]
        return Muon(parameters, {key: s[key] for key in keys})
    return torch.optim.SGD(parameters, s["lr"], s["momentum"], 0, s["weight_decay"], s["nesterov"])


def schedule_of(optimizer, s, steps):
    """PyTorch's own schedule over `steps` steps."""
    name, final = s["name"], s.get("final", 0)
    if name == "piecewise":
        x, y = zip(*s["points"])
        return lr_scheduler.LambdaLR(optimizer, lambda step: np.interp(step / steps, x, y))
    rising = round(s.get("warmup", 0) * steps)
    falling = steps - rising
    if name == "cosine":
        after = lr_scheduler.CosineAnnealingLR(optimizer, falling, final * optimizer.defaults["lr"])
    elif name == "step":
        falls = [int(m * STEPS_PER_EPOCH) - rising for m in s["milestones"]]
        after = lr_scheduler.MultiStepLR(optimizer, falls, s["gamma"])
    elif name == "constant":
        after = lr_scheduler.ConstantLR(optimizer, 1)
    else:
        after = lr_scheduler.LinearLR(optimizer, 1, final, falling)
    if not rising:
        return after
    warmup = lr_scheduler.LinearLR(optimizer, 1 / rising, 1, rising - 1)
    return lr_scheduler.SequentialLR(optimizer, [warmup, after], [rising])


def batches(path, size, mixes):
    raw, at = path.read_bytes(), 0

    def take(dtype, count):
        nonlocal at
        values = np.frombuffer(raw, dtype=dtype, count=count, offset=at)
        at += values.nbytes
        return torch.from_numpy(values.copy())

    for _ in range(STEPS):
        images, labels = take("<f4", size * PIXELS).view(-1, 3, 32, 32), take(np.uint8, size).long()
        others = take(np.uint8, size).long() if mixes else labels
        shares = take("<f4", size) if mixes else torch.ones(size)
        yield images, labels, others, shares


def targets_of(labels, others, shares):
    """Probabilities of each class."""
    return shares[:, None] * F.one_hot(labels, 10) + (1 - shares[:, None]) * F.one_hot(others, 10)


def train(recipe, folder):
    """The steps' losses, and the last state that counts."""
    net = build(recipe["network"])
    net.load_state_dict(load_file(folder / "weights.safetensors"), strict=False)
    base, groups = recipe["optimizer"], {g["role"]: g for g in recipe["optimizer"].get("group", [])}
    optimizers = []
    for found in {role(n, p) for n, p in net.named_parameters()}:
        parameters = [p for n, p in net.named_parameters() if role(n, p) == found]
        settings = groups.get(found, base)
        if settings is base and not base["decay_norm_and_bias"] and found in ("biases", "normalisation"):
            settings = {**base, "weight_decay": 0}
        optimizer = optimizer_of(parameters, settings)
        last = int(settings.get("epochs", STEPS / STEPS_PER_EPOCH) * STEPS_PER_EPOCH)
        over = last if settings.get("schedule") == "group" else STEPS
        optimizers.append((optimizer, schedule_of(optimizer, recipe["schedule"], over), last))
    smoothing, summed = recipe.get("loss", {}).get("label_smoothing", 0.0), recipe.get("loss", {}).get("reduction") == "sum"
    average, lookahead = recipe.get("average"), recipe.get("lookahead")
    kept = AveragedModel(net, multi_avg_fn=get_ema_multi_avg_fn(average["decay"]), use_buffers=True) if average else None
    slow = {k: v.clone() for k, v in net.state_dict().items()}
    mixes = any(a["name"] in ("mixup", "cutmix") for a in recipe.get("data", {}).get("augment", []))
    losses = []
    for step, (images, *labels) in enumerate(batches(folder / "batches.bin", recipe["batch_size"], mixes)):
        net.zero_grad()
        loss = F.cross_entropy(net(images), targets_of(*labels), label_smoothing=smoothing)
        (loss * len(images) if summed else loss).backward()
        if base.get("clip_norm"):
            nn.utils.clip_grad_norm_(net.parameters(), base["clip_norm"])
        for optimizer, schedule, last in optimizers:
            if step < last:
                optimizer.step()
                schedule.step()
        if lookahead and (step + 1) % lookahead["every_steps"] == 0:
            stays = lookahead["decay"] * ((step + 1) / STEPS) ** lookahead["power"]
            for name, value in net.state_dict().items():
                if value.is_floating_point():
                    slow[name].lerp_(value, 1 - stays)
                    value.copy_(slow[name])
        if kept:
            kept.update_parameters(net)
        losses.append(loss.item())
    return losses, (kept.module if kept else net).state_dict()


def compare(name, text, program):
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        (folder / "recipe.toml").write_text(text)
        subprocess.run([*program, str(folder)], check=True)
        theirs, state = train(tomllib.loads(text), folder)
        ours = json.loads((folder / "losses.json").read_text())
        start, end = load_file(folder / "weights.safetensors"), load_file(folder / "end.safetensors")
    loss = max(abs(x - y) / abs(y) for x, y in zip(ours, theirs, strict=True))
    weights = max(((end[k] - state[k]).norm() / state[k].norm().clamp(min=1)).item() for k in end)
    path = max(((end[k] - state[k]).norm() / (state[k] - start[k]).norm()).item() for k in end)
    print(json.dumps({"case": name, "loss": float(f"{loss:.1e}"), "weights": float(f"{weights:.1e}"),
                      "path": float(f"{path:.1e}"), "from": round(theirs[0], 3), "to": round(theirs[-1], 3)}), flush=True)
    return max(loss, weights), path / PATH_BOUND[tomllib.loads(text)["network"]]


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--program", help="target/debug/examples/fifty_steps, say")
    p.add_argument("--bound", type=float, default=1e-4)
    p.add_argument("--case", choices=CASES, action="append")
    a = p.parse_args()
    torch.set_num_threads(1)
    program = [a.program] if a.program else ["cargo", "run", "--quiet", "-p", "trainer", "--example", "fifty_steps", "--"]
    found = [compare(name, CASES[name], program) for name in a.case or CASES]
    sys.exit(any(largest > a.bound or path > 1 for largest, path in found))


if __name__ == "__main__":
    main()
