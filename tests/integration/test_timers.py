#!/usr/bin/python3
"""Timers of C programs: those that pile up are named with their line, those that end are not."""
import os
import resource
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import harness  # noqa: E402
from harness import brief, check, equal, findings, program  # noqa: E402

suite = harness.Suite()
origin = suite.stack.enter_context(harness.Origin())
SOURCE = "timers.c"
ROUNDS = 4000


def run(scratch, mode, rounds=ROUNDS):
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if mode == "fd" and limit != resource.RLIM_INFINITY and limit < rounds + 100:
        raise harness.Skip(f"only {limit} descriptors are allowed here")
    result = scratch.run([program("timers"), mode, str(rounds), origin.url("http", "/bytes/100")])
    check(result.status == 0, lambda: f"status {result.status}: {result.errors}")
    return result.report


def piles_up(scratch, mode, function):
    report = run(scratch, mode)
    found = findings(report, "timer-pileup")
    check(len(found) == 1, lambda: brief(report))
    equal("severity", found[0]["severity"], "warning")
    equal("count", found[0]["count"], ROUNDS)
    check(function in found[0]["message"], lambda: found[0]["message"])
    line = (SOURCE, harness.line_of(SOURCE, f"/* {mode} */"))
    check(line in harness.user_lines(found[0]), lambda: f"{harness.user_lines(found[0])}")
    equal("verdict", report["verdict"], "clean")


suite.test("timer_create without timer_delete", "posix", "timer_create")(piles_up)
suite.test("timerfd_create without close", "fd", "timerfd_create")(piles_up)


def clean(scratch, mode, rounds):
    report = run(scratch, mode, rounds)
    check(not findings(report, "timer-pileup"), lambda: brief(report))
    harness.no_alarm(report)


suite.test("each deleted", "posix-ended", ROUNDS)(clean)
suite.test("each closed", "fd-ended", ROUNDS)(clean)
suite.test("one, set anew", "fd-set", ROUNDS)(clean)
suite.test("closed by dup2 and close_range", "fd-copies", ROUNDS)(clean)
suite.test("few", "posix", 900)(clean)
suite.test("many at once, then no more", "burst", ROUNDS)(clean)
suite.test("made before there was a connection", "early", 900)(clean)
suite.main()
