#!/usr/bin/python3
"""A client for each request, left behind with its idle connection: named where it is one, and only there."""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import harness  # noqa: E402
from harness import brief, check, equal, findings, program  # noqa: E402

suite = harness.Suite()
origin = suite.stack.enter_context(harness.Origin())
SOURCE = "clients.c"


def run(scratch, mode, requests):
    result = scratch.run([program("clients"), mode, str(requests), origin.url("http", "/bytes/100")])
    check(result.status == 0, lambda: f"status {result.status}: {result.errors}")
    equal("drained", result.report["totals"]["bodies"]["drained"], requests)
    return result.report


@suite.test("a client for each request")
def fresh(scratch):
    report = run(scratch, "fresh", 6)
    found = findings(report, "client-per-request")
    check(len(found) == 1, lambda: brief(report))
    equal("what", (found[0]["severity"], found[0]["count"], found[0]["port"]), ("warning", 6, origin.ports["http"]))
    lines = harness.user_lines(found[0])
    check((SOURCE, harness.line_of(SOURCE, "/* fresh */")) in lines, lambda: f"{lines}")
    equal("idle", report["totals"]["connections"]["idle"], 6)
    equal("verdict", report["verdict"], "clean")


@suite.test("two are no habit")
def few(scratch):
    harness.no_alarm(run(scratch, "fresh", 2))


def clean(scratch, mode):
    harness.no_alarm(run(scratch, mode, 8))


for mode_ in ("shared", "closed", "burst", "threads"):
    suite.test(mode_, mode_)(clean)
suite.main()
