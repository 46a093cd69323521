#!/usr/bin/python3
"""The rules about pools, threads and descriptors: for each a program that makes the mistake, and those that only look like it."""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import harness  # noqa: E402
from harness import brief, check, equal, findings  # noqa: E402

suite = harness.Suite()
origin = suite.stack.enter_context(harness.Origin())
RULES = {"idle-bloat", "worker-growth", "thread-unjoined", "inherited-connection", "bad-close"}


def run(scratch, program, arguments, grace):
    argv = [harness.program(program), origin.url("http", "/bytes/64"), *arguments]
    result = scratch.preloaded(argv, "--grace", str(grace))
    equal("status", result.status, 0)
    harness.not_blind(result.report)
    harness.replays(result.traces)
    return result.report


def found(scratch, program, arguments, grace, rule, severity, count, line):
    """That finding, at that line, and no other of these rules, nor an error."""
    report = run(scratch, program, arguments, grace)
    got = [(f["rule"], f["severity"], f["count"]) for f in findings(report) if f["rule"] in RULES]
    check(got == [(rule, severity, count)], lambda: f"{rule} of {count} expected\n{brief(report)}")
    if severity != "error":
        harness.no_error(report)
    finding = findings(report, rule)[0]
    equal("host", (finding["host"], finding["port"]), ("localhost", origin.ports["http"]))
    source, text = line
    check(
        (source, harness.line_of(source, text)) in harness.user_lines(finding),
        lambda: f"no line {text!r} in {harness.user_lines(finding)}",
    )
    explained = harness.subprocess.run(
        [harness.HTTPLEAK, "explain", rule], capture_output=True, text=True, check=True
    )
    check(rule in explained.stdout, lambda: explained.stdout)


def silent(scratch, program, arguments, grace):
    report = run(scratch, program, arguments, grace)
    check(
        not [f for f in findings(report) if f["rule"] in RULES],
        lambda: f"no finding expected\n{brief(report)}",
    )
    harness.no_alarm(report)


# A pool's connections are idle for too long after twelve times the grace: 1.2 s here.
for mode, count in (("one", 5), ("pair", 4)):
    suite.test(
        f"idle-bloat: of 6 connections {mode} is needed",
        "pool",
        [mode, "6", "2"],
        0.1,
        "idle-bloat",
        "warning",
        count,
        ("pool.c", "fds[i] = raw_connect(&url);"),
    )(found)
for mode, count in (("bursts", "6"), ("quiet", "6"), ("one", "2")):
    suite.test(f"no idle-bloat: {mode} with {count}", "pool", [mode, count, "2"], 0.1)(silent)

suite.test(
    "worker-growth: a thread for each request, and it stays",
    "threads",
    ["grow", "40"],
    0.2,
    "worker-growth",
    "warning",
    40,
    ("threads.c", "pthread_detach(start(ask_and_park)); /* one more */"),
)(found)
suite.test("no worker-growth: a pool that is full", "threads", ["pool", "40"], 0.2)(silent)
suite.test("no worker-growth: a pool that changes", "threads", ["change", "120"], 0.2)(silent)

suite.test(
    "thread-unjoined",
    "threads",
    ["unjoined", "5"],
    5,
    "thread-unjoined",
    "warning",
    5,
    ("threads.c", "start(ask_once); /* and forget it */"),
)(found)
for mode in ("joined", "detached"):
    suite.test(f"no thread-unjoined: {mode}", "threads", [mode, "6"], 5)(silent)

CONNECTED = ("raw.h", "if (connect(fd, (const struct sockaddr *)&url->address")
for mode in ("inherited", "spawned", "inherited-and-closed"):
    suite.test(
        f"inherited-connection: {mode}",
        "descriptors",
        [mode],
        5,
        "inherited-connection",
        "note",
        1,
        CONNECTED,
    )(found)
for mode in ("close-on-exec", "short-lived", "redirected"):
    suite.test(f"no inherited-connection: {mode}", "descriptors", [mode], 5)(silent)

suite.test(
    "bad-close: a descriptor closed twice",
    "descriptors",
    ["double-close"],
    5,
    "bad-close",
    "error",
    1,
    ("descriptors.c", "close(fd); /* again */"),
)(found)
for mode in ("sweep", "loop", "in-child", "harmless"):
    suite.test(f"no bad-close: {mode}", "descriptors", [mode], 5)(silent)

suite.main()
