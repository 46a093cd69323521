#!/usr/bin/python3
"""Many requests by several workers, some closed unread, while the collector runs in a loop, the profiler interrupts and stacks
grow: every count is exact. When long tests are wanted: every version, 8 x 20,000 by the oldest and the newest;
HTTPLEAK_STRESS=100000 gives each so many."""
import os
import re
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import golang  # noqa: E402
import harness  # noqa: E402
from harness import brief, check, equal  # noqa: E402

suite = harness.Suite()
origin = golang.open_origin(suite)


def stress(scratch, version, build, kind, requests):
    argv = [golang.build(version, build, "stress"), origin.base(kind), "8", str(requests)]
    result = scratch.run(argv, env=origin.env(GOGC="1"), timeout=800)
    match = re.fullmatch(rb"requests (\d+) drained (\d+) discarded (\d+)\n", result.output)
    check(match, lambda: f"status {result.status}: {result.output!r} {result.errors[-1500:]}")
    opened, drained, discarded = (int(number) for number in match.groups())
    equal("requests", opened, 8 * requests)
    harness.not_blind(result.report)
    bodies = result.report["totals"]["bodies"]
    got = tuple(
        bodies[key]
        for key in ("opened", "drained", "discarded", "failed", "unclosed", "drained_unclosed")
    )
    check(
        got == (opened, drained, discarded, 0, 0, 0),
        lambda: f"not {match.groups()}\n{brief(result.report)}",
    )
    equal("lost", [p["lost_records"] for p in result.report["processes"]], [0])
    harness.no_alarm(result.report)
    workers = result.report["totals"]["workers"]
    if kind != "h2":
        equal("workers", workers["readers_live"], workers["writers_live"])
    equal("status", result.status, 0)


def size(version):
    if not harness.LONG:
        return 300
    return int(os.environ.get("HTTPLEAK_STRESS", 20000 if version in golang.ENDS else 5000))


for go_version in golang.VERSIONS if harness.LONG else golang.ENDS:
    suite.test(f"Go {go_version}, http", go_version, "default", "http", size(go_version))(stress)
    suite.test(
        f"Go {go_version}, static, http", go_version, "static", "http", min(size(go_version), 5000)
    )(stress)
    if harness.LONG:
        for go_kind in ("https", "h2"):
            suite.test(f"Go {go_version}, {go_kind}", go_version, "default", go_kind, 1000)(stress)
        suite.test(f"Go {go_version}, -race", go_version, "race", "http", 500)(stress)
suite.main()
