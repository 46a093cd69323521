#!/usr/bin/python3
"""The engine for Go alone, with probes that count (tests/programs/golang_count): what it finds in which builds, and what it
does with damaged ones."""
import json
import os
import shutil
import struct
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import go_puzzle  # noqa: E402
import golang  # noqa: E402
import harness  # noqa: E402
from harness import Skip, check, equal  # noqa: E402

suite = harness.Suite()
origin = golang.open_origin(suite)
SAID, ROWS = 2048, 13  # count.h
NONE, FOLLOWED, BLIND = 0, 1, 2
READ_LOOP, WRITE_LOOP, GOEXIT, DIAL, TRIP, TRIPPED, DONE, CLOSE, END, EARLY, CALL, CALLED, ABSENT = range(ROWS)


class Counted:
    """One run of a program under the counting preload."""

    def __init__(self, scratch, argv, **env):
        path = scratch.path("counts")
        self.done = subprocess.run(
            argv,
            env=harness.environment(
                {"LD_PRELOAD": harness.program("golang_count.so"), "COUNT_FILE": path, **origin.env(), **env}
            ),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=120,
            check=False,
        )
        with open(path, "rb") as file:
            page = file.read()
        self.said = json.loads(page[:SAID].split(b"\0")[0])
        self.wrong, *self.counts = struct.unpack_from(f"<{1 + ROWS}Q", page, SAID)


def mapped(path, *arguments):
    """What golang_map says of an executable that is not run."""
    done = subprocess.run(
        [harness.program("golang_map"), path, *arguments], capture_output=True, text=True, timeout=300, check=False
    )
    check(done.returncode in (0, 1), lambda: f"golang_map: {done.returncode} {done.stdout[-300:]}{done.stderr[-300:]}")
    return done.stdout if arguments else json.loads(done.stdout)


# ---- what it finds -------------------------------------------------------------------------------------------------------

# Of five requests: connections, bodies that were closed, ends of bodies, early closes. 1.27 drains what is closed.
WAYS = {"neither": (5, 0, 0, 0), "closed": (5, 5, 0, 5), "read": (1, 0, 5, 0), "both": (1, 5, 5, 0)}


def follows_way(place, binary, scheme, way):
    connections, closed, ends, early = WAYS[way]
    run = Counted(place, [binary, origin.base(scheme) + "/bytes/2000000", way])
    equal(f"{way}: status", run.done.returncode, 0)
    equal(f"{way}: state ({run.said['reason']})", run.said["state"], FOLLOWED)
    count = run.counts
    equal(f"{way}: impossible registers", run.wrong, 0)
    equal(f"{way}: loops", (count[READ_LOOP], count[WRITE_LOOP]), (count[DIAL], count[DIAL]))
    go_puzzle.as_ever("connections", count[DIAL], connections)
    for row, expected in ((TRIP, 5), (TRIPPED, 5), (DONE, 5), (CLOSE, closed), (EARLY, early), (ABSENT, 0)):
        equal(f"{way}: calls of hook {row}", count[row], expected)
    equal(f"{way}: ends of bodies", count[END], ends)
    check(count[CALL] - count[CALLED] in range(0, 4), f"{way}: system calls {count[CALL]}, returned {count[CALLED]}")
    check(count[CALL] > 10, f"{way}: system calls {count[CALL]}")


def follows(scratch, version, kind, scheme):
    binary = golang.build(version, kind, "puzzle")
    may_repeat = go_puzzle.repeats()
    with ThreadPoolExecutor(len(WAYS)) as pool:
        running = [
            pool.submit(
                go_puzzle.again_if_stalled, may_repeat, follows_way, harness.Scratch(scratch.folder()), binary, scheme, way
            )
            for way in WAYS
        ]
    for job in running:
        job.result()


for release in golang.VERSIONS if harness.LONG else golang.ENDS:
    for build_kind in golang.DYNAMIC if harness.LONG else ("default",):
        suite.test(f"Go {release} {build_kind}: every call is seen once", release, build_kind, "http")(follows)


def looks_at_static(_scratch, version, kind):
    said = mapped(golang.build(version, kind, "puzzle"))
    equal(f"state ({said['reason']})", said["state"], FOLLOWED)
    check(said["sites"]["dial_conn"] > 3, f"{said['sites']}")


for release in golang.VERSIONS if harness.LONG else golang.ENDS:
    for build_kind in golang.STATIC if harness.LONG else ("static",):
        suite.test(f"Go {release} {build_kind}: is understood", release, build_kind)(looks_at_static)


@suite.test("start takes less than 5 ms of processor time")
def start_is_quick(scratch):
    binary = golang.build(list(golang.toolchains())[-1] if golang.toolchains() else "1.27", "default", "puzzle")
    took = min(
        Counted(scratch, [binary, origin.base("http") + "/bytes/10", "no such case"]).said["ns"] for _ in range(10)
    )
    check(took < 5_000_000, f"{took} ns")


def under_stress(scratch, version):
    """The collector in a loop, the profiler's signals, growing stacks: every count exact."""
    requests = 10_000 if harness.LONG else 1000
    run = Counted(
        scratch, [golang.build(version, "default", "stress"), origin.base("http"), "8", str(requests)], GOGC="1"
    )
    equal("status", run.done.returncode, 0)
    words = run.done.stdout.decode().split()
    count = run.counts
    equal("impossible registers", run.wrong, 0)
    for row in (TRIP, TRIPPED, DONE, CLOSE):
        equal(f"calls of hook {row}", count[row], int(words[1]))
    equal("ends of bodies", count[END], int(words[3]))
    equal("early closes", count[EARLY], int(words[5]))
    equal("workers", count[READ_LOOP], count[WRITE_LOOP])


for release in golang.VERSIONS if harness.LONG else golang.ENDS:
    suite.test(f"Go {release}: exact under stress", release)(under_stress)


def inlining_is_noticed(_scratch, version):
    """A hook on a function whose code stands elsewhere too would miss calls."""
    binary = golang.build(version, "default", "puzzle")
    for name, said in (("sync.(*Mutex).Unlock", "found 1, inlined\n"), ("net/http.(*Client).do", "found 1, not inlined\n"),
                       ("net/http.noSuchFunction", "found 0, not inlined\n")):
        equal(name, mapped(binary, "inlined", name), said)


for release in golang.VERSIONS if harness.LONG else golang.ENDS:
    suite.test(f"Go {release}: what is inlined is noticed", release)(inlining_is_noticed)


# ---- what it refuses -----------------------------------------------------------------------------------------------------


def changed(scratch, version, kind, change):
    """A copy of the puzzle after change(bytearray)."""
    with open(golang.build(version, kind, "puzzle"), "rb") as file:
        data = bytearray(file.read())
    data = change(data) or data
    path = scratch.path("changed")
    with open(path, "wb") as file:
        file.write(data)
    os.chmod(path, 0o755)
    return path


def runs_untouched(scratch, path, reason, state=BLIND):
    run = Counted(scratch, [path, origin.base("http") + "/bytes/10", "both"])
    equal("status", run.done.returncode, 0)
    equal("state", run.said["state"], state)
    check(reason in run.said["reason"], f"reason: {run.said['reason']}")
    equal("calls", run.counts, [0] * ROWS)
    check(run.done.stdout.startswith(b"both: 3 goroutines"), f"output: {run.done.stdout}")
    return run


def other_release(text):
    """The release in the build information is another one, of any length up to the old one's."""

    def change(data):
        at = data.index(b"\xff Go buildinf:") + 32
        old = data[at]
        data[at + 1 : at + 1 + old] = text.ljust(old)

    return change


@suite.test("a release from the future is not touched")
def future(scratch):
    for version in golang.ENDS:
        golang.need(version)
        run = runs_untouched(
            scratch, changed(scratch, version, "default", other_release(b"go1.99.1")), "this release is not known"
        )
        equal("version", run.said["version"], "go1.99.1")
    runs_untouched(scratch, changed(scratch, version, "default", other_release(b"devel")), "this release is not known")


@suite.test("a release that is another than it says is not touched")
def wrong_release(scratch):
    for version, other in (("1.19", b"go1.27.3"), ("1.27", b"go1.25.1")):
        golang.need(version)
        runs_untouched(scratch, changed(scratch, version, "default", other_release(other)), "")


@suite.test("a program without a build id is known all the same")
def without_build_id(scratch):
    for version in golang.ENDS:
        binary = scratch.path("anonymous")
        golang.go(version, ["build", "-buildvcs=false", f"-modfile={golang.module_file(version)}",
                            "-ldflags=-buildid= -s -w", "-o", binary, "./puzzle"])
        run = Counted(scratch, [binary, origin.base("http") + "/bytes/10", "both"])
        equal(f"state ({run.said['reason']})", run.said["state"], FOLLOWED)
        equal("requests", run.counts[TRIP], 5)


@suite.test("a program without net/http is none of ours")
def without_http(scratch):
    version = list(golang.toolchains())[-1] if golang.toolchains() else "1.27"
    binary = golang.build(version, "pie", "plain")
    run = Counted(scratch, [binary])
    equal("status", run.done.returncode, 0)
    equal("state", run.said["state"], NONE)


def scrambled(_scratch, version, kind):
    """Nothing that is in the tables makes the engine crash; what it refuses, it leaves as it was."""
    said = mapped(golang.build(version, kind, "puzzle"), "damage", "1", "20000" if harness.LONG else "300")
    check(said.endswith(" 0 crashed\n"), said[-500:])
    check(" followed" in said and not said.startswith("0 of"), said[-200:])


for release in golang.ENDS:
    for build_kind in ("default", "pie-stripped") if harness.LONG else ("default",):
        suite.test(f"Go {release} {build_kind}: damaged tables", release, build_kind)(scrambled)


@suite.test("a file that was cut short is refused")
def cut(scratch):
    version = golang.ENDS[0]
    golang.need(version)
    for share in (0.9, 0.5, 0.2):
        path = changed(scratch, version, "stripped", lambda data, share=share: data[: int(len(data) * share)])
        said = mapped(path)
        equal("state", said["state"], BLIND)
        check("cut short" in said["reason"], said["reason"])


@suite.test("a packed program runs as without")
def packed(scratch):
    tool = shutil.which("upx") or shutil.which("upx-ucl")
    if not tool:
        raise Skip("this Debian has no package of upx")
    for version in golang.ENDS:
        binary = scratch.path("packed")
        shutil.copy(golang.build(version, "stripped", "puzzle"), binary)
        done = subprocess.run([tool, "-1", "-q", binary], capture_output=True, check=False)
        if done.returncode != 0:
            raise Skip(f"upx does not pack it: {done.stderr.decode()[-200:]}")
        run = Counted(scratch, [binary, origin.base("http") + "/bytes/10", "both"])
        equal("status", run.done.returncode, 0)
        check(run.done.stdout.startswith(b"both: 3 goroutines"), f"output: {run.done.stdout}")
        check(run.counts[TRIP] in (0, 5), f"requests seen: {run.counts[TRIP]}")


if __name__ == "__main__":
    suite.main()
