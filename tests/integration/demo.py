#!/usr/bin/python3
"""`make demo`: the four ways to treat five responses, what httpleak counts in each, and its report
of the first."""
import os
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
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


def main():
    with tempfile.TemporaryDirectory() as folder, harness.Origin() as origin:
        scratch = harness.Scratch(folder)
        rows = [HEADINGS]
        for number, what in enumerate(CASES, 1):
            argv = [harness.program("fourcases"), origin.url("http", "/bytes/262144"), str(number)]
            rows.append(row(what, scratch.run(argv).report))
        widths = [max(len(str(line[column])) for line in rows) for column in range(len(HEADINGS))]
        for line in rows:
            cells = [str(line[0]).ljust(widths[0])] + [
                str(cell).rjust(width) for cell, width in zip(line[1:], widths[1:])
            ]
            print("  ".join(cells))
        argv = [harness.program("fourcases"), origin.url("http", "/bytes/262144"), "1"]
        print(f"\n$ httpleak run -- fourcases {argv[1]} 1", flush=True)
        return (
            subprocess.run(
                [harness.HTTPLEAK, "run", "--", *argv], cwd=folder, check=False
            ).returncode
            != 23
        )


if __name__ == "__main__":
    sys.exit(main())
