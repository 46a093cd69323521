#!/usr/bin/python3
"""The program under test is unharmed: descriptors, rights, limits and threads behave as without the
recorder, also where no trace can be written."""
import os
import re
import shutil
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import harness  # noqa: E402
from harness import brief, check, equal, need  # noqa: E402

suite = harness.Suite()
origin = suite.stack.enter_context(harness.Origin())
ROOT_ONLY = os.getuid() != 0
STALL = "/head-then-stall"
BYTES = "/bytes/65536"

# mode, path, what the report must say: connections opened, live, bodies drained, discarded;
# None: not for this mode to say
MODES = [
    ("descriptors", BYTES, (2, 1, 4, 0)),
    ("closefrom", BYTES, (None, 0, 3, 0)),
    ("dup2-over-all", BYTES, (3, 0, 3, 0)),
    ("chroot", BYTES, (1, 0, 1, 0)),
    ("setuid", BYTES, (1, 0, 1, 0)),
    ("seccomp", BYTES, (1, 0, 1, 0)),
    ("errors", BYTES, (1, 1, 1, 0)),
    ("itself", BYTES, (1, 0, 1, 0)),
    ("cancel", STALL, (20, 0, 0, 20)),
    ("longjmp", STALL, (10, 0, 0, 10)),
    ("high-descriptors", BYTES, (None, None, None, 0)),
    ("stdio", BYTES, (3, 0, 3, 0)),
]


def one_line(errors, must=True):
    """At most one line of httpleak on a program's stderr, and nothing else that the bare program
    did not say."""
    lines = errors.splitlines()
    check(
        len(lines) == 1 if must else len(lines) <= 1,
        lambda: f"one line expected on stderr: {errors!r}",
    )
    check(
        all("httpleak" in line for line in lines),
        lambda: f"the line does not say who speaks: {errors!r}",
    )


def same(bare, result):
    equal("status", result.status, bare.status)
    equal("output", result.output, bare.output)


def fetch_argv(case="1"):
    return [harness.program("fourcases"), origin.url("http", "/bytes/262144"), case]


def behaves(scratch, mode, path, expected):
    if mode in ("chroot", "setuid") and ROOT_ONLY:
        raise harness.Skip("root is needed")
    argv = [harness.program("behave"), mode, origin.url("http", path), scratch.folder("root")]
    bare = scratch.bare(argv)
    equal("bare status", (bare.status, bare.errors), (3, ""))
    for way in (scratch.preloaded, scratch.run):
        result = way(argv)
        same(bare, result)
        equal("errors", result.errors, "")
        check(result.report, "no trace")
        totals = result.report["totals"]
        seen = (
            totals["connections"]["opened"],
            totals["connections"]["live"],
            totals["bodies"]["drained"],
            totals["bodies"]["discarded"],
        )
        check(
            all(want is None or want == got for want, got in zip(expected, seen)),
            lambda s=seen, r=result: f"{s}, expected {expected}\n{brief(r.report)}",
        )
        harness.no_error(result.report)
        harness.not_blind(result.report)


def standard_descriptors(scratch):
    """Connections on the descriptors 0, 1 and 2: neither summary nor warning goes to a server."""
    argv = [harness.program("behave"), "standard-descriptors", origin.url("http", BYTES)]
    said = []
    for way, settings in (
        (scratch.bare, {}),
        (scratch.preloaded, {"settings": "summary=1"}),
        (scratch.preloaded, {"settings": "x=1"}),
    ):
        origin.clear()
        result = way([*argv, scratch.path("result")], **settings)
        equal("status", result.status, 3)
        with open(scratch.path("result"), encoding="ascii") as file:
            said.append((file.read(), origin.counts("http")))
    equal("results", said[1:], said[:1] * 2)
    totals = result.report["totals"]
    equal("opened, drained", (totals["connections"]["opened"], totals["bodies"]["drained"]), (3, 3))


def signal_handlers(scratch, threads):
    """HTTP from a signal handler on top of HTTP: no deadlock, and nothing is missed."""
    origin.clear()
    result = scratch.preloaded(
        [harness.program("signals"), origin.url("http", "/bytes/5000"), "2", str(threads)]
    )
    equal("result", (result.status, result.output), (0, b"handlers many, threads many\n"))
    counts = origin.counts("http")
    totals = result.report["totals"]
    equal(
        "opened, drained",
        (totals["connections"]["opened"], totals["bodies"]["drained"]),
        (counts["accepts"], counts["bodies_completed"]),
    )
    harness.no_alarm(result.report)
    harness.not_blind(result.report)


def directory_gone(scratch):
    """A working directory that was removed: no trace, one line, the program unharmed."""
    folder = scratch.folder("gone")
    script = f'cd {folder}; rmdir {folder}; exec "$@"'
    env = harness.environment(None, harness.LIBRARY, "summary=0")
    result = scratch.execute(["/bin/sh", "-c", script, "sh", *fetch_argv()], env)
    equal("result", (result.status, result.output), (0, b"case 1 done\n"))
    one_line(result.errors)


def descriptors_exhausted(scratch):
    argv = [harness.program("behave"), "no-descriptors", origin.url("http", BYTES)]
    bare = scratch.bare(argv)
    result = scratch.preloaded(argv)
    same(bare, result)
    if not result.report:
        one_line(result.errors)
    if result.report:
        harness.no_error(result.report)


def unwritable(scratch, place):
    """No trace can be made: one warning, and the program runs as if nothing were there."""
    bare = scratch.bare(fetch_argv())
    result = scratch.execute(
        fetch_argv(),
        harness.environment(None, harness.LIBRARY, f"trace={place}/%e.%p.trace:summary=0"),
    )
    same(bare, result)
    one_line(result.errors)
    quiet = scratch.execute(
        ["/bin/true"], harness.environment(None, harness.LIBRARY, f"trace={place}/%e.%p.trace")
    )
    equal("a program without a connection says", quiet.errors, "")


def directory_of_another(scratch):
    """Another user's working directory, and nothing else said about the trace."""
    if ROOT_ONLY:
        raise harness.Skip("root is needed")
    setpriv = need("setpriv")
    os.chmod(scratch.directory, 0o755)
    program, library = (
        shutil.copy(path, scratch.directory) for path in (fetch_argv()[0], harness.LIBRARY)
    )
    argv = [
        setpriv,
        "--reuid=65534",
        "--regid=65534",
        "--clear-groups",
        "/usr/bin/env",
        f"LD_PRELOAD={library}",
        program,
        *fetch_argv()[1:],
    ]
    bare = scratch.bare([program, *fetch_argv()[1:]])
    result = scratch.bare(argv)
    same(bare, result)
    one_line(result.errors)
    equal("files", [name for name in os.listdir(scratch.directory) if "trace" in name], [])


def full_disk(scratch, size):
    """On a file system of that size; what was written must read."""
    if ROOT_ONLY:
        raise harness.Skip("root is needed to mount a small file system")
    folder = scratch.folder("small")
    mount = need("mount")
    if subprocess.run(
        [mount, "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder],
        check=False,
        capture_output=True,
    ).returncode:
        raise harness.Skip("mount is not permitted here")
    try:
        bare = scratch.bare(fetch_argv())
        result = scratch.execute(
            fetch_argv(),
            harness.environment(None, harness.LIBRARY, f"trace={folder}/%e.%p.trace:summary=0"),
        )
        same(bare, result)
        one_line(result.errors, must=False)
        traces = harness.trace_files(folder)
        check(traces or result.errors, "neither a trace nor a word about it")
        if traces:
            report = harness.report(traces)
            check(
                report["totals"]["connections"]["opened"] == 5
                or report["processes"][0]["lost_records"] > 0,
                lambda: f"records are missing and not counted\n{brief(report)}",
            )
    finally:
        subprocess.run([need("umount"), folder], check=True)


def limited(scratch, limits):
    """Under ulimit: no SIGXFSZ, no failed map, no failed fetch; what was written must read."""
    bare = scratch.bare(["/bin/sh", "-c", f'ulimit {limits}; exec "$@"', "sh", *fetch_argv()])
    equal("bare status", bare.status, 0)
    result = scratch.preloaded(
        ["/bin/sh", "-c", f'ulimit {limits}; exec "$@"', "sh", *fetch_argv()]
    )
    same(bare, result)
    one_line(result.errors, must=False)
    if result.report:
        totals = result.report["totals"]
        check(
            totals["bodies"]["unclosed"] == 5 or result.report["processes"][0]["lost_records"] > 0,
            lambda: brief(result.report),
        )
    check(result.report or result.errors, "neither a trace nor a word about it")


def trace_file(scratch):
    """Mode 0600, never following a link, never overwriting: an occupied name gets a suffix."""
    occupied = scratch.write("taken.trace", "precious")
    os.symlink(scratch.path("elsewhere"), scratch.path("link.trace"))
    for name in ("taken.trace", "link.trace", "link.trace"):
        result = scratch.execute(
            fetch_argv("4"),
            harness.environment(None, harness.LIBRARY, f"trace={scratch.path(name)}:summary=0"),
        )
        equal("errors", (result.status, result.errors), (0, ""))
    with open(occupied, encoding="ascii") as file:
        equal("contents", file.read(), "precious")
    check(not os.path.exists(scratch.path("elsewhere")), "the link was followed")
    made = [
        name
        for name in os.listdir(scratch.directory)
        if name not in ("taken.trace", "link.trace") and "trace" in name
    ]
    equal("traces", len(made), 3)
    equal("modes", {oct(os.stat(scratch.path(name)).st_mode & 0o7777) for name in made}, {"0o600"})
    equal(
        "bodies",
        harness.report([scratch.path(name) for name in made])["totals"]["bodies"]["drained"],
        15,
    )


def default_name(scratch):
    env = harness.environment(None, harness.LIBRARY, "summary=0")
    del env["HTTPLEAK_OPTIONS"]
    result = scratch.execute(fetch_argv("1"), env)
    equal("status", result.status, 0)
    check(
        result.errors and all("httpleak" in line for line in result.errors.splitlines()[:1]),
        lambda: f"summary {result.errors!r}",
    )
    check(
        len(result.errors.splitlines()) <= 8, lambda: f"a summary of a few lines: {result.errors!r}"
    )
    names = os.listdir(scratch.directory)
    check(
        len(names) == 1 and re.fullmatch(r"httpleak\.fourcases\.\d+\.trace", names[0]),
        lambda: f"files {names}",
    )
    done = harness.report_run(["--json", "-"], cwd=scratch.directory)  # the newest trace here
    equal("unclosed", harness.json.loads(done.stdout)["totals"]["bodies"]["unclosed"], 5)


def no_trace(scratch):
    """A process without a client connection leaves nothing and says nothing."""
    env = harness.environment(None, harness.LIBRARY)
    for argv in (
        ["/bin/true"],
        ["/bin/sh", "-c", "ls / >/dev/null; exec cat /dev/null"],
        [harness.PYTHON, "-c", "import socket"],
    ):
        result = scratch.execute(argv, env)
        equal("result", (result.status, result.output, result.errors), (0, b"", ""))
    equal("files", os.listdir(scratch.directory), [])


def unknown_option(scratch):
    for settings in ("nonsense=1", "stack_depth=many", "summary=0:=:::"):
        result = scratch.preloaded(fetch_argv("4"), settings="summary=0:" + settings)
        equal("output", (result.status, result.output), (0, b"case 4 done\n"))
        one_line(result.errors)
        equal("drained", result.report["totals"]["bodies"]["drained"], 5)


def foreign_protocol(scratch):
    """What speaks no HTTP is in no total and is no finding."""
    code = (
        "import socket, sys, threading\n"
        "server = socket.create_server(('127.0.0.1', 0))\n"
        "def serve():\n"
        "    for greeting in (b'220 mail ready\\r\\n', b''):\n"
        "        c = server.accept()[0]; c.sendall(greeting); c.recv(100); c.sendall(b'+OK\\r\\n')\n"
        "threading.Thread(target=serve).start()\n"
        "kept = []\n"
        "for words in (b'EHLO me\\r\\n', b'PING\\r\\n'):\n"
        "    c = socket.create_connection(server.getsockname()); c.sendall(words); print(c.recv(4)); kept.append(c)\n"
        "sys.stdout.flush(); import os; os._exit(0)\n"
    )
    result = scratch.run([harness.PYTHON, "-c", code])
    equal("opened", result.report["totals"]["connections"]["opened"], 0)
    equal("findings", result.report["findings"], [])
    equal("status", result.status, 0)


for mode_name, url_path, totals_expected in MODES:
    suite.test(f"behaves the same: {mode_name}", mode_name, url_path, totals_expected)(behaves)
suite.test("connections as standard descriptors")(standard_descriptors)
suite.test("HTTP in signal handlers, one thread", 0)(signal_handlers)
suite.test("HTTP in signal handlers, four threads", 3)(signal_handlers)
suite.test("a working directory that is gone")(directory_gone)
suite.test("descriptors exhausted")(descriptors_exhausted)
suite.test("the trace's directory is not there", "/nowhere/at/all")(unwritable)
suite.test("the trace's directory takes no files", "/proc/self")(unwritable)
suite.test("a working directory of another user")(directory_of_another)
for bytes_free in ("8k", "64k", "512k", "4m"):
    suite.test(f"a full disk ({bytes_free})", bytes_free)(full_disk)
for ulimit in ("-f 1", "-f 64", "-f 4096", "-v 220000", "-n 20", "-s 1024"):
    suite.test(f"ulimit {ulimit}", ulimit)(limited)
suite.test("the trace file: private, no links, nothing overwritten")(trace_file)
suite.test("the trace's default name, and the summary")(default_name)
suite.test("no connection, no trace")(no_trace)
suite.test("an unknown option is one warning")(unknown_option)
suite.test("connections that speak no HTTP")(foreign_protocol)
suite.main()
