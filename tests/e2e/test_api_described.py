"""What the admin API answers is what its description says: each field, status and header, before, in and after a rollback."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from described import Described  # noqa: E402
from play import case, expect, run, wait_for  # noqa: E402
from wire import answer  # noqa: E402

SERVICE = "/api/v1/services/{service}"
WITHOUT_BODY = {("GET", "/api/v1/events"), ("GET", "/api/v1/openapi.json")}  # a stream; the description itself


def look_at_all(described, name):
    """Every GET that there is."""
    for path in described.spec["paths"]:
        if "get" in described.spec["paths"][path] and "{" not in path and ("GET", path) not in WITHOUT_BODY:
            described.ask("GET", path)
    for path in ("", "/recording"):
        described.ask("GET", f"/api/v1/services/{name}{path}", SERVICE + path)
    for query in ("summary=day", "summary=month", "limit=1", f"service={name}"):
        described.ask("GET", f"/api/v1/rollbacks?{query}")
    described.ask("GET", "/api/v1/rollbacks/none", "/api/v1/rollbacks/{id}")
    described.ask("GET", "/api/v1/incidents/none", "/api/v1/incidents/{id}")


def steer(described, name, *verbs):
    """Every change that there is, some of them refused; of a rollout's, `verbs`."""
    base = f"/api/v1/services/{name}"

    def post(path, body, fields=None):
        return described.ask("POST", base + path, SERVICE + path, body, fields)

    for body in ({"url": "http://x.test/"}, {"url": "/"}, {}):
        described.ask("POST", "/api/v1/explain", body=body)
    for body in (None, {"no": "configuration"}):
        described.ask("POST", "/api/v1/config:check", body=body)
    for path in ("/api/v1/reload", "/api/v1/audit/export"):
        described.ask("POST", path)
    for body, fields in (({"current": 40}, {}), ({"current": 400}, {}), ({"current": 41}, {"If-Match": '"1"'})):
        described.ask("PUT", f"{base}/weight", f"{SERVICE}/weight", body, fields)
    for body in ({"reason": "the build failed"}, {}):
        post("/build-failures", body)
    post("/drill", {})
    for body in ({"path": "/x"}, {}):
        post("/cache/purge", body)
    for verb in verbs:
        post(f"/rollout/{verb}", {})
    described.ask("POST", f"{base}/quarantine/none/release", SERVICE + "/quarantine/{deployment}/release", {"reason": "tried"})
    for body in ({}, {"reason": "tried", "dry_run": True}):
        post("/rollback", body)


@case(starts_proxy=False)
def answers_are_as_they_are_described(stage):
    stage.origin.reply, stage.canary.reply = answer(body=b"stable"), answer(body=b"canary")
    service = stage.service(weight="50%", rescue={}, rollback={"every": "100ms", "instant_above": "20%"})
    serin = stage.start_serin({"incidents": os.path.join(stage.folder, stage.name, "reports"), "services": [service]})
    described = Described(serin)
    look_at_all(described, stage.name)
    steer(described, stage.name, "pause", "resume")

    stage.canary.reply = answer(500, body=b"broken")

    def is_rolled_back():
        for number in range(10):
            stage.ask("GET", f"/shop/{number}")
        look_at_all(described, stage.name)
        return serin.service(stage.name)["phase"] == "rolled_back"

    wait_for(is_rolled_back, "it is rolled back", 60)
    record = serin.rollback_of(stage.name)
    described.ask("GET", f"/api/v1/rollbacks/{record['id']}", "/api/v1/rollbacks/{id}")
    incident = f"/api/v1/incidents/{record['incident']}"
    wait_for(lambda: described.ask("GET", incident, "/api/v1/incidents/{id}").json.get("is_complete"), "the report is complete", 30)
    for ending in (".json", ".md", ".svg"):
        described.ask("GET", incident + ending, "/api/v1/incidents/{id}")
    steer(described, stage.name, "pause", "resume", "promote", "abort")
    described.ask("POST", f"/api/v1/services/{stage.name}/rollout", f"{SERVICE}/rollout", {"deployment": "canary", "url": stage.canary.url})
    described.ask("POST", f"/api/v1/services/{stage.name}/quarantine/canary/release", SERVICE + "/quarantine/{deployment}/release",
                  {"reason": "mended"})
    described.ask("POST", f"/api/v1/services/{stage.name}/rollout", f"{SERVICE}/rollout",
                  {"deployment": "canary", "url": stage.canary.url, "steps": ["10%", "pause", "100%"]})
    look_at_all(described, stage.name)
    described.ask("POST", f"/api/v1/services/{stage.name}/rollback", f"{SERVICE}/rollback", {"reason": "again", "mode": "instant"})
    look_at_all(described, stage.name)

    there = {(method.upper(), path) for path, entry in described.spec["paths"].items() for method in entry if method in ("get", "post", "put")}
    expect(sorted(there - described.asked - WITHOUT_BODY), [], "requests that nothing here makes")
    expect(sorted(described.faults), [], "what is not as it is described")


if __name__ == "__main__":
    run(__file__)
