"""Checks the built site: `python docs/making/check.py build/docs [--screenshots FOLDER]`.

Every link leads to a page and a place that exist. codespell knows every word. No page is wider than a phone. The search
finds something without a network. Prints what is wrong, and exits with 1 if anything is.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

sys.path.insert(0, str(Path(__file__).parents[1]))

import socket2
from making import browser

ROOT = Path(__file__).parents[2]
PROSE = ["docs", "README.md", "CHANGES.md", "CONTRIBUTING.md", "bench/README.md"]
PHONE_PX = 375
LIMIT_S = 600

# Elements that are wider than the page and do not scroll by themselves, as text.
_TOO_WIDE = """[...document.querySelectorAll("body *")].filter(e => {
  if (e.getBoundingClientRect().right <= innerWidth + 1 || e.closest(".sidebar-drawer, .toc-drawer")) return false;
  for (let p = e; p; p = p.parentElement)
    if (["auto", "scroll", "hidden"].includes(getComputedStyle(p).overflowX)) return false;
  return true;
}).slice(0, 3).map(e => e.tagName + ": " + e.textContent.trim().slice(0, 60)).join(" | ")"""
_FOUND = """new Promise(tell => {
  let looks = 0;
  const look = () => {
    const found = document.querySelectorAll("#search-results li a").length;
    if (found || ++looks > 100) tell(found); else setTimeout(look, 100);
  };
  look();
})"""
_WIDTH = "document.documentElement.scrollWidth"


class Links(HTMLParser):
    """The places of a page, and where it links to."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: set[str] = set()
        self.links: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = dict(attrs)
        self.ids |= {value for name in ("id", "name") if (value := named.get(name))}
        self.links += [value for name in ("href", "src") if (value := named.get(name))]


def broken_links(site: Path) -> Iterator[str]:
    pages = {path: Links(path.read_text()) for path in site.rglob("*.html")}
    for path, page in sorted(pages.items()):
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                if parts.scheme not in ("https", "http", "data", "mailto"):
                    yield f"{path.relative_to(site)}: {link}"
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            if not target.exists():
                yield f"{path.relative_to(site)}: {link}: there is no such page"
            elif parts.fragment and target in pages and unquote(parts.fragment) not in pages[target].ids:
                yield f"{path.relative_to(site)}: {link}: there is no such place"


def misspelled() -> Iterator[str]:
    command = [sys.executable, "-m", "codespell_lib", "--skip", "*.svg,*.json", "--ignore-words-list", "te,reponse"]
    done = subprocess.run([*command, *PROSE], cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode not in (0, 65) and not done.stdout:
        yield f"codespell: {done.stderr.strip()}"
    yield from done.stdout.splitlines()


async def seen(site: Path, chromium: str, screenshots: Path | None) -> list[str]:
    """Return what is wrong in the browser."""
    wrong = []
    async with browser.page(chromium) as page:
        for path in sorted(site.rglob("*.html")):
            name = path.relative_to(site).as_posix()
            await page.look(PHONE_PX, 800)
            await page.open(path.resolve().as_uri())
            width, which = await page.evaluate(_WIDTH), await page.evaluate(_TOO_WIDE)
            if width > PHONE_PX or which:
                wrong.append(f"{name}: {width} px wide on a phone of {PHONE_PX} px: {which}")
            if screenshots is not None:
                await photographed(page, screenshots / name.replace("/", "-").removesuffix(".html"))
        await page.open((site / "search.html").resolve().as_uri() + "?q=between_requests")
        found = await page.evaluate(_FOUND)
        if not found:
            wrong.append("search.html: finds nothing without a network")
    return wrong


async def photographed(page: browser.Page, path: Path) -> None:
    for width, scheme in ((1440, "light"), (1440, "dark"), (PHONE_PX, "light"), (PHONE_PX, "dark")):
        await page.look(width, 2200, scheme)
        await page.screenshot(path.with_name(f"{path.name}-{width}-{scheme}.png"))


async def looked_at(site: Path, chromium: str, screenshots: Path | None) -> list[str]:
    with socket2.timeout(LIMIT_S):
        return await seen(site, chromium, screenshots)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("site", type=Path)
    parser.add_argument("--screenshots", type=Path, help="write a picture of each page into this folder")
    options = parser.parse_args()
    wrong = [*broken_links(options.site), *misspelled()]
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        print("no Chromium is installed (Debian: chromium): widths and search are not checked", file=sys.stderr)
    else:
        if options.screenshots:
            options.screenshots.mkdir(parents=True, exist_ok=True)
        wrong += socket2.run(looked_at, options.site, chromium, options.screenshots)
    print(*wrong, sep="\n", end="\n" if wrong else "")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
