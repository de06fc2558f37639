#!/usr/bin/env python3
"""Training on a worker over loopback beside training on the same device itself.

    bench/remote.py --trainer target/debug/trainer [--delay 20]

Everything of a row is measured one after the other, round after round, since other work on the machine
would otherwise fall on one side alone. A row is a network at batch 128: `bench` steps on one batch that
lies on the device, `train` trains synthetic images, which travel once: SimpleCnn eight epochs of 50,000. `--delay` adds a proxy that hands on
what it got after half of so many milliseconds, each way. The programs use one thread less than there are
cores where `--threads` does not say otherwise, so that both sides have room.
"""

import argparse
import csv
import json
import os
import queue
import socket
import statistics
import subprocess
import tempfile
import threading
import time


class Proxy:
    """Hands on every byte after `delay` seconds."""

    def __init__(self, target, delay):
        self.target, self.delay = target, delay
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            near, _ = self.listener.accept()
            far = socket.create_connection(("127.0.0.1", self.target))
            for one in (near, far):
                one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.pump(near, far)
            self.pump(far, near)

    def pump(self, source, sink):
        waiting = queue.Queue(maxsize=4096)

        def read():
            try:
                while data := source.recv(1 << 18):
                    waiting.put((time.monotonic() + self.delay, data))
            except OSError:
                pass
            waiting.put((0, b""))

        def write():
            try:
                while True:
                    due, data = waiting.get()
                    if not data:
                        sink.shutdown(socket.SHUT_WR)
                        return
                    time.sleep(max(0.0, due - time.monotonic()))
                    sink.sendall(data)
            except OSError:
                source.close()

        for work in (read, write):
            threading.Thread(target=work, daemon=True).start()


def worker(options):
    process = subprocess.Popen(
        [options.trainer, "worker", "--listen", "127.0.0.1:0", "--json", "--quiet", "--backend",
         options.backend, "--threads", str(options.threads)],
        stdout=subprocess.PIPE, text=True)
    return process, json.loads(process.stdout.readline())["url"]


def bench(options, network, device):
    line = [options.trainer, "bench", "--network", network, "--batch", str(options.batch), "--seconds",
            str(options.seconds), "--json", *device]
    return json.loads(subprocess.run(line, check=True, capture_output=True, text=True).stdout)["images_per_s"]


def train(options, network, device, epochs, images):
    """Images a second of some epochs, their images' way included, and the losses of the steps."""
    with tempfile.TemporaryDirectory() as artifacts:
        line = [options.trainer, "train", "--config", "smoke", "--network", network, "--epochs", str(epochs),
                "--batch-size", str(options.batch), "--set", f"data.train_images={images}",
                "--set", "data.test_images=100", "--set", "validation=0", "--set", 'select="last"',
                "--artifacts", artifacts, "--quiet", "--json", *device]
        subprocess.run(line, check=True, capture_output=True, text=True)
        run = os.path.join(artifacts, "latest")
        with open(os.path.join(run, "result.json")) as file:
            rate = json.load(file)["images_per_second"]
        with open(os.path.join(run, "steps.csv")) as file:
            losses = [float(row["loss"]) for row in csv.DictReader(file)]
        return rate, losses


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trainer", default="target/debug/trainer")
    parser.add_argument("--backend", default="ndarray")
    parser.add_argument("--threads", type=int, default=max(1, (os.cpu_count() or 2) - 1))
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--networks", default="simple_cnn,resnet20")
    parser.add_argument("--modes", default="bench,train")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--delay", type=float, default=20, help="milliseconds, both ways together")
    options = parser.parse_args()
    process, url = worker(options)
    try:
        proxy = Proxy(int(url.rsplit(":", 1)[1]), options.delay / 2000)
        places = {
            "local": ["--backend", options.backend, "--threads", str(options.threads)],
            "loopback": ["--backend", "remote", "--device", url],
            f"{options.delay:g} ms": ["--backend", "remote", "--device", f"ws://127.0.0.1:{proxy.port}"],
        }
        print("| what | " + " | ".join(places) + " | ratios | losses | load |")
        print("| --- |" + " --- |" * (len(places) + 3))
        for network in options.networks.split(","):
            for mode in options.modes.split(","):
                row(options, network, mode, places)
    finally:
        process.terminate()
        process.wait()


def row(options, network, mode, places):
    rates, losses = {name: [] for name in places}, {}
    epochs, images = (1, 60 * options.batch) if network == "resnet20" else (8, 50_000)
    for _ in range(options.rounds):
        for name, device in places.items():
            if mode == "bench":
                rates[name].append(bench(options, network, device))
            else:
                rate, losses[name] = train(options, network, device, epochs, images)
                rates[name].append(rate)
    # The ratio of each round, and the median of those: load comes and goes.
    first, *others = places
    ratios = [statistics.median(b / a for a, b in zip(rates[first], rates[name])) for name in others]
    apart = max((abs(a - b) / abs(a) for name in others if losses
                 for a, b in zip(losses[first], losses[name])), default=None)
    cells = [f"{mode} {network}, batch {options.batch}"]
    cells += [f"{statistics.median(rates[name]):,.0f}" for name in places]
    cells += [", ".join(f"{ratio:.2f}" for ratio in ratios)]
    cells += ["" if apart is None else f"{apart:.1e}", f"{os.getloadavg()[0]:.1f}"]
    print("| " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
