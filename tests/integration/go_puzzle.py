"""The Go puzzle's truth and its judge: what runtime.NumGoroutine says for each case, what the report has to say."""
import os
import re
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import golang
import harness
from harness import brief, check, equal, findings

SOURCE = "go/puzzle/main.go"
LARGE = 2000000  # more than Close drains by itself (256 KiB since 1.27)
SMALL = 8192
STREAMED = 8 << 20  # more than an HTTP/2 stream's window


class Case:
    """goroutines by HTTP/1.1 and HTTP/2, bodies, connections opened by HTTP/1.1 and HTTP/2."""

    def __init__(self, goroutines, bodies, connections, rules, line=None):
        self.goroutines, self.connections = goroutines, connections
        self.opened, self.drained, self.discarded, self.unclosed, self.drained_unclosed = bodies
        self.rules, self.line = rules, line


# rules: (rule, severity, count) of every finding that is no effect of another one
CASES = {
    "neither": Case(
        (11, 2), (5, 0, 0, 5, 0), (5, 1), [("unclosed-body", "error", 5)], "fetch(url) // neither"
    ),
    "closed": Case((1, 2), (5, 0, 5, 0, 0), (5, 1), [("discarded-body", "note", 5)], "// closed"),
    "read": Case((3, 2), (5, 5, 0, 0, 5), (1, 1), [("drained-unclosed", "warning", 5)], "// read"),
    "both": Case((3, 2), (5, 5, 0, 0, 0), (1, 1), []),
    "six": Case((3, 2), (6, 6, 0, 0, 6), (1, 1), [("drained-unclosed", "warning", 6)], "// read"),
    "transports": Case(
        (11, 6), (5, 5, 0, 0, 0), (5, 5), [("client-per-request", "warning", 5)], "// transports"
    ),
    "cancelled": Case(
        (1, 2), (5, 0, 5, 0, 0), (5, 1), [("discarded-body", "note", 5)], "// cancelled"
    ),
}
FOUR = ("neither", "closed", "read", "both")
IN_A_ROW = {False: (11, 11, 13, 13), True: (2, 2, 2, 2)}


class Stalled(harness.Failed):
    """The program itself did other than it does, and the report agrees with it."""


def repeats():
    """How many runs of one test may be repeated: what is ours would happen more often."""
    return threading.Semaphore(2)


def again_if_stalled(may_repeat, run, *arguments):
    """net/http gives up a connection whose writer has not said within 50 ms that the request is written
    (maxWriteWaitBeforeConnReuse in transport.go). Where the machine stands still for so long the program
    opens another connection, or has one less in the end; then it has to run once more."""
    while True:
        try:
            return run(*arguments)
        except Stalled as error:
            if not may_repeat.acquire(blocking=False):
                raise
            print(f"# once more: {error}", file=sys.stderr, flush=True)


def as_ever(what, got, expected):
    if got != expected:
        raise Stalled(f"the program itself has {got} {what}, not {expected}")


def goroutines(result):
    return [int(n) for n in re.findall(rb": (\d+) goroutines", result.output)]


def roots(report):
    return sorted(
        (f["rule"], f["severity"], f["count"]) for f in report["findings"] if not f["caused_by"]
    )


def names_line(finding, line):
    expected = (os.path.basename(SOURCE), harness.line_of(SOURCE, line))
    check(
        expected in harness.user_lines(finding),
        lambda: f"{expected} is not among {harness.user_lines(finding)}",
    )


def judge_workers(report, seen, http2):
    workers = report["totals"]["workers"]
    if http2:
        equal("1 + both_live", 1 + workers["both_live"], seen)
        equal("pairs", (workers["readers_live"], workers["writers_live"]), (0, 0))
    else:
        equal(
            "1 + readers_live + writers_live",
            1 + workers["readers_live"] + workers["writers_live"],
            seen,
        )
        equal("both_live", workers["both_live"], 0)


def judge_stranded(report, count):
    """Readers and writers stranded behind the one root."""
    root = findings(report, "unclosed-body")[0]
    stranded = sorted(
        (f["role"], f["count"], f["caused_by"]) for f in findings(report, "stranded-worker")
    )
    equal(
        "stranded",
        stranded,
        [("reader", count, root["fingerprint"]), ("writer", count, root["fingerprint"])],
    )
    workers = report["totals"]["workers"]
    equal(
        "stranded pairs", (workers["readers_stranded"], workers["writers_stranded"]), (count, count)
    )


def judge(report, name, version, kind, origin, seen):
    """kind: http, https or h2."""
    case, http2 = CASES[name], kind == "h2"
    bodies, connections = report["totals"]["bodies"], report["totals"]["connections"]
    harness.not_blind(report)
    judge_workers(report, seen, http2)
    as_ever("goroutines", seen, case.goroutines[http2])
    as_ever("connections", connections["opened"], case.connections[http2])
    expected = {
        "opened": case.opened,
        "drained": case.drained,
        "discarded": case.discarded,
        "failed": 0,
        "unclosed": case.unclosed,
        "drained_unclosed": case.drained_unclosed,
    }
    check(bodies == expected, lambda: f"{bodies} is not {expected}\n{brief(report)}")
    equal("reused", connections["reused"], case.opened - case.connections[http2])
    check(
        roots(report) == case.rules, lambda: f"{roots(report)} is not {case.rules}\n{brief(report)}"
    )
    for rule, _, _ in case.rules:
        finding = findings(report, rule)[0]
        names_line(finding, case.line)
        equal("port", finding["port"], origin.ports[kind])
    if name == "neither" and not http2:
        judge_stranded(report, 5)
        names_line(findings(report, "unclosed-body")[0], "return http.Get(url) // fetch")  # inlined
    scheme = "http" if kind == "http" else "https"
    equal("hosts", [(h["host"], h["scheme"]) for h in report["hosts"]], [("localhost", scheme)])
    equal("verdict", report["verdict"], "leaks" if name == "neither" else "clean")
    process = report["processes"][0]
    equal("end", (process["end"], process["status"]), ("exit", 0))
    check(
        any(runtime.startswith(f"go{version}") for runtime in process["runtimes"]),
        lambda: f"runtimes {process['runtimes']}",
    )


def judge_row(report, http2, seen):
    """The four ways one after the other in one process."""
    harness.not_blind(report)
    judge_workers(report, seen[-1], http2)
    as_ever("goroutines", tuple(seen), IN_A_ROW[http2])
    as_ever("connections", report["totals"]["connections"]["opened"], 1 if http2 else 11)
    bodies = report["totals"]["bodies"]
    got = tuple(
        bodies[key] for key in ("opened", "unclosed", "discarded", "drained", "drained_unclosed")
    )
    check(got == (20, 5, 5, 10, 5), lambda: f"{got}\n{brief(report)}")
    expected = [rule for name in FOUR for rule in CASES[name].rules]
    check(roots(report) == sorted(expected), lambda: brief(report))
    for name in FOUR:
        for rule, _, _ in CASES[name].rules:
            equal(f"{rule} findings", len(findings(report, rule)), 1)
            names_line(findings(report, rule)[0], CASES[name].line)
    if not http2:
        judge_stranded(report, 5)


def one(place, way, argv, origin, version, kind, name):
    result = getattr(place, way)(argv, env=origin.env())
    try:
        check(result.report, "no trace")
        seen = goroutines(result) or [None]
        if name == "all":
            judge_row(result.report, kind == "h2", seen)
        else:
            judge(result.report, name, version, kind, origin, seen[0])
        leaks = name in ("neither", "all")
        equal("status", result.status, 23 if way == "run" and leaks else 0)
        harness.replays(result.traces)
    except harness.Failed as error:
        raise type(error)(
            f"{kind} {name} {way}: {error}\n{result.output!r} {result.errors[-500:]}"
        ) from None


def several(scratch, origin, version, build, jobs, ways, at_once=6):
    """jobs: (kind, case) pairs, several at a time, since each sleeps most of its time; every
    failure is told."""
    golang.need(version)
    binary = golang.build(version, build, "puzzle")
    may_repeat = repeats()
    with ThreadPoolExecutor(at_once) as pool:
        running = []
        for kind, name in jobs:
            argv = [binary, f"{origin.base(kind)}/bytes/{SMALL if kind == 'h2' else LARGE}", name]
            for way in ways:
                place = harness.Scratch(scratch.folder(f"{kind}-{name}-{way}"))
                running.append(
                    pool.submit(
                        again_if_stalled,
                        may_repeat,
                        one,
                        place,
                        way,
                        argv,
                        origin,
                        version,
                        kind,
                        name,
                    )
                )
        errors = [str(job.exception()) for job in running if job.exception()]
    check(not errors, lambda: "\n".join(errors))


def ways_of(build):
    return ("run",) if build in golang.STATIC else ("run", "preloaded")
