#!/usr/bin/python3
"""The engine's tables of Go's releases against the toolchains themselves: DWARF for the fields, sources for the numbers.

With the word `print` it prints the columns of each field of offsets.def instead, for whoever adds a row or a release.
"""
import os
import re
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import golang  # noqa: E402
import harness  # noqa: E402
from harness import check, equal  # noqa: E402

suite = harness.Suite()
ENGINE = os.path.join(harness.ROOT, "preload", "golang")
FIRST, LAST = 19, 27


def read(*names):
    with open(os.path.join(*names), encoding="utf-8") as file:
        return file.read()


def offsets():
    """[(type as DWARF names it, field, [offset of 1.19, 1.20, ...])]"""
    text = re.sub(r"/\*.*?\*/", "", read(ENGINE, "offsets.def"), flags=re.S)
    types = {
        row[0]: row[1].rsplit("/", 1)[0] + "/" + row[2] if "/" in row[1] else row[2]
        for row in re.findall(r'GOLANG_TYPE\(\s*(\w+),\s*"([^"]*)",\s*"([^"]*)"\s*\)', text)
    }
    rows = []
    for kind, field, values in re.findall(
        r'GOLANG_OFFSET\(\s*\w+,\s*(\w+),\s*"(\w+)",\s*\w+,\s*((?:[-\w\s,]|\(\s*-?\d+\s*\))*?)\)\s*(?=GOLANG|#|$)', text
    ):
        same = re.fullmatch(r"SAME\(\s*(-?\d+)\s*\)", values.strip())
        columns = [int(same[1])] * (LAST - FIRST + 1) if same else [int(v) for v in values.split(",")]
        rows.append((types[kind], field, columns))
    return rows


def dwarf(version):
    """{(type, field): offset} as the linker wrote it into a program of that release."""
    tool = golang.build(list(golang.toolchains())[-1], "default", "offsets")
    lines = "".join(f"{kind} {field}\n" for kind, field, _ in offsets())
    done = subprocess.run(
        [tool, golang.build(version, "default", "puzzle")],
        input=lines, capture_output=True, text=True, timeout=120, check=False,
    )
    check(done.returncode == 0, done.stderr)
    found = {}
    for line in done.stdout.splitlines():
        kind, field, offset = line.split(" ")
        found[kind, field] = None if offset == "absent" else int(offset)
    return found


def fields_are_there(_scratch, version):
    golang.need(version)
    found, column = dwarf(version), golang.number(version) - FIRST
    rows = offsets()
    for kind, field, columns in rows:
        if found[kind, field] is not None:  # else the linker left the type out
            equal(f"{kind}.{field}", columns[column], found[kind, field])
    absent = {kind for kind, field, _ in rows if found[kind, field] is None}
    check(len(absent) < len({row[0] for row in rows}) / 2, f"no such types: {absent}")


def numbers_are_right(_scratch, version):
    """release.c: the function id of generated code, the place of the type descriptors in the module data."""
    root = os.path.dirname(os.path.dirname(golang.need(version)))
    rows = re.findall(
        r"/\* (\d+) \*/ \{\.wrapper = (\d+), \.types = (\d+), \.etypes = (\d+), \.data = (\d+)\}", read(ENGINE, "release.c")
    )
    row = {int(r[0]): [int(x) for x in r[1:]] for r in rows}[golang.number(version)]
    ids = os.path.join(root, "src", "internal", "abi", "symtab.go")
    if not os.path.exists(ids) or "iota" not in read(ids):
        ids = os.path.join(root, "src", "runtime", "symtab.go")
    block = re.search(r"[fF]uncID\w* +\w+ = iota.*?\n\)", read(ids), re.S)[0]
    names = re.findall(r"^\s*([fF]uncID\w+)", block, re.M)
    names.insert(0, "normal") if "ormal" not in names[0] else None
    wrapper = [i for i, name in enumerate(names) if name.lower().endswith("wrapper")]
    equal("the wrappers' id", row[0], wrapper[0])
    struct = re.search(r"type moduledata struct \{(.*?)\n\}", read(root, "src", "runtime", "symtab.go"), re.S)[1]
    words = {}
    at = 0
    for line in re.sub(r"//.*", "", struct).splitlines():
        parts = re.match(r"\s*([\w, ]+?)\s+(\S+)\s*$", line)
        if not parts:
            continue
        for name in parts[1].split(","):
            words[name.strip()] = at
            at += 3 if parts[2].startswith("[]") else 1
    equal("moduledata.text", words["text"], 22)
    equal("moduledata.types, etypes, gofunc", row[1:], [words[name] for name in ("types", "etypes", "gofunc")])


for release in golang.VERSIONS if harness.LONG else golang.ENDS:
    suite.test(f"Go {release}: fields as its DWARF says", release)(fields_are_there)
# (quick: each that is there)
for release in golang.VERSIONS if harness.LONG else sorted({*golang.ENDS, *golang.toolchains()}, key=golang.number):
    suite.test(f"Go {release}: numbers as its sources say", release)(numbers_are_right)


def show():
    tables = {version: dwarf(version) for version in golang.VERSIONS if version in golang.toolchains()}
    for kind, field, columns in offsets():
        print(kind, field, columns, {version: table[kind, field] for version, table in tables.items()})


if __name__ == "__main__":
    if sys.argv[1:] == ["print"]:
        show()
    else:
        suite.main()
