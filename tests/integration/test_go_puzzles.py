#!/usr/bin/python3
"""The Go puzzles: five GETs in their ways, by the oldest and the newest Go; test_go_matrix has every version and build."""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import go_puzzle  # noqa: E402
import golang  # noqa: E402
import harness  # noqa: E402
from harness import check, equal  # noqa: E402

suite = harness.Suite()
origin = golang.open_origin(suite)

PUZZLES = [("http", name) for name in (*go_puzzle.CASES, "all")]
TLS = [(kind, name) for kind in ("https", "h2") for name in ("neither", "read", "both", "all")]
TLS += [("h2", "cancelled")]


def puzzles(scratch, version, build, jobs):
    go_puzzle.several(scratch, origin, version, build, jobs, go_puzzle.ways_of(build))


def closed_small(scratch, version):
    """Since 1.27 Close drains a small body, and the connection is used again."""
    argv = [
        golang.build(version, "default", "puzzle"),
        f"{origin.base('http')}/bytes/100",
        "closed",
    ]
    result = scratch.run(argv, env=origin.env())
    report, (seen,) = result.report, go_puzzle.goroutines(result)
    check(3 <= seen <= 11, f"{seen} goroutines")
    go_puzzle.judge_workers(report, seen, False)
    bodies = report["totals"]["bodies"]
    equal("opened, drained", (bodies["opened"], bodies["drained"]), (5, 5))
    harness.no_alarm(report)
    equal("verdict", report["verdict"], "clean")


for go_version in golang.ENDS:
    suite.test(f"Go {go_version}, http", go_version, "default", PUZZLES)(puzzles)
    suite.test(f"Go {go_version}, https and HTTP/2", go_version, "default", TLS)(puzzles)
    suite.test(f"Go {go_version}, static", go_version, "static", PUZZLES)(puzzles)
suite.test("Go 1.27: Close drains a small body", "1.27")(closed_small)
suite.main()
