"""The monitoring kit meets a real Prometheus that scrapes a real Serin through traffic, a rollback and a drill: every
query of the dashboard gives data, every rule is evaluated, and the alert of the rollback reaches an Alertmanager."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from load import LoadOrigin  # noqa: E402
from play import case, expect, run, wait_for  # noqa: E402
from prometheus import Prometheus, dashboard_queries, named_values  # noqa: E402
from receiver import Alertmanager, Receiver  # noqa: E402
from release import Release  # noqa: E402

HELPFUL = {"platform": {"exec": {"command": ["true"]}}, "rescue": {"when": ["500"]}}


def resting(stage, origin):
    """A service beside the one that breaks, to hold a drill of."""
    return stage.service(name="resting", hosts=["resting.test"],
                         previous={"deployment": "rest-1", "endpoints": [origin.url]},
                         current={"deployment": "rest-2", "endpoints": [origin.url]})


def drill(serin, service):
    """A drill that went well: on a machine in trouble one may fail, and then the next is asked for."""
    def went_well():
        if serin.metrics().all("serin_drill_duration_seconds", service=service):
            return True
        serin.admin("POST", f"/api/v1/services/{service}/drill")  # refused while one runs
        return False

    wait_for(went_well, "a drill went well", 90, 0.5)


def every_query_gives_data(prometheus):
    for what, expression in dashboard_queries():
        prometheus.query(expression)  # an error is no matter of patience
        prometheus.wait_numbers(expression, f"data for {what}: {expression}")


def every_rule_is_well(prometheus):
    rules = prometheus.rules()
    expect([(rule["name"], rule.get("lastError")) for rule in rules if rule["health"] != "ok"], [], "rules that fail")
    for rule in rules:
        if rule["type"] == "recording":
            prometheus.wait_numbers(rule["name"], f"what is recorded as {rule['name']}")
    return [rule["query"] for rule in rules]


def every_word_is_one_that_serin_says(prometheus, expressions):
    words = named_values(expressions)
    expect(len(words) > 20, True, f"words of the kit: {words}")
    for metric, label, value in words:
        prometheus.wait_numbers(f'count({metric}{{{label}="{value}"}})', f"a series of {metric} with {label} {value}")


@case(starts_proxy=False)
def kit_shows_a_rollback_and_a_drill(stage):
    origin = LoadOrigin("stable")
    try:
        with Receiver() as hook, Alertmanager() as manager:
            settings = {"alerts": [{"webhook": {"url": hook.url}}]}
            with Release(stage, settings=settings, others=[resting(stage, origin)], **HELPFUL) as release:
                with Prometheus(release.serin.admin_port, manager.port) as prometheus:
                    watch(release, prometheus, manager)
    finally:
        origin.stop()


def watch(release, prometheus, manager):
    shop = f'service="{release.name}"'
    prometheus.wait_numbers(f"serin_rollback_duration_seconds_count{{{shop}}} == 0", "it is scraped before the trouble")
    prometheus.wait_numbers(f'service_role:serin_attempts:rate1m{{{shop}, role="current"}} > 0', "traffic is recorded")
    release.canary.order(status=500)
    release.wait_phase("rolled_back", 60)
    alerts = wait_for(lambda: manager.alerts(alertname="SerinRollback", service=release.name), "the alert is there", 60)
    labels = alerts[0]["labels"]
    expect((labels["severity"], labels["job"]), ("critical", "serin"), f"labels {labels}")
    expect(alerts[0]["annotations"]["runbook"], "docs/OPERATING.md#serinrollback", "runbook")
    drill(release.serin, "resting")
    prometheus.wait_numbers(f'serin_rollout_phase{{{shop}, phase="rolled_back"}} == 1', "the phase arrives")
    prometheus.wait_numbers(f'serin_rollbacks_total{{{shop}, status="success"}} == 1', "the rollback is counted")
    prometheus.wait_numbers(f'serin_rollback_phase_duration_seconds_count{{{shop}, phase="platform_ack"}} == 1',
                            "the platform has confirmed")
    prometheus.wait_numbers(f"increase(serin_rollback_duration_seconds_count{{{shop}}}[30m]) > 0", "the first one shows too")
    every_query_gives_data(prometheus)
    rules = every_rule_is_well(prometheus)
    every_word_is_one_that_serin_says(prometheus, rules + [expression for _, expression in dashboard_queries()])


if __name__ == "__main__":
    run(__file__)
