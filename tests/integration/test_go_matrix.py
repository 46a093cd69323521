#!/usr/bin/python3
"""The Go puzzles in every version and every kind of build, over http, https and HTTP/2 (only when long tests are wanted)."""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import go_puzzle  # noqa: E402
import golang  # noqa: E402
import harness  # noqa: E402

suite = harness.Suite()
origin = golang.open_origin(suite) if harness.LONG else None

JOBS = [
    (kind, name)
    for kind in ("http", "https", "h2")
    for name in (*go_puzzle.CASES, "all")
]


def puzzles(scratch, version, build):
    if not harness.LONG:
        raise harness.Skip("a long test")
    go_puzzle.several(scratch, origin, version, build, JOBS, go_puzzle.ways_of(build)[:1], 12)


for go_version, go_build in golang.matrix():
    suite.test(f"Go {go_version}, {go_build}", go_version, go_build)(puzzles)
suite.main()
