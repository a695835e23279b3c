"""What a shell completes, and the manual pages: complete, true, and read by real shells and real formatters."""

import os
import re
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from play import SLOW, bare_environment, case, expect, run  # noqa: E402

TEN = {"weight": "10%"}
OWN = ("run", "check", "demo", "replay", "version")
OPTION = re.compile(r"(?<![\w-])--[a-z][a-z-]+")


def say(stage, *words):
    done = subprocess.run([stage.binary, *words], capture_output=True, text=True, check=False, timeout=60 * SLOW)
    return done.stdout + done.stderr


def verbs(stage):
    """The verbs of --help."""
    return re.findall(r"^  ([a-z]+) ", say(stage, "--help"), re.M)


def options_of(stage, verb):
    """The options of a verb, by its own --help; what its prose names of others is left out."""
    if verb == "version":
        return {"--json"}
    return set(re.findall(r"^ +(?:-\w, )?(--[a-z-]+)", say(stage, verb, "--help"), re.M))


def script(stage, shell):
    done = subprocess.run([stage.binary, "completion", shell], capture_output=True, text=True, check=True, timeout=60 * SLOW)
    return done.stdout


def run_in(stage, command, text, **environment):
    path = f"{os.path.dirname(stage.binary)}:{os.environ['PATH']}"
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=False, timeout=60 * SLOW,
                          env={**bare_environment(), "PATH": path, "LC_ALL": "C.UTF-8", "HOME": stage.folder, **environment})
    stage.transcript.note("shell", f"{command}: {done.returncode}\n{done.stdout}{done.stderr}")
    return done


def bash_completes(stage, *words, **environment):
    """What a real bash offers for the last word."""
    quoted = " ".join("'" + word.replace("'", "'\\''") + "'" for word in words)
    text = (script(stage, "bash") + f"\nCOMP_WORDS=({quoted})\nCOMP_CWORD={len(words) - 1}\n_serin\n"
            'printf "%s\\n" "${COMPREPLY[@]}"\n')
    done = run_in(stage, ["bash", "--norc", "-u"], text, **environment)
    expect(done.stderr, "", "what bash objects to")
    return {line for line in done.stdout.split("\n") if line}


@case(starts_proxy=False)
def bash_completes_verbs_and_options(stage):
    expect(bash_completes(stage, "serin", ""), set(verbs(stage)), "verbs")
    expect(bash_completes(stage, "serin", "re"), {"replay", "resume", "release", "recording", "reload"}, "verbs with re")
    for verb in verbs(stage):
        wanted = options_of(stage, verb) | {"--help"}
        expect({word for word in bash_completes(stage, "serin", verb, "-") if word.startswith("--")}, wanted, f"options of {verb}")


@case(starts_proxy=False)
def bash_completes_what_options_take(stage):
    expect(bash_completes(stage, "serin", "history", "--summary", ""), {"day", "week", "month"}, "periods")
    expect(bash_completes(stage, "serin", "pages", "--environment", "p"), {"production", "preview"}, "environments")
    expect(bash_completes(stage, "serin", "pages", ""), {"list", "rollback"}, "what pages does")
    expect(bash_completes(stage, "serin", "completion", "z"), {"zsh"}, "shells")
    expect(bash_completes(stage, "serin", "rollback", "--reason", ""), set(), "a reason is nobody's to guess")
    path = os.path.join(stage.folder, "a b.yaml")
    with open(path, "w", encoding="utf-8"):
        pass
    expect(bash_completes(stage, "serin", "run", "-c", path[:-6]), {path}, "files")
    expect("true" in bash_completes(stage, "serin", "guard", "--", "tru"), True, "commands")


@case(service=TEN)
def names_of_services_are_those_of_the_serin_that_runs(stage):
    admin = f"http://127.0.0.1:{stage.serin.admin_port}"
    for option in ("--service", "-s"):
        found = bash_completes(stage, "serin", "status", option, "", SERIN_ADMIN=admin)
        expect(stage.name in found, True, f"{stage.name} in {found}")
    expect(bash_completes(stage, "serin", "status", "-s", "", SERIN_ADMIN="http://127.0.0.1:1"), set(), "without one")


@case(starts_proxy=False)
def hostile_names_of_services_are_not_evaluated(stage):
    folder = os.path.join(stage.folder, "fake")
    os.makedirs(folder)
    with open(os.path.join(folder, "serin"), "w", encoding="utf-8") as file:
        file.write("#!/bin/sh\ncat <<'END'\n$(touch owned): 1 % set\n`touch owned`: 1 % set\ngood-1: 1 % set\nEND\n")
    os.chmod(file.name, 0o755)
    found = bash_completes(stage, "serin", "status", "--service", "", PATH=f"{folder}:{os.environ['PATH']}")
    expect(found, {"good-1"}, "names")
    expect(os.path.exists("owned") or os.path.exists(os.path.join(stage.folder, "owned")), False, "a name was run")


@case(starts_proxy=False)
def zsh_loads_the_completion_and_knows_every_verb(stage):
    text = script(stage, "zsh")
    path = os.path.join(stage.folder, "_serin")
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    done = run_in(stage, ["zsh", "-f"], f"autoload -Uz compinit && compinit -u -D && source {path} && print $_comps[serin]\n")
    expect((done.stdout.strip(), done.stderr), ("_serin", ""), "how zsh takes it")
    for verb in verbs(stage):
        if f"        '{verb}:" not in text:
            raise AssertionError(f"no {verb} for zsh")
        row = text.split(f"\n    {verb})\n")[1].split(";;")[0]
        expect(set(re.findall(r"'(--[a-z-]+)", row)), options_of(stage, verb) | {"--help"}, f"options of {verb}")


@case(starts_proxy=False)
def fish_completes(stage):
    text = script(stage, "fish")
    done = run_in(stage, ["fish", "--no-config"], text + "complete -C 'serin '\necho ---\ncomplete -C 'serin history --'\n"
                  "echo ---\ncomplete -C 'serin history --summary '\n")
    first, second, third = (part.strip().split("\n") for part in done.stdout.split("---\n"))
    expect({line.split("\t")[0] for line in first}, set(verbs(stage)), "verbs")
    expect({line.split("\t")[0].rstrip("=") for line in second}, options_of(stage, "history"), "options of history")
    expect({line.split("\t")[0] for line in third}, {"day", "week", "month"}, "periods")


@case(starts_proxy=False)
def own_verbs_say_the_options_that_are_completed(stage):
    expect(set(verbs(stage)) >= set(OWN), True, "own verbs in the help")
    for verb in OWN:
        done = subprocess.run([stage.binary, verb, "--help"], capture_output=True, text=True, check=False, timeout=60 * SLOW)
        expect((done.returncode, done.stderr, f"serin {verb}" in done.stdout), (0, "", True), f"help of {verb}: {done.stdout}")
    for verb in ("run", "check"):
        expect(options_of(stage, verb), {"--config"}, f"options of {verb}")


def page(stage, name):
    folder = os.path.dirname(stage.binary)
    return subprocess.run([os.path.join(folder, "manual_pages"), name], capture_output=True, text=True, check=True,
                          timeout=60 * SLOW).stdout


def formatted(stage, text):
    done = run_in(stage, ["man", "--warnings", "-E", "UTF-8", "-l", "-"], text, MANWIDTH="300", MAN_KEEP_FORMATTING="", TERM="dumb")
    expect((done.returncode, done.stderr), (0, ""), "what man objects to")
    return re.sub("\x1b\\[[0-9;]*m|.\x08", "", done.stdout).replace("\u2010", "-").replace("\u2212", "-")


@case(starts_proxy=False)
def manual_pages_are_sound(stage):
    for name in ("serin.1", "serin.yaml.5"):
        text = page(stage, name)
        lint = run_in(stage, ["mandoc", "-T", "lint", "-W", "warning"], text).stdout
        expect([line for line in lint.split("\n") if line and "missing date" not in line], [], f"what mandoc says of {name}")
        expect(formatted(stage, text).count("NAME") > 0, True, f"{name} is formatted")


@case(starts_proxy=False)
def manual_of_serin_has_every_verb_and_option(stage):
    text = formatted(stage, page(stage, "serin.1"))
    for verb in verbs(stage):
        if not re.search(rf"^ +serin {verb}\b", text, re.M):
            raise AssertionError(f"serin(1) lacks {verb}")
        missing = [option for option in options_of(stage, verb) if not re.search(rf"^ +(-\w, )?{option}\b", text, re.M)]
        expect(missing, [], f"options of {verb} that serin(1) lacks")


@case(starts_proxy=False)
def manual_of_the_configuration_has_every_key(stage):
    text = formatted(stage, page(stage, "serin.yaml.5"))
    reference = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "docs", "configuration.md")
    with open(reference, encoding="utf-8") as file:
        keys = re.findall(r"^\| `([a-z0-9_]+)` \| ", file.read(), re.M)
    expect(len(keys) > 50, True, "keys of the reference")
    missing = [key for key in keys if not re.search(rf"^ +{key} +\(", text, re.M)]
    expect(missing, [], "keys that serin.yaml(5) lacks")


if __name__ == "__main__":
    run(__file__)
