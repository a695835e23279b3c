"""browser.py - a real Chromium for plays: headless, through playwright-core, one process for a play.

    browser = Browser()
    page = browser.open(width=390)
    page.goto(url)
    page.wait("text=rolled back")
    expect(page.complaints(), [], "console")
    browser.stop()

Waits are for conditions; each gives up after PATIENCE_S, stretched on slow machines."""

import json
import os
import subprocess

from clients import CLIENTS, NODE
from wire import SLOW

PATIENCE_S = 30


class BrowserError(Exception):
    """What the browser could not do."""


class Page:
    def __init__(self, browser, number):
        self._browser, self._number = browser, number

    def _do(self, name, **more):
        return self._browser.command(name, page=self._number, timeout=int(PATIENCE_S * 1000 * SLOW), **more)

    def goto(self, url):
        self._do("goto", url=url)

    def text(self, selector):
        return self._do("text", selector=selector)

    def count(self, selector):
        return self._do("count", selector=selector)

    def wait(self, selector, state="visible"):
        self._do("wait", selector=selector, state=state)

    def click(self, selector):
        self._do("click", selector=selector)

    def fill(self, selector, value):
        self._do("fill", selector=selector, value=value)

    def choose(self, selector, value):
        self._do("choose", selector=selector, value=value)

    def press(self, key):
        self._do("press", key=key)

    def evaluate(self, script):
        return self._do("evaluate", script=script)

    def until(self, script):
        self._do("until", script=script)

    def screenshot(self, path, whole=True):
        self._do("screenshot", path=path, whole=whole)

    def violations(self):
        """What keeps people from using the page: contrast, names, roles, as axe sees them."""
        return self._do("violations")

    def complaints(self):
        """What the console and the scripts objected to: errors, warnings, violations of the page's policy."""
        return self._do("complaints")

    def requests(self):
        return self._do("requests")

    def answers(self):
        """All that came, redirects too: url, status and fields, the names in lower case."""
        return self._do("answers")

    def failed(self):
        """Requests that got no answer, and why."""
        return self._do("failed")

    def cookies(self):
        return self._do("cookies")

    def close(self):
        self._do("close")


class Browser:
    """With `arguments` for Chromium's command line."""

    def __init__(self, *arguments):
        driver = os.path.join(os.path.dirname(os.path.abspath(__file__)), "browser.mjs")
        self._process = subprocess.Popen([NODE, driver, CLIENTS, *arguments], stdin=subprocess.PIPE,
                                         stdout=subprocess.PIPE, text=True)
        if not self._process.stdout.readline():
            self.stop()
            raise BrowserError("no browser: `.ci/setup test` installs chromium and playwright-core")

    def command(self, name, **more):
        self._process.stdin.write(json.dumps({"do": name, **more}) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise BrowserError(f"{name}: the browser is gone")
        answer = json.loads(line)
        if "error" in answer:
            raise BrowserError(f"{name} {more.get('selector') or more.get('script') or ''}: {answer['error']}")
        return answer["result"]

    def open(self, width=1200, height=900, dark=False, trusting=False):
        """`trusting`: any certificate will do."""
        return Page(self, self.command("open", width=width, height=height, dark=dark, trusting=trusting))

    def visit(self, pages, urls, script, rounds=1):
        """All these pages at once, each going through the urls in turn; gives, page by page, what the script said on each
        visit. A promise is waited for."""
        numbers = [page._number for page in pages]
        return self.command("visit", pages=numbers, urls=urls, script=script, rounds=rounds, timeout=int(PATIENCE_S * 1000 * SLOW))

    def stop(self):
        self._process.stdin.close()
        try:
            self._process.wait(30 * SLOW)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()
