#!/usr/bin/env python3
"""Looks at a program as it is released.

    hardened.py PROGRAM [FOLDER...]     prints what is wrong; exits 1 when there was something

Position-independent, its relocations read-only once it runs, a stack that is not executed and is guarded, checked string
functions, branch targets marked where the processor knows them, no search path for libraries, and no name of a FOLDER.
"""
import platform
import re
import subprocess
import sys


def said(*command):
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def segments(program):
    """Flags of each program header, by its type."""
    found = {}
    for kind, flags in re.findall(r"^\s+([A-Z_]+)\s+0x.*?\s([R ][W ][E ])\s+0x", said("readelf", "-Wl", program), re.M):
        found.setdefault(kind, []).append(flags)
    return found


def faults(program, folders):
    header, dynamic, symbols = (said("readelf", option, program) for option in ("-Wh", "-Wd", "-Ws"))
    parts = segments(program)
    if not re.search(r"Type:\s+DYN", header) or "PIE" not in dynamic:
        yield "it is not position-independent"
    if "GNU_RELRO" not in parts or not re.search(r"\((BIND_NOW|FLAGS)\).*BIND_NOW|FLAGS_1.*NOW", dynamic):
        yield "its relocations stay writable"
    if parts.get("GNU_STACK") != ["RW "]:
        yield f"its stack is {parts.get('GNU_STACK')}"
    if any("W" in flags and "E" in flags for kind in parts.values() for flags in kind):
        yield "a segment is writable and executable"
    if "__stack_chk_fail" not in symbols:
        yield "its stacks are not guarded"
    if not re.search(r"__(memcpy|snprintf|vsnprintf|fprintf|printf)_chk", symbols):
        yield "its string functions are not checked"
    if "(RPATH)" in dynamic or "(RUNPATH)" in dynamic:
        yield "it looks for libraries in a folder of its own"
    if "TEXTREL" in dynamic:
        yield "its code is relocated"
    if platform.machine() == "x86_64":
        code = said("objdump", "-d", "--no-show-raw-insn", "--disassemble=main", program)
        if not re.search(r"<main>:\n\s+[0-9a-f]+:\s+endbr64", code):
            yield "its branch targets are not marked"
    with open(program, "rb") as file:
        text = file.read()
    for folder in folders:
        if folder.encode() in text:
            yield f"it names {folder}"


def main():
    found = list(faults(sys.argv[1], sys.argv[2:]))
    for fault in found:
        print(f"{sys.argv[1]}: {fault}")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
