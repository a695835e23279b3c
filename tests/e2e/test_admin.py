"""The admin API: what it tells, who may change what, and how it says no (RFC 9457)."""

import json
import os
import socket
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from play import SLOW, Link, add_case, case, expect, run, wait_for  # noqa: E402

TEN = {"weight": "10%", "rollback": {"on_breach": "alert"}}


def problem(answer, status):
    """A refusal as RFC 9457 writes it."""
    expect(answer.status, status, f"status of {answer}")
    expect(answer.fields["Content-Type"].split(";")[0], "application/problem+json", "Content-Type")
    document = answer.json
    expect((document.get("status", status), bool(document.get("title"))), (status, True), f"document {document}")
    return document


def path_of(stage, rest=""):
    return f"/api/v1/services/{stage.name}{rest}"


def revision_of(stage):
    return stage.serin.admin("GET", path_of(stage)).fields["ETag"]


def put_weight(stage, body, **fields):
    fields = {name.replace("_", "-"): value for name, value in fields.items()}
    return stage.serin.admin("PUT", path_of(stage, "/weight"), body, fields)


# --- reading ----------------------------------------------------------------------------------------------------------
@case(service=TEN)
def status_tells_of_every_service(stage):
    answer = stage.serin.admin("GET", "/api/v1/status")
    expect((answer.status, answer.fields["Content-Type"].split(";")[0]), (200, "application/json"), "answer")
    one = next(one for one in answer.json["services"] if one["name"] == stage.name)
    for key in ("phase", "revision", "verdict", "sentence"):
        expect(key in one, True, f"{key} in {one}")
    expect((one["phase"], one["weight"]["set"]), ("idle", 10), "phase and weight")
    expect((one["current"]["deployment"], one["previous"]["deployment"]), ("canary", "stable"), "deployments")
    expect(stage.serin.conditions(), [], "conditions")


@case(service=TEN)
def one_service_has_an_etag(stage):
    answer = stage.serin.admin("GET", path_of(stage))
    expect((answer.status, answer.json["name"]), (200, stage.name), "answer")
    expect(answer.fields["ETag"].strip('"'), str(answer.json["revision"]), "ETag is the revision")


@case()
def unknown_places_are_problems(stage):
    problem(stage.serin.admin("GET", "/api/v1/services/nobody"), 404)
    problem(stage.serin.admin("GET", "/api/v1/nothing"), 404)
    problem(stage.serin.admin("GET", "/api/v1/rollbacks/4711"), 404)
    answer = stage.serin.admin("DELETE", "/api/v1/status")
    problem(answer, 405)
    expect("GET" in (answer.fields["Allow"] or ""), True, "Allow")


@case()
def health_and_readiness_answer(stage):
    for path in ("/healthz", "/readyz"):
        expect(stage.serin.admin("GET", path).status, 200, path)


@case()
def head_is_a_get_without_a_body(stage):
    answer = stage.serin.admin("HEAD", "/api/v1/status")
    expect((answer.status, answer.body), (200, b""), "answer")


@case(service=TEN)
def metrics_please_promtool(stage):
    stage.ask()
    answer = stage.serin.admin("GET", "/metrics")
    expect(answer.fields["Content-Type"].startswith("text/plain"), True, "Content-Type")
    done = subprocess.run(["promtool", "check", "metrics"], input=answer.body, capture_output=True, check=False)
    expect((done.returncode, done.stdout, done.stderr), (0, b"", b""), "promtool")


@case(service=TEN)
def metrics_say_what_is_set(stage):
    metrics = stage.serin.metrics()
    expect(metrics.sum("serin_weight_ratio", service=stage.name, role="current", kind="set"), 0.1, "canary's weight")
    expect(metrics.sum("serin_weight_ratio", service=stage.name, role="previous", kind="set"), 0.9, "stable's weight")
    expect(metrics.by("serin_rollout_phase", "phase", service=stage.name), {"idle": 1}, "phase")
    expect(len(metrics.all("serin_verdict", service=stage.name)) >= 5, True, "a sample for each verdict")
    expect(sum(value for _, value in metrics.all("serin_verdict", service=stage.name)), 1, "one verdict holds")
    infos = metrics.all("serin_deployment_info", service=stage.name, role="current")
    expect([(labels["deployment"], value) for labels, value in infos], [("canary", 1)], "deployment")


# --- the weight -------------------------------------------------------------------------------------------------------
@case(service=TEN)
def weight_changes_with_the_right_revision(stage):
    before = revision_of(stage)
    answer = put_weight(stage, {"current": 12.5}, If_Match=before)
    expect(answer.status, 200, f"status of {answer}")
    service = stage.serin.service(stage.name)
    expect((service["weight"]["set"], revision_of(stage) != before), (12.5, True), "weight, and a new revision")
    wait_for(lambda: stage.serin.metrics().sum("serin_weight_ratio", service=stage.name, role="current", kind="set") == 0.125,
             "the metrics follow")


@case(service=TEN)
def stale_revision_is_a_412(stage):
    before = revision_of(stage)
    expect(put_weight(stage, {"current": 20}, If_Match=before).status, 200, "first")
    problem(put_weight(stage, {"current": 30}, If_Match=before), 412)
    expect(stage.serin.service(stage.name)["weight"]["set"], 20, "weight")


BAD_WEIGHTS = {
    "above_100": ({"current": 100.1}, 422), "below_0": ({"current": -1}, 422), "a_word": ({"current": "ten"}, 422),
    "null": ({"current": None}, 422), "missing": ({}, 422), "huge": ({"current": 1e300}, 422),
    "true": ({"current": True}, 422), "a_list": ([1], 422), "an_unknown_key": ({"current": 1, "curent": 2}, 422),
}


def refuses_weight(body, status):
    def function(stage):
        document = problem(put_weight(stage, body, If_Match=revision_of(stage)), status)
        if isinstance(body, dict) and "current" in body and len(body) == 1:
            expect("current" in json.dumps(document), True, f"the field is named in {document}")
        expect(stage.serin.service(stage.name)["weight"]["set"], 10, "weight")

    return function


for wrong_name, (wrong_body, wrong_status) in BAD_WEIGHTS.items():
    add_case(refuses_weight(wrong_body, wrong_status), f"refuses_a_weight_that_is_{wrong_name}", service=TEN)


@case(service=TEN)
def bodies_that_are_no_json_are_a_400(stage):
    for body in (b"", b"{", b"{\"current\": }", b"\xff\xfe", b"[" * 100000, b"{}{}", b"{\"current\": 1, \"current\": 2}"):
        answer = stage.serin.admin("PUT", path_of(stage, "/weight"), body,
                                   {"If-Match": revision_of(stage), "Content-Type": "application/json"})
        expect(answer.status in (400, 422), True, f"{answer} for {body[:30]!r}")
        problem(answer, answer.status)


@case(service=TEN)
def huge_bodies_are_refused(stage):
    link = Link(socket.create_connection(("127.0.0.1", stage.serin.admin_port), 5 * SLOW), "admin", stage.transcript)
    link.send(f"PUT {path_of(stage, '/weight')} HTTP/1.1\r\nHost: 127.0.0.1:{stage.serin.admin_port}\r\n"
              "Content-Length: 1000000000\r\n\r\n")
    expect(link.read_response().status, 413, "status")
    link.close()


@case(service=TEN)
def weight_survives_a_restart_and_a_reload(stage):
    own = stage.start_serin({"services": [stage.service(**TEN)]}, name="again")
    expect(own.set_weight(stage.name, 42).status, 200, "weight")
    own.stop()
    own.start()
    expect(own.service(stage.name)["weight"]["set"], 42, "weight after the restart")
    metrics = own.metrics()
    expect(metrics.sum("serin_weight_ratio", service=stage.name, role="current", kind="set"), 0.42, "in effect")


@case(service=TEN)
def every_change_is_in_the_audit_trail(stage):
    expect(stage.serin.set_weight(stage.name, 33).status, 200, "weight")

    def lines():
        answer = stage.serin.admin("GET", "/api/v1/audit")
        rows = answer.json
        rows = rows if isinstance(rows, list) else next(value for value in rows.values() if isinstance(value, list))
        return [row for row in rows if stage.name in json.dumps(row) and "33" in json.dumps(row)]

    row = wait_for(lines, "the change is in the audit trail")[0]
    expect(bool(row.get("actor")), True, f"an actor in {row}")


# --- who asks ---------------------------------------------------------------------------------------------------------
def admin_as(stage, host=None, origin=None, fetch_site=None, method="PUT"):
    fields = {"If-Match": revision_of(stage)}
    if host:
        fields["Host"] = host
    if origin:
        fields["Origin"] = origin
    if fetch_site:
        fields["Sec-Fetch-Site"] = fetch_site
    if method == "GET":
        return stage.serin.admin("GET", "/api/v1/status", None, fields)
    return stage.serin.admin("PUT", path_of(stage, "/weight"), {"current": 11}, fields)


@case(service=TEN)
def foreign_host_is_refused(stage):
    for host in ("evil.test", "127.0.0.1.evil.test", "evil.test:80"):
        for method in ("GET", "PUT"):
            answer = admin_as(stage, host=host, method=method)
            expect(answer.status in (400, 403, 421), True, f"{method} for {host}: {answer}")


@case(service=TEN)
def loopback_names_are_accepted(stage):
    port = stage.serin.admin_port
    for host in (f"127.0.0.1:{port}", f"localhost:{port}", "localhost", f"[::1]:{port}"):
        expect(admin_as(stage, host=host, method="GET").status, 200, host)


@case(service=TEN)
def changes_from_another_origin_are_refused(stage):
    port = stage.serin.admin_port
    for origin, site in (("https://evil.test", None), ("null", None), (None, "cross-site"), (None, "same-site"),
                         (f"http://127.0.0.1:{port + 1}", None), ("https://evil.test", "same-origin")):
        problem(admin_as(stage, origin=origin, fetch_site=site), 403)
    expect(stage.serin.service(stage.name)["weight"]["set"], 10, "weight")
    expect(admin_as(stage, origin=f"http://127.0.0.1:{port}", fetch_site="same-origin").status, 200, "same origin")


@case(service=TEN)
def a_get_changes_nothing(stage):
    before = revision_of(stage)
    for path in ("/weight", "/rollback", "/rollout/pause"):
        expect(stage.serin.admin("GET", path_of(stage, path)).status in (404, 405), True, path)
    expect(revision_of(stage), before, "revision")


def with_tokens(stage):
    folder = os.path.join(stage.folder, stage.name + "-tokens")
    os.makedirs(folder)
    for name, text in (("ops", "ops-w4x9\n"), ("eye", "eye-k7q2\n")):
        with open(os.path.join(folder, name), "w", encoding="utf-8") as file:
            file.write(text)
    tokens = [{"name": "ops", "role": "operator", "file": os.path.join(folder, "ops")},
              {"name": "eye", "role": "viewer", "file": os.path.join(folder, "eye")}]
    return stage.start_serin({"admin": {"tokens": tokens}, "services": [stage.service(**TEN)]})


def bearer(token):
    return {"Authorization": f"Bearer {token}"}


@case(starts_proxy=False)
def tokens_have_roles(stage):
    serin = with_tokens(stage)
    for path in ("/healthz", "/readyz"):
        expect(serin.admin("GET", path).status, 200, path)
    for path in ("/metrics", "/api/v1/status"):
        answer = serin.admin("GET", path)
        expect((answer.status, "WWW-Authenticate" in answer.fields), (401, True), f"{path} without a token")
        expect(serin.admin("GET", path, None, bearer("wrong")).status, 401, f"{path} with a wrong token")
        expect(serin.admin("GET", path, None, bearer("eye-k7q2")).status, 200, f"{path} for a viewer")
        expect(serin.admin("GET", path, None, bearer("ops-w4x9")).status, 200, f"{path} for an operator")
    etag = serin.admin("GET", path_of(stage), None, bearer("eye-k7q2")).fields["ETag"]
    change = {"current": 12}
    fields = {"If-Match": etag}
    expect(serin.admin("PUT", path_of(stage, "/weight"), change, {**fields, **bearer("eye-k7q2")}).status, 403, "viewer")
    expect(serin.admin("PUT", path_of(stage, "/weight"), change, fields).status, 401, "nobody")
    expect(serin.admin("PUT", path_of(stage, "/weight"), change, {**fields, **bearer("ops-w4x9")}).status, 200, "operator")
    wait_for(lambda: b'"ops"' in serin.admin("GET", "/api/v1/audit", None, bearer("eye-k7q2")).body, "ops is the actor")


@case(starts_proxy=False)
def secrets_are_never_shown(stage):
    serin = with_tokens(stage)
    for path in ("/metrics", "/api/v1/status", "/api/v1/audit", path_of(stage)):
        body = serin.admin("GET", path, None, bearer("ops-w4x9")).body
        expect(b"w4x9" in body or b"k7q2" in body, False, f"a secret in {path}")
    expect("w4x9" in serin.log(), False, "a secret in the log")


@case(starts_proxy=False)
def unix_socket_serves_the_api(stage):
    folder = os.path.join(stage.folder, "u")
    os.makedirs(folder, exist_ok=True)
    path = os.path.join(folder, "s")
    serin = stage.start_serin({"admin": {"address": f"unix:{path}"}}, wait=False)

    def ask(target):
        sock = socket.socket(socket.AF_UNIX)
        try:
            sock.connect(path)
        except OSError:
            sock.close()
            return None
        link = Link(sock, "admin", stage.transcript)
        link.send(f"GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n")
        response = link.read_response()
        link.close()
        return response

    wait_for(lambda: (ask("/readyz") or None) and ask("/readyz").status == 200, "it is ready")
    expect(json.loads(ask("/api/v1/status").body)["services"][0]["name"], stage.name, "status")
    expect(os.stat(path).st_mode & 0o007, 0, "what others may do with the socket")
    serin.stop()
    expect(os.path.exists(path), False, "the socket is left behind")


@case(starts_proxy=False)
def tokens_are_required_off_loopback(stage):
    serin = stage.start_serin()
    serin.stop()
    serin.change({"admin": {"address": f"0.0.0.0:{serin.admin_port}"}})
    serin.start(wait=False)
    expect(serin.process.wait(10 * SLOW), 1, "exit code")
    serin.process = None
    expect("token" in serin.log(), True, "the log says why")


@case(service=TEN)
def explain_tells_where_a_request_would_go(stage):
    answer = stage.serin.admin("POST", "/api/v1/explain", {"url": f"http://{stage.host}/x",
                                                           "headers": {"Serin-Version": "current"}})
    expect(answer.status, 200, f"{answer}")
    text = json.dumps(answer.json)
    expect((stage.name in text, "opt_in" in text), (True, True), text)


@case(service=TEN)
def pipelined_admin_requests_are_answered_in_order(stage):
    link = Link(socket.create_connection(("127.0.0.1", stage.serin.admin_port), 5 * SLOW), "admin", stage.transcript)
    host = f"Host: 127.0.0.1:{stage.serin.admin_port}\r\n\r\n"
    link.send_in_cuts(f"GET /healthz HTTP/1.1\r\n{host}GET /nothing HTTP/1.1\r\n{host}GET /readyz HTTP/1.1\r\n{host}".encode(),
                      7)
    expect([link.read_response().status for _ in range(3)], [200, 404, 200], "statuses")
    link.close()


if __name__ == "__main__":
    run(__file__, parallel=4)
