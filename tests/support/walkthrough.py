"""walkthrough.py - documents that are played: what stands in a page's fenced blocks is typed into a shell.

    page = Page("README.md", "Quick start")
    shell = Shell(folder, {"8080": 14001})
    for block in page.blocks("sh"):
        for step in steps_of(block):
            code, out = shell.do(step.command)      # step.comment is what the page says of it

Only ports are others than in the page, and what a page waits for by `sleep` the caller may wait for better."""

import collections
import os
import re
import signal
import subprocess
import time

from wire import SLOW, TooLate

ROOT = os.path.realpath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))
PATIENCE_S = 150
MARK = "\x01"
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.M | re.S)
COMMENT = re.compile(r"^(.*\S)\s+# (.*)$", re.S)

Step = collections.namedtuple("Step", "command comment")


class Page:
    """A document, or what stands under one of its headings."""

    def __init__(self, path, heading=None):
        with open(os.path.join(ROOT, path), encoding="utf-8") as file:
            self.text = file.read()
        if heading:
            level, rest = re.search(rf"^(#+) {re.escape(heading)}\n(.*)", self.text, re.M | re.S).groups()
            self.text = re.split(rf"^#{{1,{len(level)}}} ", rest, maxsplit=1, flags=re.M)[0]

    def parts(self):
        """The fenced blocks in their order: (language, text)."""
        return FENCE.findall(self.text)

    def blocks(self, language):
        return [text for name, text in self.parts() if name == language]

    def sentences(self):
        """What the prose says, sentence by sentence, without markup: pictures, tables and fenced blocks are left out."""
        text = FENCE.sub("\n\n", self.text)
        text = re.sub(r"!\[[^\]]*\]\([^)]*\)", "", text)
        text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", text)
        said = []
        for paragraph in re.split(r"\n\s*\n|\n(?=\d+\. |- )", text):
            if paragraph.lstrip().startswith(("#", "|")):
                continue
            words = " ".join(re.sub(r"^\s*(\d+\.|-) ", "", paragraph).replace("`", "").replace("**", "").split())
            said += [one for one in re.split(r"(?<=[.!?:])\s+(?=[A-Z])", words) if one]
        return said


def is_whole(text):
    """A shell would not ask for more."""
    done = subprocess.run(["bash", "-n"], input=text, capture_output=True, text=True, check=False)
    return done.returncode == 0 and not done.stderr


def steps_of(block):
    """A block's commands, each with the comment behind it; lines that belong together stay together."""
    steps, pending = [], ""
    for line in block.splitlines():
        pending += line + "\n"
        if not pending.strip() or not is_whole(pending):
            continue
        found = COMMENT.match(pending.rstrip()) if pending.count("\n") == 1 else None
        steps.append(Step(*found.groups()) if found else Step(pending.rstrip(), ""))
        pending = ""
    if pending.strip():
        raise AssertionError(f"a shell would wait for more after:\n{pending}")
    return steps


def shape(line):
    """A line of output with everything taken out that is another one each time."""
    line = re.sub(r"\b(rb|al)-[\w-]+", "ID", line)
    line = re.sub(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?Z?", "TIME", line)
    return " ".join(re.sub(r"\d+(?:[.,]\d+)*", "#", line).split())


def missing_lines(shown, out):
    """Lines of a page's sample (`...` stands for anything) that the output does not have, in this order."""
    wanted = [line for line in map(shape, shown.splitlines()) if line and line != "..."]
    for line in map(shape, out.splitlines()):
        if wanted and line == wanted[0]:
            wanted.pop(0)
    return wanted


class Shell:
    """One bash in which commands are run one after the other: jobs, variables and folders stay, as they do for a reader."""

    def __init__(self, folder, ports=None, environment=None, wrapper=()):
        self.folder, self.ports = folder, {str(key): str(value) for key, value in (ports or {}).items()}
        self.out_path = os.path.join(folder, "shell.out")
        self.count, self.read_to = 0, 0
        with open(self.out_path, "wb") as out:
            self.process = subprocess.Popen([*wrapper, "bash"], cwd=folder, stdin=subprocess.PIPE, stdout=out, stderr=out,
                                            start_new_session=True, env={**os.environ, **(environment or {})})

    def with_ports(self, text):
        if not self.ports:
            return text
        return re.sub(r"\b(" + "|".join(self.ports) + r")\b", lambda found: self.ports[found.group(1)], text)

    def begin(self, command):
        """Types a command and does not wait for its end."""
        self.count += 1
        path = os.path.join(self.folder, f"step-{self.count}.sh")
        with open(path, "w", encoding="utf-8") as file:
            file.write(self.with_ports(command) + "\n")
        self.process.stdin.write(f". '{path}' </dev/null; printf '\\n{MARK}%d %d\\n' {self.count} $?\n".encode())
        self.process.stdin.flush()

    def seen(self):
        """What the present command has written so far."""
        with open(self.out_path, "rb") as file:
            file.seek(self.read_to)
            return file.read().decode("utf-8", "replace")

    def end(self, patience_s=PATIENCE_S):
        """Waits for the command's end; its exit code and what it wrote."""
        deadline = time.monotonic() + patience_s * SLOW
        mark = re.compile(rf"\n{MARK}{self.count} (\d+)\n")
        while True:
            seen = self.seen()
            found = mark.search(seen)
            if found:
                self.read_to += len(seen[:found.end()].encode())
                return int(found.group(1)), seen[:found.start()]
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise TooLate(f"no end of step {self.count}; it wrote:\n{seen[-4000:]}")
            time.sleep(0.05)

    def do(self, command, patience_s=PATIENCE_S):
        self.begin(command)
        return self.end(patience_s)

    def close(self):
        """Ends the shell, and what was started from its folder, in the background or as a daemon."""
        self.process.kill()
        self.process.wait()
        for name in filter(str.isdigit, os.listdir("/proc")):
            try:
                place = os.readlink(f"/proc/{name}/cwd")
                if os.path.commonpath([place, os.path.realpath(self.folder)]) == os.path.realpath(self.folder):
                    os.kill(int(name), signal.SIGKILL)
            except (OSError, ValueError):
                pass
        self.process.stdin.close()
