#!/usr/bin/env python3
"""Holds conf/monitoring to what Serin says and what its documents explain.

    monitoring_kit.py ROOT YAML_JSON

promtool has no objection, and the rule tests pass; each alert has what an alert needs, a heading to lead to, a case in
which it fires and one in which it does not, and the severity that Serin gives it; each metric and label of the rules
and of the dashboard is one of the catalog (docs/metrics.md, which a test of its own holds to it).
"""
import json
import os
import re
import subprocess
import sys

HISTOGRAM_PARTS = ("_bucket", "_sum", "_count")
ADDED_LABELS = {"job", "instance", "le"}
METRIC = re.compile(r"(?<![\w:])serin_\w+(?![\w:])")
SELECTOR = re.compile(r"(?<![\w:])(serin_\w+)\{([^}]*)\}")
WRONG = ("rate(serin_nothing_total[1m])", 'serin_verdict{vardict="breach"}', "serin_request_duration_seconds > 1",
         "sum(serin_condition_count)", 'serin_upstream_requests_total{kind!="5xx", service=~".*"}')
ROW = re.compile(r"^\| `(serin_\w+)` \| (\w+) \| ([^|]*) \|", re.M)
RAISED = re.compile(r'"(Serin\w+)",\s*"(critical|warning|info)"')


def read(root, path):
    with open(os.path.join(root, path), encoding="utf-8") as file:
        return file.read()


def yaml(tool, root, path):
    done = subprocess.run([tool, os.path.join(root, path)], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"{path}: {done.stderr}")
    return json.loads(done.stdout)


def promtool(root):
    for words in (["check", "rules", "conf/monitoring/serin.rules.yml"], ["check", "config", "conf/monitoring/prometheus.yml"],
                  ["test", "rules", "tests/data/monitoring/serin.rules.test.yml"]):
        done = subprocess.run(["promtool", *words], cwd=root, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            yield f"promtool {' '.join(words)}:\n{done.stdout}{done.stderr}"


def catalog(root):
    """Type and labels of each metric, by its name."""
    rows = ROW.findall(read(root, "docs/metrics.md"))
    return {name: (kind, set(labels.strip().split(", "))) for name, kind, labels in rows}


def faults_of_expression(expression, metrics):
    for name in METRIC.findall(expression):
        family = next((name[:-len(part)] for part in HISTOGRAM_PARTS
                       if name.endswith(part) and metrics.get(name[:-len(part)], ("",))[0] == "histogram"), name)
        if family not in metrics:
            yield f"there is no metric {name}"
        elif (metrics[family][0] == "histogram") == (family == name):
            yield f"{name} is a histogram: its _bucket, _sum or _count"
    for name, matchers in SELECTOR.findall(expression):
        family = next((name[:-len(part)] for part in HISTOGRAM_PARTS if name.endswith(part)), name)
        labels = metrics.get(name, metrics.get(family, ("", set())))[1] | ADDED_LABELS
        for label in re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", re.sub(r'"[^"]*"', "", matchers)):
            if label not in labels:
                yield f"{name} has no label {label}"


def faults_of_alert(rule, headings, raised, fires, stays):
    name = rule["alert"]
    notes = rule.get("annotations", {})
    for key in ("summary", "description", "runbook"):
        if not notes.get(key):
            yield f"it has no {key}"
    if notes.get("runbook") != f"docs/OPERATING.md#{name.lower()}" or name not in headings:
        yield f"docs/OPERATING.md has no heading {name}, or the runbook does not lead there"
    severity = rule.get("labels", {}).get("severity")
    if severity not in ("critical", "warning") or raised.get(name, severity) != severity:
        yield f"severity {severity}; Serin itself says {raised.get(name)}"
    if name not in fires or name not in stays:
        yield "no test in which it fires, or none in which it does not"


def check(root, tool):
    metrics = catalog(root)
    headings = set(re.findall(r"^### (Serin\w+)$", read(root, "docs/OPERATING.md"), re.M))
    raised = dict(RAISED.findall(read(root, "canary/controller/alarm.c")))
    cases = [case for test in yaml(tool, root, "tests/data/monitoring/serin.rules.test.yml")["tests"]
             for case in test.get("alert_rule_test", ())]
    fires = {case["alertname"] for case in cases if case["exp_alerts"]}
    stays = {case["alertname"] for case in cases if not case["exp_alerts"]}
    rules = [rule for group in yaml(tool, root, "conf/monitoring/serin.rules.yml")["groups"] for rule in group["rules"]]
    if len(metrics) < 30 or not headings or not raised or len(rules) < 20:
        yield "the catalog, the headings, Serin's own alerts or the rules were not found"
    yield from (f"nothing is found wrong with {wrong}" for wrong in WRONG if not list(faults_of_expression(wrong, metrics)))
    for rule in rules:
        for fault in faults_of_expression(rule["expr"], metrics):
            yield f"serin.rules.yml: {rule.get('alert', rule.get('record'))}: {fault}"
        for fault in faults_of_alert(rule, headings, raised, fires, stays) if "alert" in rule else ():
            yield f"serin.rules.yml: {rule['alert']}: {fault}"
    yield from check_dashboard(json.loads(read(root, "conf/monitoring/grafana-dashboard.json")), metrics)


def check_dashboard(board, metrics):
    asked = [(one["name"], one["expr"]) for one in board["annotations"]["list"]]
    asked += [(one["name"], one["definition"]) for one in board["templating"]["list"] if one["type"] == "query"]
    numbers = [panel["id"] for panel in board["panels"]]
    if len(numbers) != len(set(numbers)):
        yield "grafana-dashboard.json: two panels have one id"
    for panel in board["panels"]:
        if panel["type"] != "row" and not (panel.get("description") and panel.get("targets")):
            yield f"grafana-dashboard.json: {panel['title']}: no description, or no query"
        asked += [(panel["title"], target["expr"]) for target in panel.get("targets", ())]
    for title, expression in asked:
        for fault in faults_of_expression(expression, metrics):
            yield f"grafana-dashboard.json: {title}: {fault}"


def main():
    root, tool = sys.argv[1], sys.argv[2]
    faults = list(check(root, tool)) + list(promtool(root))
    print("\n".join(faults), end="\n" if faults else "")
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()
