"""Opens a page of the trainer in Chromium and fails where it is not self-contained.

    python bench/check_report.py artifacts/latest/report.html [--shots FOLDER]
        [--trainer PROGRAM --artifacts artifacts]

With `--trainer` the report of `latest` is written again first, within five seconds.

Needs `pip install playwright` and a Chromium: `CHROMIUM` names it, else it is looked for. Exits with 77
and a line that says so where there is none.
"""

import argparse
import os
import pathlib
import shutil
import subprocess
import sys
import time

NAMES = ["chromium", "chromium-browser", "google-chrome"]
WIDTHS = {"phone": 390, "desktop": 1280}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("page", type=pathlib.Path)
    parser.add_argument("--trainer", help="the built program, which then writes the report again")
    parser.add_argument("--artifacts", default="artifacts")
    parser.add_argument("--shots", type=pathlib.Path, help="a folder for pictures of the page")
    arguments = parser.parse_args()
    browser_path = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        browser_path = None
    if browser_path is None:
        print("skipped: there is no Chromium, or no playwright to drive it")
        return 77
    address = arguments.page.resolve().as_uri()
    problems = []
    if arguments.trainer:
        began = time.monotonic()
        subprocess.run([arguments.trainer, "report", "--run", "latest", "--artifacts", arguments.artifacts],
                       check=True, stdout=subprocess.DEVNULL)
        seconds = time.monotonic() - began
        print(f"written again in {seconds:.2f} s")
        if seconds >= 5:
            problems.append("it took five seconds or more to write")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=browser_path, args=["--no-sandbox"])
        for name, width in WIDTHS.items():
            for scheme in ["light", "dark"]:
                page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
                page.on("console", lambda message: problems.append(f"console: {message.text}"))
                page.on("pageerror", lambda error: problems.append(f"error: {error}"))
                page.on("request", lambda request: problems.append(f"request: {request.url}")
                        if request.url != address and not request.url.startswith("data:") else None)
                page.goto(address)
                if page.evaluate("document.documentElement.scrollWidth") > width:
                    problems.append(f"{name}: the page is wider than {width} pixels")
                broken = page.evaluate("[...document.images].filter(i => !i.naturalWidth).length")
                if broken:
                    problems.append(f"{broken} pictures cannot be shown")
                if arguments.shots:
                    arguments.shots.mkdir(parents=True, exist_ok=True)
                    page.screenshot(path=arguments.shots / f"{name}-{scheme}.png", full_page=True)
                    if (name, scheme) == ("desktop", "dark"):
                        page.pdf(path=arguments.shots / "print.pdf", format="A4")
                page.close()
        browser.close()
    size = arguments.page.stat().st_size
    if size >= 2_000_000:
        problems.append(f"it has {size} bytes")
    for problem in sorted(set(problems)):
        print(problem, file=sys.stderr)
    if not problems:
        print(f"{arguments.page}: {size} bytes, no request, no console message, four views")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
