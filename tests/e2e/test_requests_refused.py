"""What could be read in two ways is refused, closes the connection, reaches no origin and is counted once."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from play import Reset, add_case, case, expect, run  # noqa: E402

# What follows on the same connection: it must never be answered, and never reach an origin.
FOLLOWER = "GET /smuggled HTTP/1.1\r\nHost: %s\r\n\r\n"


def get(*fields, line="GET / HTTP/1.1", host=True):
    """A head; HOST stands for the case's host."""
    return "\r\n".join([line, *(["Host: HOST"] if host else []), *fields]) + "\r\n\r\n"


def chunks(body, *fields):
    return get("Transfer-Encoding: chunked", *fields, line="POST / HTTP/1.1") + body


def post(body, *fields):
    return get(*fields, line="POST / HTTP/1.1") + body


# name: (statuses that are right, head and what follows it)
HEADS = {
    # where a body ends
    "length_with_coding": (400, post("0\r\n\r\n", "Content-Length: 5", "Transfer-Encoding: chunked")),
    "coding_with_length": (400, post("0\r\n\r\n", "Transfer-Encoding: chunked", "Content-Length: 5")),
    "two_equal_lengths": (400, post("abc", "Content-Length: 3", "Content-Length: 3")),
    "two_different_lengths": (400, post("abc", "Content-Length: 3", "Content-Length: 0")),
    "length_list": (400, post("abc", "Content-Length: 3, 3")),
    "length_with_plus": (400, post("abc", "Content-Length: +3")),
    "negative_length": (400, post("abc", "Content-Length: -3")),
    "hexadecimal_length": (400, post("abc", "Content-Length: 0x3")),
    "length_with_a_blank_inside": (400, post("abc", "Content-Length: 3 0")),
    "length_with_a_letter": (400, post("abc", "Content-Length: 3a")),
    "empty_length": (400, post("abc", "Content-Length:")),
    "length_that_overflows": ((400, 413), post("abc", "Content-Length: 18446744073709551619")),
    "length_of_forty_digits": ((400, 413), post("abc", "Content-Length: " + "9" * 40)),
    "length_with_vertical_tab": (400, post("abc", "Content-Length: 3\x0b")),
    "coding_gzip": (501, post("abc", "Transfer-Encoding: gzip")),
    "coding_gzip_then_chunked": (501, post("0\r\n\r\n", "Transfer-Encoding: gzip, chunked")),
    "coding_chunked_then_gzip": ((400, 501), post("0\r\n\r\n", "Transfer-Encoding: chunked, gzip")),
    "coding_chunked_twice": (400, post("0\r\n\r\n", "Transfer-Encoding: chunked, chunked")),
    "coding_chunked_in_two_fields": (400, post("0\r\n\r\n", "Transfer-Encoding: chunked",
                                               "Transfer-Encoding: chunked")),
    "coding_split_over_fields": ((400, 501), post("0\r\n\r\n", "Transfer-Encoding: gzip",
                                                  "Transfer-Encoding: chunked")),
    "coding_identity": ((400, 501), post("abc", "Transfer-Encoding: identity")),
    "coding_xchunked": ((400, 501), post("0\r\n\r\n", "Transfer-Encoding: xchunked")),
    "coding_with_parameter": ((400, 501), post("0\r\n\r\n", "Transfer-Encoding: chunked;q=1")),
    "coding_in_quotes": ((400, 501), post("0\r\n\r\n", 'Transfer-Encoding: "chunked"')),
    "empty_coding": (400, post("0\r\n\r\n", "Transfer-Encoding:")),
    "coding_of_commas": (400, post("0\r\n\r\n", "Transfer-Encoding: ,")),
    "coding_after_vertical_tab": (400, post("0\r\n\r\n", "Transfer-Encoding: \x0bchunked")),
    "coding_with_space_before_colon": (400, post("0\r\n\r\n", "Transfer-Encoding : chunked")),
    "folded_coding": (400, post("0\r\n\r\n", "Transfer-Encoding:\r\n chunked")),
    "coding_behind_bare_cr": (400, post("0\r\n\r\n", "X: a\rTransfer-Encoding: chunked")),
    "coding_in_http_1_0": (400, get("Transfer-Encoding: chunked", line="POST / HTTP/1.0") + "0\r\n\r\n"),
    # fields
    "folded_field": (400, get("A: b\r\n c")),
    "folded_field_with_tab": (400, get("A: b\r\n\tc")),
    "fold_before_the_first_field": (400, "GET / HTTP/1.1\r\n A: b\r\nHost: HOST\r\n\r\n"),
    "space_before_colon": (400, get("A : b")),
    "tab_before_colon": (400, get("A\t: b")),
    "empty_field_name": (400, get(": b")),
    "field_without_colon": (400, get("nonsense")),
    "field_name_with_parenthesis": (400, get("A(b: c")),
    "field_name_with_high_byte": (400, get("A\xe4: c")),
    "field_name_with_nul": (400, get("A\0: c")),
    "nul_in_value": (400, get("A: b\0c")),
    "control_in_value": (400, get("A: b\x01c")),
    "delete_in_value": (400, get("A: b\x7fc")),
    "bare_cr_in_value": (400, get("A: b\rc")),
    "bare_lf_after_field": (400, "GET / HTTP/1.1\r\nHost: HOST\nA: b\r\n\r\n"),
    "bare_lf_after_request_line": (400, "GET / HTTP/1.1\nHost: HOST\r\n\r\n"),
    "bare_lf_everywhere": (400, "GET / HTTP/1.1\nHost: HOST\n\n"),
    "head_ended_by_bare_lf": (400, "GET / HTTP/1.1\r\nHost: HOST\r\n\n"),
    "cr_cr_lf": (400, "GET / HTTP/1.1\r\nHost: HOST\r\r\n\r\n"),
    "leading_bare_lf": (400, "\nGET / HTTP/1.1\r\nHost: HOST\r\n\r\n"),
    # the request line
    "two_spaces_after_method": (400, get(line="GET  / HTTP/1.1")),
    "two_spaces_after_target": (400, get(line="GET /  HTTP/1.1")),
    "tab_after_method": (400, get(line="GET\t/ HTTP/1.1")),
    "leading_space": (400, get(line=" GET / HTTP/1.1")),
    "trailing_space": (400, get(line="GET / HTTP/1.1 ")),
    "space_in_target": (400, get(line="GET /a b HTTP/1.1")),
    "control_in_target": (400, get(line="GET /a\x01b HTTP/1.1")),
    "nul_in_target": (400, get(line="GET /a\0b HTTP/1.1")),
    "high_byte_in_target": (400, get(line="GET /a\xffb HTTP/1.1")),
    "fragment_in_target": (400, get(line="GET /a#b HTTP/1.1")),
    "target_without_slash": (400, get(line="GET a HTTP/1.1")),
    "empty_target": (400, get(line="GET  HTTP/1.1")),
    "method_that_is_no_token": (400, get(line="G@T / HTTP/1.1")),
    "star_outside_options": (400, get(line="GET * HTTP/1.1")),
    "version_0_9": (400, "GET /\r\n\r\n"),
    "version_missing": (400, get(line="GET / ")),
    "version_1_2": (505, get(line="GET / HTTP/1.2")),
    "version_2_0": (505, get(line="GET / HTTP/2.0")),
    "version_0_9_written_out": (505, get(line="GET / HTTP/0.9")),
    "version_of_two_digits": ((400, 505), get(line="GET / HTTP/1.10")),
    "version_with_leading_zero": ((400, 505), get(line="GET / HTTP/01.1")),
    "version_in_small_letters": ((400, 505), get(line="GET / http/1.1")),
    "protocol_rtsp": ((400, 505), get(line="GET / RTSP/1.0")),
    "protocol_ice": ((400, 505), get(line="SOURCE / ICE/1.0")),
    "unknown_method": (501, get(line="FROB / HTTP/1.1")),
    "method_in_small_letters": (501, get(line="get / HTTP/1.1")),
    "connect": (405, "CONNECT HOST:443 HTTP/1.1\r\nHost: HOST:443\r\n\r\n"),
    # who is asked
    "no_host": (400, get(host=False)),
    "two_hosts": (400, get("Host: HOST")),
    "two_different_hosts": (400, get("Host: other.test")),
    "host_with_blank": (400, get("Host: a b", host=False)),
    "host_with_slash": (400, get("Host: a/b", host=False)),
    "host_with_user": (400, get("Host: user@HOST", host=False)),
    "host_with_question_mark": (400, get("Host: a?b", host=False)),
    "host_with_two_ports": (400, get("Host: HOST:80:80", host=False)),
    "host_with_named_port": (400, get("Host: HOST:http", host=False)),
    "host_with_port_too_large": (400, get("Host: HOST:65536", host=False)),
    "host_with_open_bracket": (400, get("Host: [::1", host=False)),
    "host_with_bad_escape": (400, get("Host: a%zz", host=False)),
    "host_list": (400, get("Host: HOST, other.test", host=False)),
    "target_that_disagrees_with_host": (400, get(line="GET http://other.test/ HTTP/1.1")),
    "target_with_user": (400, get(line="GET http://user@HOST/ HTTP/1.1")),
    "target_with_another_scheme": (400, get(line="GET ftp://HOST/ HTTP/1.1")),
    "target_without_authority": (400, get(line="GET http:/// HTTP/1.1")),
}

# Bodies that go wrong after a good head: the head may have gone on, a whole request may not.
BODIES = {
    "chunk_size_of_letters": chunks("g\r\nabc\r\n0\r\n\r\n"),
    "chunk_size_missing": chunks("\r\nabc\r\n0\r\n\r\n"),
    "chunk_size_negative": chunks("-3\r\nabc\r\n0\r\n\r\n"),
    "chunk_size_with_plus": chunks("+3\r\nabc\r\n0\r\n\r\n"),
    "chunk_size_with_0x": chunks("0x3\r\nabc\r\n0\r\n\r\n"),
    "chunk_size_after_blank": chunks(" 3\r\nabc\r\n0\r\n\r\n"),
    "chunk_size_before_blank": chunks("3 \r\nabc\r\n0\r\n\r\n"),
    "chunk_size_that_overflows": chunks("10000000000000003\r\nabc\r\n0\r\n\r\n"),
    "chunk_size_line_ended_by_lf": chunks("3\nabc\r\n0\r\n\r\n"),
    "chunk_size_line_ended_by_cr": chunks("3\rabc\r\n0\r\n\r\n"),
    "chunk_size_that_is_too_small": chunks("2\r\nabc\r\n0\r\n\r\n"),
    "chunk_data_ended_by_lf": chunks("3\r\nabc\n0\r\n\r\n"),
    "chunk_data_without_end": chunks("3\r\nabc0\r\n\r\n"),
    "chunk_extension_without_name": chunks("3;\r\nabc\r\n0\r\n\r\n"),
    "chunk_extension_without_value": chunks("3;a=\r\nabc\r\n0\r\n\r\n"),
    "chunk_extension_with_open_quote": chunks('3;a="b\r\nabc\r\n0\r\n\r\n'),
    "chunk_extension_with_control": chunks("3;a=\x01\r\nabc\r\n0\r\n\r\n"),
    "chunk_extension_with_bare_cr": chunks("3;a\rb\r\nabc\r\n0\r\n\r\n"),
    "chunk_extension_ended_by_lf": chunks("3;a=b\nabc\r\n0\r\n\r\n"),
    "chunk_extension_without_end": chunks("3;a=" + "b" * 70000),
    "last_chunk_ended_by_lf": chunks("3\r\nabc\r\n0\n\r\n"),
    "body_ended_by_bare_lf": chunks("3\r\nabc\r\n0\r\n\n"),
    "trailer_with_length": chunks("3\r\nabc\r\n0\r\nContent-Length: 3\r\n\r\n"),
    "trailer_with_coding": chunks("3\r\nabc\r\n0\r\nTransfer-Encoding: chunked\r\n\r\n"),
    "trailer_with_host": chunks("3\r\nabc\r\n0\r\nHost: other.test\r\n\r\n"),
    "trailer_with_space_before_colon": chunks("3\r\nabc\r\n0\r\nA : b\r\n\r\n"),
    "trailer_without_colon": chunks("3\r\nabc\r\n0\r\nnonsense\r\n\r\n"),
    "trailer_that_is_folded": chunks("3\r\nabc\r\n0\r\nA: b\r\n c\r\n\r\n"),
    "trailer_ended_by_lf": chunks("3\r\nabc\r\n0\r\nA: b\n\r\n"),
    "trailer_with_nul": chunks("3\r\nabc\r\n0\r\nA: b\0\r\n\r\n"),
}


def play(stage, text, cut):
    """Sends the bytes with a good request behind them, whole or cut; gives the answer after the end was seen."""
    raw = text.replace("HOST", stage.host).encode("latin-1")
    link = stage.connect("cut" if cut else "whole")
    try:
        if cut:
            link.send_in_cuts(raw[:-1], cut, 0.0002)
            raw = raw[-1:]
        link.send(raw + FOLLOWER.replace("%s", stage.host).encode())
    except Reset:
        pass  # refused while we still sent: the answer is there to be read
    response = link.read_response()
    link.expect_closed()
    expect((response.get("Connection") or "").lower(), "close", "Connection of the refusal")
    return response


def is_counted(stage, before, plays):
    """As often as it was played, for one reason."""
    after = stage.rejected()
    grown = {reason: after[reason] - before.get(reason, 0) for reason in after if after[reason] != before.get(reason, 0)}
    expect(list(grown.values()), [plays], f"further refusals: {grown}")


def refuses_head(statuses, text):
    wanted = (statuses,) if isinstance(statuses, int) else statuses

    def function(stage):
        before = stage.rejected()
        links_before = len(stage.everything_else.origin.links)
        for cut in (0, 1):
            response = play(stage, text, cut)
            if response.status not in wanted:
                raise AssertionError(f"status {response.status}, wanted {wanted}")
        is_counted(stage, before, 2)
        expect(stage.origin.received, [], "what the origin got")
        expect(len(stage.everything_else.origin.links), links_before, "connections elsewhere")

    return function


def refuses_body(text):
    def function(stage):
        before = stage.rejected()
        for cut in (0, 0 if len(text) > 4096 else 1):
            expect(play(stage, text, cut).status, 400, "status")
        is_counted(stage, before, 2)
        expect(stage.origin.requests, [], "whole requests at the origin")
        for received in stage.origin.received:
            if b"smuggled" in received or received.endswith(b"0\r\n\r\n"):
                raise AssertionError(f"the origin got {received!r}")

    return function


for head_name, (head_status, head_text) in HEADS.items():
    add_case(refuses_head(head_status, head_text), f"refuses_{head_name}")
for body_name, body_text in BODIES.items():
    add_case(refuses_body(body_text), f"refuses_{body_name}")


@case()
def http_1_0_without_host_goes_to_the_service_for_all(stage):
    link = stage.connect()
    link.send("GET /old HTTP/1.0\r\n\r\n")
    expect(link.read_response().status, 200, "status")
    link.expect_closed(may_reset=False)
    expect(stage.everything_else.origin.requests[-1].target, "/old", "target")


@case()
def valid_chunk_extensions_are_dropped(stage):
    link = stage.connect()
    link.send(stage.request("POST", fields=["Transfer-Encoding: chunked"])
              + b'3;a\r\nabc\r\n2;b=c;d="e;\\"f"\r\nde\r\n0;g\r\n\r\n')
    expect(link.read_response().status, 200, "status")
    expect(stage.origin.requests[0].body, b"abcde", "body")


@case()
def refusals_after_good_requests_answer_the_good_ones_first(stage):
    link = stage.connect()
    link.send(stage.request(target="/one") + stage.request(target="/two") + b"BAD REQUEST\r\n\r\n")
    expect([link.read_response().status for _ in range(3)], [200, 200, 400], "statuses in order")
    link.expect_closed()
    expect([request.target for request in stage.origin.requests], ["/one", "/two"], "at the origin")


if __name__ == "__main__":
    run(__file__, catch_all=True)
