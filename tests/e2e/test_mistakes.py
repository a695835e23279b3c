"""What somebody does wrong in the first hour, and what is said to it: where it is, and what to do."""

import os
import socket
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from play import SLOW, bare_environment, case, expect, free_port, run  # noqa: E402

FILE = """listen:
  - address: 127.0.0.1:{port}
{tls}admin: {{address: 127.0.0.1:{admin}}}
services:
  - name: site
    previous: {{deployment: v1, url: "http://127.0.0.1:3001"}}
"""


def folder_of(stage):
    folder = os.path.join(stage.folder, stage.name)
    os.makedirs(folder, exist_ok=True)
    return folder


def write(stage, port=None, admin=None, tls=""):
    path = os.path.join(folder_of(stage), "serin.yaml")
    with open(path, "w", encoding="utf-8") as file:
        file.write(FILE.format(port=port or free_port(), admin=admin or free_port(), tls=tls))
    return path


def serin(stage, *words):
    """Exit code and what was said to standard error, by a Serin that ends by itself."""
    done = subprocess.run([stage.binary, *words], env=bare_environment(), cwd=folder_of(stage), capture_output=True, text=True,
                          check=False, timeout=60 * SLOW)
    stage.transcript.note("test", f"serin {' '.join(words)}: {done.returncode}\n{done.stdout}{done.stderr}")
    return done.returncode, done.stderr


@case(starts_proxy=False)
def a_configuration_that_is_not_there_is_told_with_its_name(stage):
    code, said = serin(stage, "check", "-c", "absent.yaml")
    expect((code, said), (1, "absent.yaml: cannot be opened: No such file or directory\n"), "a file that was named")
    if not os.path.exists("/etc/serin/serin.yaml"):
        code, said = serin(stage, "run")
        expect((code, "./serin.yaml" in said, "/etc/serin/serin.yaml" in said, "-c FILE" in said), (1, True, True, True), said)
    code, said = serin(stage, "check", "other.yaml")
    expect((code, "serin check -c other.yaml" in said), (2, True), said)


@case(starts_proxy=False)
def a_port_in_use_is_told_for_clients_and_for_admin(stage):
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = other.getsockname()[1]
        for which in ({"port": taken}, {"admin": taken}):
            path = write(stage, **which)
            expect(serin(stage, "check", "-c", path)[0], 0, "a file that may be good elsewhere")
            code, said = serin(stage, "run", "-c", path)
            expect((code, f"cannot listen on 127.0.0.1:{taken}: another process listens there" in said), (1, True), said)


@case(starts_proxy=False)
def a_certificate_that_cannot_be_read_is_told_with_line_and_reason(stage):
    path = write(stage, tls="    tls: [{certificate: absent.pem, key: absent.pem}]\n")
    code, said = serin(stage, "check", "-c", path)
    expect((code, "(line 2): " in said, "absent.pem: cannot be read: No such file or directory" in said), (1, True, True), said)
    os.mkdir(os.path.join(folder_of(stage), "absent.pem"))
    code, said = serin(stage, "check", "-c", path)
    expect((code, "absent.pem: cannot be read: it is not a plain file" in said), (1, True), said)


@case(starts_proxy=False)
def a_client_verb_without_a_serin_says_how_to_name_one(stage):
    code, said = serin(stage, "status")
    if "Failed to connect" in said:  # else somebody's Serin is at the default address, and answers
        expect((code, "http://127.0.0.1:9901" in said, "--admin" in said), (1, True, True), said)


@case(starts_proxy=False)
def a_socket_without_a_serin_is_told_with_the_reason(stage):
    path = os.path.join(stage.folder, "admin.sock")
    code, said = serin(stage, "status", "--admin", f"unix:{path}")
    expect((code, said), (1, f"serin: unix:{path}: No such file or directory\n"), "nothing is there")
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(path)
    code, said = serin(stage, "status", "--admin", f"unix:{path}")
    expect((code, said), (1, f"serin: unix:{path}: nobody listens there\n"), "a socket that was left behind")


@case()
def the_address_for_clients_is_not_the_one_of_admin(stage):
    code, said = serin(stage, "status", "--admin", f"http://127.0.0.1:{stage.serin.port}", "--service", stage.name)
    expect((code != 0, "not Serin's" in said), (True, True), said)


if __name__ == "__main__":
    run(__file__, parallel=4)
