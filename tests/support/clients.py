"""clients.py - where .ci/setup has put what tests take from npm."""

import os
import platform

ROOT = os.path.normpath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))
CLIENTS = os.path.join(ROOT, "build", "clients")
MODULES = os.path.join(CLIENTS, "node_modules")
NODE = os.path.join(MODULES, "node-linux-" + {"aarch64": "arm64"}.get(platform.machine(), "x64"), "bin", "node")
