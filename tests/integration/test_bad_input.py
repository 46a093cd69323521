#!/usr/bin/python3
"""Bad input: broken traces, wrong commands, wrong options. One clear line, the right status, never
a crash.

HTTPLEAK_TEST_SEED repeats a run; HTTPLEAK_TEST_LONG=1 breaks each trace ten times as often.
"""
import json
import os
import random
import shutil
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import harness  # noqa: E402
from harness import check, equal, need, signal  # noqa: E402

suite = harness.Suite()
origin = suite.stack.enter_context(harness.Origin())
SEED = int(os.environ.get("HTTPLEAK_TEST_SEED", time.time_ns() % 1000000))
ROUNDS = 600 if harness.LONG else 60
VERSION_OFFSET = 8  # after the magic


def one_line(text):
    check(
        len(text.splitlines()) == 1 and text.endswith("\n"), lambda: f"one line expected: {text!r}"
    )


class Trace:
    """A trace's populated parts (offset, bytes) and its size: traces are sparse, and copies of them
    should be."""

    def __init__(self, path):
        self.size, self.parts = os.path.getsize(path), []
        with open(path, "rb") as file:
            end = 0
            while end < self.size:
                try:
                    start = os.lseek(file.fileno(), end, os.SEEK_DATA)
                except OSError:
                    break
                end = os.lseek(file.fileno(), start, os.SEEK_HOLE)
                self.parts.append((start, os.pread(file.fileno(), end - start, start)))

    def write(self, path, size=None, changes=()):
        with open(path, "wb") as file:
            for start, data in self.parts:
                file.seek(start)
                file.write(data)
            for offset, data in changes:
                file.seek(offset)
                file.write(data)
            file.truncate(self.size if size is None else size)
        return path

    def some_offset(self, numbers):
        """Where something is: the header in one case of four, else anywhere between the populated
        bytes that are not zero."""
        if numbers.random() < 0.25:
            return numbers.randrange(4096)
        start, data = numbers.choice(self.parts)
        for _ in range(50):
            offset = numbers.randrange(len(data))
            if data[offset]:
                return start + offset
        return start


def make_traces(scratch):
    """One of a program that ended, one of a program that was killed in the middle."""
    url = origin.url("http", "/bytes/262144")
    ended = scratch.preloaded([harness.program("fourcases"), url, "1"], judge=False).traces
    process, folder = scratch.start([harness.program("killlog"), url, scratch.path("log"), "4"])
    time.sleep(0.5)
    harness.end(process, signal.SIGKILL)
    traces = ended + harness.trace_files(folder)
    equal("traces", len(traces), 2)
    return [Trace(path) for path in traces]


def judge(what, verb, done, path):
    """Any answer but a crash: a report, or status 2 with one line that names the file."""
    check(
        done.returncode in ((0, 23, 2) if verb == "report" else (0, 1, 2)),
        lambda: f"{what}: {verb} ended with {done.returncode}: {done.stderr[-400:]!r}",
    )
    if done.returncode == 2:
        text = done.stderr.decode()
        check(
            len(text.splitlines()) == 1 and os.path.basename(path) in text,
            lambda: f"{what}: {verb} says {text!r}",
        )
        check(
            verb == "dump" or not done.stdout, lambda: f"{what}: half a report: {done.stdout[:200]}"
        )
    elif verb == "report":
        check(json.loads(done.stdout.decode("utf-8"))["schema"] == "httpleak-report/1", what)


def read_all_ways(what, path):
    answers = []
    for verb, arguments in (("report", ["--json", "-", path]), ("dump", [path])):
        done = subprocess.run(
            [harness.HTTPLEAK, verb, *arguments],
            env=harness.environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=harness.TIMEOUT,
            check=False,
        )
        judge(what, verb, done, path)
        answers.append(done)
    text = harness.report_run([path])
    check(
        text.returncode in (0, 2, 23), lambda: f"{what}: text report ended with {text.returncode}"
    )
    check(
        not [byte for byte in text.stdout if byte < 32 and byte != 10],
        f"{what}: control characters in the text report",
    )
    return answers[0]


@suite.test(f"truncated anywhere (seed {SEED})")
def truncated(scratch):
    numbers = random.Random(SEED)
    for trace in make_traces(scratch):
        populated = max(start + len(data) for start, data in trace.parts)
        sizes = [1, 7, 8, 12, 100, 4095, 4096, 4097] + [
            numbers.randrange(populated) for _ in range(ROUNDS // 2)
        ]
        for size in sizes:
            done = read_all_ways(
                f"truncated to {size}", trace.write(scratch.path("short.trace"), size)
            )
            check(
                size >= 4096 or done.returncode == 2, f"a trace of {size} bytes was taken for whole"
            )
            if done.returncode == 2:
                check(
                    any(word.strip("(),.:;").isdigit() for word in done.stderr.decode().split()),
                    lambda d=done: f"no offset in {d.stderr!r}",
                )


@suite.test(f"corrupted anywhere (seed {SEED})")
def corrupted(scratch):
    numbers = random.Random(SEED + 1)
    for trace in make_traces(scratch):
        for number in range(ROUNDS):
            changes = [
                (trace.some_offset(numbers), numbers.randbytes(numbers.choice((1, 1, 4, 8))))
                for _ in range(numbers.choice((1, 2, 5, 40, 400)))
            ]
            if number % 3 == 0:  # the largest values are the ones that overflow
                changes = [(offset - offset % 8, b"\xff" * 8) for offset, _ in changes]
            read_all_ways(
                f"corrupted, round {number}",
                trace.write(scratch.path("broken.trace"), changes=changes),
            )


@suite.test("a newer version")
def newer(scratch):
    trace = make_traces(scratch)[0]
    path = trace.write(
        scratch.path("newer.trace"), changes=[(VERSION_OFFSET, (99).to_bytes(4, sys.byteorder))]
    )
    done = read_all_ways("newer", path)
    equal("status", done.returncode, 2)
    check(b"version" in done.stderr and b"99" in done.stderr, lambda: f"says {done.stderr!r}")


@suite.test("empty, foreign, missing, a directory, a fifo")
def foreign(scratch):
    text = scratch.write("notes.trace", "not a trace at all\n" * 500)
    empty = scratch.write("empty.trace", "")
    os.mkfifo(scratch.path("fifo.trace"))
    os.mkdir(scratch.path("directory.trace"))
    zeros = scratch.write("zeros.trace", bytes(100000))
    for path in (
        text,
        empty,
        zeros,
        "/bin/true",
        scratch.path("missing.trace"),
        scratch.path("fifo.trace"),
        scratch.path("directory.trace"),
        "/dev/zero",
    ):
        done = read_all_ways(path, path)
        equal(f"status for {path}", done.returncode, 2)
        one_line(done.stderr.decode())


@suite.test("one bad trace among good ones")
def among_good(scratch):
    good = scratch.preloaded(
        [harness.program("fourcases"), origin.url("http", "/bytes/262144"), "1"], judge=False
    ).traces
    done = harness.report_run(["--json", "-", *good, scratch.write("notes.trace", "no\n" * 3000)])
    equal("status", done.returncode, 2)
    one_line(done.stderr.decode())


@suite.test("a trace that may not be read")
def unreadable(scratch):
    if os.getuid() != 0:
        raise harness.Skip("root is needed to become somebody else")
    setpriv = need("setpriv")
    trace = scratch.preloaded(
        [harness.program("fourcases"), origin.url("http", "/bytes/262144"), "1"], judge=False
    ).traces[0]
    os.chmod(scratch.directory, 0o755)
    os.chmod(os.path.dirname(trace), 0o755)
    tool = shutil.copy(harness.HTTPLEAK, scratch.directory)
    result = scratch.bare(
        [setpriv, "--reuid=65534", "--regid=65534", "--clear-groups", tool, "report", trace]
    )
    equal("status", result.status, 2)
    one_line(result.errors)
    check(
        "ermission" in result.errors and os.path.basename(trace) in result.errors,
        lambda: f"says {result.errors!r}",
    )


@suite.test("commands that cannot be run: 127, 126, 125")
def commands(scratch):
    plain = scratch.write("plain", "no program", mode=0o644)
    for name, text in (
        ("broken", "\x7fELF but no more"),
        ("script", "exit 5"),
        ("interpreter", "#!/nowhere/at/all\n"),
    ):
        path = scratch.write(name, text, mode=0o755)
        equal(
            f"{name}: as env(1)",
            scratch.bare([harness.HTTPLEAK, "run", "--", path]).status,
            scratch.bare(["env", path]).status,
        )
    for argv, status in (
        (["run", "--", "/nowhere/at/all"], 127),
        (["run", "--", "no-such-command-anywhere"], 127),
        (["run", "--", plain], 126),
        (["run", "--", scratch.directory], 126),
        (["run"], 125),
        (["run", "--no-such-option", "--", "/bin/true"], 125),
        (["run", "--grace", "soon", "--", "/bin/true"], 125),
        (["run", "--fail-on", "blood", "--", "/bin/true"], 125),
        (["run", "--json", "/nowhere/at/all", "--", "/bin/true"], 125),
        (["report", "--no-such-option"], 2),
        (["no-such-verb"], 2),
        ([], 2),
        (["report", "--limit", "-1", plain], 2),
        (["explain", "no-such-rule"], 2),
        (["dump"], 2),
    ):
        result = scratch.bare([harness.HTTPLEAK, *argv])
        equal(f"status of {argv}", result.status, status)
        check(result.errors, f"{argv}: nothing on stderr")
        if argv:
            one_line(result.errors)


@suite.test("the command's own status")
def statuses(scratch):
    for script, status in (
        ("exit 0", 0),
        ("exit 7", 7),
        ("kill -TERM $$", 143),
        ("kill -SEGV $$", 139),
        ("exit 127", 127),
    ):
        result = scratch.run(["/bin/sh", "-c", script])
        equal(script, result.status, status)
        equal(f"{script}: output", (result.output, result.errors), (b"", ""))
    leak = [harness.program("fourcases"), origin.url("http", "/bytes/262144"), "1"]
    for options, status in (
        ([], 23),
        (["--fail-on", "never"], 0),
        (["--fail-on", "warning"], 23),
        (["--fail-on", "note"], 23),
    ):
        equal(str(options), scratch.run(leak, *options).status, status)
    equal(
        "its own failure comes first",
        scratch.run(["/bin/sh", "-c", f"{' '.join(leak)}; exit 9"]).status,
        9,
    )
    discards = [*leak[:-1], "2"]
    for options, status in ((["--fail-on", "warning"], 0), (["--fail-on", "note"], 23)):
        equal(f"a note with {options}", scratch.run(discards, *options).status, status)


@suite.test("--require-seen: a run that saw nothing has failed")
def require_seen(scratch):
    seen = scratch.run(
        [harness.program("fourcases"), origin.url("http", "/bytes/262144"), "4"], "--require-seen"
    )
    equal("status", (seen.status, seen.errors), (0, ""))
    blind = scratch.run(["/bin/true"], "--require-seen")
    equal("status of a run without a connection", blind.status, 23)
    one_line(blind.errors)


suite.main()
