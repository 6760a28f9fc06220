# License: BSD-3-Clause
"""Open the built site in headless Chromium, as wide as a laptop and a phone, and find faults.

python .ci/browse.py HTML_FOLDER [--pictures FOLDER [--pages index.html ...]]
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import html.parser
import http.server
import posixpath
import shutil
import sys
import threading
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urldefrag, urlsplit

from playwright.sync_api import ConsoleMessage, Page, TimeoutError, sync_playwright

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
WIDTHS = {"laptop": (1366, 768), "phone": (390, 844)}
# A table may scroll within its own frame; nothing may make the page itself wider than the screen.
TOO_WIDE = """() => {
    const wide = [], width = document.documentElement.clientWidth;
    if (document.documentElement.scrollWidth > width + 1)
        wide.push(`the page is ${document.documentElement.scrollWidth} wide`);
    for (const table of document.querySelectorAll('main table')) {
        let frame = table;
        while (frame.tagName !== 'MAIN' && getComputedStyle(frame).overflowX !== 'auto')
            frame = frame.parentElement;
        const box = frame.getBoundingClientRect();
        if (box.width && (box.right > width + 1 || box.left < -1))
            wide.push(`table: ${table.innerText.slice(0, 40)}`);
    }
    return wide;
}"""
SCROLLING = """() => [...document.querySelectorAll('main table')]
    .filter(table => table.offsetWidth > table.parentElement.clientWidth + 1)
    .map(table => `table scrolls on a laptop: ${table.innerText.slice(0, 40)}`)"""
PICTURES = """() => [...document.images].filter(
    image => !(image.complete && image.naturalWidth) && image.loading !== 'lazy'
).map(image => image.src)"""


class _Targets(html.parser.HTMLParser):
    """The links of a page, and what can be linked to in it."""

    def __init__(self) -> None:
        super().__init__()
        self.links: set[str] = set()
        self.anchors: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        if found.get("id"):
            self.anchors.add(found["id"])
        if tag == "a" and found.get("href"):
            self.links.add(found["href"])


def broken_links(folder: Path, names: list[str]) -> list[str]:
    """List links within the site that lead nowhere."""
    pages = {name: _Targets() for name in names}
    for name, page in pages.items():
        page.feed((folder / name).read_text(encoding="utf-8"))
    faults = []
    for name, page in pages.items():
        for link in sorted(page.links):
            address, anchor = urldefrag(link)
            if urlsplit(address).scheme:
                continue
            path = unquote(urlsplit(address).path)
            target = posixpath.normpath(posixpath.join(posixpath.dirname(name), path))
            target = target if path else name
            if not (folder / target).exists():
                faults.append(f"{name}: broken link to {target}")
            elif anchor and target in pages and unquote(anchor) not in pages[target].anchors:
                faults.append(f"{name}: no #{anchor} in {target}")
    return faults


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args: object) -> None:
        pass

    def copyfile(self, *args: Any) -> None:
        # The browser leaves a page before all of it has come.
        with contextlib.suppress(ConnectionError):
            super().copyfile(*args)


def check(page: Page, root: str, folder: Path) -> list[str]:
    """List the faults of all pages."""
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.html"))
    names = [name for name in names if not name.startswith(("_static", "_downloads"))]
    faults, here = broken_links(folder, names), ""

    def said(message: ConsoleMessage) -> None:
        where = message.location["url"]
        if message.type == "error" and where.startswith(root):
            faults.append(f"{here}: console: {message.text} ({where})")

    page.on("console", said)
    page.on("pageerror", lambda error: faults.append(f"{here}: {error}"))
    # The pages of single objects are of one make: a tenth of them is opened.
    single = [name for name in names if name.startswith("generated")]
    opened = [name for name in names if name not in single or name in single[::10]]
    for here in opened:
        for device, (width, height) in WIDTHS.items():
            page.set_viewport_size({"width": width, "height": height})
            if device == "laptop":
                page.goto(f"{root}/{here}", wait_until="load")
                faults += [f"{here}: no picture at {src}" for src in page.evaluate(PICTURES)]
                faults += [f"{here}: {what}" for what in page.evaluate(SCROLLING)]
            faults += [f"{here} on a {device}: {what}" for what in page.evaluate(TOO_WIDE)]
    here = "auto_examples/index.html"
    page.goto(f"{root}/{here}")
    cards = page.locator(".sphx-glr-thumbcontainer")
    if not cards.count() or cards.count() != page.locator(".sphx-glr-thumbcontainer img").count():
        faults.append(f"{here}: an example without a thumbnail")
    here = "search.html"
    page.goto(f"{root}/{here}?q=GroupKFold")
    try:
        page.locator("#search-results li").first.wait_for()
    except TimeoutError:
        faults.append(f"{here}: GroupKFold is not found")
    print(f"{len(names)} pages, of which {len(opened)} were opened: {len(faults)} faults")
    return faults


def photograph(page: Page, root: str, names: list[str], out: Path) -> None:
    """Save a picture of each page at each width."""
    out.mkdir(parents=True, exist_ok=True)
    for name in names:
        for device, (width, height) in WIDTHS.items():
            page.set_viewport_size({"width": width, "height": height})
            page.goto(f"{root}/{name}", wait_until="load")
            stem = name.removesuffix(".html").replace("/", "-")
            page.screenshot(path=out / f"{stem}-{device}.png", full_page=True)


def main() -> int:
    """Run the checks, or take pictures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--pictures", type=Path)
    parser.add_argument("--pages", nargs="+", default=["index.html"])
    options = parser.parse_args()
    browser_path = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser_path is None:
        print("no Chromium on this machine: the site was not opened in a browser")
        return 0
    handler = functools.partial(_Quiet, directory=str(options.folder))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    root = f"http://127.0.0.1:{server.server_port}"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=browser_path, args=["--no-sandbox"])
        page = browser.new_page()
        page.set_default_timeout(120_000)
        # Nothing outside is loaded, so that the result does not depend on a network.
        page.route(lambda url: not url.startswith(root), lambda route: route.abort())
        if options.pictures:
            photograph(page, root, options.pages, options.pictures)
            return 0
        faults = check(page, root, options.folder)
        browser.close()
    print(*faults, sep="\n")
    return min(len(faults), 1)


if __name__ == "__main__":
    sys.exit(main())
