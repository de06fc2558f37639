"""Gives `trainer predict` 1,000 files of which 100 are no photos, and measures it.

    python bench/check_predict.py --trainer PROGRAM [--run RUN] [--artifacts DIR]

Fails unless 900 photos get an answer, each of the others is named with a reason, and the program ends
with exit code 1 and their number.
"""

import argparse
import json
import pathlib
import random
import subprocess
import sys
import tempfile
import time

from check_serve import png

FILES = pathlib.Path(__file__).parent.parent / "crates/trainer/tests/files"
PHOTOS, OTHERS = 900, 100


def fill(folder: pathlib.Path) -> None:
    """Photos of three formats and pictures of the size that a network sees; and what is damaged, empty or
    something else, under names of photos."""
    stored = [(path.suffix, path.read_bytes()) for path in sorted(FILES.glob("turned.*"))]
    for number in range(PHOTOS):
        suffix, content = [*stored, (".png", png(number))][number % 4]
        (folder / f"photo-{number:03}{suffix}").write_bytes(content)
    noise = random.Random(0)
    for number in range(OTHERS):
        suffix, content = stored[number % 3]
        bad = [b"", b"no photo", content[: len(content) // 2], noise.randbytes(1000)][number % 4]
        (folder / f"other-{number:02}{suffix}").write_bytes(bad)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trainer", required=True, help="the built program")
    parser.add_argument("--run", default="latest")
    parser.add_argument("--artifacts", default="artifacts")
    arguments = parser.parse_args()
    command = [arguments.trainer, "predict", "--run", arguments.run, "--artifacts", arguments.artifacts,
               "--backend", "ndarray"]
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        fill(folder)
        seconds = []
        for _ in range(3):
            began = time.monotonic()
            table = subprocess.run([*command, folder], capture_output=True, text=True)
            seconds.append(time.monotonic() - began)
        said = subprocess.run([*command, folder, "--json"], capture_output=True, text=True)
    answers = json.loads(said.stdout)
    named = [line for line in table.stderr.splitlines() if "/other-" in line]
    problems = [what for what, holds in [
        ("there are not 900 answers", len(answers["photos"]) == len(table.stdout.splitlines()) == PHOTOS),
        ("a photo is refused", all("/other-" in one["photo"] for one in answers["refused"])),
        ("not each of the others is named", len(named) == len(answers["refused"]) == OTHERS),
        ("the exit code is not 1", table.returncode == said.returncode == 1),
        ("the last line has no count", "100 of 1000 files" in table.stderr.splitlines()[-1]),
    ] if not holds]
    for problem in problems:
        print(problem, file=sys.stderr)
    print(f"{PHOTOS} answers and {OTHERS} files named in {min(seconds):.2f} s, the best of three")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
