#!/usr/bin/python3
"""Go programs start, run and end with httpleak as without: exits, panics, signals, children, plugins, -race, and C
libraries beside Go."""
import os
import re
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import go_puzzle  # noqa: E402
import golang  # noqa: E402
import harness  # noqa: E402
from harness import brief, check, equal, findings  # noqa: E402

suite = harness.Suite()
origin = golang.open_origin(suite)
BYTES = "/bytes/8192"

# mode: status as a shell says it, the end that the report names, whether the whole of stderr is the same
ENDS = {
    "return": (0, "exit", True),
    "exit": (3, "exit", True),
    "fatal": (1, "exit", True),
    "panic": (2, "signal", True),
    "recovered": (0, "exit", True),
    "nil": (2, "signal", True),
    "overflow": (2, "signal", False),
    "map": (2, "signal", False),
    "goexit": (0, "exit", True),
    "abort": (2, "signal", False),
    "term": (143, "signal", True),
    "kill": (137, "signal", True),
    "signals": (0, "exit", True),
    "children": (0, "exit", True),
    "replaced": (0, "exec", True),
}


def said(errors, whole):
    """What a program wrote on stderr, its addresses and goroutine numbers left out."""
    lines = [re.sub(r"0x[0-9a-f]+|\b\d+\b", "N", line) for line in errors.splitlines()]
    return lines if whole else lines[:1]


def ends(scratch, version, build, modes):
    for mode in modes:
        status, end, whole = ENDS[mode]
        argv = [golang.build(version, build, "sacred"), mode, origin.base("http") + BYTES]
        bare = scratch.bare(argv)
        equal(f"{mode}, bare", bare.status, status)
        for way in go_puzzle.ways_of(build):
            result = getattr(scratch, way)(argv)
            label = f"{mode}, {way}"
            equal(f"{label}: status", result.status, status)
            equal(f"{label}: output", result.output, bare.output)
            equal(f"{label}: errors", said(result.errors, whole), said(bare.errors, whole))
            check(result.report, f"{label}: no trace")
            seen = {
                p["end"]
                for p in result.report["processes"]
                if os.path.basename(p["exe"]) == "sacred"
            }
            accepted = {end} if way == "run" or end != "signal" else {"signal", "lost"}
            check(seen & accepted, lambda s=seen, w=label: f"{w}: ends {s}, not {end}")
            harness.no_alarm(result.report)
            harness.not_blind(result.report)


def quiet(scratch, version, build):
    """A Go program that does no HTTP leaves no trace."""
    result = scratch.preloaded([golang.build(version, build, "sacred"), "none", "-"])
    bare = scratch.bare([golang.build(version, build, "sacred"), "none", "-"])
    equal(
        "the same",
        (result.status, result.output, result.errors),
        (bare.status, bare.output, bare.errors),
    )
    equal("traces", result.traces, [])


def plugins(scratch, version):
    part = golang.build(version, "default", "plugin/part", more=["-buildmode=plugin"])
    argv = [golang.build(version, "default", "plugin/host"), part, origin.base("http") + BYTES]
    bare = scratch.bare(argv)
    for way in ("run", "preloaded"):
        result = getattr(scratch, way)(argv)
        equal("output", result.output, bare.output)
        equal("errors", result.errors, bare.errors)
        equal("status", result.status, 23 if way == "run" else 0)
        harness.not_blind(result.report)
        root = [f for f in result.report["findings"] if not f["caused_by"]]
        check(
            [(f["rule"], f["count"]) for f in root] == [("unclosed-body", 5)],
            lambda: brief(result.report),
        )
        expected = ("part.go", harness.line_of("go/plugin/part/part.go", "// plugin"))
        check(expected in harness.user_lines(root[0]), lambda: f"{harness.user_lines(root[0])}")


def c_library(scratch, version):
    """libcurl through cgo beside net/http, in one trace."""
    result = scratch.run(
        [golang.build(version, "default", "cgocurl"), origin.base("http") + "/bytes/3000000"]
    )
    check(b"cgocurl: 5 goroutines" in result.output, lambda: f"{result.output!r} {result.errors}")
    equal("traces", len(result.traces), 1)
    bodies = result.report["totals"]["bodies"]
    equal("bodies", (bodies["opened"], bodies["drained"], bodies["unclosed"]), (4, 1, 3))
    roots = [f for f in findings(result.report, "unclosed-body") if not f["caused_by"]]
    check(sorted(f["count"] for f in roots) == [1, 2], lambda: brief(result.report))
    mine = [f for f in roots if f["count"] == 2][0]
    check(
        ("main.go", harness.line_of("go/cgocurl/main.go", "// go")) in harness.user_lines(mine),
        lambda: f"{harness.user_lines(mine)}",
    )


def by_a_script(scratch, version):
    """A static program that a shell script starts is reached too."""
    binary = golang.build(version, "static", "puzzle")
    url = f"{origin.base('http')}/bytes/{go_puzzle.LARGE}"
    result = scratch.run(["/bin/sh", "-c", f"{binary} {url} neither; echo done"])
    check(b"neither: 11 goroutines\ndone\n" == result.output, lambda: f"{result.output!r}")
    equal("unclosed", result.report["totals"]["bodies"]["unclosed"], 5)
    equal("roots", go_puzzle.roots(result.report), [("unclosed-body", "error", 5)])
    go_puzzle.judge_workers(result.report, 11, False)
    result = scratch.preloaded(["/bin/sh", "-c", f"{binary} {url} neither; echo done"])
    check(b"neither: 11 goroutines\ndone\n" == result.output, lambda: f"{result.output!r}")
    equal("verdict, by LD_PRELOAD alone", result.report["verdict"], "no-leak-seen")
    text = harness.report_run(result.traces).stdout.decode()
    for part in ("its end was not seen", "out of LD_PRELOAD's reach", "[blind]"):
        check(part in " ".join(text.split()), lambda: text)


def alone_http2(scratch, version):
    """golang.org/x/net/http2 by itself: blind, and said so."""
    if not os.path.isdir("/usr/share/gocode/src/golang.org/x/net/http2"):
        raise harness.Skip("golang-golang-x-net-dev is not installed")
    result = scratch.run(
        [golang.build(version, "default", "h2direct"), origin.base("h2") + BYTES], env=origin.env()
    )
    equal("output", (result.status, result.output), (0, b"h2direct: done\n"))
    blind = [
        f for f in findings(result.report, "blind") if "golang.org/x/net/http2" in f["message"]
    ]
    check(len(blind) == 1, lambda: brief(result.report))
    check(result.report["verdict"] == "no-leak-seen", lambda: brief(result.report))


VERSIONS = golang.VERSIONS if harness.LONG else golang.ENDS
SOME = ("return", "exit", "fatal", "panic", "goexit", "signals", "children")
for go_version in VERSIONS:
    suite.test(f"Go {go_version}: ends as without", go_version, "default", tuple(ENDS))(ends)
    suite.test(f"Go {go_version}, static: ends as without", go_version, "static", SOME)(ends)
    if harness.LONG:
        suite.test(f"Go {go_version}, -race: ends as without", go_version, "race", SOME)(ends)
        suite.test(f"Go {go_version}, PIE: ends as without", go_version, "pie-stripped", SOME)(ends)
        if go_version in golang.ENDS:  # the standard library is compiled once more for it
            suite.test(f"Go {go_version}: a plugin", go_version)(plugins)
    suite.test(f"Go {go_version}: a C library beside it", go_version)(c_library)
    suite.test(f"Go {go_version}: no HTTP, no trace", go_version, "default")(quiet)
    suite.test(f"Go {go_version}: x/net/http2 by itself", go_version)(alone_http2)
    suite.test(f"Go {go_version}: static, started by a script", go_version)(by_a_script)
suite.main()
