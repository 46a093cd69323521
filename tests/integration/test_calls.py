#!/usr/bin/python3
"""Every call that moves bytes over a socket or waits for one is seen."""
import os
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import harness  # noqa: E402
from harness import brief, check, equal, signal  # noqa: E402

suite = harness.Suite()
origin = suite.stack.enter_context(harness.Origin())
KINDS = (
    "read",
    "recv",
    "recvfrom",
    "checked",
    "readv",
    "preadv2",
    "recvmsg",
    "recvmmsg",
    "peek",
    "truncation",
    "splice",
    "bytes",
    "sendfile",
    "shutdown",
)
WAITS = (
    "recv",
    "read",
    "recvmsg",
    "poll",
    "ppoll",
    "select",
    "pselect",
    "epoll",
    "epoll-edge",
    "epoll_pwait2",
    "cond",
    "semaphore",
)


def move(scratch, program, kind):
    """One exchange in that way: one connection, one body, drained; and under the preload the
    program says the same."""
    argv = [
        harness.program(program),
        origin.url("http", "/bytes/262144"),
        *([kind] if kind else []),
    ]
    bare = scratch.bare(argv)
    equal("bare status", (bare.status, bare.errors), (0, ""))
    result = scratch.preloaded(argv)
    equal("result", (result.status, result.errors, result.output), (0, "", bare.output))
    totals = result.report["totals"]
    connections, bodies = (1, 1) if kind else (len(KINDS) + 1, len(KINDS) + 3)
    seen = (
        totals["connections"]["opened"],
        totals["bodies"]["drained"],
        totals["bodies"]["opened"],
    )
    check(
        seen == (connections, bodies, bodies),
        lambda: f"{seen}, expected {connections} connections, {bodies} bodies"
        f"\n{brief(result.report)}",
    )
    equal("reused", totals["connections"]["reused"], bodies - connections)
    harness.no_alarm(result.report)
    harness.not_blind(result.report)
    harness.replays(result.traces)


def wait(scratch, kind):
    """Waiting longer than the grace for the rest of a body, and for an answer at all: no finding,
    alive or killed."""
    started = [
        scratch.start([harness.program("waits"), origin.url("http", path), kind])
        for path in ("/head-then-stall", "/hang")
    ]
    try:
        time.sleep(1.6)
        for process, folder in started:
            check(process.poll() is None, "the program ended by itself")
            running = harness.report(harness.trace_files(folder), "--grace", "1")
            harness.no_alarm(running)
            equal("opened", running["totals"]["connections"]["opened"], 1)
        equal(
            "unclosed",
            harness.report(harness.trace_files(started[0][1]))["totals"]["bodies"]["unclosed"],
            1,
        )
    finally:
        for process, _ in started:
            harness.end(process, signal.SIGKILL)
    for _, folder in started:
        harness.no_alarm(harness.report(harness.trace_files(folder), "--grace", "0.5"))


def checked_calls(scratch):
    """The fortified build does call what it is there for."""
    names = subprocess.run(
        [harness.need("nm"), "-D", harness.program("io_kinds-fortified")],
        capture_output=True,
        check=True,
        cwd=scratch.directory,
    ).stdout.decode()
    for name in ("__read_chk", "__recv_chk", "__recvfrom_chk"):
        check(name in names, f"{name} is not called")


for way in KINDS:
    suite.test(f"bytes by {way}", "io_kinds", way)(move)
suite.test("all of them in one process, and pipelining", "io_kinds", None)(move)
suite.test("all of them, fortified", "io_kinds-fortified", None)(move)
suite.test("the fortified build")(checked_calls)
for way in WAITS:
    suite.test(f"waiting in {way}", way)(wait)
suite.main()
