"""pages_api.py - a stand-in for the parts of Cloudflare's API that Serin talks to: Pages projects and deployments,
rollback, build logs, and the gradual deployments of Workers. Loopback only, standard library only.

What it knows of the real API: envelope and error codes, lists newest first with past-the-end pages empty, page sizes
over the cap refused (8000024), a canonical deployment that moves on rollback while the latest one does not, a second
rollback to the live deployment refused (8000039). Where the real code is not known (a preview, failed or skipped
target) it answers INVENTED_BAD_TARGET; nothing may depend on that number.

    api = PagesApi()
    site = api.project("demo")
    good = site.deploy(commit="a" * 40)
    bad = site.deploy(commit="b" * 40)
    api.moves_after = 3                        # the fourth look at the project sees the rollback
    api.fault(status(429, {"Retry-After": "1"}), times=2, path="/rollback")
    ...
    api.told("POST")                           # every request, with its fields and body
    api.stop()

By hand: pages_api.py [--port N] [--seconds N] serves a project "demo" with five deployments and ends by itself."""

import argparse
import base64
import email
import json
import re
import threading
import time
import urllib.parse
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

DEPLOYMENTS_PER_PAGE_MAX = 25
PROJECTS_PER_PAGE_MAX = 10
INVENTED_BAD_TARGET = 8000099
INVENTED_BAD_FORM = 8000098
STAGES = ("queued", "initialize", "clone_repo", "build", "deploy")
# What direct uploads authorise themselves with: read by clients (when it ends, how many files it allows), signed by nobody.
UPLOAD_TOKEN = ".".join(base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in (
    {"alg": "none"}, {"exp": 4102444800, "max_file_count_allowed": 20000}, "EMU"))
EPOCH = 1767225600  # 2026-01-01T00:00:00Z: the first deployment of every project
PATIENCE_S = 60.0


class ApiError(Exception):
    def __init__(self, http, code, message):
        super().__init__(message)
        self.http, self.code, self.message = http, code, message


class Told:
    """A request as it came."""

    def __init__(self, method, target, fields, body):
        self.method, self.target, self.fields, self.body = method, target, fields, body
        self.path, _, self.query_text = target.partition("?")
        self.query = dict(urllib.parse.parse_qsl(self.query_text))
        self.at = time.monotonic()

    def has(self, name):
        return any(key.lower() == name.lower() for key, _ in self.fields)

    def get(self, name):
        return next((value for key, value in self.fields if key.lower() == name.lower()), None)

    def __repr__(self):
        return f"<{self.method} {self.target}>"


# --- faults: functions of a handler that answer instead of the API ---------------------------------------------------
def status(http, fields=None, code=8000000, message="An unknown error occurred."):
    """An error in the usual envelope."""
    body = envelope(None, errors=[{"code": code, "message": message}])
    return lambda handler: handler.give(http, json.dumps(body).encode(), fields=fields)


def rate_limited(retry_after="1"):
    fields = {"Retry-After": retry_after} if retry_after is not None else {}
    return status(429, fields, 971, "Please wait and consider throttling your request speed")


def html(http=502):
    page = b"<!DOCTYPE html><html><head><title>502 Bad gateway</title></head><body>\x1b[31mcloudflare</body></html>"
    return lambda handler: handler.give(http, page, "text/html; charset=UTF-8")


def body(content, http=200, content_type="application/json"):
    """Any bytes with any status: broken JSON, a wrong shape."""
    return lambda handler: handler.give(http, content, content_type)


def redirect(to, http=302):
    return lambda handler: handler.give(http, b"", fields={"Location": to})


def huge(size=64 << 20):
    """A body without end in practice: the client is expected to leave."""
    def answer(handler):
        handler.send_response(200)
        handler.send_header("Content-Type", "application/json")
        handler.send_header("Content-Length", str(size))
        handler.end_headers()
        piece = b'{"result":"' + b"x" * 65525
        for _ in range(size // len(piece)):
            handler.wfile.write(piece)
        handler.close_connection = True
    return answer


def truncated():
    """Half of a true answer, then the connection ends."""
    def answer(handler):
        text = json.dumps(envelope({"id": "half"})).encode()
        handler.send_response(200)
        handler.send_header("Content-Type", "application/json")
        handler.send_header("Content-Length", str(len(text)))
        handler.end_headers()
        handler.wfile.write(text[:len(text) // 2])
        handler.close_connection = True
    return answer


def hang():
    """No answer until the emulator stops."""
    def answer(handler):
        handler.server.api.is_stopping.wait(PATIENCE_S)
        handler.close_connection = True
    return answer


def done_and_lost():
    """The API does what it is asked, and the answer is lost on the way."""
    def answer(handler):
        handler.route()
        handler.close_connection = True
    return answer


def envelope(result, errors=(), **more):
    return {"success": not errors, "errors": list(errors), "messages": [], "result": result, **more}


# --- what there is ---------------------------------------------------------------------------------------------------
def stamp(seconds):
    whole = int(seconds)
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(whole)) + f".{int((seconds - whole) * 1e6):06d}Z"


def form_of(told):
    """The parts of a multipart/form-data body that are text."""
    head = f"Content-Type: {told.get('Content-Type') or ''}\r\n\r\n".encode()
    message = email.message_from_bytes(head + told.body)
    if message.get_content_type() != "multipart/form-data":
        raise ApiError(400, INVENTED_BAD_FORM, "EMU: a deployment is created by multipart/form-data")
    return {part.get_param("name", header="content-disposition"): part.get_payload(decode=True).decode(errors="replace")
            for part in message.get_payload()}


def stages_of(reached, state, at):
    """All five stages, with `reached` in `state`, those before it done and those after it not begun."""
    found = []
    for name in STAGES:
        before = STAGES.index(name) < STAGES.index(reached)
        is_reached = name == reached
        begun = before or (is_reached and state != "idle")
        is_over = before or (is_reached and state in ("success", "failure", "canceled", "skipped"))
        found.append({"name": name, "status": "success" if before else state if is_reached else "idle",
                      "started_on": stamp(at) if begun else None, "ended_on": stamp(at + 1) if is_over else None})
    return found


class Project:
    def __init__(self, api, name):
        self.api, self.name, self.id = api, name, str(uuid.uuid4())
        self.deployments = []  # oldest first
        self.canonical = None  # id
        self.moving_to = None  # id that canonical becomes after so many reads
        self.reads_left = 0
        self.logs = {}
        self.manifest = None  # path to asset, of the last upload

    def deploy(self, commit="0" * 40, message="a change", branch="main", environment="production", stage="deploy",
               state="success", is_skipped=False, identity=None, **more):
        """Adds a deployment, as a push would. A good production deployment goes live at once."""
        with self.api.lock:
            identity = identity or str(uuid.uuid4())
            at = EPOCH + 3600 * len(self.deployments) + 0.123456
            stages = stages_of(stage, state, at)
            host = f"{identity[:8]}.{self.name}.pages.dev"
            made = {"id": identity, "short_id": identity[:8], "project_id": self.id, "project_name": self.name,
                    "environment": environment, "url": f"https://{host}", "created_on": stamp(at),
                    "modified_on": stamp(at + 2), "aliases": None, "is_skipped": is_skipped,
                    "build_config": {"build_command": "npm run build"}, "env_vars": None, "uses_functions": False,
                    "deployment_trigger": {"type": "github:push", "metadata": {
                        "branch": branch, "commit_hash": commit, "commit_message": message, "commit_dirty": False}},
                    "latest_stage": next(one for one in stages if one["name"] == stage), "stages": stages, **more}
            self.deployments.append(made)
            if self.is_good(made):
                self.canonical = identity
            return made

    def upload(self, told):
        """A direct upload, as a form: to production, or from another branch a preview. The files of its manifest are there already."""
        form = form_of(told)
        manifest = json.loads(form.get("manifest", "{}"))
        missing = [path for path, key in manifest.items() if key not in self.api.assets]
        if missing:
            raise ApiError(400, INVENTED_BAD_FORM, f"EMU: {missing[0]} was not uploaded")
        self.manifest = manifest
        branch = form.get("branch", "main")
        return self.deploy(form.get("commit_hash", "0" * 40), form.get("commit_message", ""), branch,
                           "production" if branch == "main" else "preview")

    def finish(self, identity, state="success"):
        """Ends a build that was under way."""
        with self.api.lock:
            made = self.find(identity)
            at = EPOCH + 3600 * self.deployments.index(made)
            made["stages"] = stages_of("deploy" if state == "success" else "build", state, at)
            made["latest_stage"] = made["stages"][4 if state == "success" else 3]
            if self.is_good(made):
                self.canonical = identity

    @staticmethod
    def is_good(made):
        last = made["latest_stage"] or {}
        return (made["environment"] == "production" and last.get("name") == "deploy"
                and last.get("status") == "success" and not made["is_skipped"])

    def find(self, identity):
        for made in self.deployments:
            if made["id"] == identity:
                return made
        raise ApiError(404, 8000009, "The deployment ID you have specified does not exist. "
                                     "Update the deployment ID and try again. ")

    def read(self):
        """The project as GET gives it; each look brings a rollback under way nearer."""
        if self.moving_to and self.reads_left <= 0:
            self.canonical, self.moving_to = self.moving_to, None
        self.reads_left -= 1
        latest = self.deployments[-1] if self.deployments else None
        return {"id": self.id, "name": self.name, "subdomain": f"{self.name}.pages.dev",
                "domains": [f"{self.name}.pages.dev"], "production_branch": "main", "created_on": stamp(EPOCH),
                "deployment_configs": {"production": {"env_vars": {}}, "preview": {"env_vars": {}}},
                "canonical_deployment": self.find(self.canonical) if self.canonical else None,
                "latest_deployment": latest}

    def roll_back(self, identity):
        target = self.find(identity)
        if not self.is_good(target):
            raise ApiError(400, INVENTED_BAD_TARGET, "EMU: only successful production deployments can be rolled back to")
        if identity in (self.canonical, self.moving_to):
            raise ApiError(400, 8000039, "EMU: this deployment is the active one already")
        self.moving_to, self.reads_left = identity, self.api.moves_after
        return target


class Script:
    """A Worker: versions, and deployments of one or two of them."""

    def __init__(self, api, name):
        self.api, self.name = api, name
        self.versions, self.deployments = [], []  # oldest first

    def version(self):
        with self.api.lock:
            self.versions.append(str(uuid.uuid4()))
            return self.versions[-1]

    def deploy(self, shares, message=""):
        """`shares`: {version id: percent}."""
        with self.api.lock:
            at = EPOCH + 3600 * len(self.deployments)
            self.deployments.append({
                "id": str(uuid.uuid4()), "created_on": stamp(at), "source": "api", "strategy": "percentage",
                "author_email": "ops@example.com", "annotations": {"workers/message": message},
                "versions": [{"version_id": key, "percentage": share} for key, share in shares.items()]})
            return self.deployments[-1]

    def take(self, wish):
        versions = wish.get("versions") if isinstance(wish, dict) else None
        if wish.get("strategy") != "percentage" or not isinstance(versions, list) or not 1 <= len(versions) <= 2:
            raise ApiError(400, 10021, "EMU: one or two versions by percentage")
        if sum(one.get("percentage", 0) for one in versions) != 100:
            raise ApiError(400, 10021, "EMU: percentages do not sum to 100")
        if any(one.get("version_id") not in self.versions for one in versions):
            raise ApiError(404, 10007, "EMU: there is no such version")
        return self.deploy({one["version_id"]: one["percentage"] for one in versions},
                           (wish.get("annotations") or {}).get("workers/message", ""))


# --- the server ------------------------------------------------------------------------------------------------------
class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version, sys_version = "cloudflare", ""

    def give(self, http, content, content_type="application/json", fields=None):
        try:
            self.send_response(http)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(content)))
            self.send_header("CF-Ray", "8f00ba4e5b6c7d8e-FRA")
            self.send_header("Ratelimit", f'"default";r={max(self.server.api.quota, 0)};t=30')
            self.send_header("Ratelimit-Policy", '"burst";q=1200;w=300')
            for name, value in (fields or {}).items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)
        except OSError:
            self.close_connection = True

    def answer(self):
        size = int(self.headers.get("Content-Length") or 0)
        told = Told(self.command, self.path, list(self.headers.items()), self.rfile.read(size))
        api = self.server.api
        with api.lock:
            api.requests.append(told)
            api.quota -= 1
            fault = api.next_fault(told)
        self.told = told
        time.sleep(api.delay_s)
        try:
            if fault:
                fault(self)
            else:
                self.give(*self.route())
        except OSError:
            self.close_connection = True

    do_GET = do_POST = do_DELETE = do_PUT = do_PATCH = answer

    def log_message(self, *_):
        pass

    def route(self):
        api, told = self.server.api, self.told
        with api.lock:
            try:
                api.authorise(told)
                return 200, json.dumps(api.perform(told)).encode()
            except ApiError as error:
                refusal = envelope(None, errors=[{"code": error.code, "message": error.message}])
                return error.http, json.dumps(refusal).encode()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True

    def handle_error(self, request, client_address):
        """A client that left is no event."""


class PagesApi:
    def __init__(self, token="cf-secret-token", account="0123456789abcdef0123456789abcdef", port=0):
        self.token, self.account = token, account
        self.lock = threading.RLock()
        self.projects, self.scripts, self.requests = {}, {}, []
        self.assets = {}      # files of direct uploads, by their key
        self.moves_after = 0  # reads of the project after a rollback that still show the old one
        self.delay_s = 0.0    # before each answer
        self.quota = 1200     # what the Ratelimit header says is left
        self.is_stopping = threading.Event()
        self._faults = []
        self._server = _Server(("127.0.0.1", port), _Handler)
        self._server.api = self
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    @property
    def port(self):
        return self._server.server_address[1]

    @property
    def base(self):
        return f"http://127.0.0.1:{self.port}/client/v4"

    @property
    def environment(self):
        return {"CLOUDFLARE_API_BASE_URL": self.base, "CLOUDFLARE_ACCOUNT_ID": self.account,
                "CLOUDFLARE_API_TOKEN": self.token}

    def stop(self):
        self.is_stopping.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def project(self, name):
        with self.lock:
            return self.projects.setdefault(name, Project(self, name))

    def script(self, name):
        with self.lock:
            return self.scripts.setdefault(name, Script(self, name))

    def fault(self, answer, times=1, method=None, path=""):
        """The next `times` requests with this method whose path ends so get `answer` instead."""
        with self.lock:
            self._faults.append([answer, times, method, path])

    def next_fault(self, told):
        for one in self._faults:
            if one[1] > 0 and one[2] in (None, told.method) and told.path.endswith(one[3]):
                one[1] -= 1
                return one[0]
        return None

    def told(self, method=None, path=""):
        with self.lock:
            return [one for one in self.requests if method in (None, one.method) and one.path.endswith(path)]

    def authorise(self, told):
        given = told.get("Authorization")
        if told.path.startswith("/client/v4/pages/assets/"):
            if given != f"Bearer {UPLOAD_TOKEN}":
                raise ApiError(401, 8000013, "Authorization failed")
            return
        if given is None:
            raise ApiError(400, 9106, "Missing X-Auth-Key, X-Auth-Email or Authorization headers")
        if not given.startswith("Bearer "):
            raise ApiError(400, 6003, "Invalid request headers")
        if given != f"Bearer {self.token}":
            raise ApiError(403, 10000, "Authentication error")

    def perform(self, told):
        if told.path == "/client/v4/user/tokens/verify":
            return envelope({"id": "t", "status": "active"})
        if told.path.startswith("/client/v4/pages/assets/"):
            return self._assets(told, told.path.rsplit("/", 1)[1])
        found = re.fullmatch(r"/client/v4/accounts/([0-9a-f]{32})/(pages/projects|workers/scripts)((?:/[^/]+)*)",
                             told.path)
        if not found:
            raise ApiError(404, 7003, f"Could not route to {told.path}, perhaps your object identifier is invalid?")
        if found.group(1) != self.account:
            raise ApiError(403, 10000, "Authentication error")
        steps = [urllib.parse.unquote(step) for step in found.group(3).split("/")[1:]]
        act = self._pages if found.group(2).startswith("pages") else self._workers
        return act(told, steps)

    def _assets(self, told, what):
        wish = json.loads(told.body)
        if (told.method, what) == ("POST", "check-missing"):
            return envelope([key for key in wish["hashes"] if key not in self.assets])
        if (told.method, what) == ("POST", "upload"):
            self.assets.update({one["key"]: base64.b64decode(one["value"]) for one in wish})
            return envelope({"successful_key_count": len(wish), "unsuccessful_keys": []})
        if (told.method, what) == ("POST", "upsert-hashes"):
            return envelope(True)
        raise ApiError(404, 7003, "no such route")

    def _page(self, told, items, default, cap):
        page, size = told.query.get("page", "1"), told.query.get("per_page", str(default))
        if not page.isdigit() or not size.isdigit() or int(page) < 1 or not 1 <= int(size) <= cap:
            raise ApiError(400, 8000024, "Invalid list options provided. Review the `page` or `per_page` parameter.")
        page, size = int(page), int(size)
        shown = items[(page - 1) * size:page * size]
        return envelope(shown, result_info={"page": page, "per_page": size, "count": len(shown),
                                            "total_count": len(items), "total_pages": -(-len(items) // size)})

    def _pages(self, told, steps):
        if not steps:
            return self._page(told, [one.read() for one in self.projects.values()], 10, PROJECTS_PER_PAGE_MAX)
        if steps[0] not in self.projects:
            raise ApiError(404, 8000007, "Project not found. The specified project name does not match any of "
                                         "your existing projects.")
        project = self.projects[steps[0]]
        what = (told.method, len(steps), steps[-1] if len(steps) > 1 else "")
        if what[:2] == ("GET", 1):
            return envelope(project.read())
        if what == ("GET", 2, "upload-token"):
            return envelope({"jwt": UPLOAD_TOKEN})
        if len(steps) < 2 or steps[1] != "deployments":
            raise ApiError(404, 7003, "no such route")
        if what == ("GET", 2, "deployments"):
            wanted = told.query.get("env")
            items = [one for one in reversed(project.deployments) if wanted in (None, one["environment"])]
            return self._page(told, items, DEPLOYMENTS_PER_PAGE_MAX, DEPLOYMENTS_PER_PAGE_MAX)
        if what == ("POST", 2, "deployments"):
            return envelope(project.upload(told))
        return self._deployment(told, project, steps)

    @staticmethod
    def _deployment(told, project, steps):
        what = (told.method, *steps[3:])
        if what == ("GET",):
            return envelope(project.find(steps[2]))
        if what == ("POST", "rollback"):
            return envelope(project.roll_back(steps[2]))
        if what == ("GET", "history", "logs"):
            project.find(steps[2])
            lines = project.logs.get(steps[2], [])
            return envelope({"total": len(lines), "includes_container_logs": True,
                             "data": [{"ts": stamp(EPOCH + n), "line": line} for n, line in enumerate(lines)]})
        if what == ("DELETE",):
            made = project.find(steps[2])
            if steps[2] == project.canonical:
                raise ApiError(400, 8000034, "EMU: the active production deployment cannot be deleted")
            project.deployments.remove(made)
            return envelope(None)
        raise ApiError(404, 7003, "no such route")

    def _workers(self, told, steps):
        if len(steps) != 2 or steps[0] not in self.scripts:
            raise ApiError(404, 10007, "This Worker does not exist on your account.")
        script = self.scripts[steps[0]]
        if (told.method, steps[1]) == ("GET", "deployments"):
            return envelope({"deployments": list(reversed(script.deployments))})
        if (told.method, steps[1]) == ("GET", "versions"):
            return envelope({"items": [{"id": one} for one in reversed(script.versions)]})
        if (told.method, steps[1]) == ("POST", "deployments"):
            try:
                return envelope(script.take(json.loads(told.body)))
            except (ValueError, AttributeError):
                raise ApiError(400, 10026, "EMU: the body is not JSON") from None
        raise ApiError(404, 7003, "no such route")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=600)
    options = parser.parse_args()
    api = PagesApi(port=options.port)
    site = api.project("demo")
    for number, (environment, stage, state) in enumerate([
            ("production", "deploy", "success"), ("production", "deploy", "success"), ("preview", "deploy", "success"),
            ("production", "build", "failure"), ("production", "deploy", "success")]):
        site.deploy(f"{number}" * 40, f"change {number}", environment=environment, stage=stage, state=state)
    for name, value in api.environment.items():
        print(f"export {name}={value}", flush=True)
    time.sleep(options.seconds)
    api.stop()


if __name__ == "__main__":
    main()
