#!/usr/bin/python3
"""Corners where a preload could show: every program says and ends the same with the recorder and without."""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import harness  # noqa: E402
from harness import check, equal  # noqa: E402

suite = harness.Suite()
origin = suite.stack.enter_context(harness.Origin())
BYTES = "/bytes/65536"
MODES = ["refused", "select", "small-stacks", "strict", "loader-lock"]


def same(scratch, argv, status=3, **options):
    """Bare and preloaded: status, output and errors; the preloaded run, which left a trace."""
    bare, result = scratch.bare(argv, **options), scratch.preloaded(argv, **options)
    equal("bare status", (bare.status, bare.errors), (status, ""))
    check(bare.output, "the bare program says nothing")
    equal("output", result.output, bare.output)
    equal("status", (result.status, result.errors), (bare.status, bare.errors))
    check(result.traces, "no trace")
    return result


def says_the_same(scratch, mode):
    same(scratch, [harness.program("sacred"), mode, origin.url("http", BYTES)])


FORKING = """
import os, sys, urllib.request
for i in range(6):
    if os.fork() == 0:
        print(len(urllib.request.urlopen(sys.argv[1]).read()), flush=True)
        os._exit(0)
    os.wait()
"""


@suite.test("children beyond max_traces say nothing")
def quiet_children(scratch):
    argv = [harness.PYTHON, "-c", FORKING, origin.url("http", BYTES)]
    bare, result = scratch.bare(argv), scratch.preloaded(argv, settings="summary=0:max_traces=2")
    equal("output", (result.output, result.errors), (bare.output, ""))
    equal("traces", len(result.traces), 2)


for mode_name in MODES:
    suite.test(f"says the same: {mode_name}", mode_name)(says_the_same)
suite.main()
