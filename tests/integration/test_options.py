#!/usr/bin/python3
"""HTTPLEAK_OPTIONS, each option by what it does to a real trace."""
import os
import platform
import re
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import harness  # noqa: E402
from harness import brief, check, count, equal, findings  # noqa: E402

suite = harness.Suite()
origin = suite.stack.enter_context(harness.Origin())


def leak(*more):
    return [harness.program("fourcases"), origin.url("http", "/bytes/262144"), "1", *more]


def traced(scratch, settings, argv=None, **options):
    """A run whose trace goes to a folder of its own by the default name; settings come last."""
    return scratch.preloaded(argv or leak(), settings="summary=0:" + settings, **options)


@suite.test("trace: %e %p %h %t %%")
def template(scratch):
    folder = scratch.folder()
    env = harness.environment(
        None, harness.LIBRARY, f"summary=0:trace={folder}/%e-%p-%h-%t-%%.trace"
    )
    equal("status", scratch.execute(leak(), env).status, 0)
    (name,) = os.listdir(folder)
    pattern = rf"fourcases-\d+-{re.escape(platform.node())}-[0-9A-Za-z.:+-]+-%\.trace"
    check(re.fullmatch(pattern, name), f"{name} does not match {pattern}")


@suite.test("stack_depth")
def stack_depth(scratch):
    for depth in (1, 3, 32):
        result = traced(scratch, f"stack_depth={depth}")
        (finding,) = findings(result.report, "unclosed-body")
        full = harness.report(result.traces, "--full-stacks")
        longest = max(
            len(stack) for f in full["findings"] for stack in f["stacks"].values() if stack
        )
        # an inlined function is a frame of the report, not of the stack that was recorded
        check(
            longest <= depth + 4 if depth < 32 else longest > 5,
            lambda d=depth, n=longest: f"depth {d}: {n} frames",
        )
        equal("count", finding["count"], 5)


@suite.test("max_trace: the file stays within it, what found no place is counted")
def max_trace(scratch):
    argv = [harness.program("rawleak"), origin.url("http", "/bytes/262144"), "unread", "600"]
    whole = traced(scratch, "max_trace=64m", argv)
    equal(
        "all",
        (count(whole.report, "unclosed-body"), whole.report["processes"][0]["lost_records"]),
        (600, 0),
    )
    check(len(findings(whole.report, "unclosed-body")[0]["objects"]) <= 20, "more than 20 objects")
    small = traced(scratch, "max_trace=128k", argv)
    equal("status", (small.status, small.output), (0, whole.output))
    check(
        os.path.getsize(small.traces[0]) <= 128 * 1024, f"{os.path.getsize(small.traces[0])} bytes"
    )
    check(
        small.report["processes"][0]["lost_records"] > 0 and small.report["verdict"] != "clean",
        lambda: brief(small.report),
    )
    check(0 < count(small.report, "unclosed-body") < 600, lambda: brief(small.report))


@suite.test("max_traces: no more of them in one directory")
def max_traces(scratch):
    script = "; ".join([" ".join(leak())] * 5)
    result = traced(scratch, "max_traces=3", ["/bin/sh", "-c", script + "; exit 4"], judge=False)
    equal("status, traces", (result.status, len(result.traces)), (4, 3))
    equal("bodies", harness.report(result.traces)["totals"]["bodies"]["unclosed"], 15)


@suite.test("only, skip")
def only_and_skip(scratch):
    for settings, traces in (
        ("only=fourcases", 1),
        ("only=curl,fourcases", 1),
        ("only=curl", 0),
        ("skip=fourcases", 0),
        ("skip=curl,wget", 1),
    ):
        result = traced(scratch, settings)
        equal(settings, (result.status, result.errors, len(result.traces)), (0, "", traces))


@suite.test("record_argv, record_paths")
def what_is_recorded(scratch):
    plain = traced(scratch, "").report["processes"][0]
    equal("argv by default", plain["argv"], [leak()[0]])
    equal("argv", traced(scratch, "record_argv=1").report["processes"][0]["argv"], leak())
    finding = findings(traced(scratch, "record_paths=0").report, "unclosed-body")[0]
    equal("path", finding["request"]["path"] or "", "")


@suite.test("summary")
def summary(scratch):
    quiet = traced(scratch, "")
    equal("summary=0", quiet.errors, "")
    said = traced(scratch, "summary=1")
    check("5 unclosed" in said.errors and "httpleak" in said.errors, lambda: f"{said.errors!r}")
    check(len(said.errors.splitlines()) <= 8, lambda: f"more than a few lines: {said.errors!r}")
    equal("output", said.output, quiet.output)


@suite.test("the last of two settings counts; values may be quoted")
def syntax(scratch):
    folder = scratch.folder("with:colon")
    env = harness.environment(
        None, harness.LIBRARY, f"summary=1:summary=0:trace='{folder}/a.trace':record_argv=1"
    )
    result = scratch.execute(leak(), env)
    equal("result", (result.status, result.errors), (0, ""))
    equal("files", os.listdir(folder), ["a.trace"])


suite.main()
