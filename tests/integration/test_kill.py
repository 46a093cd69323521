#!/usr/bin/python3
"""kill -9 at random moments: every trace reads, and says what the program itself logged, to one
event a thread.

HTTPLEAK_TEST_LONG=1 kills 200 times instead of 40; HTTPLEAK_TEST_SEED repeats a run.
"""
import os
import random
import struct
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import harness  # noqa: E402
from harness import check, signal  # noqa: E402

suite = harness.Suite()
origin = suite.stack.enter_context(harness.Origin())
THREADS = 4
KILLS = 200 if harness.LONG else 40
SEED = int(os.environ.get("HTTPLEAK_TEST_SEED", time.time_ns() % 1000000))
NAMES = ("connects", "reuses", "heads", "drained", "discarded", "closes")


def logged(path):
    """Sums over the threads; nothing if the program had not come that far."""
    if not os.path.exists(path):
        return dict.fromkeys(NAMES, 0)
    with open(path, "rb") as file:
        data = file.read()
    rows = [struct.unpack_from("=6Q", data, offset) for offset in range(0, len(data), 64)]
    return {name: sum(row[column] for row in rows) for column, name in enumerate(NAMES)}


def recorded(report):
    connections, bodies = report["totals"]["connections"], report["totals"]["bodies"]
    check(
        bodies["opened"]
        == bodies["drained"] + bodies["discarded"] + bodies["failed"] + bodies["unclosed"],
        str(bodies),
    )
    return {
        "connects": connections["opened"],
        "reuses": connections["reused"],
        "heads": bodies["opened"],
        "drained": bodies["drained"],
        "discarded": bodies["discarded"],
        "closes": connections["closed"],
    }


def kill_once(scratch, number, delay):
    log = scratch.path(f"log{number}")
    argv = [
        harness.program("killlog"),
        origin.url("http", "/bytes/262144", "127.0.0.1"),
        log,
        str(THREADS),
    ]
    process, folder = scratch.start(argv, stderr=None)
    try:
        time.sleep(delay)
    finally:
        status = harness.end(process, signal.SIGKILL)
    check(status == 137, f"kill {number}: the program ended by itself, status {status}")
    books, traces = logged(log), harness.trace_files(folder)
    if not traces:
        check(
            books["connects"] <= THREADS,
            f"kill {number} after {delay:.4f} s: no trace after {books}",
        )
        return books
    check(len(traces) == 1, f"kill {number}: traces {traces}")
    done = harness.report_run(["--json", "-", *traces])
    check(
        done.returncode in (0, 23),
        lambda: f"kill {number} after {delay:.4f} s: status {done.returncode} {done.stderr}",
    )
    report = harness.json.loads(done.stdout)
    seen = recorded(report)
    wrong = {
        name: (seen[name], books[name]) for name in NAMES if abs(seen[name] - books[name]) > THREADS
    }
    check(
        not wrong,
        lambda: f"kill {number} after {delay:.4f} s: recorded and logged differ: {wrong}\n{harness.brief(report)}",
    )
    check(
        report["processes"][0]["lost_records"] == 0,
        lambda: f"kill {number}: records lost\n{harness.brief(report)}",
    )
    check(report["processes"][0]["end"] in ("lost", "signal"), lambda: harness.brief(report))
    return books


@suite.test(f"{KILLS} kills of {THREADS} threads (seed {SEED})")
def kills(scratch):
    moments = random.Random(SEED)
    most = 0
    for number in range(KILLS):
        delay = moments.uniform(0.0, 0.03) if number % 4 == 0 else moments.uniform(0.02, 0.6)
        most = max(most, kill_once(scratch, number, delay)["heads"])
    check(
        most > 20 * THREADS,
        f"no run came to more than {most} responses: the kills hit nothing but starts",
    )


suite.main()
