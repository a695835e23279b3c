"""The stand-in for Cloudflare's API behaves as the real one is known to: what the plays against it prove hangs on
that."""

import http.client
import json
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))

import pages_api  # noqa: E402
from pages_api import PagesApi  # noqa: E402
from play import SLOW, case, expect, run  # noqa: E402


def ask(api, method, path, body=b"", fields=None):
    connection = http.client.HTTPConnection("127.0.0.1", api.port, timeout=10 * SLOW)
    try:
        connection.request(method, f"/client/v4/accounts/{api.account}{path}", body,
                           {"Authorization": f"Bearer {api.token}"} if fields is None else fields)
        response = connection.getresponse()
        return response.status, response.headers, json.loads(response.read())
    finally:
        connection.close()


def with_site(play):
    """A play with an emulator that has one project; stopped whatever happens."""
    def perform(stage):
        api = PagesApi()
        try:
            play(stage, api, api.project("demo"))
        finally:
            api.stop()
    perform.__name__ = play.__name__
    return perform


def code_of(answer):
    return answer[0], answer[2]["errors"][0]["code"]


@case(starts_proxy=False)
@with_site
def lists_are_newest_first_and_end_in_an_empty_page(stage, api, site):
    made = [site.deploy()["id"] for _ in range(27)]
    preview = site.deploy(environment="preview")["id"]
    _, fields, first = ask(api, "GET", "/pages/projects/demo/deployments?env=production&page=1")
    expect([one["id"] for one in first["result"]], made[:1:-1], "page 1")
    expect((first["result_info"]["total_count"], "r=" in fields["Ratelimit"]), (27, True), "counts")
    expect(len(ask(api, "GET", "/pages/projects/demo/deployments?env=production&page=2")[2]["result"]), 2, "page 2")
    expect(ask(api, "GET", "/pages/projects/demo/deployments?env=production&page=3")[2]["result"], [], "page 3")
    expect(ask(api, "GET", "/pages/projects/demo/deployments?")[2]["result"][0]["id"], preview, "all environments")
    expect(code_of(ask(api, "GET", "/pages/projects/demo/deployments?per_page=26")), (400, 8000024), "page size")
    expect(code_of(ask(api, "GET", "/pages/projects?per_page=11")), (400, 8000024), "page size of projects")


@case(starts_proxy=False)
@with_site
def rollback_moves_the_canonical_deployment_after_some_looks(stage, api, site):
    good, bad = site.deploy()["id"], site.deploy()["id"]
    api.moves_after = 2
    expect(ask(api, "POST", f"/pages/projects/demo/deployments/{good}/rollback")[2]["result"]["id"], good, "target")
    seen = [ask(api, "GET", "/pages/projects/demo")[2]["result"] for _ in range(3)]
    expect([one["canonical_deployment"]["id"] for one in seen], [bad, bad, good], "canonical")
    expect(seen[2]["latest_deployment"]["id"], bad, "latest")
    expect(code_of(ask(api, "POST", f"/pages/projects/demo/deployments/{good}/rollback")), (400, 8000039), "again")


@case(starts_proxy=False)
@with_site
def only_good_production_deployments_are_targets(stage, api, site):
    others = [site.deploy(environment="preview"), site.deploy(stage="build", state="failure"),
              site.deploy(is_skipped=True, stage="queued", state="skipped"), site.deploy(stage="build", state="active")]
    site.deploy()
    for one in others:
        expect(ask(api, "POST", f"/pages/projects/demo/deployments/{one['id']}/rollback")[0], 400, one["environment"])
    expect(code_of(ask(api, "POST", "/pages/projects/demo/deployments/none/rollback")), (404, 8000009), "unknown")
    expect(code_of(ask(api, "GET", "/pages/projects/other")), (404, 8000007), "unknown project")


@case(starts_proxy=False)
@with_site
def a_build_that_ends_well_goes_live(stage, api, site):
    site.deploy()
    building = site.deploy(stage="build", state="active")["id"]
    expect(site.canonical != building, True, "not before it ended")
    site.finish(building)
    expect(ask(api, "GET", "/pages/projects/demo")[2]["result"]["canonical_deployment"]["id"], building, "canonical")


@case(starts_proxy=False)
@with_site
def tokens_are_checked(stage, api, site):
    expect(code_of(ask(api, "GET", "/pages/projects/demo", fields={})), (400, 9106), "none")
    expect(code_of(ask(api, "GET", "/pages/projects/demo", fields={"Authorization": "Bearer x"})), (403, 10000), "wrong")
    expect(code_of(ask(api, "GET", "/pages/projects/demo", fields={"Authorization": "x"})), (400, 6003), "no bearer")


@case(starts_proxy=False)
@with_site
def faults_come_in_order_and_requests_are_kept(stage, api, site):
    site.deploy()
    api.fault(pages_api.rate_limited("2"), path="/demo")
    api.fault(pages_api.body(b"{"), path="/demo")
    status, fields, _ = ask(api, "GET", "/pages/projects/demo")
    expect((status, fields["Retry-After"]), (429, "2"), "first")
    try:
        ask(api, "GET", "/pages/projects/demo")
        raise AssertionError("that was JSON")
    except ValueError:
        pass
    expect(ask(api, "GET", "/pages/projects/demo")[0], 200, "third")
    expect((len(api.told("GET")), api.told()[0].get("authorization")), (3, f"Bearer {api.token}"), "kept")


@case(starts_proxy=False)
@with_site
def workers_deploy_versions_by_percentage(stage, api, site):
    script = api.script("edge")
    one, two = script.version(), script.version()
    script.deploy({one: 100})
    script.deploy({one: 90, two: 10})
    newest = ask(api, "GET", "/workers/scripts/edge/deployments")[2]["result"]["deployments"][0]
    expect([each["percentage"] for each in newest["versions"]], [90, 10], "newest first")
    wish = {"strategy": "percentage", "versions": [{"version_id": one, "percentage": 100}]}
    expect(ask(api, "POST", "/workers/scripts/edge/deployments", json.dumps(wish))[0], 200, "deploy")
    wish["versions"][0]["percentage"] = 99
    expect(ask(api, "POST", "/workers/scripts/edge/deployments", json.dumps(wish))[0], 400, "sum")


if __name__ == "__main__":
    run(__file__)
