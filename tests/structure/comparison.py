#!/usr/bin/env python3
"""Holds docs/comparison.md to its own rules: each line about a neighbour has a source, and each number was measured.

    comparison.py ROOT

A table row or list item that names another program has a link to that program's own documentation. The numbers under
"Speed" are those of bench/RESULTS.md, row by row.
"""
import os
import re
import sys

SOURCES = {
    "nginx": ("nginx.org",),
    "HAProxy": ("docs.haproxy.org", "github.com/haproxytech"),
    "Envoy": ("www.envoyproxy.io",),
    "Traefik": ("doc.traefik.io",),
    "Flagger": ("docs.flagger.app",),
    "Argo Rollouts": ("argoproj.github.io",),
}
COLUMNS = {"CPU µs": "total µs", "requests/s": "requests/s", "p99 ms": "p99 ms"}
LINK = re.compile(r"\]\(https://([^)/]+(?:/[^)]*)?)\)")


def read(root, path):
    with open(os.path.join(root, path), encoding="utf-8") as file:
        return file.read()


def unsourced(page):
    """Rows that begin with a neighbour's name, and items that name one, without a link to where it is documented."""
    text = re.sub(r"\n  +(?=\S)", " ", page)
    for line in text.splitlines():
        row = re.match(r"\| (\w[\w ]*?) \|", line)
        item = line.startswith("- ")
        for name, hosts in SOURCES.items():
            is_about = (row and row.group(1) == name) or (item and re.search(rf"\b{name}(?:'s)? \w+", line))
            if is_about and not any(link.startswith(host) for link in LINK.findall(line) for host in hosts):
                yield f"nothing says where {name} documents this: {line[:100]}"


def cells(line):
    return [cell.strip().strip("*") for cell in line.strip().strip("|").split("|")]


def measured(results):
    """{(heading, column, proxy): figure}"""
    found, heading, columns = {}, None, []
    for line in results.splitlines():
        if line.startswith("### "):
            heading = line[4:]
        elif line.startswith("| proxy"):
            columns = cells(line)
        elif line.startswith("| ") and columns:
            row = cells(line)
            for column, value in zip(columns, row):
                found[heading, column, row[0]] = value.split(" ")[0].strip("*")
    return found


def unmeasured(page, figures):
    section = page.split("### Speed\n", 1)[1].split("\n## ", 1)[0]
    rows = [cells(line) for line in section.splitlines() if re.match(r"\| (?:(?:HTTPS|HTTP/2) )?(?:GET|TLS)", line)]
    if len(rows) < 5:
        yield "the table of speeds is gone"
    for what, *values in rows:
        heading, _, column = what.partition(": ")
        for proxy, value in zip(("nginx", "haproxy", "serin"), values):
            real = figures.get((heading, COLUMNS.get(column), proxy))
            if real != value:
                yield f"{what}, {proxy}: {value} here, {real} in bench/RESULTS.md"


def main():
    root = sys.argv[1]
    page = read(root, "docs/comparison.md")
    faults = [*unsourced(page), *unmeasured(page, measured(read(root, "bench/RESULTS.md")))]
    spoiled = re.sub(r"(?<=\| GET 66 B, 64 connections: CPU µs \| )\d+", "0", page.replace("(https://nginx.org/", "(https://elsewhere.test/"))
    caught = [*unsourced(spoiled), *unmeasured(spoiled, measured(read(root, "bench/RESULTS.md")))]
    if len(caught) < 5:
        faults.append("this check does not see what is wrong")
    for line in faults:
        print(line)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
