#!/usr/bin/python3
"""The four ways to treat five responses, by a client whose connections have a reader and a writer
thread each."""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import harness  # noqa: E402
from harness import brief, check, equal, findings  # noqa: E402

suite = harness.Suite()
origin = suite.stack.enter_context(harness.Origin())

# case: connections opened; bodies unclosed, discarded, drained; readers live, writers live,
# stranded pairs
CASES = {
    1: ("neither read nor closed", 5, (5, 0, 0), 5, 5, 5),
    2: ("closed unread", 5, (0, 5, 0), 0, 0, 0),
    3: ("read, not closed", 1, (0, 0, 5), 1, 1, 0),
    4: ("read and closed", 1, (0, 0, 5), 1, 1, 0),
}
CALLS = {
    1: "    get(client, url);",
    2: "http_body_close(get(client, url));",
    3: "read_to_the_end(get(client, url));",
    4: "= get(client, url);",
}


def row(report):
    totals = report["totals"]
    bodies, workers = totals["bodies"], totals["workers"]
    return (
        totals["connections"]["opened"],
        (bodies["unclosed"], bodies["discarded"], bodies["drained"]),
        workers["readers_live"],
        workers["writers_live"],
        workers["readers_stranded"],
        workers["writers_stranded"],
    )


def judge(report, number, annotated, host, scheme):
    _, opened, bodies, readers, writers, pairs = CASES[number]
    check(
        row(report) == (opened, bodies, readers, writers, pairs, pairs),
        lambda: f"{row(report)} is not {(opened, bodies, readers, writers, pairs, pairs)}\n{brief(report)}",
    )
    totals = report["totals"]
    equal("both_live", totals["workers"]["both_live"], 0)
    equal(
        "drained_unclosed",
        totals["bodies"]["drained_unclosed"],
        5 if annotated and number == 3 else 0,
    )
    equal("bodies opened", totals["bodies"]["opened"], 5)
    equal("failed", totals["bodies"]["failed"], 0)
    equal("reused", totals["connections"]["reused"], 5 - opened)
    equal("hosts", [(h["host"], h["scheme"]) for h in report["hosts"]], [(host, scheme)])
    equal("verdict", report["verdict"], "leaks" if number == 1 else "clean")
    harness.not_blind(report)


def judge_findings(report, number, annotated, origin_port):
    errors = [f for f in report["findings"] if f["severity"] == "error"]
    if number != 1:
        equal("errors", errors, [])
    if number == 1:
        roots = [f for f in errors if not f["caused_by"]]
        check(
            [(f["rule"], f["count"]) for f in roots] == [("unclosed-body", 5)],
            lambda: brief(report),
        )
        root = roots[0]
        equal("port", root["port"], origin_port)
        equal(
            "request",
            (root["request"]["method"], root["request"]["path"], root["request"]["status"]),
            ("GET", "/bytes/262144", 200),
        )
        equal("bytes expected", root["bytes_expected"], 262144)
        check(root["bytes_read"] < 262144, f"bytes read {root['bytes_read']}")
        expected = ("fourcases.c", harness.line_of("fourcases/fourcases.c", CALLS[1]))
        check(
            expected in harness.user_lines(root),
            lambda: f"{expected} is not among {harness.user_lines(root)}",
        )
        stranded = sorted(
            (f["role"], f["count"], f["caused_by"])
            for f in errors
            if f["rule"] == "stranded-worker"
        )
        equal(
            "stranded",
            stranded,
            [("reader", 5, root["fingerprint"]), ("writer", 5, root["fingerprint"])],
        )
        for finding in findings(report, "stranded-worker"):
            check(
                all(o["tid"] and o["wait"] for o in finding["objects"]),
                lambda: f"objects {finding['objects']}",
            )
    if number == 2:
        equal(
            "discarded",
            [(f["severity"], f["count"]) for f in findings(report, "discarded-body")],
            [("note", 5)],
        )
    if number == 3 and annotated:
        equal(
            "drained",
            [(f["severity"], f["count"]) for f in findings(report, "drained-unclosed")],
            [("warning", 5)],
        )


def four_cases(scratch, scheme, binary, number):
    origin.clear()
    argv = [harness.program(binary), origin.url(scheme, "/bytes/262144"), str(number)]
    annotated = binary.endswith("annotated")
    for way in (scratch.run, scratch.preloaded):
        result = way(argv)
        check(result.report, f"no trace; {result.errors}")
        equal("output", result.output, f"case {number} done\n".encode())
        equal("status", result.status, 23 if way == scratch.run and number == 1 else 0)
        judge(result.report, number, annotated, "localhost", scheme)
        judge_findings(result.report, number, annotated, origin.ports[scheme])
        harness.replays(result.traces)
        equal("accepts", origin.clear()[scheme]["accepts"], CASES[number][1])


def other_framing(scratch, path):
    """Without a length to count, the end is where the chunked coding or the peer says."""
    for number in (1, 4):
        result = scratch.run([harness.program("fourcases"), origin.url("http", path), str(number)])
        bodies = result.report["totals"]["bodies"]
        check(
            (bodies["unclosed"], bodies["drained"]) == ((5, 0) if number == 1 else (0, 5)),
            lambda: brief(result.report),
        )
        equal("status", result.status, 23 if number == 1 else 0)


def still_running(scratch):
    """The report of a program that runs on and of one that was killed, once the grace is over."""
    argv = [
        harness.program("fourcases"),
        origin.url("http", "/bytes/262144"),
        "1",
        "--linger",
        "60",
    ]
    process, folder = scratch.start(argv)
    try:
        harness.wait_until(
            lambda: len(harness.trace_files(folder)) == 1
            and harness.report(harness.trace_files(folder))["totals"]["bodies"]["opened"] == 5,
            "five bodies",
        )
        early = harness.report(harness.trace_files(folder), "--grace", "30")
        equal("end", early["processes"][0]["end"], "running")
        check(
            not [f for f in early["findings"] if f["severity"] == "error"],
            lambda: f"within the grace\n{brief(early)}",
        )
        harness.time.sleep(1.2)
        late = harness.report(harness.trace_files(folder), "--grace", "1")
        judge(late, 1, False, "localhost", "http")
        judge_findings(late, 1, False, origin.ports["http"])
    finally:
        harness.end(process, harness.signal.SIGKILL)
    killed = harness.report(harness.trace_files(folder), "--grace", "0")
    check(killed["processes"][0]["end"] in ("signal", "lost"), lambda: brief(killed))
    judge(killed, 1, False, "localhost", "http")


def killed_under_run(scratch):
    """The command itself is killed: it ended when `run` saw it end, so its bodies were past the
    grace."""
    argv = [
        harness.program("fourcases"),
        origin.url("http", "/bytes/262144"),
        "1",
        "--linger",
        "60",
    ]
    script = f"(sleep 2.5; kill -KILL $$) & exec {' '.join(argv)}"
    result = scratch.run(["/bin/sh", "-c", script], "--grace", "1")
    judge(result.report, 1, False, "localhost", "http")
    equal("end", [(p["end"], p["status"]) for p in result.report["processes"]], [("signal", 9)])
    equal("status", result.status, 137)


for tls in ("http", "https"):
    for built in ("fourcases", "fourcases-annotated"):
        for case, (what, *_) in CASES.items():
            suite.test(f"{built} over {tls}: {what}", tls, built, case)(four_cases)
suite.test("chunked bodies", "/chunked/262144")(other_framing)
suite.test("bodies ended by closing", "/close/262144")(other_framing)
suite.test("the report of a running and of a killed program")(still_running)
suite.test("a killed command under run")(killed_under_run)
suite.main()
