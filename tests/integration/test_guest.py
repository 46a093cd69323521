#!/usr/bin/python3
"""A guest in all kinds of houses: other allocators, sanitizers, musl, early calls, RTLD_DEEPBIND, every exec, every thread."""
import glob
import os
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import harness  # noqa: E402
from harness import brief, check, equal, need  # noqa: E402

suite = harness.Suite()
origin = suite.stack.enter_context(harness.Origin())
SOURCES = os.path.join(harness.SOURCES, "guest")
URL = origin.url("http", "/bytes/65536")
NUMERIC = origin.url("http", "/bytes/65536", "127.0.0.1")
CC = os.environ.get("CC", "gcc").split()[0]


def build(scratch, output, source, *options, compiler=CC):
    path = scratch.path(output)
    done = subprocess.run([need(compiler), "-std=gnu17", "-D_GNU_SOURCE", "-g", "-o", path, os.path.join(SOURCES, source), *options],
                          capture_output=True, text=True, check=False)
    check(done.returncode == 0, done.stderr)
    return path


def seen(result, opened, drained=None, workers=None):
    check(result.report, lambda: f"no trace; status {result.status}, {result.errors[-300:]!r}")
    totals = result.report["totals"]
    equal("opened", totals["connections"]["opened"], opened)
    equal("drained", totals["bodies"]["drained"], opened if drained is None else drained)
    if workers is not None:
        equal("workers", (totals["workers"]["started"], totals["workers"]["exited"]), (workers, workers))
    harness.no_alarm(result.report)
    harness.not_blind(result.report)


def same(scratch, argv, **options):
    bare, result = scratch.bare(argv, **options), scratch.preloaded(argv, **options)
    equal("like bare", (result.status, result.output, result.errors), (bare.status, bare.output, bare.errors))
    return result


@suite.test("calls from an IFUNC resolver, before our relocations")
def early(scratch):
    build(scratch, "libearly.so", "early.c", "-shared", "-fPIC", "-fno-plt")
    program = build(scratch, "early", "early_main.c", scratch.path("libearly.so"), f"-Wl,-rpath,{scratch.directory}")
    result = same(scratch, [program])
    equal("status", result.status, 0)
    check(result.output.startswith(b"42\n1 0\n0 0\n-1 9\n"), lambda: str(result.output))


def allocator(scratch, library, first):
    found = glob.glob(f"/usr/lib/*/{library}*")
    if not found:
        raise harness.Skip(f"{library} is not installed")
    program = build(scratch, "guest", "guest.c", "-pthread")
    traces = scratch.folder()
    pair = [found[0], harness.LIBRARY] if first else [harness.LIBRARY, found[0]]
    env = harness.environment({"LD_PRELOAD": ":".join(pair), "HTTPLEAK_OPTIONS": f"trace={traces}/%e.%p.trace:summary=0"})
    for argv in ([program, "threads", URL],
                 [harness.PYTHON, "-c", f"import urllib.request as u; print(len(u.urlopen({URL!r}).read()))"]):
        result = scratch.execute(argv, env)
        equal("status", (result.status, result.errors), (0, ""))
    reports = sorted(harness.report([trace])["totals"]["bodies"]["drained"] for trace in harness.trace_files(traces))
    equal("drained", reports, [1, 4])


for name in ("libjemalloc.so.2", "libtcmalloc_minimal.so.4"):
    suite.test(f"{name} behind us", name, False)(allocator)
    suite.test(f"{name} before us", name, True)(allocator)


def sanitized(scratch, kind, threads, *options):
    program = build(scratch, "guest", "guest.c", "-pthread", f"-fsanitize={kind}", *options)
    # The runtime wants to be the first library; behind a preload it only has to be told that this is meant so.
    env = {"ASAN_OPTIONS": "verify_asan_link_order=0"}
    result = scratch.preloaded([program, "threads", URL], env=env)
    equal("status", (result.status, result.errors), (0, ""))
    seen(result, threads, workers=threads)


suite.test("a program with AddressSanitizer", "address", 4)(sanitized)
# ThreadSanitizer itself does not survive C11 threads.
suite.test("a program with ThreadSanitizer", "thread", 3, "-DWITHOUT_C11_THREADS=1")(sanitized)


@suite.test("a musl program's exchanges and threads")
def musl(scratch):
    program = build(scratch, "guest", "guest.c", "-pthread", compiler="musl-gcc")
    result = same(scratch, [program, "threads", NUMERIC])
    equal("status", result.status, 0)
    seen(result, 4, workers=4)


@suite.test("threads that return, exit, are cancelled, and C11's")
def threads(scratch):
    program = build(scratch, "guest", "guest.c", "-pthread")
    result = same(scratch, [program, "threads", URL])
    equal("status", result.status, 0)
    seen(result, 4, workers=4)


def executes(scratch, which):
    program = build(scratch, "guest", "guest.c", "-pthread")
    result = same(scratch, [program, which, URL])
    if which == "fails":
        equal("status", result.status, 5)
        seen(result, 2)
        equal("end", [process["end"] for process in result.report["processes"]], ["exit"])
        return
    environment = "new" if which in ("execve", "execle") else "old"
    equal("output", result.output.decode(), f"{which} two words {environment}\n")
    seen(result, 1)
    equal("end", [process["end"] for process in result.report["processes"]], ["exec"])


for function in ("execv", "execve", "execvp", "execl", "execlp", "execle", "fails"):
    suite.test(f"exec: {function}", function)(executes)


@suite.test("a plugin loaded with RTLD_DEEPBIND, which loads by its own RUNPATH")
def deepbind(scratch):
    scratch.folder("beside")
    build(scratch, "beside/libbeside.so", "early.c", "-shared", "-fPIC")
    plugin = build(scratch, "beside/plugin.so", "plugin.c", "-shared", "-fPIC", "-Wl,-rpath,$ORIGIN", "-Wl,--enable-new-dtags")
    program = build(scratch, "main", "plugin_main.c")
    result = same(scratch, [program, plugin, URL])
    equal("status", (result.status, result.errors), (0, ""))
    seen(result, 2)
    check(len(result.report["hosts"]) == 1, lambda: brief(result.report))


suite.main()
