#!/usr/bin/python3
"""Every other way in which net/http gives bodies out, and the loops and the incident, by the oldest and the newest Go
(every version when long tests are wanted)."""
import os
import re
import resource
import sys
from concurrent.futures import ThreadPoolExecutor

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import go_puzzle  # noqa: E402
import golang  # noqa: E402
import harness  # noqa: E402
from harness import brief, check, equal, findings  # noqa: E402

suite = harness.Suite()
origin = golang.open_origin(suite)
SOURCE = "go/leaks/main.go"

FORGOTTEN, READ = ("unclosed-body", "error", 5), ("drained-unclosed", "warning", 5)
GIVEN_UP = ("discarded-body", "note", 5)
# mode: goroutines; bodies opened, drained, discarded, unclosed, drained_unclosed; connections; root findings; tags of the first
MODES = {
    "redirect-forgotten": (11, (10, 5, 0, 5, 0), 5, [FORGOTTEN], []),
    "redirect-closed": (3, (10, 10, 0, 0, 0), 1, [], []),
    "redirect-unfollowed": (11, (5, 0, 0, 5, 0), 5, [FORGOTTEN], ["redirect"]),
    "status-forgotten": (11, (5, 0, 0, 5, 0), 5, [FORGOTTEN], ["error-status"]),
    "bodiless": (3, (0, 0, 0, 0, 0), 1, [], []),
    "gzip-forgotten": (11, (5, 0, 0, 5, 0), 5, [FORGOTTEN], []),
    "gzip-read": (3, (5, 5, 0, 0, 5), 1, [READ], []),
    "gzip-closed": (3, (5, 5, 0, 0, 0), 1, [], []),
    "timeout-forgotten": (11, (5, 0, 0, 5, 0), 5, [FORGOTTEN], []),
    "timeout-closed": (3, (5, 5, 0, 0, 0), 1, [], []),
    "timeout-past": (1, (5, 0, 5, 0, 0), 5, [GIVEN_UP], []),
    "direct-forgotten": (11, (5, 0, 0, 5, 0), 5, [FORGOTTEN], []),
    "direct-closed": (3, (5, 5, 0, 0, 0), 1, [], []),
    "post": (3, (5, 5, 0, 0, 0), 1, [], []),
    "proxy-forgotten": (11, (5, 0, 0, 5, 0), 5, [FORGOTTEN], []),
    "proxy-closed": (3, (5, 5, 0, 0, 0), 1, [], []),
    "upgrade": (1, (0, 0, 0, 0, 0), 3, [], []),
    "upgrade-refused": (11, (5, 0, 0, 5, 0), 5, [FORGOTTEN], ["upgrade-refused"]),
    "events": (11, (5, 0, 0, 5, 0), 5, [], []),
    "grpc": (11, (5, 0, 0, 5, 0), 5, [], []),
    "context-ends": (1, (20, 0, 20, 0, 0), 20, [("discarded-body", "note", 20)], []),
    "context-outer": (1, (5, 0, 5, 0, 0), 5, [GIVEN_UP], []),
    "context-stays": (11, (10, 5, 0, 5, 0), 5, [FORGOTTEN], []),
}
# The same over HTTP/2, where bodies come whole; an event stream keeps its goroutine.
STREAMS = {
    "redirect-forgotten": (2, (10, 5, 0, 5, 0), 1, [FORGOTTEN], []),
    "status-forgotten": (2, (5, 0, 0, 5, 0), 1, [FORGOTTEN], ["error-status"]),
    "gzip-forgotten": (2, (5, 0, 0, 5, 0), 1, [FORGOTTEN], []),
    "gzip-closed": (2, (5, 5, 0, 0, 0), 1, [], []),
    "timeout-forgotten": (2, (5, 0, 0, 5, 0), 1, [FORGOTTEN], []),
    "timeout-past": (2, (5, 0, 5, 0, 0), 1, [GIVEN_UP], []),
    "events": (7, (5, 0, 0, 5, 0), 1, [], []),
    "grpc": (2, (5, 0, 0, 5, 0), 1, [], []),
    "context-ends": (2, (20, 0, 20, 0, 0), 1, [("discarded-body", "note", 20)], []),
    "context-outer": (2, (5, 0, 5, 0, 0), 1, [GIVEN_UP], []),
    "context-stays": (2, (10, 5, 0, 5, 0), 1, [FORGOTTEN], []),
}
SECRET = "s3cret-of-the-proxy"


def environment():
    return origin.env(TEST_PROXY=f"http://somebody:{SECRET}@127.0.0.1:{origin.ports['proxy']}")


def keys(bodies):
    return tuple(
        bodies[key] for key in ("opened", "drained", "discarded", "unclosed", "drained_unclosed")
    )


def judge(report, mode, kind, seen):
    goroutines, bodies, connections, roots, tags = (STREAMS if kind == "h2" else MODES)[mode]
    harness.not_blind(report)
    totals = report["totals"]
    go_puzzle.as_ever("goroutines", seen, goroutines)
    go_puzzle.as_ever("connections", totals["connections"]["opened"], connections)
    check(
        keys(totals["bodies"]) == bodies,
        lambda: f"{keys(totals['bodies'])} is not {bodies}\n{brief(report)}",
    )
    equal("failed", totals["bodies"]["failed"], 0)
    check(go_puzzle.roots(report) == roots, lambda: f"not {roots}\n{brief(report)}")
    if mode != "upgrade":
        if (kind, mode) != ("h2", "events"):
            go_puzzle.judge_workers(report, seen, kind == "h2")
        hosts = [(h["host"], h["port"], h["scheme"]) for h in report["hosts"]]
        equal(
            "hosts",
            hosts,
            [("localhost", origin.ports[kind], "http" if kind == "http" else "https")],
        )
    for root in [f for f in report["findings"] if not f["caused_by"]]:
        expected = ("main.go", harness.line_of(SOURCE, "// " + mode))
        check(
            expected in harness.user_lines(root), lambda: f"{expected}: {harness.user_lines(root)}"
        )
        told = [tag for tag in root["tags"] if tag not in ("http2", "go")]
        equal("tags", told, tags)


def one(place, binary, kind, mode):
    result = place.run([binary, mode, origin.base(kind)], env=environment())
    try:
        check(result.report, "no report")
        judge(result.report, mode, kind, (go_puzzle.goroutines(result) or [None])[0])
        harness.replays(result.traces)
        for path in result.traces:
            with open(path, "rb") as file:
                data = file.read()
            check(
                SECRET.encode() not in data and b"somebody" not in data,
                "the proxy's user is in the trace",
            )
    except harness.Failed as error:
        raise type(error)(
            f"{kind} {mode}: {error}\n{result.output!r} {result.errors[-500:]}"
        ) from None


def ways(scratch, version, build, kind):
    binary = golang.build(version, build, "leaks")
    may_repeat = go_puzzle.repeats()
    with ThreadPoolExecutor(6) as pool:
        running = [
            pool.submit(
                go_puzzle.again_if_stalled,
                may_repeat,
                one,
                harness.Scratch(scratch.folder(f"{kind}-{mode}")),
                binary,
                kind,
                mode,
            )
            for mode in (STREAMS if kind == "h2" else MODES)
            if kind != "https" or mode.split("-")[0] in ("redirect", "gzip", "timeout", "proxy")
        ]
        errors = [str(job.exception()) for job in running if job.exception()]
    check(not errors, lambda: "\n".join(errors))


def collected(scratch, version):
    """What the timeout gives up was collected before, and its address used for later bodies: it counts all the same."""
    result = scratch.run(
        [golang.build(version, "default", "leaks"), "timeout-past", origin.base("https"), "40"],
        env={**environment(), "GOGC": "5"},
    )
    equal("goroutines", go_puzzle.goroutines(result), [1])
    equal("bodies", keys(result.report["totals"]["bodies"]), (40, 0, 40, 0, 0))
    check(go_puzzle.roots(result.report) == [("discarded-body", "note", 40)], lambda: brief(result.report))
    harness.replays(result.traces)


def failures(scratch, version):
    """Requests without a response leave nothing."""
    result = scratch.run(
        [golang.build(version, "default", "leaks"), "failures", origin.base("http")]
    )
    equal("goroutines", go_puzzle.goroutines(result), [1])
    harness.not_blind(result.report)
    equal("bodies", keys(result.report["totals"]["bodies"]), (0, 0, 0, 0, 0))
    harness.no_alarm(result.report)


def at_once(scratch, version):
    """The program ends in the tick of the clock in which the last body was read: whose reader ended it has read enough."""
    binary = golang.build(version, "default", "leaks")
    report = scratch.run([binary, "parts-forgotten", origin.base("http")]).report
    harness.not_blind(report)
    equal("bodies", keys(report["totals"]["bodies"]), (5, 0, 0, 5, 0))
    check(go_puzzle.roots(report) == [FORGOTTEN], lambda: brief(report))
    for mode in ("parts-read", "bursts-read"):
        report = scratch.run([binary, mode, origin.base("http")]).report
        harness.not_blind(report)
        equal("bodies", keys(report["totals"]["bodies"]), (5, 0, 0, 5, 0))
        check(go_puzzle.roots(report) == [], lambda: brief(report))


def limited():
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))


def endless(scratch, version):
    """Until the descriptors run out, then on with errors: the report while it runs, and after it was killed."""
    argv = [golang.build(version, "default", "leaks"), "endless", origin.base("http")]
    out = os.path.join(scratch.directory, "out")
    with open(out, "wb") as file:
        process, folder = scratch.start(argv, stdout=file, preexec_fn=limited)
        try:

            def says():
                with open(out, "rb") as text:
                    return re.search(rb"(\d+) good\n[^\0]* goroutines", text.read())

            harness.wait_until(says, "the descriptors run out", 40)
            good = int(says()[1])
            check(good > 30, f"only {good} good requests")
            running = harness.report(harness.trace_files(folder), "--grace", "1")
            equal("end", running["processes"][0]["end"], "running")
        finally:
            harness.end(process, harness.signal.SIGKILL)
    killed = harness.report(harness.trace_files(folder), "--grace", "0")
    check(killed["processes"][0]["end"] in ("signal", "lost"), lambda: brief(killed))
    for report in (running, killed):
        harness.not_blind(report)
        equal("roots", go_puzzle.roots(report), [("unclosed-body", "error", good)])
        root = findings(report, "unclosed-body")[0]
        expected = ("main.go", harness.line_of(SOURCE, "// endless"))
        check(expected in harness.user_lines(root), lambda: f"{harness.user_lines(root)}")
        go_puzzle.judge_stranded(report, good)


def clean_loop(scratch, version):
    """Read and closed, again and again: nothing, and every exchange is counted."""
    rounds = (100000 if version in golang.ENDS else 20000) if harness.LONG else 3000
    argv = [golang.build(version, "default", "leaks"), "loop", origin.base("http"), str(rounds)]
    origin.clear()
    result = scratch.run(argv, timeout=300)
    harness.not_blind(result.report)
    totals = result.report["totals"]
    equal("bodies", keys(totals["bodies"]), (rounds, rounds, 0, 0, 0))
    # One, but for those that net/http gives up itself: its writeLoop has 50 ms to say that the request
    # went out (persistConn.wroteRequest), which on a busy machine it may not get. The origin knows.
    opened = origin.clear()["http"]["accepts"]
    check(1 <= opened <= 1 + rounds // 1000, f"{opened} connections")
    equal(
        "connections",
        (totals["connections"]["opened"], totals["connections"]["reused"]),
        (opened, rounds - opened),
    )
    equal("findings", [brief(result.report)] if result.report["findings"] else [], [])
    equal("verdict", result.report["verdict"], "clean")
    equal("status", result.status, 0)


def incident(scratch, version, build):
    """One forgotten body among many correct calls, while the server closes what is idle."""
    source = "go/incident/main.go"
    origin.clear()
    result = scratch.run(
        [golang.build(version, build, "incident"), origin.base("impatient"), "200"]
    )
    match = re.search(rb"(\d+) forgotten, (\d+) goroutines", result.output)
    check(match, lambda: f"{result.output!r} {result.errors}")
    forgotten, seen = int(match[1]), int(match[2])
    report = result.report
    harness.not_blind(report)
    go_puzzle.judge_workers(report, seen, False)
    errors = [f for f in report["findings"] if f["severity"] != "note" and not f["caused_by"]]
    check(
        [(f["rule"], f["count"]) for f in errors] == [("unclosed-body", forgotten)],
        lambda: brief(report),
    )
    root = errors[0]
    equal(
        "folded",
        {f["caused_by"] for f in report["findings"] if f is not root},
        {root["fingerprint"]},
    )
    go_puzzle.judge_stranded(report, forgotten)
    lines = harness.user_lines(root)
    check(("main.go", harness.line_of(source, "// healthy")) in lines, lambda: f"{lines}")
    equal("path", root["request"]["path"].split("?")[0], "/bytes/9000")
    request = [frame.get("line") for frame in root["stacks"]["request"]]
    for other in ("// users", "// prices", "// order"):
        check(harness.line_of(source, other) not in request, lambda: f"{other} is named: {request}")


VERSIONS = golang.VERSIONS if harness.LONG else golang.ENDS
for go_version in VERSIONS:
    for go_kind in ("http", "https", "h2"):
        suite.test(f"Go {go_version}, {go_kind}", go_version, "default", go_kind)(ways)
    suite.test(f"Go {go_version}: collected, then given up", go_version)(collected)
    suite.test(f"Go {go_version}: requests that fail", go_version)(failures)
    suite.test(f"Go {go_version}: read in parts, then the end at once", go_version)(at_once)
    suite.test(f"Go {go_version}: endless, without Close", go_version)(endless)
    suite.test(f"Go {go_version}: a loop with Close", go_version)(clean_loop)
    for go_build in ("default", "static"):
        suite.test(f"Go {go_version}, {go_build}: the incident", go_version, go_build)(incident)
suite.main()
