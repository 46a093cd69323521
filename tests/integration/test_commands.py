#!/usr/bin/python3
"""The command line: usage and its one-line errors, exit statuses, outputs, what `run` leaves alone and what it leaves behind."""
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import harness  # noqa: E402
from harness import HTTPLEAK, LIBRARY, PYTHON, check, equal, need  # noqa: E402

suite = harness.Suite()
origin = suite.stack.enter_context(harness.Origin())


def call(scratch, *arguments, env=None, **options):
    return scratch.execute([options.pop("tool", HTTPLEAK), *arguments], harness.environment(env), **options)


def fetch(path="/bytes/1000"):
    """A client that reads one response to its end; nothing to find."""
    code = f"import urllib.request as u; u.urlopen({origin.url('http', path)!r}).read()"
    return [PYTHON, "-c", code]


def leak():
    """A client that keeps a response unread, which is an error."""
    return [harness.program("fourcases"), origin.url("http", "/bytes/262144"), "1"]


def leave_trace(scratch, argv, name):
    traces = scratch.folder(name)
    result = scratch.execute(argv, harness.environment(None, LIBRARY, f"trace={traces}/httpleak.%e.%p.trace:summary=0"))
    found = harness.trace_files(traces)
    check(len(found) == 1, lambda: f"one trace expected: {found}, {result.errors!r}")
    return found[0]


def one_line(result, status, *words):
    equal("status", result.status, status)
    check(result.errors.count("\n") == 1 and result.errors.startswith("httpleak"),
          lambda: f"one line of httpleak expected: {result.errors!r}")
    for word in words:
        check(word in result.errors, lambda w=word: f"{w!r} expected in {result.errors!r}")


@suite.test("wrong usage is one line and exit status 2, of run 125")
def usage(scratch):
    plain = scratch.write("plain", "no trace at all")
    for status, words, *arguments in [
            (2, ["verb"]), (2, ["'bogus'"], "bogus"), (2, ["'--foo'"], "report", "--foo"), (2, ["'--json'", "value"], "report", "--json"),
            (2, ["seconds", "'x'"], "report", "--grace", "x"), (2, ["no trace"], "report"), (2, ["trace"], "dump"),
            (2, ["/no/such/file"], "report", "/no/such/file"), (2, ["/no/such/file"], "dump", "/no/such/file"),
            (2, [plain, "offset"], "report", plain), (2, [plain, "offset"], "dump", plain), (2, ["no-such-rule"], "explain", "no-such-rule"),
            (2, ["command"], "doctor"), (127, ["no-such-command"], "doctor", "--", "no-such-command"), (2, ["'bogus'"], "help", "bogus"),
            (125, ["command"], "run"), (125, ["'--foo'"], "run", "--foo", "--", "true"), (125, ["/no/such"], "run", "-o", "/no/such/place", "true"),
            (125, ["/no/such"], "run", "--json", "/no/such/file", "true"), (127, ["no-such-command"], "run", "no-such-command"),
            (126, [plain], "run", plain), (126, ["'/'"], "run", "--", "/")]:
        one_line(call(scratch, *arguments), status, *words)


@suite.test("run gives the command's status, output and input, and takes its options literally")
def statuses(scratch):
    for script, status in [("exit 0", 0), ("exit 3", 3), ("exit 23", 23), ("kill -9 $$", 137), ("kill -TERM $$", 143)]:
        result = call(scratch, "run", "--quiet", "--", "sh", "-c", script)
        equal(script, (result.status, result.output, result.errors), (status, b"", ""))
    result = call(scratch, "run", "-q", "printf", "%s|", "--json", "a b", "", "-o")
    equal("arguments", result.output, b"--json|a b||-o|")
    with open(scratch.write("input", "some input"), "rb") as file:
        equal("input", call(scratch, "run", "-q", "cat", stdin=file).output, b"some input")


@suite.test("findings are exit status 23, unless --fail-on says otherwise or the command failed itself")
def fail_on(scratch):
    equal("leak", call(scratch, "run", "--", *leak()).status, 23)
    equal("never", call(scratch, "run", "--fail-on", "never", "--", *leak()).status, 0)
    failing = ["sh", "-c", '"$@"; exit 5', "sh", *leak()]
    equal("own status", call(scratch, "run", "--", *failing).status, 5)
    trace = leave_trace(scratch, leak(), "traces")
    equal("report", call(scratch, "report", trace).status, 23)
    equal("report --fail-on never", call(scratch, "report", "--fail-on=never", trace).status, 0)


@suite.test("--require-seen fails a run without a client connection")
def require_seen(scratch):
    one_line(call(scratch, "run", "-q", "--require-seen", "true"), 23, "--require-seen")
    one_line(call(scratch, "run", "-q", "--require-seen", "--host", "no*host", "--", *fetch()), 23, "no*host")
    mistyped = call(scratch, "run", "--host", "no*host", "--", *fetch())
    check(b"no HTTP client connection was seen to a host that matches 'no*host'" in mistyped.output, lambda: mistyped.output)
    equal("a host of this machine", call(scratch, "run", "-q", "--require-seen", "--host", "l*host", "--", *fetch()).status, 0)
    seen = call(scratch, "run", "-q", "--require-seen", "--", *fetch())
    equal("a run with one", (seen.status, seen.errors), (0, ""))


@suite.test("text, JSON, both or neither go where they are told")
def outputs(scratch):
    trace, file = leave_trace(scratch, leak(), "traces"), scratch.path("report.json")
    text = call(scratch, "report", trace).output
    check(b"never closed" in text and b"\x1b" not in text, lambda: f"plain text expected: {text!r}")
    equal("--quiet", call(scratch, "report", "-q", trace).output, b"")
    printed = json.loads(call(scratch, "report", "--json", "-", trace).output)
    equal("schema", (printed["schema"], printed["verdict"]), ("httpleak-report/1", "leaks"))
    equal("text beside a file", call(scratch, "report", "--json", file, trace).output, text)
    equal("the file", harness.load(file)["findings"], printed["findings"])
    with open("/dev/full", "wb") as full:
        done = subprocess.run([HTTPLEAK, "report", trace], stdout=full, stderr=subprocess.PIPE, check=False, timeout=60)
    check(done.returncode == 2 and b"No space left" in done.stderr, lambda: f"{done}")


@suite.test("report finds the newest trace of the working directory, and every trace of a directory")
def newest(scratch):
    folder = scratch.folder("traces")
    old, new = leave_trace(scratch, leak(), "old"), leave_trace(scratch, fetch(), "new")
    for path, moment in ((old, 2000), (new, 1000)):  # when a mapped file changed says little: what counts is in it
        moved = shutil.move(path, folder)
        os.utime(moved, (moment, moment))
    newest_one = call(scratch, "report", "--json", "-", cwd=folder)
    equal("newest", (newest_one.status, json.loads(newest_one.output)["verdict"]), (0, "clean"))
    both = call(scratch, "report", "--json", "-", folder)
    equal("both", (both.status, len(json.loads(both.output)["processes"])), (23, 2))
    one_line(call(scratch, "report", scratch.folder("empty")), 2, "empty")
    bad = scratch.write("traces/httpleak.bad.1.trace", b"")
    partly = call(scratch, "report", "--json", "-", folder)
    one_line(partly, 2, bad)
    equal("the others all the same", len(json.loads(partly.output)["processes"]), 2)


@suite.test("run leaves nothing in TMPDIR, and -o keeps the traces")
def leftovers(scratch):
    temporary, kept = scratch.folder("tmp"), scratch.path("kept")
    for argv, status in ((leak(), 23), (["true"], 0), (["no-such-command"], 127)):
        equal("status", call(scratch, "run", "-q", "--", *argv, env={"TMPDIR": temporary}).status, status)
        equal("left behind", os.listdir(temporary), [])
    for expected in (1, 2):
        result = call(scratch, "run", "--json", scratch.path("report.json"), "-q", "-o", kept, "--", *leak(), env={"TMPDIR": temporary})
        equal("status", result.status, 23)
        equal("processes of this run alone", len(harness.load(scratch.path("report.json"))["processes"]), 1)
        equal("kept", len(harness.trace_files(kept)), expected)
    check(all(os.stat(path).st_mode & 0o777 == 0o600 for path in harness.trace_files(kept)), "mode 0600 expected")


@suite.test("run works from a place with spaces and colons, and for one in TMPDIR and -o")
def awkward_paths(scratch):
    place = scratch.folder("a place: with % signs")
    tool = shutil.copy(HTTPLEAK, place)
    shutil.copy(LIBRARY, place)
    seen = call(scratch, "run", "-q", "--require-seen", "--", *fetch(), tool=tool)
    equal("library", (seen.status, seen.errors), (0, ""))
    kept = scratch.path("kept: 100% \"ours\"")
    seen = call(scratch, "run", "-q", "--require-seen", "-o", kept, "--", *fetch())
    equal("-o", (seen.status, seen.errors, len(harness.trace_files(kept))), (0, "", 1))
    one_line(call(scratch, "run", "-q", "true", tool=shutil.copy(HTTPLEAK, scratch.folder("alone"))), 125, "libhttpleak.so")


@suite.test("run keeps what the user has in the environment")
def environment(scratch):
    show = ["sh", "-c", "printf '%s\\n' \"$LD_PRELOAD\" \"$HTTPLEAK_OPTIONS\" \"$DEBUGINFOD_URLS\""]
    other = shutil.copy(LIBRARY, scratch.path("other.so"))  # any library will do; it stays inert beside the first
    mine = {"LD_PRELOAD": other, "HTTPLEAK_OPTIONS": "stack_depth=7", "DEBUGINFOD_URLS": "http://127.0.0.1:9"}
    preload, options, urls = call(scratch, "run", "-q", *show, env=mine).output.decode().splitlines()
    equal("LD_PRELOAD", preload, f"{LIBRARY}:{other}")
    check(re.fullmatch(r"stack_depth=7:trace=.*/httpleak\.%e\.%p\.trace:summary=0", options), lambda: options)
    equal("DEBUGINFOD_URLS", urls, mine["DEBUGINFOD_URLS"])
    named = {"HTTPLEAK_OPTIONS": f"trace={scratch.path('mine.%p')}"}
    result = call(scratch, "run", "-q", "--require-seen", "--", *fetch(), env=named)
    equal("trace= of the user", (result.status, result.errors), (0, ""))
    equal("trace there", len([name for name in os.listdir(scratch.directory) if name.startswith("mine.")]), 1)


def to_run_alone(scratch, number):
    """Sends a signal to httpleak while its command waits for it; what the command says."""
    ready = scratch.path(f"ready{number}")
    script = f"trap 'exit 9' TERM; trap 'exit 8' INT; trap 'exit 7' HUP; : >{ready}; while :; do sleep 0.05; done"
    process = subprocess.Popen([HTTPLEAK, "run", "-q", "--", "sh", "-c", script], env=harness.environment())
    try:
        harness.wait_until(lambda: os.path.exists(ready), "the command starts")
        time.sleep(0.1)  # the traps are set before the file is made; the shell is in its loop soon after
        process.send_signal(number)
        return process.wait(20)
    finally:
        harness.end(process)


@suite.test("signals sent to httpleak run alone reach the command")
def signals(scratch):
    for number, status in ((signal.SIGTERM, 9), (signal.SIGINT, 8), (signal.SIGHUP, 7)):
        equal(number.name, to_run_alone(scratch, number), status)


def static_program(scratch):
    compiler = need((os.environ.get("CC") or "gcc").split()[0])
    source = scratch.write("static.c", "int main(void) { return 0; }\n")
    done = subprocess.run([compiler, "-static", "-o", scratch.path("static"), source], capture_output=True, check=False)
    if done.returncode:
        raise harness.Skip("no static libc to link with")
    return scratch.path("static")


@suite.test("a static program is never called clean")
def static(scratch):
    binary = static_program(scratch)
    result = call(scratch, "run", "--json", "-", binary)
    rep = json.loads(result.output)
    equal("verdict", (result.status, rep["verdict"], [f["rule"] for f in rep["findings"]]), (0, "no-leak-seen", ["blind"]))
    check("static" in rep["findings"][0]["message"], lambda: rep["findings"][0]["message"])
    equal("with --require-seen", call(scratch, "run", "-q", "--require-seen", binary).status, 23)
    equal("with --fail-on note", call(scratch, "run", "-q", "--fail-on", "note", binary).status, 23)
    doctor = call(scratch, "doctor", "--", binary)
    check(doctor.status == 0 and b"static" in doctor.output and b"Nothing of this program" in doctor.output, lambda: doctor.output)


@suite.test("doctor finds the libraries beside a program that is called by a link")
def doctor_origin(scratch):
    compiler = need((os.environ.get("CC") or "gcc").split()[0])
    scratch.folder("real/lib")
    source = scratch.write("empty.c", "int other(void) { return 0; }\n")
    main = scratch.write("main.c", "int other(void);\nint main(void) { return other(); }\n")
    library = scratch.path("real", "lib", "libother.so")
    subprocess.run([compiler, "-shared", "-fPIC", "-o", library, source], check=True)
    subprocess.run(
        [compiler, "-o", scratch.path("real", "program"), main, library, "-Wl,-rpath,$ORIGIN/lib"],
        check=True,
    )
    os.symlink("real/program", scratch.path("link"))
    result = call(scratch, "doctor", "--", scratch.path("link"))
    check(b"libother" not in result.output, lambda: result.output)
    os.unlink(library)
    result = call(scratch, "doctor", "--", scratch.path("link"))
    check(b"libother.so: was not found" in result.output, lambda: result.output)


@suite.test("doctor names what is followed, and runs nothing")
def doctor(scratch):
    touched = scratch.path("touched")
    script = scratch.write("script", f"#!/bin/sh\n: >{touched}\n", 0o755)
    said = call(scratch, "doctor", "--", script)
    check(said.status == 0 and script.encode() in said.output and b"Nothing" not in said.output, lambda: said.output)
    check(not os.path.exists(touched), "doctor ran the command")
    curl = call(scratch, "doctor", "--", need("curl")).output
    check(b"OpenSSL" in curl and b"followed" in curl and b"libcurl" in curl, lambda: curl)
    check(b"HTTP/2, followed" in curl and not re.search(rb"^http/2 +partly", curl, re.M), lambda: curl)
    skipped = call(scratch, "doctor", "--", script, env={"HTTPLEAK_OPTIONS": "skip=none,sh,dash"}).output
    check(b"skip=" in skipped and b"Nothing" in skipped, lambda: skipped)


@suite.test("doctor tells TLS that the executable carries with its names from TLS without")
def doctor_carried(scratch):
    for name in ("exported", "symbols"):
        said = call(scratch, "doctor", "--", harness.program(f"tls_steps-{name}")).output
        check(b"inside the executable, found by name" in said, lambda: said)
        equal("beside it", (b"none is linked" in said, b"partly" in said), (False, False))
    said = call(scratch, "doctor", "--", harness.program("tls_steps-stripped")).output
    check(b"inside the executable" not in said and b"none is linked" in said, lambda: said)
    # the executable is called node: what was said of it depends on what it carries
    for name, partly in (("symbols", False), ("stripped", True)):
        node = scratch.path(name, "node")
        scratch.folder(name)
        shutil.copy(harness.program(f"tls_steps-{name}"), node)
        said = call(scratch, "doctor", "--", node).output
        equal("partly", b"partly" in said, partly)


@suite.test("explain, help, manual page and completion come without errors")
def texts(scratch):
    rules = [line.split()[0] for line in call(scratch, "explain").output.decode().splitlines()]
    check({"unclosed-body", "stranded-worker", "peer-closed", "blind"} <= set(rules), lambda: f"{rules}")
    for rule in rules:
        said = call(scratch, "explain", rule)
        check(said.status == 0 and said.output.startswith(rule.encode()) and len(said.output) > 200, lambda s=said: f"{s.output}")
    for verb in ("run", "report", "dump", "doctor", "explain"):
        long, other = call(scratch, verb, "--help"), call(scratch, "help", verb)
        check(long.status == 0 and long.output.startswith(f"Usage: httpleak {verb} ".encode()), lambda r=long: f"{r.output}")
        equal(f"help {verb}", other.output, long.output)
    completion = scratch.write("completion", call(scratch, "--completion").output)
    asked = f"source {completion}; COMP_WORDS=(httpleak report --fail); COMP_CWORD=2; _httpleak; echo ${{COMPREPLY[@]}}"
    equal("completion", scratch.bare([need("bash"), "-c", asked]).output, b"--fail-on=\n")
    if shutil.which("man"):
        manual = scratch.bare(["man", "--warnings", "-l", scratch.write("httpleak.1", call(scratch, "--man").output)])
        check(manual.status == 0 and b"--require-seen" in manual.output and not manual.errors, lambda: manual.errors)


@suite.test("run --verbose names the recorder, the traces and the unwinder")
def verbose(scratch):
    said = call(scratch, "run", "-q", "-v", "--", *fetch()).errors
    check(LIBRARY in said and re.search(r"unwinder (libunwind|libgcc)", said), lambda: said)
    said = call(scratch, "run", "-q", "-v", "true").errors
    check("no trace" in said, lambda: said)


@suite.test("what the command left running is reported as it stands")
def background(scratch):
    ready = scratch.path("ready")
    keep = (f"import urllib.request as u, time; r = u.urlopen({origin.url('http', '/bytes/262144')!r}); open({ready!r}, 'w');"
            " time.sleep(60)")
    script = f'"$@" & echo $!; while [ ! -e {ready} ]; do sleep 0.05; done'
    result = scratch.run(["sh", "-c", script, "sh", PYTHON, "-c", keep])
    child = int(result.output.split()[0])
    try:
        equal("status", result.status, 0)  # what stands still for less than the grace is in the totals only
        found = [p for p in result.report["processes"] if p["pid"] == child]
        equal("its end", [p["end"] for p in found], ["running"])
        equal("its body", result.report["totals"]["bodies"]["unclosed"], 1)
    finally:
        os.kill(child, signal.SIGKILL)


@suite.test("dump has a line for every record, and --check nothing to say")
def dump(scratch):
    trace = leave_trace(scratch, leak(), "traces")
    lines = call(scratch, "dump", trace).output.decode("ascii").splitlines()
    words = [line.split(" ", 1)[0] for line in lines]
    equal("bodies", words.count("body"), 5)
    equal("connections", words.count("connection"), 5)
    equal("header", words.count("header"), 1)
    check(all(re.fullmatch(r'[a-z]+( [a-z_]+=("([^"\\]|\\.)*"|[^ "]*))*', line) for line in lines), "words and KEY=VALUE expected")
    opened = [line for line in lines if line.startswith("event ") and "type=body-open" in line]
    equal("events", len(opened), 5)
    checked = call(scratch, "dump", "--check", trace)
    equal("--check", (checked.status, checked.output, checked.errors), (0, b"", ""))


if __name__ == "__main__":
    suite.main()
