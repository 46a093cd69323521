#!/usr/bin/python3
"""Real leaks of real clients: each with its count, its host and the caller's line, in C and in Python."""
import contextlib
import os
import re
import socket
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import harness  # noqa: E402
from harness import brief, check, count, equal, findings  # noqa: E402

suite = harness.Suite()
origin = suite.stack.enter_context(harness.Origin())
BIG = "/bytes/262144"
HUGE = "/bytes/4000000"  # more than a loop, a TLS layer and two socket buffers take without being asked


def python(name):
    return [harness.PYTHON, os.path.join(harness.SOURCES, "python", name + ".py")]


def lines_of_function(source, name):
    with open(os.path.join(harness.SOURCES, source), encoding="utf-8") as file:
        text = file.read()
    start = re.search(rf"^static void {name}\(", text, re.M).start()
    first = text.count("\n", 0, start) + 1
    return range(first, first + text.count("\n", start, text.index("\n}", start)) + 2)


def check_line(finding, source, function):
    """Some frame of the finding lies in that function of the program's source."""
    lines = lines_of_function(source, function)
    frames = [frame for stack in finding["stacks"].values() for frame in stack or []]
    check(
        any(
            frame["function"] == function
            and os.path.basename(frame["file"] or "") == os.path.basename(source)
            and frame["line"] in lines
            for frame in frames
        ),
        lambda: f"no frame in {function} of {source}: {frames}",
    )


def judge(report, rule, objects, scheme, severity="error", spoken=True):
    """That many objects of this rule, on localhost, and no other error but what follows from
    them."""
    check(
        count(report, rule, severity) == objects,
        lambda: f"{objects} {severity} {rule} expected\n{brief(report)}",
    )
    roots = [f for f in report["findings"] if f["severity"] == "error" and not f["caused_by"]]
    check({f["rule"] for f in roots} <= {rule}, lambda: f"only {rule} expected\n{brief(report)}")
    port = origin.ports[scheme]
    expected = (
        "localhost",
        port,
        scheme if spoken else "",
    )  # nobody knows the scheme of what was never spoken
    check(
        all((f["host"], f["port"], f["scheme"]) == expected for f in roots), lambda: brief(report)
    )
    harness.not_blind(report)
    return roots


def bodies(report):
    return {name: number for name, number in report["totals"]["bodies"].items() if number}


def run_leak(scratch, scheme, argv, *options, **more):
    """Plain under LD_PRELOAD, https under `httpleak run`: both ways see all programs in turn."""
    origin.clear()
    bare = scratch.bare(argv, **more)
    equal("bare status", bare.status, 0)
    accepts = origin.clear()[scheme]["accepts"]
    result = (scratch.preloaded if scheme == "http" else scratch.run)(argv, *options, **more)
    check(result.report, "no trace")
    harness.replays(result.traces)
    equal("output", result.output, bare.output)
    equal("status", result.status, 0 if scheme == "http" else 23)
    opened = result.report["totals"]["connections"]["opened"]
    check(
        opened == accepts == origin.clear()[scheme]["accepts"],
        lambda: f"{accepts} accepts\n{brief(result.report)}",
    )
    return result.report


def kept_bodies(scratch, scheme, argv, path, objects, where=None):
    report = run_leak(scratch, scheme, [*argv, origin.url(scheme, path), str(objects)])
    roots = judge(report, "unclosed-body", objects, scheme)
    equal("bodies", bodies(report), {"opened": objects, "unclosed": objects})
    equal("live", report["totals"]["connections"]["live"], objects)
    equal("expected", {f["bytes_expected"] for f in roots}, {int(path.rsplit("/", 1)[1])})
    check(
        all(f["request"]["path"] == path and f["request"]["status"] == 200 for f in roots),
        lambda: brief(report),
    )
    if where:
        check_line(roots[0], *where)
    if argv[0] == harness.PYTHON:  # the first frame is the program's own, in its language
        shown = {(f["stacks"]["request"][0]["file"], f["stacks"]["request"][0]["language"]) for f in roots}
        equal("shown", shown, {(argv[1], "python")})


def raw(mode, path):
    def run(scheme, objects, *seconds):
        return [harness.program("rawleak"), origin.url(scheme, path), mode, str(objects), *seconds]

    return run


def raw_body(scratch, scheme, mode):
    """The descriptor of a half-read response: kept, kept as a copy, kept though a vfork child
    closed its own."""
    report = run_leak(scratch, scheme, raw(mode, BIG)(scheme, 4))
    roots = judge(report, "unclosed-body", 4, scheme)
    equal("bodies", bodies(report), {"opened": 4, "unclosed": 4})
    connections = report["totals"]["connections"]
    equal("closed, live", (connections["closed"], connections["live"]), (0, 4))
    check_line(roots[0], "rawleak.c", "leak_" + mode)


def close_wait(scratch, scheme, path, ended):
    """The peer closed and the end was read; the descriptor stays."""
    report = run_leak(scratch, scheme, raw("close-wait", path)(scheme, 4))
    roots = judge(report, "peer-closed", 4, scheme)
    equal("bodies", bodies(report), {"opened": 4, ended: 4})
    check_line(roots[0], "rawleak.c", "leak_close_wait")


def one_close_wait(scratch):
    """A program that reads one response to its end and exits without closing leaks nothing that
    matters."""
    report = scratch.preloaded(raw("close-wait", "/close/262144")("http", 1)).report
    harness.no_error(report)
    equal("bodies", bodies(report), {"opened": 1, "drained": 1})


def unused(scratch, objects, expected):
    report = scratch.preloaded(raw("unused", "/")("http", objects)).report
    equal("opened", report["totals"]["connections"]["opened"], objects)
    roots = (
        judge(report, "connection-abandoned", expected, "http", spoken=False)
        if expected
        else harness.no_error(report)
    )
    if roots:
        check_line(roots[0], "rawleak.c", "leak_unused")


def unanswered(scratch, scheme, mode, seconds):
    report = run_leak(scratch, scheme, raw(mode, "/hang")(scheme, 3, str(seconds)), "--grace", "1")
    roots = judge(report, "response-abandoned", 3, scheme)
    equal("bodies", bodies(report), {})
    equal("request", (roots[0]["request"]["method"], roots[0]["request"]["path"]), ("GET", "/hang"))
    check_line(roots[0], "rawleak.c", "leak_" + mode.replace("-", "_"))


def connecting(scratch):
    """To a listener whose queue is full, so that the kernel answers no further SYN."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(4):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        port = listener.getsockname()[1]
        argv = [harness.program("rawleak"), f"http://localhost:{port}/", "connecting", "3", "2"]
        result = scratch.run(argv, "--grace", "1")
    equal("status", result.status, 23)
    check(count(result.report, "response-abandoned", "error") == 3, lambda: brief(result.report))
    root = findings(result.report, "response-abandoned")[0]
    equal("host", (root["host"], root["port"]), ("localhost", port))
    check_line(root, "rawleak.c", "leak_connecting")


for tls in ("http", "https"):
    suite.test(
        f"libcurl multi, transfers paused ({tls})",
        tls,
        ["curl_multi"],
        BIG,
        5,
        ("curl_multi.c", "perform_until_paused"),
    )(
        lambda scratch, scheme, argv, *rest: kept_bodies(
            scratch, scheme, [harness.program(argv[0])], *rest
        )
    )
    for what, script, size in (
        ("urllib.request.urlopen", "urllib_unread", BIG),
        ("http.client", "http_client_unread", BIG),
        ("asyncio streams half read", "asyncio_half_read", HUGE),
    ):
        suite.test(f"Python {what} ({tls})", tls, python(script), size, 4)(kept_bodies)

    @suite.test(f"Python requests with stream=True ({tls})", tls)
    def requests_stream(scratch, scheme):
        if not os.path.exists("/usr/lib/python3/dist-packages/requests"):
            raise harness.Skip("python3-requests is not installed")
        kept_bodies(scratch, scheme, python("requests_stream"), BIG, 4)

    suite.test(f"a response never read ({tls})", tls, "unread")(raw_body)
    suite.test(f"dup'ed, one copy left ({tls})", tls, "copy")(raw_body)
    suite.test(f"closed by a vfork child, open in the parent ({tls})", tls, "vfork")(raw_body)
    suite.test(f"CLOSE_WAIT after a whole body ({tls})", tls, "/close/262144", "drained")(
        close_wait
    )
    suite.test(f"CLOSE_WAIT in mid-body ({tls})", tls, "/truncate/262144", "failed")(close_wait)
    suite.test(f"a request whose answer nobody waits for ({tls})", tls, "unanswered", 0)(unanswered)
    suite.test(f"a request whose answer nobody waits for any more ({tls})", tls, "gave-up", 2)(
        unanswered
    )
suite.test(
    "GnuTLS, responses never read (https)",
    "https",
    ["gnutls_unread"],
    BIG,
    4,
    ("gnutls_unread.c", "leave_unread"),
)(
    lambda scratch, scheme, argv, *rest: kept_bodies(
        scratch, scheme, [harness.program(argv[0])], *rest
    )
)
suite.test("one response read to its end, not closed at exit")(one_close_wait)
suite.test("three connections never used", 3, 3)(unused)
suite.test("two connections never used", 2, 0)(unused)
suite.test("connects that timed out and were kept")(connecting)
suite.main()
