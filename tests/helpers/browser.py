"""A real browser for the tests that look at pages."""

import os
import shutil

import pytest

# The first flags let Chromium run as root in a container; the others keep it from calling home.
FLAGS = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
]


def chromium() -> str:
    for name in (os.environ.get("CHROMIUM"), "chromium", "chromium-browser", "google-chrome"):
        if name and (found := shutil.which(name)):
            return found
    if os.environ.get("CI"):
        pytest.fail("no Chromium in CI: install the package `chromium`, or set CHROMIUM to a browser")
    pytest.skip("no Chromium found: install it, or set CHROMIUM to its path")
