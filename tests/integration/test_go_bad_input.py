#!/usr/bin/python3
"""Go executables that are damaged, truncated, packed or of an unknown version: they run untouched, and one note says so."""
import os
import random
import re
import struct
import sys
from concurrent.futures import ThreadPoolExecutor

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import go_puzzle  # noqa: E402
import golang  # noqa: E402
import harness  # noqa: E402
from harness import brief, check, equal, findings  # noqa: E402

suite = harness.Suite()
origin = golang.open_origin(suite)
BYTES = "/bytes/8192"


def section(data, *names):
    """(file offset, size) of the first section with one of these names; the file is ELF64."""
    (table,) = struct.unpack_from("<Q", data, 0x28)
    size, number, index = struct.unpack_from("<HHH", data, 0x3A)
    headers = [struct.unpack_from("<IIQQQQIIQQ", data, table + i * size) for i in range(number)]
    strings = headers[index][4]
    for header in headers:
        start = strings + header[0]
        if data[start : data.index(b"\0", start)].decode() in names:
            return header[4], header[5]
    raise harness.Failed(f"no section {names}")


def damaged_name(data):
    """A hook's function has another name in the table of functions."""
    offset, size = section(data, ".gopclntab", ".data.rel.ro.gopclntab")
    name = b"net/http.(*persistConn).readLoop\0"
    where = data.index(name, offset, offset + size)
    data[where : where + len(name)] = name.replace(b"readLoop", b"readLoup")


def damaged_entry(data):
    """The table of functions, and so the names that belong to its entries, is in disorder in a rarely used place."""
    offset, size = section(data, ".gopclntab", ".data.rel.ro.gopclntab")
    where = data.index(b"net/http.(*bodyEOFSignal).Close\0", offset, offset + size)
    data[where : where + 8] = b"\xff" * 8


def future(data):
    offset, size = section(data, ".go.buildinfo")
    where = data.index(b"go1.", offset, offset + size)
    data[where + 4 : where + 6] = b"99"


def unknown_past(data):
    offset, size = section(data, ".go.buildinfo")
    where = data.index(b"go1.", offset, offset + size)
    data[where + 4 : where + 6] = b"03"


def damaged_field(data):
    """A field of a structure that the probes look into has another name (and so may mean another thing)."""
    name, at, found = b"\x08cacheKey", 0, 0
    while (at := data.find(name, at)) >= 0:
        data[at : at + len(name)] = b"\x08cacheKex"
        found += 1
    check(found, "no field of this name")


DAMAGES = {
    "a field of another name": damaged_field,
    "a function of another name": damaged_name,
    "a name that is none": damaged_entry,
    "a version from the future": future,
    "a version too old": unknown_past,
}


def damaged(scratch, version, build, how):
    """Runs untouched, and one note says that it could not be followed."""
    with open(golang.build(version, build, "puzzle"), "rb") as file:
        data = bytearray(file.read())
    DAMAGES[how](data)
    argv = [scratch.write("damaged", data, 0o755), origin.base("http") + BYTES, "neither"]
    bare = scratch.bare(argv)
    equal("bare", (bare.status, bare.output), (0, b"neither: 11 goroutines\n"))
    for way in go_puzzle.ways_of(build):
        result = getattr(scratch, way)(argv)
        equal(
            "the same", (result.status, result.output, result.errors), (0, bare.output, bare.errors)
        )
        check(result.report, "no trace")
        blind = findings(result.report, "blind")
        check(len(blind) == 1 and len(result.report["findings"]) == 1, lambda: brief(result.report))
        equal("verdict", result.report["verdict"], "no-leak-seen")
        if "version" in how:
            expected = re.search(rb"go1\.\d\d", data[slice(*span(data))])[0].decode()
            text = " ".join(
                [blind[0]["message"], *(b for p in result.report["processes"] for b in p["blind"])]
            )
            check(expected in text, lambda: f"{expected} is not in {text!r}")


def alone(scratch, argv):
    """A bare run; None if it does not end well, or not at all."""
    try:
        bare = scratch.bare(argv, timeout=30)
    except harness.Failed:
        return None
    return bare if (bare.status, bare.output) == (0, b"neither: 11 goroutines\n") else None


def runs_the_same(scratch, argv, way, bare, label):
    result = getattr(scratch, way)(argv)
    accepted = (0, 23) if way == "run" else (0,)
    check(result.status in accepted, lambda: f"{label}: {result.status} {result.errors[:300]}")
    equal(f"{label}: output", result.output, bare.output)
    check(result.report, f"{label}: no trace")
    check(result.report["verdict"] != "clean", lambda: brief(result.report))


def one_damage(scratch, whole, build, seed, round_number):
    """Whether it runs at all."""
    offset, size = section(whole, ".gopclntab", ".data.rel.ro.gopclntab")
    source = random.Random(f"{seed}-{round_number}")
    data = bytearray(whole)
    for _ in range(source.choice((1, 8, 64))):
        data[offset + source.randrange(size)] = source.randrange(256)
    argv = [scratch.write("damaged", data, 0o755), origin.base("http") + BYTES, "neither"]
    bare = alone(scratch, argv)
    for way in go_puzzle.ways_of(build) if bare else ():
        label = f"seed {seed}, round {round_number}, {way}"
        try:
            runs_the_same(scratch, argv, way, bare, label)
        except harness.Failed:
            # Go's runtime needs a damaged entry where a stack happens to grow: by chance, and alone too?
            if all(alone(scratch, argv) for _ in range(20)):
                runs_the_same(scratch, argv, way, bare, label)
    os.unlink(argv[0])
    return bare is not None


def random_damage(scratch, version, build):
    """Whatever is broken in the function table: what runs without httpleak runs the same with it. Several
    at a time, since each sleeps most of its time."""
    seed = int(os.environ.get("HTTPLEAK_TEST_SEED", "1"))
    with open(golang.build(version, build, "puzzle"), "rb") as file:
        whole = file.read()
    with ThreadPoolExecutor(6) as pool:
        alive = list(
            pool.map(
                lambda number: one_damage(
                    harness.Scratch(scratch.folder(f"{number}")), whole, build, seed, number
                ),
                range(60 if harness.LONG else 3),
            )
        )
    check(any(alive) or not harness.LONG, "none of them runs at all")


def span(data):
    offset, size = section(data, ".go.buildinfo")
    return offset, offset + size


def no_sections(scratch, version, build):
    """Without section headers the tables are found all the same; a static one may be named as blind."""
    with open(golang.build(version, build, "puzzle"), "rb") as file:
        data = bytearray(file.read())
    data[0x28:0x30], data[0x3C:0x40] = bytes(8), bytes(4)
    argv = [
        scratch.write("puzzle", data, 0o755),
        f"{origin.base('http')}/bytes/{go_puzzle.LARGE}",
        "neither",
    ]
    result = scratch.run(argv)
    if build in golang.STATIC and findings(result.report, "blind"):
        equal("the same", (result.status, result.output), (0, b"neither: 11 goroutines\n"))
        return
    go_puzzle.judge(
        result.report, "neither", version, "http", origin, go_puzzle.goroutines(result)[0]
    )


def truncated(scratch, version, build):
    with open(golang.build(version, build, "puzzle"), "rb") as file:
        data = file.read()
    for part in (0.3, 0.6, 0.9):
        argv = [
            scratch.write("cut", data[: int(len(data) * part)], 0o755),
            origin.base("http") + BYTES,
            "neither",
        ]
        bare, result = scratch.bare(argv), scratch.preloaded(argv, judge=False)
        equal("the same", (result.status, result.output), (bare.status, bare.output))
        done = scratch.execute(
            [harness.HTTPLEAK, "run", "--quiet", "-o", scratch.folder(), "--", *argv],
            harness.environment(),
        )
        # What is cut off at the end may be nothing that a run needs; then it is followed, and leaks.
        accepted = (0, 23) if bare.status == 0 else (bare.status,)
        check(done.status in accepted, f"under run: {done.status}, not {accepted}")


def packed(scratch, version, build):
    """An executable that unpacks itself: runs untouched and one note says so, or it is followed."""
    argv = [golang.packed(version, build, "puzzle"), origin.base("http") + BYTES, "neither"]
    bare = scratch.bare(argv)
    equal("bare", (bare.status, bare.output), (0, b"neither: 11 goroutines\n"))
    result = scratch.preloaded(argv, judge=False)
    equal("preloaded", (result.status, result.output, result.errors), (0, bare.output, bare.errors))
    result = scratch.run(argv)
    equal("under run", (result.output, result.errors), (bare.output, bare.errors))
    if result.report["totals"]["bodies"]["unclosed"] == 5:  # unpacked in time, and followed
        equal("status", result.status, 23)
        return
    equal("status", result.status, 0)
    check(len(findings(result.report, "blind")) == 1, lambda: brief(result.report))
    equal("verdict", result.report["verdict"], "no-leak-seen")


def together(scratch, version, build):
    """All of them side by side, since each sleeps most of its time; every failure is told."""
    golang.build(version, build, "puzzle")
    jobs = {how: (damaged, version, build, how) for how in DAMAGES}
    jobs["random damage"] = (random_damage, version, build)
    jobs["no section headers"] = (no_sections, version, build)
    jobs["truncated"] = (truncated, version, build)
    with ThreadPoolExecutor(6) as pool:
        running = {
            name: pool.submit(job[0], harness.Scratch(scratch.folder(name)), *job[1:])
            for name, job in jobs.items()
        }
    errors = [f"{name}: {job.exception()!r}" for name, job in running.items() if job.exception()]
    check(not errors, lambda: "\n".join(errors))


for go_version in golang.VERSIONS if harness.LONG else golang.ENDS:
    for go_build in ("default", "static"):
        suite.test(f"Go {go_version}, {go_build}: damaged", go_version, go_build)(together)
        suite.test(f"Go {go_version}, {go_build}: packed", go_version, go_build)(packed)
suite.main()
