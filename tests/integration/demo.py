#!/usr/bin/python3
"""`make demo`: the four ways to treat five responses, what httpleak counts in each, and its report
of the first; the same for Go, where Go is installed."""
import os
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import go_puzzle  # noqa: E402
import golang  # noqa: E402
import harness  # noqa: E402

CASES = ("neither read nor closed", "closed unread", "read, not closed", "read and closed")
HEADINGS = (
    "five GETs, each body",
    "connections",
    "unclosed",
    "discarded",
    "drained",
    "readers",
    "writers",
    "stranded pairs",
)


def row(what, report):
    totals = report["totals"]
    bodies, workers = totals["bodies"], totals["workers"]
    pairs = min(workers["readers_stranded"], workers["writers_stranded"])
    return [
        what,
        totals["connections"]["opened"],
        bodies["unclosed"],
        bodies["discarded"],
        bodies["drained"],
        workers["readers_live"],
        workers["writers_live"],
        pairs,
    ]


GO_CASES = {
    "neither": "neither read nor closed",
    "closed": "closed unread",
    "read": "read, not closed",
    "both": "read and closed",
    "six": "six, read, not closed",
    "transports": "a new Transport for each",
    "cancelled": "neither, but the context is cancelled",
}
GO_HEADINGS = (
    "five http.Get, each body",
    "NumGoroutine",
    "1 + readers + writers",
    "unclosed",
    "discarded",
    "drained",
    "drained, not closed",
    "finding",
)


def go_row(scratch, origin, version, name):
    argv = [
        golang.build(version, "default", "puzzle"),
        f"{origin.base('http')}/bytes/{go_puzzle.LARGE}",
        name,
    ]
    result = scratch.run(argv, env=origin.env())
    bodies, workers = result.report["totals"]["bodies"], result.report["totals"]["workers"]
    found = [
        " ".join(
            [
                f["rule"],
                f"x{f['count']}",
                *[f"({n}:{line})" for n, line in harness.user_lines(f)[:1]],
            ]
        )
        for f in result.report["findings"]
        if not f["caused_by"]
    ]
    return [
        GO_CASES[name],
        *go_puzzle.goroutines(result),
        1 + workers["readers_live"] + workers["writers_live"],
        bodies["unclosed"],
        bodies["discarded"],
        bodies["drained"],
        bodies["drained_unclosed"],
        ", ".join(found) or "none",
    ]


def show(rows):
    widths = [max(len(str(line[column])) for line in rows) for column in range(len(rows[0]))]
    for line in rows:
        cells = [str(line[0]).ljust(widths[0])] + [
            str(cell).rjust(width) for cell, width in zip(line[1:], widths[1:])
        ]
        print("  ".join(cells))


def go_table():
    if not golang.toolchains():
        print("\nGo is not installed: its table is left out (.ci/go 1.27 brings it)")
        return
    version = list(golang.toolchains())[-1]
    print(f"\nThe same by net/http of Go {version}, an unmodified binary:")
    with tempfile.TemporaryDirectory() as folder, golang.Origin() as origin:
        scratch = harness.Scratch(folder)
        show([GO_HEADINGS, *[go_row(scratch, origin, version, name) for name in GO_CASES]])


def main():
    with tempfile.TemporaryDirectory() as folder, harness.Origin() as origin:
        scratch = harness.Scratch(folder)
        rows = [HEADINGS]
        for number, what in enumerate(CASES, 1):
            argv = [harness.program("fourcases"), origin.url("http", "/bytes/262144"), str(number)]
            rows.append(row(what, scratch.run(argv).report))
        show(rows)
        argv = [harness.program("fourcases"), origin.url("http", "/bytes/262144"), "1"]
        print(f"\n$ httpleak run -- fourcases {argv[1]} 1", flush=True)
        done = subprocess.run([harness.HTTPLEAK, "run", "--", *argv], cwd=folder, check=False)
    go_table()
    return done.returncode != 23


if __name__ == "__main__":
    sys.exit(main())
