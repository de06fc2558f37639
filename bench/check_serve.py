"""Opens the page of `trainer serve` in Chromium, uses it, and measures photos a second.

    python bench/check_serve.py --trainer PROGRAM [--run RUN] [--artifacts DIR] [--shots FOLDER]

Fails where the page asks another machine for anything, prints to the console, is wider than the
screen, gives no answer, or answers less than 200 photos a second in the best of three tries. Needs `pip install playwright` and a Chromium, as `check_report.py` does;
without them it measures only.
"""

import argparse
import http.client
import itertools
import json
import os
import pathlib
import random
import shutil
import signal
import struct
import subprocess
import sys
import threading
import time
import urllib.parse
import zlib

NAMES = ["chromium", "chromium-browser", "google-chrome"]
# Photos a second that every number of connections reaches in the best of so many tries.
LEAST_RATE, TRIES = 200, 3
WIDTHS = {"phone": 390, "desktop": 1280}
PHOTO = pathlib.Path(__file__).parent.parent / "crates/trainer/tests/files/turned.jpg"
# Drops a file on the page, as a user does with a mouse.
DROP = """bytes => {
    const carried = new DataTransfer();
    carried.items.add(new File([new Uint8Array(bytes)], "dropped.png"));
    document.getElementById("drop").dispatchEvent(
        new DragEvent("drop", { dataTransfer: carried, bubbles: true, cancelable: true }));
}"""


def png(seed: int) -> bytes:
    """A PNG of 32 by 32 pixels of noise."""
    noise = random.Random(seed)
    rows = b"".join(b"\0" + noise.randbytes(96) for _ in range(32))

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", 32, 32, 8, 2, 0, 0, 0)
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows))
            + chunk(b"IEND", b""))


def photos_a_second(address: str, connections: int, seconds: float) -> float:
    """Answers a second over `connections` that stay open, each of which asks when it has its answer."""
    photos = [png(seed) for seed in range(100)]
    answered = [0] * connections
    end = time.monotonic() + seconds

    def client(number: int) -> None:
        connection = http.client.HTTPConnection(address)
        for photo in itertools.cycle(photos):
            if time.monotonic() > end:
                break
            connection.request("POST", "/photo", photo)
            answer = connection.getresponse()
            said = answer.read()
            assert answer.status == 200 and len(json.loads(said)["classes"]) == 10, said
            answered[number] += 1
        connection.close()

    began = time.monotonic()
    clients = [threading.Thread(target=client, args=[number]) for number in range(connections)]
    for thread in clients:
        thread.start()
    for thread in clients:
        thread.join()
    return sum(answered) / (time.monotonic() - began)


def use(page) -> None:
    """Chooses a photo, a bad one, drops one, and asks for a test image."""
    from playwright.sync_api import expect

    verdict, error = page.locator("#verdict"), page.locator("#error")
    page.set_input_files("#file", PHOTO)
    expect(page.locator("#classes tr")).to_have_count(10)
    expect(verdict).to_contain_text(PHOTO.name)
    page.set_input_files("#file", {"name": "bad.jpg", "mimeType": "image/jpeg", "buffer": b"no photo"})
    expect(error).to_contain_text("bad.jpg: this is no PNG")
    page.evaluate(DROP, list(png(1)))
    expect(verdict).to_contain_text("dropped.png")
    expect(error).to_be_hidden()
    if page.locator("#random").count():
        page.click("#random")
        expect(verdict).to_contain_text("test image")
    expect(page.locator("#curves svg").first).to_be_visible()


def look(url: str, browser_path: str, shots: pathlib.Path | None) -> list[str]:
    from playwright.sync_api import sync_playwright

    problems = []

    def note_console(message) -> None:
        # Chromium notes every refused request; one upload here is refused on purpose.
        if "415" not in message.text:
            problems.append(f"console: {message.text}")

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=browser_path, args=["--no-sandbox"])
        for (name, width), scheme in itertools.product(WIDTHS.items(), ["light", "dark"]):
            page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
            page.on("console", note_console)
            page.on("pageerror", lambda error: problems.append(f"error: {error}"))
            page.on("request", lambda request: problems.append(f"request: {request.url}")
                    if not request.url.startswith((url, "data:")) else None)
            page.goto(url)
            use(page)
            if page.evaluate("document.documentElement.scrollWidth") > width:
                problems.append(f"{name}: the page is wider than {width} pixels")
            if page.evaluate("[...document.images].filter(i => !i.naturalWidth).length"):
                problems.append(f"{name}: a picture cannot be shown")
            if shots:
                shots.mkdir(parents=True, exist_ok=True)
                page.screenshot(path=shots / f"serve-{name}-{scheme}.png", full_page=True)
            page.close()
        browser.close()
    return sorted(set(problems))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trainer", required=True, help="the built program")
    parser.add_argument("--run", default="latest")
    parser.add_argument("--artifacts", default="artifacts")
    parser.add_argument("--shots", type=pathlib.Path, help="a folder for pictures of the page")
    parser.add_argument("--seconds", type=float, default=5)
    arguments = parser.parse_args()
    browser_path = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)
    try:
        import playwright  # noqa: F401
    except ImportError:
        browser_path = None
    served = subprocess.Popen(
        [arguments.trainer, "serve", "--run", arguments.run, "--artifacts", arguments.artifacts,
         "--address", "127.0.0.1:0", "--backend", "ndarray", "--json"],
        stdout=subprocess.PIPE, text=True)
    problems = []
    try:
        line = served.stdout.readline()
        if not line:
            return served.wait()
        url = json.loads(line)["url"]
        if browser_path:
            problems = look(url, browser_path, arguments.shots)
            print("Chromium: four views, a photo chosen, a bad one, one dropped, a test image")
        else:
            print("skipped: the page in a browser: there is no Chromium, or no playwright to drive it")
        for connections in [1, 8, 50]:
            rate = 0.0
            # Other work on the machine slows a try, and never makes one faster than it is.
            for _ in range(TRIES):
                address = urllib.parse.urlsplit(url).netloc
                rate = max(rate, photos_a_second(address, connections, arguments.seconds))
                if rate >= LEAST_RATE:
                    break
            print(f"{rate:.0f} photos a second over {connections} connections at once")
            if rate < LEAST_RATE:
                problems.append(f"less than {LEAST_RATE} photos a second over {connections} connections")
        began = time.monotonic()
        served.send_signal(signal.SIGINT)
        if served.wait(timeout=30) != 0:
            problems.append(f"it ended with {served.returncode}")
        print(f"Ctrl-C ended it within {time.monotonic() - began:.2f} s")
    finally:
        served.kill()
    for problem in problems:
        print(problem, file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
