"""README.md's release from the command line, run as it stands there. Only ports and folder are others, the start is
waited for instead of slept through, and latency is not judged: two origins on a busy machine may differ."""

import os
import re
import shutil
import signal
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from play import SLOW, case, expect, free_port, run  # noqa: E402

ROOT = os.path.realpath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))
HEADING = "## A release from the command line"
PORTS = ("8080", "9901", "3001", "3002", "3003")


def lines_of_the_readme():
    with open(os.path.join(ROOT, "README.md"), encoding="utf-8") as file:
        section = file.read().split(HEADING + "\n", 1)[1].split("\n## ", 1)[0]
    return "".join(re.findall(r"^```sh\n(.*?)^```$", section, re.M | re.S)).splitlines()


def with_ports(text, ports):
    return re.sub(r"\b(" + "|".join(PORTS) + r")\b", lambda found: str(ports[found.group(1)]), text)


def lay_out(folder, binary, ports):
    """What a clone has after a build, as far as the lines want it."""
    os.makedirs(os.path.join(folder, "build", "release"))
    os.symlink(os.path.realpath(binary), os.path.join(folder, "build", "release", "serin"))
    with open(os.path.join(folder, "Makefile"), "w", encoding="utf-8") as file:
        file.write("try:\n\t@test -x build/release/serin\n")
    os.makedirs(os.path.join(folder, "conf", "examples"))
    for name in ("command-line.yaml", "two-origins.nginx.conf"):
        with open(os.path.join(ROOT, "conf", "examples", name), encoding="utf-8") as file:
            text = with_ports(file.read(), ports).replace("    rollout:\n", "    rollback: {latency: off}\n    rollout:\n")
        with open(os.path.join(folder, "conf", "examples", name), "w", encoding="utf-8") as file:
            file.write(text)


def as_script(lines):
    """Each client verb says its exit code; what the comment behind it promises is returned beside the script."""
    script, promised = [f"export SERIN_ADMIN=http://127.0.0.1:{PORTS[1]}"], []
    for line in lines:
        script.append(line if line != "sleep 1" else f"until curl -sf http://127.0.0.1:{PORTS[1]}/readyz; do sleep 0.1; done")
        if line.startswith("serin ") and not line.rstrip().endswith("&") and "serin run" not in line:
            command, _, comment = line.partition(" #")
            script[-1] = f"{command}; echo exit=$?"
            code = re.search(r"exit code (\d)", comment)
            promised.append((command.strip(), int(code.group(1)) if code else 0))
    return "\n".join(script), promised


@case(starts_proxy=False)
def release_from_the_command_line_goes_as_the_readme_says(stage):
    if shutil.which("nginx") is None or shutil.which("curl") is None:
        raise AssertionError("nginx and curl are needed: .ci/setup test")
    folder = os.path.join(stage.folder, "clone")
    ports = {port: free_port() for port in PORTS}
    lay_out(folder, stage.binary, ports)
    script, promised = as_script(lines_of_the_readme())
    expect(len(promised) >= 10, True, f"client verbs in the README: {promised}")
    os.chmod(stage.folder, 0o755)  # nginx' workers may be somebody else
    out_path = os.path.join(folder, "out")
    with open(out_path, "w", encoding="utf-8") as file:  # no pipe: what is left behind would hold it open
        process = subprocess.Popen(["bash", "-c", with_ports(script, ports)], cwd=folder, stdin=subprocess.DEVNULL,
                                   stdout=file, stderr=file, start_new_session=True)
    try:
        process.wait(150 * SLOW)
    finally:
        for left in (lambda: os.killpg(process.pid, signal.SIGKILL), lambda: end_nginx(folder)):
            try:
                left()
            except (OSError, ValueError):
                pass
        process.wait()
        with open(out_path, encoding="utf-8") as file:
            out = file.read()
        stage.transcript.note("test", out[-20000:])
        with open(os.path.join(folder, "build", "try", "serin.log"), encoding="utf-8") as file:
            stage.transcript.note("serin", file.read()[-20000:])
    codes = [int(code) for code in re.findall(r"^exit=(\d+)$", out, re.M)]
    expect(list(zip([command for command, _ in promised], codes)), promised, "exit codes")
    for wanted in ("succeeded", "rolled_back", "quarantined", "quarantine.release", "rollout.success"):
        expect(wanted in out, True, f"{wanted} is shown")


def end_nginx(folder):
    with open(os.path.join(folder, "build", "try", "origins.pid"), encoding="utf-8") as file:
        os.kill(int(file.read()), signal.SIGTERM)


if __name__ == "__main__":
    run(__file__)
