"""runner.py - what a runner of GitHub Actions does to steps, composite actions and small workflows.

Scripts run in bash as a runner runs them, with the files GITHUB_OUTPUT, GITHUB_ENV, GITHUB_PATH and GITHUB_STEP_SUMMARY;
what they say is read for workflow commands; expressions are evaluated (paths, strings, ==, !=, !, &&, ||, brackets and the
status functions). Anything else in an expression is an error: this runner guesses nothing.

    runner = Runner(folder, environment={...}, secrets={"TOKEN": "..."}, github={"sha": "e" * 40})
    step = runner.script("serin guard --project demo -- make deploy")
    step.ok, step.outputs["rolled-back"], step.annotations, step.summary, step.log
    results = runner.workflow(workflow, actions={"serin": action})
    results["rollback"].result                     # success, failure, skipped
"""

import os
import re
import subprocess
import tempfile

from serin import bare_environment

TOKEN = re.compile(r"\s*(?:(?P<string>'(?:[^']|'')*')|(?P<sign>==|!=|&&|\|\||[!()])|(?P<path>[A-Za-z_][\w-]*(?:\.[\w-]+)*(?:\(\))?))")
COMMAND = re.compile(r"^::(?P<name>[a-z-]+)(?: (?P<properties>[^:]*))?::(?P<data>.*)$")
PATIENCE_S = 120


# --- expressions -----------------------------------------------------------------------------------------------------
class _Expression:
    """`a.b == 'x' && !c.d || always()`; a path that leads nowhere is empty."""

    def __init__(self, text, contexts, status):
        self.contexts, self.status = contexts, status
        self.tokens, at, text = [], 0, text.strip()
        while at < len(text):
            found = TOKEN.match(text, at)
            if not found:
                raise ValueError(f"this runner cannot read {text!r} from {text[at:]!r} on")
            self.tokens.append((found.lastgroup, found.group(found.lastgroup)))
            at = found.end()
        self.tokens.append(("end", ""))

    def value(self):
        found = self.either()
        if self.tokens[0][0] != "end":
            raise ValueError(f"this runner cannot read {self.tokens[0][1]!r}")
        return found

    def next_is(self, *signs):
        return self.tokens[0][0] == "sign" and self.tokens[0][1] in signs

    def either(self):
        left = self.both()
        while self.next_is("||"):
            self.tokens.pop(0)
            right = self.both()
            left = left or right
        return left

    def both(self):
        left = self.same()
        while self.next_is("&&"):
            self.tokens.pop(0)
            right = self.same()
            left = left and right
        return left

    def same(self):
        left = self.one()
        while self.next_is("==", "!="):
            sign = self.tokens.pop(0)[1]
            right = self.one()
            left = (left == right) == (sign == "==")
        return left

    def one(self):
        kind, text = self.tokens.pop(0)
        if (kind, text) == ("sign", "!"):
            return not self.one()
        if (kind, text) == ("sign", "("):
            found = self.either()
            if self.tokens.pop(0)[1] != ")":
                raise ValueError("a bracket is not closed")
            return found
        if kind == "string":
            return text[1:-1].replace("''", "'")
        if kind == "path" and text.endswith("()"):
            return self.status[text[:-2]]
        if kind == "path":
            found = self.contexts
            for name in text.split("."):
                found = found.get(name, "") if isinstance(found, dict) else ""
            return found
        raise ValueError(f"this runner cannot read {text!r}")


def evaluate(text, contexts, status=None):
    return _Expression(text, contexts, status or {}).value()


def expand(text, contexts):
    """A text with its ${{ expressions }} replaced."""
    return re.sub(r"\$\{\{(.*?)\}\}", lambda found: str(evaluate(found.group(1), contexts)), text, flags=re.S)


# --- what a step leaves behind ---------------------------------------------------------------------------------------
def read_command_file(path):
    """NAME=VALUE, or NAME<<MARK, lines, MARK; anything else is an error, as a runner has it."""
    with open(path, encoding="utf-8") as file:
        lines = iter(file.read().splitlines())
    found = {}
    for line in lines:
        heredoc = re.match(r"^([^=<]+)<<(.+)$", line)
        if heredoc:
            value = []
            for part in lines:
                if part == heredoc.group(2):
                    break
                value.append(part)
            else:
                raise ValueError(f"{heredoc.group(1)} has no end")
            found[heredoc.group(1)] = "\n".join(value)
        elif "=" in line:
            name, _, value = line.partition("=")
            found[name] = value
        else:
            raise ValueError(f"a runner does not understand {line!r}")
    return found


def _plain(text):
    for escaped, real in (("%0D", "\r"), ("%0A", "\n"), ("%3A", ":"), ("%2C", ","), ("%25", "%")):
        text = text.replace(escaped, real)
    return text


class Step:
    def __init__(self, code, log, outputs, summary):
        self.code, self.outputs, self.summary = code, outputs, summary
        self.masks, self.annotations, lines = [], [], []
        for line in log.splitlines():
            command = COMMAND.match(line)
            if command and command["name"] == "add-mask":
                self.masks.append(_plain(command["data"]))
            else:
                lines.append(line)
            if command and command["name"] in ("error", "warning", "notice"):
                self.annotations.append((command["name"], _plain(command["data"])))
        self.log = "\n".join(lines)

    @property
    def ok(self):
        return self.code == 0


class Job:
    def __init__(self, result, outputs=None, steps=()):
        self.result, self.outputs, self.steps = result, outputs or {}, list(steps)

    def __repr__(self):
        return f"<job {self.result}: {[step.code for step in self.steps]}>"


# --- the runner ------------------------------------------------------------------------------------------------------
class Runner:
    def __init__(self, folder, environment=None, secrets=None, variables=None, github=None):
        self.folder = folder
        self.github = {"sha": "0" * 40, "server_url": "https://github.com", "action_repository": "", **(github or {})}
        self.contexts = {"secrets": secrets or {}, "vars": variables or {}, "github": self.github}
        self.environment = dict(environment or {})
        self.paths = []
        os.makedirs(folder, exist_ok=True)

    def script(self, text, env=None, shell="bash"):
        """One step. A secret that it prints unmasked is an error of the play."""
        place = tempfile.mkdtemp(dir=self.folder)
        files = {name: os.path.join(place, name) for name in ("GITHUB_OUTPUT", "GITHUB_ENV", "GITHUB_PATH", "GITHUB_STEP_SUMMARY")}
        for path in [*files.values(), os.path.join(place, "script")]:
            with open(path, "w", encoding="utf-8") as file:
                file.write(text if path.endswith("script") else "")
        how = {"bash": ["bash", "--noprofile", "--norc", "-eo", "pipefail"], "": ["bash", "-e"]}[shell]
        environment = {**bare_environment(), "PATH": os.pathsep.join([*reversed(self.paths), os.environ["PATH"]]), "HOME": place, "CI": "true", "GITHUB_ACTIONS": "true",
                       "GITHUB_SHA": self.github["sha"], "RUNNER_TEMP": place, **self.environment, **(env or {}), **files}
        done = subprocess.run([*how, os.path.join(place, "script")], env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              text=True, check=False, cwd=place, timeout=PATIENCE_S * float(os.environ.get("SERIN_TEST_SLOW", "1")))
        with open(files["GITHUB_STEP_SUMMARY"], encoding="utf-8") as file:
            step = Step(done.returncode, done.stdout, read_command_file(files["GITHUB_OUTPUT"]), file.read())
        self.environment.update(read_command_file(files["GITHUB_ENV"]))
        with open(files["GITHUB_PATH"], encoding="utf-8") as file:
            self.paths += file.read().splitlines()
        for secret in self.contexts["secrets"].values():
            if secret and secret in step.log + step.summary + "".join(step.outputs.values()):
                raise AssertionError(f"a step tells a secret:\n{step.log}")
        return step

    def action(self, action, inputs=None):
        """A composite action: its steps until one fails; the last of them, with the action's outputs and all annotations."""
        given = {name: one.get("default", "") for name, one in action["inputs"].items()}
        unknown = set(inputs or {}) - set(given)
        if unknown:
            raise AssertionError(f"the action has no inputs {unknown}")
        contexts = {**self.contexts, "inputs": {**given, **(inputs or {})}, "env": dict(self.environment), "steps": {}}
        annotations, step = [], None
        for one in action["runs"]["steps"]:
            env = {name: expand(value, contexts) for name, value in one.get("env", {}).items()}
            step = self.script(one["run"], env, one["shell"])
            annotations += step.annotations
            contexts["steps"][one["id"]] = {"outputs": step.outputs}
            if not step.ok:
                break
        step.annotations = annotations
        step.outputs = {name: expand(one["value"], contexts) for name, one in action["outputs"].items()}
        return step

    # --- workflows ---------------------------------------------------------------------------------------------------
    def _may_run(self, condition, contexts, results):
        status = {"always": True, "success": all(one == "success" for one in results), "failure": "failure" in results,
                  "cancelled": "cancelled" in results}
        text = re.sub(r"^\s*\$\{\{(.*)\}\}\s*$", r"\1", condition or "success()", flags=re.S)
        if not re.search(r"\b(always|success|failure|cancelled)\(\)", text):
            text = f"success() && ({text})"
        return bool(evaluate(text, contexts, status))

    def job(self, job, needs, actions, cancel_at=None):
        contexts = {**self.contexts, "needs": needs, "steps": {}}
        if not self._may_run(job.get("if"), contexts, [one["result"] for one in needs.values()]):
            return Job("skipped")
        kept = dict(self.environment), list(self.paths)
        self.environment.update({name: expand(value, contexts) for name, value in job.get("env", {}).items()})
        steps, results = [], []
        for number, one in enumerate(job["steps"]):
            if number == cancel_at:
                results.append("cancelled")
                break
            if not self._may_run(one.get("if"), contexts, results):
                continue
            step = self._step(one, contexts, actions)
            if step:
                steps.append(step)
                results.append("success" if step.ok else "failure")
                contexts["steps"][one.get("id", "")] = {"outputs": step.outputs}
        self.environment, self.paths = kept
        result = "cancelled" if "cancelled" in results else "failure" if "failure" in results else "success"
        return Job(result, {name: expand(value, contexts) for name, value in job.get("outputs", {}).items()}, steps)

    def _step(self, one, contexts, actions):
        env = {name: expand(value, contexts) for name, value in one.get("env", {}).items()}
        if "run" in one:
            return self.script(expand(one["run"], contexts), env, one.get("shell", ""))
        name = one["uses"].split("@")[0].split("/")[-1]
        if actions.get(name) is None:
            return None  # of no concern here, as checkout
        return self.action(actions[name], {key: expand(value, contexts) for key, value in one.get("with", {}).items()})

    def workflow(self, workflow, actions, cancel=None):
        """All jobs, each after those it needs. `cancel`: {job: number of the step at which it is cancelled}."""
        results, waiting = {}, dict(workflow["jobs"])
        while waiting:
            name = next(name for name, job in waiting.items() if not set(_needs(job)) & set(waiting))
            job = waiting.pop(name)
            needs = {other: {"result": results[other].result, "outputs": results[other].outputs} for other in _needs(job)}
            results[name] = self.job(job, needs, actions, (cancel or {}).get(name))
        return results


def _needs(job):
    needs = job.get("needs", [])
    return [needs] if isinstance(needs, str) else needs
