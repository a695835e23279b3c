#!/usr/bin/env python3
"""Asks an independent validator (npm, tests/clients) whether canary/admin/openapi.json is OpenAPI 3.1.

    openapi_valid.py ROOT       exits 77, which ctest calls skipped, where `.ci/setup test` has not run since it was added
"""
import hashlib
import os
import subprocess
import sys

ROOT = os.path.abspath(sys.argv[1])
sys.path.insert(0, os.path.join(ROOT, "tests", "support"))
from clients import CLIENTS, NODE  # noqa: E402

SKIPPED = 77


def is_set_up():
    """As .ci/setup decides it."""
    wanted = hashlib.sha256()
    for name in ("package.json", "package-lock.json"):
        with open(os.path.join(ROOT, "tests", "clients", name), "rb") as file:
            wanted.update(file.read())
    try:
        with open(os.path.join(CLIENTS, "installed"), encoding="utf-8") as file:
            return file.read().split()[0] == wanted.hexdigest()
    except (OSError, IndexError):
        return False


def main():
    if not is_set_up():
        print("what the tests take from npm is not the present one: .ci/setup test")
        return SKIPPED
    script = os.path.join(ROOT, "tests", "structure", "openapi_valid.mjs")
    return subprocess.run([NODE, script, CLIENTS, os.path.join(ROOT, "canary", "admin", "openapi.json")], check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
