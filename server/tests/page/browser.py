"""Debian's Chromium, steered by Playwright; installed where it is missing and this process may."""

from __future__ import annotations

import os
import shutil
import subprocess
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from playwright.sync_api import sync_playwright

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser

_NAMES = ("chromium", "chromium-browser", "google-chrome")


def executable() -> str:
    """Return the browser's path; on a Debian machine without one, as root, it is installed first.

    Raises:
        RuntimeError: there is none, and what to do.
    """
    found = next(filter(None, map(shutil.which, _NAMES)), None)
    if found is None and os.geteuid() == 0 and shutil.which("apt-get"):
        quiet = {"stdout": subprocess.DEVNULL, "env": {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}}
        subprocess.run(["apt-get", "update"], check=True, **quiet)  # type: ignore[call-overload]
        install = ["apt-get", "install", "-y", "--no-install-recommends", "chromium"]
        subprocess.run(install, check=True, **quiet)  # type: ignore[call-overload]
        found = next(filter(None, map(shutil.which, _NAMES)), None)
    if found is None:
        raise RuntimeError("the page is tested in Chromium, and there is none. Next: apt-get install chromium")
    return found


@contextmanager
def chromium() -> Iterator[Browser]:
    """Run a browser."""
    with sync_playwright() as playwright:
        # CI runs as root in a container, where Chromium's own sandbox cannot be.
        browser = playwright.chromium.launch(executable_path=executable(), args=["--no-sandbox", "--disable-gpu"])
        try:
            yield browser
        finally:
            browser.close()


if __name__ == "__main__":
    # `make test` asks once, before several processes would.
    with suppress(RuntimeError, subprocess.CalledProcessError):
        executable()
