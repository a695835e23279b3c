#!/usr/bin/env python3
"""Holds docs/OPERATING.md to the alerts that there are: each has a heading, and below it all that somebody needs who was woken.

    runbook.py ROOT

Alerts are those of conf/monitoring/serin.rules.yml and those that Serin raises itself. docs/ONCALL.md says of each how
soon it matters.
"""
import os
import re
import sys

PARTS = ("**Done already.**", "**Look at.**", "**Do.**", "**Wake somebody?**")
SEVERITY = re.compile(r"\*(critical|warning|info)\b")


def read(root, path):
    with open(os.path.join(root, path), encoding="utf-8") as file:
        return file.read()


def raised(root):
    """Names of alerts in the rules and in the program."""
    found = set(re.findall(r"^\s*- alert: (\w+)$", read(root, "conf/monitoring/serin.rules.yml"), re.M))
    for room in ("canary/controller", "canary/alert"):
        for name in sorted(os.listdir(os.path.join(root, room))):
            if name.endswith(".c"):
                found |= set(re.findall(r'"(Serin[A-Z]\w+)"', read(root, f"{room}/{name}")))
    return found


def entries(page):
    """{alert: what stands below its heading}"""
    return dict(re.findall(r"^### (Serin[A-Z]\w+)\n(.*?)(?=^#{1,3} |\Z)", page, re.M | re.S))


def faults(names, page, oncall):
    there = entries(page)
    for name in sorted(names - set(there)):
        yield f"docs/OPERATING.md has no heading {name}"
    for name in sorted(set(there) - names):
        yield f"docs/OPERATING.md tells of {name}, which nothing raises"
    for name, text in there.items():
        if not SEVERITY.match(text):
            yield f"{name}: it does not begin with its severity"
        yield from (f"{name}: nothing about {part}" for part in PARTS if not re.search(rf"^- {re.escape(part)} \S", text, re.M))
        if f"`{name}`" not in oncall:
            yield f"docs/ONCALL.md does not say how soon {name} matters"


def main():
    root = sys.argv[1]
    names, page, oncall = raised(root), read(root, "docs/OPERATING.md"), read(root, "docs/ONCALL.md")
    found = list(faults(names, page, oncall))
    spoiled = page.replace("### SerinBreach\n", "### SerinBraech\n").replace("**Do.** Nothing at once", "Nothing at once")
    if len(names) < 20 or len(list(faults(names, spoiled, oncall.replace("`SerinDown`", "")))) < len(found) + 4:
        found.append("this check does not see what is wrong")
    for line in found:
        print(line)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
