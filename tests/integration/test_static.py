#!/usr/bin/python3
"""Statically linked programs under `httpleak run`: stopped at their exec, entered, and let go as they were."""
import os
import signal
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import harness  # noqa: E402
from harness import check, equal  # noqa: E402

suite = harness.Suite()
KINDS = ("static_guest", "static_guest-pie")

# ---- the launcher, with programs that only look like Go's ----------------------------------------------------------------


def same(scratch, argv, **options):
    """Bare and under `run`: status, output and errors."""
    bare, result = scratch.bare(argv, **options), scratch.run(argv, **options)
    equal("status", result.status, bare.status)
    equal("output", result.output, bare.output)
    equal("errors", result.errors, bare.errors)
    return result


def ignoring():
    """Every signal that can be ignored is, SIGTRAP among them; some are blocked."""
    for number in range(1, signal.NSIG):
        if number not in (signal.SIGKILL, signal.SIGSTOP, signal.SIGCHLD, 32, 33):
            signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTRAP, signal.SIGUSR2, signal.SIGSEGV})


def finds_the_same(scratch, kind):
    result = same(scratch, [harness.program(kind), "state", "a", "b c"])
    check(b"entry as linked" in result.output, "its entry was not looked at")
    check(b"TracerPid:\t0" in result.output, "no TracerPid")
    same(scratch, [harness.program(kind), "state"], preexec_fn=ignoring)


def ends_the_same(scratch, kind):
    for mode, argument in (("exit", 0), ("exit", 7), ("exit", 255), ("raise", 6), ("raise", 9), ("raise", 5)):
        same(scratch, [harness.program(kind), mode, str(argument)])


for kind_name in KINDS:
    suite.test(f"{kind_name} finds everything as without", kind_name)(finds_the_same)
    suite.test(f"{kind_name} ends as without", kind_name)(ends_the_same)


@suite.test("standard input reaches a static program")
def reads_its_input(scratch):
    path = scratch.write("input", os.urandom(100_000))
    with open(path, "rb") as data:
        result = scratch.run([harness.program("static_guest"), "copy"], stdin=data)
    with open(path, "rb") as data:
        equal("output", result.output, data.read())


@suite.test("a static program's parent, group and session are the command's")
def has_its_parent(scratch):
    folder = scratch.folder()
    argv = [harness.HTTPLEAK, "run", "-o", folder, "--quiet", "--", harness.program("static_guest"), "parent"]
    with subprocess.Popen(argv, env=harness.environment(), stdout=subprocess.PIPE, start_new_session=True) as process:
        output = process.communicate(timeout=harness.TIMEOUT)[0].split()
    equal("parent, group, session", [int(word) for word in output], [process.pid] * 3)


@suite.test("signals sent to the command reach a static program")
def gets_its_signals(scratch):
    folder = scratch.folder()
    argv = [harness.HTTPLEAK, "run", "-o", folder, "--quiet", "--", harness.program("static_guest"), "sleep",
            str(harness.ASLEEP)]
    with subprocess.Popen(argv, env=harness.environment(), stdout=subprocess.PIPE) as process:
        equal("first word", process.stdout.readline(), b"ready\n")
        process.send_signal(signal.SIGTERM)
        equal("status", process.wait(harness.TIMEOUT), 128 + signal.SIGTERM)


@suite.test("where ptrace is refused static programs run all the same, and are named")
def refused(scratch):
    strace = harness.need("strace")
    guest = harness.program("static_guest")
    for argv, name in (([guest, "exit", "9"], "not followed: ptrace is refused"),
                       (["sh", "-c", '"$0" exit 9; exit $?', guest], "(static, go1.22.12), started by ")):
        folder = scratch.folder()
        report = os.path.join(folder, "report.json")
        result = scratch.execute([strace, "-f", "-o", "/dev/null", harness.HTTPLEAK, "run", "-o", folder, "--quiet",
                                  "--json", report, "--", *argv], harness.environment())
        equal("status", result.status, 9)
        found = harness.findings(harness.load(report), "blind")
        check(len(found) == 1 and name in found[0]["message"], lambda f=found: f"blind: {f}")


# ---- static programs that a traced program starts ------------------------------------------------------------------------

STARTERS = {
    "a shell": ["sh", "-c", '"$0" state a; echo "status $?"; "$0" exit 5; echo "status $?"'],
    "a shell that becomes it": ["sh", "-c", 'exec "$0" state a'],
    "make": ["make", "-s", "all", "-o"],
    "vfork": [harness.PYTHON, "-c", "import subprocess, sys; sys.exit(subprocess.run([sys.argv[1], 'state']).returncode)"],
    "posix_spawn": [harness.PYTHON, "-c", """
import os, sys
for spawn in (os.posix_spawn, os.posix_spawnp):
    print(os.waitstatus_to_exitcode(os.waitpid(spawn(sys.argv[1], [sys.argv[1], "state"], os.environ), 0)[1]), flush=True)
try:
    os.posix_spawn(sys.argv[1], ["x" * 3000000], os.environ)
except OSError as error:
    print(error, flush=True)
print([line for line in open("/proc/self/status") if line.startswith("TracerPid")])
"""],
    "an exec that fails first": [harness.PYTHON, "-c", """
import os, sys
try:
    os.execv(sys.argv[1], ["x" * 3000000])
except OSError as error:
    print(error, flush=True)
print([line for line in open("/proc/self/status") if line.startswith("TracerPid")], flush=True)
os.execvp(os.path.basename(sys.argv[1]), ["x", "state"])
"""],
    "a PATH": ["sh", "-c", 'PATH="${0%/*}:$PATH"; "${0##*/}" state'],
}


def entered(result, times=None):
    """The recorder was in each of them, and says in a trace that it found nothing where its file promises a function table."""
    guests = [p for p in result.report["processes"] if os.path.basename(p["exe"]) == "static_guest"]
    check(guests and all("table of functions" in p["blind"][0] for p in guests), lambda: harness.brief(result.report))
    if times:
        equal("processes", len(guests), times)


def started_by(scratch, name):
    harness.need(STARTERS[name][0])
    guest = harness.program("static_guest")
    scratch.write("Makefile", f"all:\n\t@{guest} state b; echo $$?\n\t@{guest} exit 6\n")
    env = {"PATH": os.path.dirname(guest) + ":" + os.environ["PATH"]}
    result = same(scratch, [*STARTERS[name], guest], env=env)
    entered(result)


for starter in STARTERS:
    suite.test(f"a static program started by {starter} is handed over", starter)(started_by)


@suite.test("many at once are handed over")
def many(scratch):
    guest = harness.program("static_guest")
    script = 'i=0; while [ $i -lt 40 ]; do "$0" exit 0 & i=$((i + 1)); done; wait; echo done'
    result = same(scratch, ["sh", "-c", script, guest])
    entered(result, 40)


@suite.test("without a launcher, one that has Go's HTTP client leaves a trace that names it")
def left_alone(scratch):
    guest = harness.program("static_guest")
    result = scratch.preloaded(["sh", "-c", '"$0" state; echo', guest], judge=False)
    equal("traces", len(result.traces), 1)
    dump = subprocess.run([harness.HTTPLEAK, "dump", result.traces[0]], capture_output=True, text=True, check=True)
    check(guest in dump.stdout, lambda: dump.stdout[:400])
    equal("with children=0", scratch.preloaded(["sh", "-c", '"$0" state; echo', guest],
                                               settings="summary=0:children=0", judge=False).traces, [])
    equal("with skip=", scratch.preloaded(["sh", "-c", '"$0" state; echo', guest],
                                          settings="summary=0:skip=a,static_guest", judge=False).traces, [])
    equal("without LD_PRELOAD", scratch.preloaded(["sh", "-c", 'LD_PRELOAD= "$0" state; echo', guest],
                                                  judge=False).traces, [])


def doctor(path):
    done = subprocess.run([harness.HTTPLEAK, "doctor", "--", path], capture_output=True, text=True, check=True)
    return done.stdout


@suite.test("doctor says how a static program would be entered, and which Go's it is")
def told_before(scratch):
    text = doctor(harness.program("static_guest"))
    for part in ("LD_PRELOAD alone does not reach it", "`httpleak run` enters it", "go1.22.12: net/http is followed"):
        check(part in text, lambda: f"{part!r} is not in\n{text}")
    with open(harness.program("static_guest"), "rb") as file:
        image = file.read()
    future = scratch.write("future", image.replace(b"go1.22.12", b"go1.99.12"), 0o755)
    check("after 1.27 is not known" in doctor(future), doctor(future))
    result = scratch.run([future, "exit", "7"])
    equal("status", result.status, 7)
    equal("notes", len(harness.findings(result.report, "blind")), 1)
    plain = scratch.write("plain", image.replace(b"net/http.(*persistConn).readLoop", b"net/http.(*persistConn).nothing_"), 0o755)
    check("no HTTP client of Go's" in doctor(plain), doctor(plain))
    equal("notes without a client", scratch.run([plain, "exit", "0"]).report["verdict"], "clean")


suite.main()
