#!/usr/bin/env python3
"""Holds the Dockerfile to what it promises, as far as that goes without a daemon that builds images.

    container.py ROOT SERIN

Its instructions are read as Docker does. The context is copied as .dockerignore leaves it, and the release is configured
there: what a build reads is in it. Scripts that it runs exist, and what it copies, too. The configuration that it brings is
one that Serin takes. Not done: the base images are not fetched and nothing of the second stage is run.
"""
import fnmatch
import os
import re
import shutil
import subprocess
import sys
import tempfile


def instructions(text):
    """(instruction, arguments) in order; comments gone, continued lines joined."""
    lines = [line for line in text.split("\n") if not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n", " ", "\n".join(lines))
    return [tuple(line.split(None, 1)) for line in joined.split("\n") if line.strip()]


def stages(found):
    each = []
    for name, arguments in found:
        if name == "FROM":
            each.append((arguments, []))
        else:
            each[-1][1].append((name, arguments))
    return each


def copy_context(root, target):
    """As much of Docker's rules as the file uses: a name at the top, or **/ and a pattern of one name."""
    with open(os.path.join(root, ".dockerignore"), encoding="utf-8") as file:
        patterns = [line.strip() for line in file if line.strip() and not line.startswith("#")]
    everywhere = [pattern[3:] for pattern in patterns if pattern.startswith("**/")]
    top = {pattern for pattern in patterns if "*" not in pattern and "/" not in pattern}
    if len(everywhere) + len(top) != len(patterns):
        raise SystemExit(".dockerignore: a pattern that container.py cannot read")

    def ignored(folder, names):
        out = {name for name in names if any(fnmatch.fnmatch(name, pattern) for pattern in everywhere)}
        return out | (top & set(names) if os.path.samefile(folder, root) else set())

    shutil.copytree(root, target, ignore=ignored, symlinks=True)


def faults_of_text(root, found):
    parts = stages(found)
    if [image for image, _ in parts] != ["debian:12 AS build", "debian:12-slim"]:
        yield f"its stages are {[image for image, _ in parts]}"
        return
    first, second = (dict(part) for _, part in parts)
    names = [name for name, _ in parts[1][1]]
    user = second.get("USER", "")
    if not re.fullmatch(r"[1-9]\d*:[1-9]\d*", user):
        yield f"USER {user} is no number other than root's"
    elif f"--uid {user.split(':')[0]} " not in second["RUN"]:
        yield f"nobody makes user {user}"
    if names.index("USER") < max(place for place, name in enumerate(names) if name in ("RUN", "COPY")):
        yield "something is done after USER"
    for name in ("ENTRYPOINT", "CMD"):
        if not second.get(name, "").startswith("["):
            yield f"{name} goes through a shell, which keeps signals to itself"
    if "serin" not in second.get("HEALTHCHECK", "") or second.get("STOPSIGNAL") != "SIGTERM":
        yield "it has no HEALTHCHECK, or not the STOPSIGNAL that drains"
    if "--no-install-recommends" not in second["RUN"] or "rm -rf" not in second["RUN"]:
        yield "it keeps more than it needs"
    for name, arguments in [*parts[0][1], *parts[1][1]]:
        words = arguments.split()
        if name == "COPY" and not words[0].startswith("--from"):
            yield from (f"COPY {word}: there is none" for word in words[:-1] if not os.path.exists(os.path.join(root, word)))
        for script in re.findall(r"(?:^|\s)(\.ci/\w+)", arguments) if name == "RUN" else ():
            if not os.access(os.path.join(root, script), os.X_OK):
                yield f"RUN {script}: there is no such script"
    if first.get("WORKDIR") != "/src" or "COPY --from=build /src/build/package/ " not in "".join(f"{a} {b}\n" for a, b in parts[1][1]):
        yield "the second stage takes nothing of the first"


def faults_of_build(root):
    with tempfile.TemporaryDirectory() as work:
        sources = os.path.join(work, "src")
        copy_context(root, sources)
        left = [name for name in (".git", "build", "tests") if os.path.exists(os.path.join(sources, name))]
        if left:
            yield f"{left} are in the context"
        installed = subprocess.run([os.path.join(sources, ".ci", "setup"), "build"], capture_output=True, text=True)
        if installed.returncode != 0:
            yield f"what the build needs cannot be installed with what is in the context: {installed.stderr[-2000:]}"
        done = subprocess.run(["cmake", "--preset", "release"], cwd=sources, capture_output=True, text=True,
                              env={**os.environ, "SERIN_COMMIT": "0123456789abcdef0123"})
        if done.returncode != 0:
            yield f"the release cannot be configured in the context: {done.stderr[-2000:]}"
            return
        with open(os.path.join(sources, "build", "release", "build.ninja"), encoding="utf-8") as file:
            if 'SERIN_COMMIT=\\"0123456789ab\\"' not in file.read():
                yield "the commit that it is given does not reach the program"


def main():
    root, serin = os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2])
    with open(os.path.join(root, "Dockerfile"), encoding="utf-8") as file:
        found = list(faults_of_text(root, instructions(file.read())))
    found += faults_of_build(root)
    checked = subprocess.run([serin, "check", "-c", os.path.join(root, "conf", "packaging", "container.yaml")], capture_output=True, text=True)
    if checked.returncode != 0:
        found.append(f"its configuration: {checked.stderr}")
    for fault in found:
        print(f"Dockerfile: {fault}")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
