"""What `make install` puts below a folder: a program that runs, documents whose links lead somewhere, pages, completions."""

import json
import os
import re
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from play import SLOW, bare_environment, case, expect, run  # noqa: E402

SOURCES = os.path.realpath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))
# What documents link to that is not installed: the sources, and what is about them.
ELSEWHERE = re.compile(r"(proxy|router|metrics|tests|bench|\.ci|\.github)/|canary/(?!admin/openapi)|CONTRIBUTING\.md|Makefile|Dockerfile")
LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)\s]*)?\)")


def done(stage, *command, **more):
    result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120 * SLOW,
                            env={**bare_environment(), **more})
    stage.transcript.note("test", f"{command}: {result.returncode}\n{result.stdout}{result.stderr}")
    expect(result.returncode, 0, f"exit code of {' '.join(command)}: {result.stdout[-2000:]}{result.stderr[-2000:]}")
    return result.stdout


def installed(stage):
    """A folder that holds what is installed with the prefix /opt/serin."""
    folder = os.path.join(stage.folder, stage.name)
    done(stage, "cmake", "--install", os.path.dirname(stage.binary), "--prefix", "/opt/serin", DESTDIR=folder)
    return os.path.join(folder, "opt", "serin")


def files_of(root):
    return sorted(os.path.relpath(os.path.join(folder, name), root) for folder, _, names in os.walk(root) for name in names)


@case(starts_proxy=False)
def everything_is_below_the_prefix_and_in_its_place(stage):
    root = installed(stage)
    files = files_of(root)
    for path in ("bin/serin", "share/man/man1/serin.1", "share/man/man5/serin.yaml.5",
                 "share/bash-completion/completions/serin", "share/zsh/vendor-completions/_serin",
                 "share/fish/vendor_completions.d/serin.fish", "share/doc/serin/README.md", "share/doc/serin/LICENSE",
                 "share/doc/serin/docs/OPERATING.md", "share/doc/serin/conf/serin.yaml",
                 "share/doc/serin/conf/monitoring/prometheus.yml", "share/doc/serin/conf/examples/pages.yaml"):
        expect(path in files, True, f"{path} is installed")
    strays = [path for path in files if not path.startswith(("bin/serin", "share/", "lib/systemd/system/serin.", "lib/sysusers.d/serin.conf"))]
    expect(strays, [], "files elsewhere")
    expect(os.listdir(os.path.dirname(os.path.dirname(root))), ["opt"], "folders beside the prefix")


@case(starts_proxy=False)
def links_of_the_documents_lead_to_what_is_installed(stage):
    documents = os.path.join(installed(stage), "share", "doc", "serin")
    dead = []
    for path in files_of(documents):
        if path.endswith(".md"):
            with open(os.path.join(documents, path), encoding="utf-8") as file:
                links = {os.path.normpath(os.path.join(os.path.dirname(path), link)) for link in LINK.findall(file.read())
                         if ":" not in link}
            dead += [(path, link) for link in sorted(links)
                     if not ELSEWHERE.match(link) and not os.path.exists(os.path.join(documents, link))]
    expect(dead, [], "dead links")


@case(starts_proxy=False)
def the_program_says_what_it_is_made_of(stage):
    binary = os.path.join(installed(stage), "bin", "serin")
    lines = done(stage, binary, "--version").split("\n")
    about = json.loads(done(stage, binary, "--version", "--json"))
    expect(lines[0], f"serin {about['version']} ({about['commit']})", "first line")
    expect(json.loads(done(stage, binary, "version", "--json")), about, "the verb's answer")
    versions = {one["name"]: one["running"] for one in about["libraries"]}
    for name, module in (("libuv", "libuv"), ("sqlite", "sqlite3"), ("nghttp2", "libnghttp2"), ("jansson", "jansson")):
        expect(versions[name], done(stage, "pkg-config", "--modversion", module).strip(), f"version of {name}")
    for path in (SOURCES, os.path.dirname(stage.binary)):
        expect(path in json.dumps(about), False, f"{path} in what it says of itself")
    wrong = subprocess.run([binary, "--version", "--jso"], capture_output=True, text=True, check=False, timeout=30 * SLOW)
    expect((wrong.returncode, wrong.stdout), (2, ""), "an option that there is not")


@case(starts_proxy=False)
def the_installed_program_serves_an_installed_configuration(stage):
    root = installed(stage)
    binary = os.path.join(root, "bin", "serin")
    done(stage, binary, "check", "-c", os.path.join(root, "share/doc/serin/conf/serin.yaml"))
    stage.binary = binary
    stage.start_serin()
    expect(stage.ask().status, 200, "status")


if __name__ == "__main__":
    run(__file__)
