"""Who gets the canary: exact shares, people who stay where they are, and those who ask."""

import os
import re
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from play import Closed, add_case, answer, case, expect, health, run, wait_for  # noqa: E402

WORKERS = 2
COOKIE = re.compile(r"serin=([^;]+)((?:; [^;]+)*)\Z")
QUIET_JUDGE = {"rollback": {"on_breach": "alert"}}


def named(stage):
    stage.origin.reply = answer(body=b"stable")
    stage.canary.reply = answer(body=b"canary")


def ask_many(stage, count, fields=(), per_connection=10):
    """The versions that answered, in order; connections are spread over the workers by the kernel."""
    bodies = []
    link = None
    for number in range(count):
        if number % per_connection == 0:
            if link:
                link.close()
            link = stage.connect()
        link.send(stage.request(fields=fields(number) if callable(fields) else fields))
        bodies.append(link.read_response().body.decode())
    link.close()
    return bodies


def splits_exactly(percent, count):
    def function(stage):
        named(stage)
        got = ask_many(stage, count).count("canary")
        wanted = count * percent / 100
        if abs(got - wanted) > WORKERS:
            raise AssertionError(f"{got} of {count} at {percent} %, wanted {wanted} within {WORKERS}")

    return function


for share in (0, 0.25, 1, 10, 33.3, 50, 99, 100):
    add_case(splits_exactly(share, 1000 if share == 0.25 else 400), f"split_is_exact_at_{str(share).replace('.', '_')}",
             service={"weight": f"{share}%", **QUIET_JUDGE}, workers=WORKERS)


@case(service={"weight": "25%", **QUIET_JUDGE}, workers=1)
def split_of_one_worker_is_even_at_every_moment(stage):
    named(stage)
    bodies = ask_many(stage, 200)
    for count in range(1, 201):
        got = bodies[:count].count("canary")
        if abs(got - count / 4) > 1:
            raise AssertionError(f"{got} of the first {count}")


@case(service={"weight": "50%", **QUIET_JUDGE}, workers=WORKERS)
def opt_in_and_out_do_not_move_the_split(stage):
    named(stage)
    def fields(number):
        return [["Serin-Version: current"], [], ["Serin-Version: previous"], []][number % 4]

    bodies = ask_many(stage, 400, fields)
    expect((set(bodies[0::4]), set(bodies[2::4])), ({"canary"}, {"stable"}), "those who asked")
    got = bodies[1::2].count("canary")
    if abs(got - 100) > WORKERS:
        raise AssertionError(f"{got} of 200 at 50 % among the others")


@case(service={"weight": "10%", **QUIET_JUDGE})
def opt_in_by_cookie_and_header_before_cookie(stage):
    named(stage)
    expect(stage.ask(fields=["Cookie: a=b; serin-version=current"]).body, b"canary", "cookie")
    expect(stage.ask(fields=["Cookie: serin-version=previous"]).body, b"stable", "cookie out")
    expect(stage.ask(fields=["Cookie: serin-version=current", "Serin-Version: previous"]).body, b"stable", "header wins")


@case(service={"weight": "0%", **QUIET_JUDGE})
def opt_in_works_without_any_weight(stage):
    named(stage)
    expect(stage.ask(fields=["Serin-Version: current"]).body, b"canary", "header")


@case(service={"weight": "0%", "opt_in": "off"})
def opt_in_can_be_off(stage):
    named(stage)
    expect(stage.ask(fields=["Serin-Version: current"]).body, b"stable", "header")


@case(service={"weight": "0%", "opt_in": "trusted"})
def opt_in_of_strangers_can_be_ignored(stage):
    named(stage)
    expect(stage.ask(fields=["Serin-Version: current"]).body, b"stable", "header of a peer that is not trusted")


@case(service={"weight": "0%", **QUIET_JUDGE})
def opted_in_failures_are_not_the_judges_business(stage):
    stage.canary.reply = answer(503, b"canary")
    for _ in range(30):
        expect(stage.ask(fields=["Serin-Version: current"]).status, 503, "status")
    service = stage.serin.service(stage.name)
    expect(service["verdict"] in ("insufficient_data", "ok"), True, f"verdict {service['verdict']}")
    expect(stage.serin.metrics().sum("serin_upstream_requests_total", service=stage.name, role="current", code=503), 30,
           "counted in metrics")


# --- stickiness -------------------------------------------------------------------------------------------------------
def cookie_of(response):
    for value in response.all("Set-Cookie"):
        match = COOKIE.match(value)
        if match:
            return match.group(1), match.group(2)
    return None, None


@case(service={"weight": "30%", "sticky": {"by": "cookie"}, **QUIET_JUDGE})
def cookie_keeps_its_client_and_growth_only_adds(stage):
    named(stage)
    people = []
    for _ in range(120):
        response = stage.ask()
        cookie, attributes = cookie_of(response)
        expect(sorted(attributes.strip("; ").split("; ")), ["HttpOnly", "Path=/", "SameSite=Lax"], "attributes")
        people.append((cookie, response.body))
    canaries = sum(body == b"canary" for _, body in people)
    if abs(canaries - 36) > WORKERS:
        raise AssertionError(f"{canaries} of 120 new clients at 30 %")

    def look():
        return {cookie: stage.ask(fields=[f"Cookie: x=y; serin={cookie}"]).body for cookie, _ in people}

    expect(look(), dict(people), "everybody where they were")
    before = look()
    for percent in (40, 75, 100, 60, 30, 5, 0):
        is_growing = percent in (40, 75, 100)
        expect(stage.serin.set_weight(stage.name, percent).status, 200, f"weight {percent}")
        after = look()
        moved = {(before[cookie], after[cookie]) for cookie in before if before[cookie] != after[cookie]}
        expect(moved <= ({(b"stable", b"canary")} if is_growing else {(b"canary", b"stable")}), True,
               f"moves at {percent} %: {moved}")
        if percent == 100:
            expect(set(after.values()), {b"canary"}, "all at 100 %")
        before = after
    expect(set(before.values()), {b"stable"}, "all at 0 %")


@case(service={"weight": "50%", "sticky": {"by": "cookie"}, **QUIET_JUDGE})
def cookie_is_given_once(stage):
    named(stage)
    cookie, _ = cookie_of(stage.ask())
    expect(cookie_of(stage.ask(fields=[f"Cookie: serin={cookie}"]))[0], None, "a second cookie")


@case(service={"weight": "50%", "sticky": {"by": "cookie"}, **QUIET_JUDGE})
def cookie_that_is_nonsense_is_replaced(stage):
    named(stage)
    for wrong in ("", "x", "1.2", "999999999999.1", "a.b", "." * 200, "1.-1", "1.1000000"):
        response = stage.ask(fields=[f"Cookie: serin={wrong}"])
        expect(cookie_of(response)[0] is not None, True, f"a new cookie for {wrong!r}")


@case(service={"weight": "0%", "sticky": {"by": "cookie"}, **QUIET_JUDGE})
def no_cookie_while_one_version_has_all_the_weight(stage):
    named(stage)
    expect(cookie_of(stage.ask())[0], None, "cookie")


@case(service={"weight": "50%", "sticky": {"by": "cookie"}, **QUIET_JUDGE})
def cookie_of_serin_stays_with_serin(stage):
    """The origin sees the cookies that are its own."""
    named(stage)
    cookie, _ = cookie_of(stage.ask())
    response = stage.ask(fields=[f"Cookie: a=b; serin={cookie}; c=d"])
    origin = stage.origin if response.body == b"stable" else stage.canary
    got = origin.requests[-1].get("Cookie")
    expect("a=b" in got and "c=d" in got, True, f"cookies {got!r}")


def sticks(sticky, fields_of_person):
    def function(stage):
        named(stage)
        def look():
            return [stage.ask(fields=fields_of_person(number)).body for number in range(150)]

        first = look()
        expect(look(), first, "everybody where they were")
        count = first.count(b"canary")
        if not 25 <= count <= 95:
            raise AssertionError(f"{count} of 150 at 40 %")
        expect(stage.serin.set_weight(stage.name, 80).status, 200, "weight")
        second = look()
        left = [number for number in range(150) if first[number] == b"canary" and second[number] != b"canary"]
        expect(left, [], "who left the canary when it grew")

    return function


add_case(sticks("header", lambda number: [f"X-User: user-{number}"]), "header_keeps_its_client",
         service={"weight": "40%", "sticky": {"by": "header", "name": "X-User"}, **QUIET_JUDGE})
add_case(sticks("client_ip", lambda number: [f"X-Forwarded-For: 192.0.2.{number}"]), "client_ip_keeps_its_client",
         service={"weight": "40%", "sticky": {"by": "client_ip"}, **QUIET_JUDGE}, proxy={"trusted_proxies": ["127.0.0.1/32"]})


@case(service={"weight": "50%", "sticky": {"by": "client_ip"}, **QUIET_JUDGE})
def client_ip_of_strangers_is_the_peer(stage):
    named(stage)
    bodies = {stage.ask(fields=[f"X-Forwarded-For: 192.0.2.{number}"]).body for number in range(30)}
    expect(len(bodies), 1, "versions for one peer")


# --- a version without endpoints --------------------------------------------------------------------------------------
HEALTH = health()


@case(service={"weight": "50%", "health": HEALTH, "rollback": {"on_breach": "alert"}})
def dead_version_gives_its_share_without_changing_the_set_weight(stage):
    named(stage)
    def up(role):
        return stage.serin.metrics().sum("serin_endpoint_up", service=stage.name, role=role)

    wait_for(lambda: (up("current"), up("previous")) == (1, 1), "both are healthy")
    stage.canary.stop_listening()
    for link in stage.canary.links:
        link.interrupt()
    wait_for(lambda: up("current") == 0, "the canary is seen to be dead")
    expect(set(ask_many(stage, 60)), {"stable"}, "who answers")
    expect(stage.serin.service(stage.name)["weight"]["set"], 50, "set weight")


@case(service={"weight": "50%", "health": HEALTH, "rollback": {"on_breach": "alert"}})
def dead_stable_version_gives_its_share_too(stage):
    named(stage)
    wait_for(lambda: stage.serin.metrics().sum("serin_endpoint_up", service=stage.name) == 2, "both are healthy")
    stage.origin.stop_listening()
    for link in stage.origin.links:
        link.interrupt()
    wait_for(lambda: stage.serin.metrics().sum("serin_endpoint_up", service=stage.name, role="previous") == 0, "dead")
    expect(set(ask_many(stage, 60)), {"canary"}, "who answers")


@case(service={"weight": "0%", "health": HEALTH})
def no_version_alive_is_a_503(stage):
    for origin in (stage.origin, stage.canary):
        origin.stop_listening()
        for link in origin.links:
            link.interrupt()
    def status():
        try:
            return stage.ask().status
        except Closed:
            return None

    wait_for(lambda: status() == 503, "an answer without any origin")


if __name__ == "__main__":
    run(__file__, parallel=4)
