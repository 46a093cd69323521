#!/usr/bin/python3
"""Timers in Go, to the last one: made, fired and stopped, as the program itself made, waited for and stopped them."""
import os
import re
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import golang  # noqa: E402
import harness  # noqa: E402
from harness import brief, check, equal, findings  # noqa: E402

suite = harness.Suite()
origin = golang.open_origin(suite)
SOURCE = "go/timers/main.go"
ROUNDS = 20000


def run(scratch, version, mode, url=True):
    argv = [golang.build(version, "default", "timers"), mode, str(ROUNDS)]
    result = scratch.run(argv + [origin.base("http") + "/bytes/100"] * url)
    check(result.status == 0, lambda: f"status {result.status}: {result.errors}")
    harness.not_blind(result.report)
    return result


def counters(result, kind):
    """Sums over the places of one kind; the one with all the rounds is the program's loop."""
    lines = subprocess.run(
        [harness.HTTPLEAK, "dump", *result.traces], capture_output=True, check=True, text=True
    ).stdout.splitlines()
    rows = [dict(re.findall(r"(\w+)=(\S+)", line)) for line in lines if line.startswith("timer ") and f"kind={kind}" in line]
    rows = [row for row in rows if int(row["created"]) >= ROUNDS]
    check(len(rows) == 1, f"{len(rows)} places of {kind} made {ROUNDS} timers")
    return {name: int(rows[0][name]) for name in ("created", "fired", "stopped", "forgotten")}


def ended(scratch, version, mode, kind, how):
    result = run(scratch, version, mode)
    found = counters(result, kind)
    equal("created", found["created"], ROUNDS)
    # one that fires before it is known is told by its own state, or by the next one at its address
    equal(how, found[how] + found["forgotten"], ROUNDS)
    check(found["forgotten"] <= 2, lambda: f"{found}")
    harness.no_alarm(result.report)


def contexts(scratch, version):
    report = run(scratch, version, "context").report
    found = findings(report, "timer-pileup")
    check(len(found) == 1, lambda: brief(report))
    equal("count", found[0]["count"], ROUNDS)
    check("context.WithTimeout" in found[0]["message"], lambda: found[0]["message"])
    check("cancel()" in found[0]["advice"], lambda: found[0]["advice"])
    lines = harness.user_lines(found[0])
    check(("main.go", harness.line_of(SOURCE, "// context")) in lines, lambda: f"{lines}")


def without_connection(scratch, version):
    """The pile itself makes the trace; the first thousand of it are not in there."""
    report = run(scratch, version, "func", url=False).report
    found = findings(report, "timer-pileup")
    check(len(found) == 1, lambda: brief(report))
    check(ROUNDS - 1100 <= found[0]["count"] <= ROUNDS - 900, lambda: f"{found[0]['count']}")


for go_version in golang.VERSIONS if harness.LONG else golang.ENDS:
    suite.test(f"Go {go_version}: all fire", go_version, "fired", "go-func", "fired")(ended)
    suite.test(f"Go {go_version}: all are stopped", go_version, "stopped", "go-channel", "stopped")(ended)
    suite.test(f"Go {go_version}: contexts that are cancelled", go_version, "cancelled", "go-func", "stopped")(ended)
    suite.test(f"Go {go_version}: contexts that are not", go_version)(contexts)
    suite.test(f"Go {go_version}: no connection at all", go_version)(without_connection)
suite.main()
