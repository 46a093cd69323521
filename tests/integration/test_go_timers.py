#!/usr/bin/python3
"""time.After in a loop: a leak in Go before 1.23, and in what is built as if it were; with one timer and Reset, nothing."""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import golang  # noqa: E402
import harness  # noqa: E402
from harness import brief, check, equal, findings  # noqa: E402

suite = harness.Suite()
origin = golang.open_origin(suite)
SOURCE = "go/timers/main.go"
ROUNDS = 50000


def timers(scratch, version, build, mode, piles_up, language=None):
    binary = golang.build(version, build, "timers", language)
    argv = [binary, mode, str(ROUNDS), origin.base("http") + "/bytes/100"]
    result = scratch.run(argv)
    equal("status", result.status, 0)
    check(
        f"{mode}: {ROUNDS} rounds".encode() in result.output,
        lambda: f"{result.output!r} {result.errors}",
    )
    found = findings(result.report, "timer-pileup")
    if not piles_up:
        check(not found, lambda: brief(result.report))
        harness.no_alarm(result.report)
        return
    check(len(found) == 1, lambda: f"{len(found)} timer-pileup findings\n{brief(result.report)}")
    equal("severity", found[0]["severity"], "warning")
    check(
        found[0]["count"] in range(ROUNDS - 1000, ROUNDS + 1), lambda: f"{found[0]['count']} timers"
    )
    lines = harness.user_lines(found[0])
    check(("main.go", harness.line_of(SOURCE, "// " + mode)) in lines, lambda: f"{lines}")


def add(version, build, mode, *more):
    what = ", as if 1.19" if len(more) > 1 and more[1] else ""
    suite.test(f"Go {version}, {build}: {mode}{what}", version, build, mode, *more)(timers)


for go_version in golang.VERSIONS if harness.LONG else golang.ENDS:
    old = golang.number(go_version) < 23
    add(go_version, "default", "after", old)
    add(go_version, "default", "reset", False)
    add(go_version, "default", "timer", old)
    add(go_version, "default", "stopped", False)
    add(go_version, "default", "ticker", old)  # since 1.23 one that nobody waits for is in no heap
    add(go_version, "default", "func", True)
    if harness.LONG:
        add(go_version, "stripped", "after", old)
        add(go_version, "static", "after", old)
    if 23 <= golang.number(go_version) < 27:
        add(go_version, "default", "after", True, "1.19")
suite.main()
