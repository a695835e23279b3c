#!/usr/bin/env python3
"""Asks an independent validator (npm, tests/clients) whether canary/admin/openapi.json is OpenAPI 3.1.

    openapi_valid.py ROOT
"""
import os
import subprocess
import sys

ROOT = os.path.abspath(sys.argv[1])
sys.path.insert(0, os.path.join(ROOT, "tests", "support"))
from clients import CLIENTS, NODE  # noqa: E402


def main():
    script = os.path.join(ROOT, "tests", "structure", "openapi_valid.mjs")
    done = subprocess.run([NODE, script, CLIENTS, os.path.join(ROOT, "canary", "admin", "openapi.json")], check=False)
    if done.returncode != 0:
        print("where the validator itself is missing, .ci/setup test installs it")
    return done.returncode


if __name__ == "__main__":
    sys.exit(main())
