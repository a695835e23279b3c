"""Alerts reach a real Alertmanager and end there; receivers in trouble are tried again, and delay nothing."""

import json
import os
import signal
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from play import SLOW, case, expect, free_port, run, wait_for  # noqa: E402
from receiver import Alertmanager, Receiver, is_signed  # noqa: E402
from release import Release  # noqa: E402

FREEZE = {"on_breach": "freeze"}
ROLLBACK = [("SerinRollback", "firing"), ("SerinRollback", "resolved")]


def results(serin, channel):
    return serin.metrics().by("serin_alerts_total", "result", channel=channel)


def trouble(serin):
    """What the conditions of the process say about channels; others may stand beside it."""
    return "; ".join(text for text in serin.conditions() if text.startswith("alert channel"))


def names(hook):
    return [event["labels"]["alertname"] for event in hook.events()]


def reload_badly(serin):
    with open(serin.config_path, encoding="utf-8") as file:
        good = file.read()
    serin.write_text("nonsense")
    serin.signal(signal.SIGHUP)
    return good


@case(starts_proxy=False)
def breach_is_an_alert_in_the_alertmanager_until_it_is_over(stage):
    with Alertmanager() as manager:
        with Release(stage, settings={"alerts": [{"alertmanager": manager.url}]}, rollback=FREEZE) as release:
            release.canary.order(status=500)
            release.wait_phase("frozen")
            alert = wait_for(lambda: manager.alerts(alertname="SerinBreach"), "the alert is there")[0]
            labels = alert["labels"]
            expect((labels["service"], labels["deployment"], labels["severity"]), (release.name, "bad-2", "critical"), "labels")
            expect(labels["reason"] in ("absolute", "relative"), True, f"reason {labels}")
            expect(" of " in alert["annotations"]["summary"] and "%" in alert["annotations"]["summary"], True,
                   f"numbers in the sentence {alert['annotations']}")
            expect(alert["annotations"]["runbook"], "docs/OPERATING.md#serinbreach", "runbook")
            expect(f":{release.serin.admin_port}/api/v1/services/{release.name}" in alert["generatorURL"], True, "link")


            def told():
                rows = release.serin.admin("GET", "/api/v1/audit").json["audit"]
                return [row["detail"]["text"] for row in rows if row["action"] == "alert"]

            wait_for(told, "it is in the audit trail")
            expect(told(), [alert["annotations"]["summary"]], "the sentence in the audit trail")
            release.serin.kill()
            release.serin.start()
            wait_for(lambda: [one for one in manager.alerts(alertname="SerinBreach") if one["updatedAt"] != alert["updatedAt"]],
                     "the next process tells of it again")
            again = manager.alerts(alertname="SerinBreach")
            expect([(one["fingerprint"], one["startsAt"]) for one in again],
                   [(alert["fingerprint"], alert["startsAt"])], "the same alert, not another one")
            release.serin.admin("POST", f"/api/v1/services/{release.name}/rollout/abort")
            wait_for(lambda: not manager.alerts(alertname="SerinBreach"), "the alert is resolved")


@case(starts_proxy=False)
def rollback_fires_and_is_resolved_when_it_is_confirmed(stage):
    with Receiver() as hook, Alertmanager() as manager:
        alerts = [{"webhook": {"url": hook.url, "secret_env": "HOOK_KEY"}}, {"alertmanager": manager.url}]
        with Release(stage, settings={"alerts": alerts}, process={"environment": {"HOOK_KEY": "k3y"}}) as release:
            release.canary.order(status=500, every=2)
            release.wait_phase("rolled_back")
            record = release.record()
            wait_for(lambda: len(hook.told()) == 2, "both are told")
            expect(hook.told(), ROLLBACK, "what was told")
            fired, ended = hook.events()
            expect(fired["annotations"]["summary"], record["reason"], "the sentence is the record's")
            expect(fired["labels"], ended["labels"], "labels at both ends")
            expect(fired["starts_at"], ended["starts_at"], "one alert")
            expect(fired["ends_at"], None, "not over")
            expect(fired["id"] != ended["id"], True, "ids")
            expect([is_signed(message, "k3y") for message in hook.taken], [True, True], "signed")
            expect(is_signed(hook.taken[0], "other"), False, "by this key")
            expect([message["fields"]["Serin-Event"] for message in hook.taken], [fired["id"], ended["id"]], "ids in the head")
            wait_for(lambda: not manager.alerts(service=release.name), "resolved at the Alertmanager")
            wait_for(lambda: results(release.serin, "webhook") == {"delivered": 2}, "both are counted")


@case(starts_proxy=False)
def rollout_tells_people_of_its_start_and_success(stage):
    with Receiver() as slack, Receiver() as hook, Alertmanager() as manager:
        alerts = [{"slack": {"url_env": "SLACK"}}, {"webhook": {"url": hook.url}}, {"alertmanager": manager.url}]
        service = stage.service(rollout={"steps": ["50%", "100%"], "min_time": "1s", "bake": "1s"})
        del service["weight"]
        serin = stage.start_serin({"alerts": alerts, "services": [service]},
                                  environment={"SLACK": f"http://127.0.0.1:{slack.port}/services/T0/B0/s3cret"})
        wait_for(lambda: serin.service(stage.name)["step"] == 1, "it climbs")
        answer = serin.admin("POST", f"/api/v1/services/{stage.name}/rollout/promote", {"full": True})
        expect(answer.status, 200, f"promote {answer}")
        wait_for(lambda: len(hook.told()) == 2, "start and success are told", 30)
        expect([event["labels"]["reason"] for event in hook.events()], ["rollout.start", "rollout.success"], "what was told")
        expect({event["state"] for event in hook.events()}, {"notice"}, "states")
        wait_for(lambda: len(slack.taken) == 2, "in the chat too")
        texts = [json.loads(message["body"])["text"] for message in slack.taken]
        expect([stage.name in text and "canary" in text for text in texts], [True, True], f"texts {texts}")
        expect(slack.taken[0]["path"], "/services/T0/B0/s3cret", "the URL of the environment")
        expect(manager.alerts(), [], "an Alertmanager hears of alerts only")


@case(starts_proxy=False)
def command_gets_the_alert_on_standard_input(stage):
    kept = os.path.join(stage.folder, "kept.json")
    with Receiver() as hook:
        command = ["/bin/sh", "-c", f"cat >> {kept}; echo >> {kept}; echo heard"]
        alerts = [{"exec": {"command": command, "timeout": f"{int(10 * SLOW)}s"}}, {"webhook": {"url": hook.url}}]
        with Release(stage, settings={"alerts": alerts}) as release:
            release.canary.order(status=500)
            release.wait_phase("rolled_back")
            wait_for(lambda: results(release.serin, "exec").get("delivered") == 2, "the command ran twice")
            wait_for(lambda: len(hook.told()) == 2, "the webhook too")
            with open(kept, encoding="utf-8") as file:
                expect([json.loads(line) for line in file], hook.events(), "what the command was given")


@case(starts_proxy=False)
def command_that_hangs_is_killed_with_its_children_and_tried_again(stage):
    kept = os.path.join(stage.folder, "pids")
    script = f"sleep 300 & echo $! $$ >> {kept}; wait"
    alerts = [{"exec": {"command": ["/bin/sh", "-c", script], "timeout": f"{int(800 * SLOW)}ms"}}]
    with Release(stage, settings={"alerts": alerts}) as release:
        release.canary.order(status=500)
        release.wait_phase("rolled_back")
        wait_for(lambda: results(release.serin, "exec").get("failed", 0) >= 2, "it is tried again", 30)
        wait_for(lambda: "did not end in time" in trouble(release.serin), "the condition says why")
    with open(kept, encoding="utf-8") as file:
        pids = [int(word) for word in file.read().split()]

    def is_alive(pid):
        try:
            with open(f"/proc/{pid}/stat", encoding="utf-8") as stat:
                return stat.read().rsplit(")", 1)[1].split()[0] != "Z"
        except FileNotFoundError:
            return False

    wait_for(lambda: not any(is_alive(pid) for pid in pids), "no process is left behind")


@case(starts_proxy=False)
def dead_channels_change_nothing_about_a_rollback(stage):
    """One that hangs, one that refuses to connect, one that closes, one that redirects, a command that is not there."""
    with Receiver(hangs=True) as hanging, Receiver(closes=True) as closing, Receiver() as trap, \
            Receiver(status=307, fields=[("Location", f"{trap.url}")]) as moved, Receiver() as well:
        hooks = [hanging.url, f"http://127.0.0.1:{free_port()}/", closing.url, moved.url]
        alerts = [{"webhook": {"url": url}} for url in hooks]
        alerts += [{"exec": {"command": ["/nonexistent/command"]}}, {"slack": {"url_env": "NOT_SET_ANYWHERE"}},
                   {"webhook": {"url": well.url}}]
        with Release(stage, settings={"alerts": alerts}, rollback={"instant_above": "90%"}) as release:
            release.canary.order(status=500, every=3)
            release.wait_phase("rolled_back")
            release.saw(20, 10, 0)
            wait_for(lambda: len(well.told()) == 2, "the one that is well is told")
            expect(well.told(), ROLLBACK, "what was told")
            wait_for(lambda: len(moved.came) >= 2, "the redirect is tried again", 30)
            expect(trap.came, [], "and not followed")
            wait_for(lambda: "more channels fail" in trouble(release.serin), "a condition tells of them")
            metrics = release.serin.metrics()
            expect(metrics.sum("serin_condition", condition="alerts"), 1, "condition in the metrics")
            expect(release.serin.service(release.name)["phase"], "rolled_back", "phase")


@case(starts_proxy=False)
def https_receiver_that_nobody_vouches_for_gets_nothing(stage):
    with Receiver(folder=stage.folder) as hook:
        with Release(stage, settings={"alerts": [{"webhook": {"url": hook.url}}]}) as release:
            release.canary.order(status=500)
            release.wait_phase("rolled_back")
            wait_for(lambda: results(release.serin, "webhook").get("failed", 0) >= 1, "it is refused")
            expect((hook.came, results(release.serin, "webhook").get("delivered")), ([], None), "what it got")
            wait_for(lambda: "certificate" in trouble(release.serin), "the condition says why")


@case(starts_proxy=False)
def receiver_that_fails_is_told_later_and_once(stage):
    with Receiver(status=500) as hook:
        with Release(stage, settings={"alerts": [{"webhook": {"url": hook.url}}]}) as release:
            release.canary.order(status=500)
            release.wait_phase("rolled_back")
            wait_for(lambda: len(hook.came) >= 2, "it is tried again", 30)
            wait_for(lambda: "answered 500" in trouble(release.serin), "the condition says why")
            hook.order(status=200)
            wait_for(lambda: len(hook.told()) == 2, "it is told in the end", 90)
            expect(hook.told(), ROLLBACK, "what was told")
            ids = [json.loads(message["body"])["id"] for message in hook.came]
            expect(len(set(ids)), 2, "the same id on every attempt")
            wait_for(lambda: not trouble(release.serin), "the condition is over")


@case(starts_proxy=False)
def message_that_is_not_wanted_is_given_up(stage):
    with Receiver(status=400) as hook:
        with Release(stage, settings={"alerts": [{"webhook": {"url": hook.url}}]}) as release:
            release.canary.order(status=500)
            release.wait_phase("rolled_back")
            wait_for(lambda: results(release.serin, "webhook") == {"refused": 2}, "both are given up")
            expect(len(hook.came), 2, "attempts")


@case(starts_proxy=False)
def alert_survives_a_crash_before_its_delivery(stage):
    with Receiver(status=503) as hook:
        with Release(stage, settings={"alerts": [{"webhook": {"url": hook.url}}]}) as release:
            release.canary.order(status=500)
            release.wait_phase("rolled_back")
            release.record()
            wait_for(lambda: len(hook.came) >= 1, "it was tried")
            # What is in a later row of the trail was written after the alerts.
            wait_for(lambda: "rollback.success" in release.serin.admin("GET", "/api/v1/audit").body.decode(), "written")
            release.serin.kill()
            expect(hook.told(), [], "nothing was delivered")
            hook.order(status=200)
            release.serin.start()
            wait_for(lambda: len(hook.told()) == 2, "the next process delivers", 30)
            expect(hook.told(), ROLLBACK, "what was told")
            wait_for(lambda: results(release.serin, "webhook").get("delivered") == 2, "and the process knows")
            release.serin.stop()
            release.serin.start()
            reload_badly(release.serin)
            wait_for(lambda: "SerinReloadFailed" in names(hook), "something newer is told")
            expect(hook.told(), ROLLBACK, "and nothing once more")


@case(starts_proxy=False)
def reload_keeps_what_a_channel_has_still_to_be_told(stage):
    with Receiver(status=503) as hook, Receiver() as other:
        first = {"webhook": {"url": hook.url}}
        with Release(stage, settings={"alerts": [first]}) as release:
            release.canary.order(status=500)
            release.wait_phase("rolled_back")
            wait_for(lambda: len(hook.came) >= 1, "it was tried")
            release.serin.change({"alerts": [{"webhook": {"url": other.url}}, first]})
            release.serin.signal(signal.SIGHUP)
            wait_for(lambda: "reload: done" in release.serin.log(), "reloaded")
            hook.order(status=200)
            wait_for(lambda: len(hook.told()) == 2, "it is told after the reload", 90)
            expect(other.told(), [], "the new one hears of what comes, not of what was")
            release.serin.change({"alerts": []})
            release.serin.signal(signal.SIGHUP)
            wait_for(lambda: "not in the configuration any more" in release.serin.log(), "channels may go")


@case(starts_proxy=False)
def condition_of_the_process_is_an_alert_until_it_is_over(stage):
    with Receiver() as hook, Alertmanager() as manager:
        serin = stage.start_serin({"alerts": [{"webhook": {"url": hook.url}}, {"alertmanager": manager.url}]})
        good = reload_badly(serin)
        wait_for(lambda: manager.alerts(alertname="SerinReloadFailed"), "it fires")
        serin.write_text(good)
        serin.signal(signal.SIGHUP)
        wait_for(lambda: not manager.alerts(alertname="SerinReloadFailed"), "it ends")
        wait_for(lambda: len(hook.events()) == 2, "both are told")
        expect([event["state"] for event in hook.events()], ["firing", "resolved"], "states")
        expect(set(hook.events()[0]["labels"]), {"alertname", "severity", "reason"}, "labels")


def has_libcurl(serin):
    with open(f"/proc/{serin.process.pid}/maps", encoding="utf-8") as maps:
        return "/libcurl" in maps.read()


@case(starts_proxy=False)
def what_makes_calls_is_loaded_for_a_channel_before_there_is_anything_to_say(stage):
    script = [sys.executable, "-c", "pass"]
    serin = stage.start_serin({"alerts": [{"exec": {"command": script}}]})
    expect(has_libcurl(serin), False, "libcurl in a process that calls nobody")
    serin.change({"alerts": [{"exec": {"command": script}}, {"webhook": {"url": "http://127.0.0.1:1/"}}]})
    serin.signal(signal.SIGHUP)
    wait_for(lambda: has_libcurl(serin), "a channel that calls is ready")
    serin = stage.start_serin({"alerts": [{"webhook": {"url": "http://127.0.0.1:1/"}}]}, name="other")
    expect(has_libcurl(serin), True, "libcurl from the start")


@case(starts_proxy=False)
def secrets_are_never_shown(stage):
    secret, key = "T0KENINURL", "S1GNINGKEY"
    with Receiver(status=500) as hook:
        path = os.path.join(stage.folder, "key")
        with open(path, "w", encoding="utf-8") as file:
            file.write(key + "\n")
        alerts = [{"webhook": {"url_env": "HOOK", "secret_file": path}}, {"slack": {"url_env": "SLACK"}}]
        environment = {"HOOK": f"{hook.url}/{secret}", "SLACK": f"http://127.0.0.1:{free_port()}/{secret}"}
        with Release(stage, settings={"alerts": alerts}, process={"environment": environment}) as release:
            release.canary.order(status=500)
            release.wait_phase("rolled_back")
            wait_for(lambda: results(release.serin, "slack").get("failed"), "both fail")
            wait_for(lambda: results(release.serin, "webhook").get("failed"), "both fail")
            expect(secret in hook.came[0]["path"] and is_signed(hook.came[0], key), True, "used")
            shown = release.serin.log() + trouble(release.serin) + release.serin.metrics().text
            shown += release.serin.admin("GET", "/api/v1/audit").body.decode()
            expect((secret in shown, key in shown), (False, False), "secrets in what is shown")
            release.serin.kill()
            with open(release.serin.settings["state"], "rb") as file:
                content = file.read()
            expect((secret.encode() in content, key.encode() in content), (False, False), "secrets in the state file")
            release.serin.start()


if __name__ == "__main__":
    run(__file__, parallel=3)
