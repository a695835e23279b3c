"""confined.py - runs a command with the rights that a systemd unit leaves it, as far as one can without systemd:

    confined.py UNIT_FILE COMMAND...

user and group, capabilities, no new privileges, the filter of system calls (compiled from the unit's own lines, its sets
as systemd-analyze tells them), umask and working folder. Becomes the command by exec; what a mount or a device policy
would do is not done."""

import ctypes
import os
import platform
import re
import struct
import subprocess
import sys

ALLOW, ERRNO, KILL, EPERM = 0x7FFF0000, 0x00050000, 0x80000000, 1
AUDIT_ARCH_X86_64 = 0xC000003E
LOAD, JUMP_EQUAL, RETURN = 0x20, 0x15, 0x06
PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, MODE_FILTER = 38, 22, 2


def settings(path):
    """Every setting of the unit's [Service], each a list of its values."""
    with open(path, encoding="utf-8") as file:
        service = file.read().split("[Service]\n")[1].split("\n[")[0]
    found = {}
    for line in service.split("\n"):
        name, _, value = line.partition("=")
        if value and not line.startswith("#"):
            found.setdefault(name, []).append(value)
    return found


def calls_of(name):
    """The names of the system calls of a set, or of itself."""
    if not name.startswith("@"):
        return {name}
    text = subprocess.run(["systemd-analyze", "syscall-filter", name], capture_output=True, text=True, check=True).stdout
    words = [line.strip() for line in text.split("\n")[1:] if line.strip() and not line.strip().startswith("#")]
    return set().union(*(calls_of(word) for word in words))


def allowed(lines):
    """What the lines of SystemCallFilter allow, as systemd reads them: the first says which way round, others add or take
    away. A set that is taken away takes only what was there."""
    found = set()
    for line in lines:
        names = set().union(*(calls_of(word) for word in line.lstrip("~").split()))
        found = found - names if line.startswith("~") else found | names
    # systemd always allows these
    return found | {"execve", "exit", "exit_group", "rt_sigreturn", "sigreturn", "clock_gettime", "gettimeofday", "time"}


def numbers(names):
    with open("/usr/include/x86_64-linux-gnu/asm/unistd_64.h", encoding="utf-8") as file:
        known = {name: int(number) for name, number in re.findall(r"#define __NR_(\w+) (\d+)", file.read())}
    return sorted(known[name] for name in names if name in known)


def install_filter(allowed_numbers):
    """Default EPERM; another architecture's calls kill."""
    program = [(LOAD, 0, 0, 4), (JUMP_EQUAL, 1, 0, AUDIT_ARCH_X86_64), (RETURN, 0, 0, KILL), (LOAD, 0, 0, 0)]
    for number in allowed_numbers:
        program += [(JUMP_EQUAL, 0, 1, number), (RETURN, 0, 0, ALLOW)]
    program.append((RETURN, 0, 0, ERRNO | EPERM))
    code = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *one) for one in program))
    header = struct.pack("@HxxxxxxP", len(program), ctypes.addressof(code))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 or libc.prctl(PR_SET_SECCOMP, MODE_FILTER, header, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "no filter of system calls")


def main():
    if sys.argv[1] == "--filter":  # the second half: nothing is left to be given up but system calls
        install_filter([int(number) for number in sys.argv[2].split(",")])
        os.execvp(sys.argv[3], sys.argv[3:])
    unit, command = settings(sys.argv[1]), sys.argv[2:]
    if platform.machine() == "x86_64":
        names = ",".join(map(str, numbers(allowed(unit["SystemCallFilter"]))))
        command = [sys.executable, os.path.abspath(__file__), "--filter", names, *command]
    capabilities = ",".join("+" + one.lower().removeprefix("cap_") for one in unit["CapabilityBoundingSet"][0].split())
    os.umask(int(unit["UMask"][0], 8))
    os.chdir(unit["WorkingDirectory"][0])
    os.execvp("setpriv", ["setpriv", "--reuid", unit["User"][0], "--regid", unit["Group"][0], "--clear-groups", "--no-new-privs",
                          "--bounding-set", f"-all,{capabilities}", "--inh-caps", f"-all,{capabilities}",
                          "--ambient-caps", f"-all,{capabilities}", "--pdeathsig", "KILL", *command])


if __name__ == "__main__":
    main()
