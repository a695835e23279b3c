#!/usr/bin/env python3
"""Shows what .ci/test makes of a suite that fails: a copy of it runs in a small tree, with a ctest that only plays one.

    suite_stages.py ROOT
"""
import os
import shutil
import subprocess
import sys
import tempfile

ROOT = sys.argv[1]
LIST = "\nThe following tests FAILED:\n\t 12 - {name} ({how})\nErrors while running CTest\n"
GOOD = "100% tests passed, 0 tests failed out of 1\n"
FAILED, TIMED_OUT = LIST.format(name="e2e.slow", how="Failed"), LIST.format(name="e2e.slow", how="Timeout")
RACE = "WARNING: ThreadSanitizer: data race (pid=7)\n" + FAILED
LEAK = "==7==ERROR: LeakSanitizer: detected memory leaks\n" + FAILED
UNDEFINED = "engine.c:7:3: runtime error: signed integer overflow\n" + FAILED
CRASH = "***Exception: SegFault\n" + LIST.format(name="e2e.slow", how="SEGFAULT")
OURS = "CHECK failed: list_is_empty\n" + FAILED
UNSTEADY = "UNSTEADY, passed only alone: e2e.slow"

# name, preset, what the runs of ctest print (the last one passes if it is GOOD), exit code, runs, what is said
PLAYS = [
    ("good_suite", "tsan", [GOOD], 0, 1, GOOD),
    ("unsteady_test_is_named", "tsan", [FAILED, GOOD], 0, 2, UNSTEADY),
    ("timeout_is_run_again_too", "asan", [TIMED_OUT, GOOD], 0, 2, UNSTEADY),
    ("broken_test_fails_again", "tsan", [FAILED, FAILED], 1, 2, "failed, also alone"),
    ("dev_is_strict", "dev", [FAILED, GOOD], 1, 1, "preset dev failed"),
    ("fuzz_is_strict", "fuzz", [FAILED, GOOD], 1, 1, "preset fuzz failed"),
    ("race", "tsan", [RACE, GOOD], 1, 1, "data race"),
    ("leak", "asan", [LEAK, GOOD], 1, 1, "LeakSanitizer"),
    ("undefined_behaviour", "asan", [UNDEFINED, GOOD], 1, 1, "runtime error"),
    ("crash", "tsan", [CRASH, GOOD], 1, 1, "SegFault"),
    ("broken_check_of_ours", "asan", [OURS, GOOD], 1, 1, "CHECK failed"),
    ("report_in_the_second_run", "tsan", [FAILED, RACE], 1, 2, "data race"),
    ("nothing_was_run", "tsan", ["No tests were found!!!\n", GOOD], 1, 1, "preset tsan failed"),
]
CTEST = """#!/bin/sh
count=$(cat runs 2>/dev/null || echo 0)
count=$((count + 1))
echo $count >runs
cat said.$count
grep -q 'tests passed, 0 tests failed' said.$count
"""


def lay_out(folder, preset, said):
    os.makedirs(os.path.join(folder, ".ci"))
    os.makedirs(os.path.join(folder, "build", preset))
    os.makedirs(os.path.join(folder, "bin"))
    shutil.copy(os.path.join(ROOT, ".ci", "test"), os.path.join(folder, ".ci", "test"))
    for number, text in enumerate(said, 1):
        with open(os.path.join(folder, f"said.{number}"), "w", encoding="utf-8") as file:
            file.write(text)
    path = os.path.join(folder, "bin", "ctest")
    with open(path, "w", encoding="utf-8") as file:
        file.write(CTEST)
    os.chmod(path, 0o755)


def play(name, preset, said, code, runs, words):
    with tempfile.TemporaryDirectory(prefix="serin-stage-") as folder:
        lay_out(folder, preset, said)
        environment = {**os.environ, "PATH": os.path.join(folder, "bin") + ":" + os.environ["PATH"]}
        done = subprocess.run([os.path.join(folder, ".ci", "test"), preset], env=environment, stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
        with open(os.path.join(folder, "runs"), encoding="utf-8") as file:
            ran = int(file.read())
    if (done.returncode, ran, words in done.stdout) == (code, runs, True):
        return True
    print(f"{name}: exit code {done.returncode} after {ran} runs, wanted {code} after {runs} and {words!r}:\n{done.stdout}")
    return False


good = [play(*each) for each in PLAYS]
sys.exit(0 if all(good) else 1)
