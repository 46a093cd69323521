"""What the integration tests share: TAP, the origin, nginx, and running a program bare, preloaded
or under `httpleak run`.

A test file says `suite = harness.Suite()`, decorates functions with @suite.test("name") (they raise
Failed through `check` or `equal`, or harness.Skip("tool is not installed")), and ends with
suite.main(). BUILD names the build directory.
"""
import contextlib
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import traceback

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.path.abspath(os.environ.get("BUILD", os.path.join(ROOT, "build")))
LIBRARY = os.path.join(BUILD, "libhttpleak.so")
HTTPLEAK = os.path.join(BUILD, "httpleak")
PROGRAMS = os.path.join(BUILD, "tests", "programs")
SOURCES = os.path.join(ROOT, "tests", "programs")
PYTHON = "/usr/bin/python3"
LONG = os.environ.get("HTTPLEAK_TEST_LONG") == "1"
TIMEOUT = 120  # a bound for what hangs: a JVM that compiles all took 60 s on a machine with three times the work it can do
DEADLINE = float(os.environ.get("HTTPLEAK_TEST_DEADLINE", "inf"))  # of time.monotonic(), set by tests/run
ASLEEP = 600  # a bound for what a test ends itself
# A job in a shell's background ignores these, its children inherit that, and a shell cannot trap what it was born ignoring. So
# what is ignored here goes on doing nothing, but by a handler, which nobody inherits.
for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP):
    if signal.getsignal(number) == signal.SIG_IGN:
        signal.signal(number, lambda *_: None)


class Failed(Exception):
    pass


class Skip(Exception):
    pass


def check(condition, message):
    if not condition:
        raise Failed(message() if callable(message) else message)


def equal(what, got, expected):
    check(got == expected, lambda: f"{what}: {got!r}, expected {expected!r}")


def need(*tools):
    """The paths of tools; skips the test when one is not there."""
    paths = [
        shutil.which(tool, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin") for tool in tools
    ]
    for tool, path in zip(tools, paths):
        if not path:
            raise Skip(f"{tool} is not installed")
    return paths[0] if len(paths) == 1 else paths


def program(name):
    path = os.path.join(PROGRAMS, name)
    check(os.path.exists(path), f"{path} is not built")
    return path


class Suite:
    def __init__(self):
        self.tests, self.stack = [], contextlib.ExitStack()

    def test(self, name, *arguments):
        def add(function):
            self.tests.append((name, function, arguments))
            return function

        return add

    def run_one(self, number, name, function, arguments):
        with contextlib.ExitStack() as stack:
            directory = stack.enter_context(tempfile.TemporaryDirectory(prefix="httpleak-test."))
            started = time.monotonic()
            if started > DEADLINE:
                print(f"ok {number} - {name} # SKIP the time for tests was over", flush=True)
                return True
            try:
                function(Scratch(directory), *arguments)
            except Skip as reason:
                print(f"ok {number} - {name} # SKIP {reason}", flush=True)
                return True
            except Exception as error:  # a broken test fails by its name and lets the others run
                print(f"not ok {number} - {name}")
                text = str(error) if isinstance(error, Failed) else traceback.format_exc()
                print("".join(f"# {line}\n" for line in text.splitlines()), end="", flush=True)
                return False
            print(f"ok {number} - {name}")
            print(f"# {time.monotonic() - started:.1f} s", file=sys.stderr, flush=True)
            return True

    def main(self):
        for tool in (LIBRARY, HTTPLEAK):
            if not os.path.exists(tool):
                print(f"Bail out! {tool} is not built")
                sys.exit(1)
        wanted = sys.argv[1:]  # parts of names: what a developer wants to see alone
        tests = [
            test for test in self.tests if not wanted or any(part in test[0] for part in wanted)
        ]
        print(f"1..{len(tests)}")
        with self.stack:
            results = [self.run_one(number, *test) for number, test in enumerate(tests, 1)]
        sys.exit(0 if all(results) else 1)


class Result:
    """One run: status (128+N for a signal), output, errors, report (None for a bare run) and the
    traces that it left."""

    def __init__(self, status, output, errors, report=None, traces=()):
        self.status, self.output, self.errors, self.report, self.traces = (
            status,
            output,
            errors,
            report,
            list(traces),
        )


def shell_status(code):
    return 128 - code if code < 0 else code


def environment(extra=None, preload=None, options=""):
    """The environment of a program under test: nothing of httpleak or of a proxy but what the test
    says."""
    env = {
        name: value
        for name, value in os.environ.items()
        if name not in ("LD_PRELOAD", "HTTPLEAK_OPTIONS", "NO_COLOR")
        and not name.lower().endswith("_proxy")
    }
    env.update(PYTHONWARNINGS="ignore", LC_ALL="C.UTF-8", TERM="dumb")
    if preload:
        env.update(LD_PRELOAD=preload, HTTPLEAK_OPTIONS=options)
    env.update(extra or {})
    return env


class Scratch:
    """A test's own directory, with the three ways to run a program."""

    def __init__(self, directory):
        self.directory, self.runs = directory, 0

    def path(self, *names):
        return os.path.join(self.directory, *names)

    def write(self, name, data, mode=0o644):
        path = self.path(name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(data.encode() if isinstance(data, str) else data)
        if mode & 0o111:
            # What another thread starts at this moment holds the file open for writing until its exec,
            # and a file that is so is "busy" for exec: a copy by somebody else has never been open here.
            os.rename(path, path + ".written")
            subprocess.run(["cp", "--", path + ".written", path], check=True)
            os.remove(path + ".written")
        os.chmod(path, mode)
        return path

    def folder(self, name=None):
        self.runs += 1
        path = self.path(name or f"run{self.runs}")
        os.makedirs(path, exist_ok=True)
        return path

    def bare(self, argv, **options):
        return self.execute(argv, environment(options.pop("env", None)), **options)

    def preloaded(self, argv, *report_options, settings="summary=0", judge=True, **options):
        """Under LD_PRELOAD alone; the report is made of the traces that it left."""
        traces = self.folder()
        env = environment(
            options.pop("env", None), LIBRARY, f"trace={traces}/httpleak.%e.%p.trace:{settings}"
        )
        result = self.execute(argv, env, **options)
        result.traces = trace_files(traces)
        if judge and result.traces:
            result.report = report(result.traces, *report_options)
        return result

    def run(self, argv, *run_options, **options):
        """Under `httpleak run`; its text report is left out, so that output is the program's
        own."""
        folder = self.folder()
        json_file = os.path.join(folder, "report.json")
        command = [
            HTTPLEAK,
            "run",
            "-o",
            folder,
            "--json",
            json_file,
            "--quiet",
            *run_options,
            "--",
            *argv,
        ]
        result = self.execute(command, environment(options.pop("env", None)), **options)
        check(
            os.path.exists(json_file),
            lambda: f"no report; status {result.status}, {result.errors[-400:]!r}",
        )
        result.report, result.traces = load(json_file), trace_files(folder)
        return result

    def execute(self, argv, env, timeout=TIMEOUT, interrupt=None, cwd=None, stdin=None, **options):
        """interrupt: (seconds, signal) sends that signal then."""
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            process = subprocess.Popen(
                argv,
                env=env,
                stdin=stdin or subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                cwd=cwd or self.directory,
                **options,
            )
            try:
                if interrupt:
                    with contextlib.suppress(subprocess.TimeoutExpired):
                        process.wait(interrupt[0])
                    process.send_signal(interrupt[1])
                process.wait(timeout)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                raise Failed(f"{argv[0]} took longer than {timeout} s") from None
            out.seek(0), err.seek(0)
            return Result(
                shell_status(process.returncode), out.read(), err.read().decode("utf-8", "replace")
            )

    def start(self, argv, preload=True, settings="summary=0", env=None, **options):
        """A program in the background, and the directory of its traces."""
        traces = self.folder()
        env = environment(
            env, LIBRARY if preload else None, f"trace={traces}/httpleak.%e.%p.trace:{settings}"
        )
        options = {
            "stdin": subprocess.DEVNULL,
            "stdout": subprocess.DEVNULL,
            "stderr": subprocess.DEVNULL,
        } | options
        return subprocess.Popen(argv, env=env, cwd=self.directory, **options), traces


    def stopped(self, argv, found, *report_options, orderly=True, env=None):
        """A program that keeps what it has until there is a file "stop" in its directory; that comes
        when found(report of the running one). The result of its orderly end; else of it as it ran
        then, and it is killed."""
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            process, folder = self.start(argv, env=env, stdout=out, stderr=err)
            reports = []

            def is_found():
                if process.poll() is not None:
                    err.seek(0)
                    raise Failed(f"it ended with {process.returncode}: {err.read()[-400:]}")
                if traces := trace_files(folder):
                    reports.append(report(traces, *report_options))
                return reports and found(reports[-1])

            try:
                wait_until(
                    is_found,
                    lambda: f"what is expected of the running program\n{reports and brief(reports[-1])}",
                    seconds=TIMEOUT,  # a JVM that compiles its program took 15 s on a busy machine
                    period=0.2,
                )
                if orderly:
                    self.write("stop", "")
                    process.wait(TIMEOUT)
                    os.unlink(self.path("stop"))
                    reports.append(report(trace_files(folder), *report_options))
            finally:
                process.kill()
                process.wait()
            out.seek(0), err.seek(0)
            return Result(
                shell_status(process.returncode) if orderly else 0,
                out.read(),
                err.read().decode("utf-8", "replace"),
                reports[-1],
                trace_files(folder),
            )


def end(process, number=signal.SIGTERM, seconds=10):
    """Ends what a test started: its status, as a shell says it."""
    if process.poll() is None:
        process.send_signal(number)
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    return shell_status(process.returncode)


def load(path):
    with open(path, encoding="utf-8") as file:
        return json.load(file)


def trace_files(folder):
    return sorted(os.path.join(folder, name) for name in os.listdir(folder) if ".trace" in name)


def report_run(arguments, **options):
    return subprocess.run(
        [HTTPLEAK, "report", *arguments],
        env=environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=TIMEOUT,
        check=False,
        **options,
    )


def report(traces, *options):
    done = report_run([*options, "--json", "-", *traces])
    check(
        done.returncode in (0, 23),
        lambda: f"report: status {done.returncode}, {done.stderr.decode()!r}",
    )
    return json.loads(done.stdout)


def replays(traces):
    """Replaying the journals gives what slots and counters say; not for a program that runs on or
    was killed."""
    done = subprocess.run(
        [HTTPLEAK, "dump", "--check", *traces],
        env=environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=TIMEOUT,
        check=False,
    )
    check(
        done.returncode == 0,
        lambda: f"dump --check: {done.returncode} {done.stdout.decode()[-1500:]}{done.stderr.decode()}",
    )


def findings(rep, rule=None, above_note=False):
    return [
        f
        for f in rep["findings"]
        if (rule is None or f["rule"] == rule) and (not above_note or f["severity"] != "note")
    ]


def count(rep, rule, severity=None):
    """How many objects findings of this rule stand for, those folded under another one left out."""
    return sum(
        f["count"]
        for f in findings(rep, rule)
        if (severity is None or f["severity"] == severity) and not f["caused_by"]
    )


def brief(rep):
    """A report in a few lines, for a failure's message."""
    lines = [f"verdict {rep['verdict']}", f"totals {json.dumps(rep['totals'])}"]
    lines += [
        f"{p['exe']} {p['pid']} end {p['end']} {p['status']} blind {p['blind']} lost {p['lost_records']}"
        for p in rep["processes"]
    ]
    lines += [
        f"{f['severity']} {f['rule']} x{f['count']} {f['host']}:{f['port']} {f['confidence']} {f['message']} {f['request']}"
        f" {[o['fd'] for o in f['objects']]}"
        for f in rep["findings"]
    ]
    return "\n".join(lines)


def no_alarm(rep):
    check(not findings(rep, above_note=True), lambda: f"findings above note\n{brief(rep)}")


def no_error(rep):
    check(
        not [f for f in rep["findings"] if f["severity"] == "error"],
        lambda: f"error findings\n{brief(rep)}",
    )


def not_blind(rep):
    check(
        not findings(rep, "blind") and not any(p["blind"] for p in rep["processes"]),
        lambda: f"blind\n{brief(rep)}",
    )


def user_lines(finding):
    """(file's base name, line) of every frame of every stack of a finding."""
    return [
        (os.path.basename(frame["file"]), frame["line"])
        for stack in finding["stacks"].values()
        for frame in stack or []
        if frame.get("file")
    ]


def line_of(source, text):
    """The number of the one line of a test program's source that contains text."""
    with open(os.path.join(SOURCES, source), encoding="utf-8") as file:
        numbers = [number for number, line in enumerate(file, 1) if text in line]
    equal(f"lines with {text!r} in {source}", len(numbers), 1)
    return numbers[0]


def wait_until(condition, what, seconds=15, period=0.02):
    deadline = time.monotonic() + seconds
    while not condition():
        check(
            time.monotonic() < deadline,
            lambda: f"{what() if callable(what) else what}: not within {seconds} s",
        )
        time.sleep(period)


def free_port():
    """One that no connection of anybody's is given meanwhile: those come from the range for that."""
    with open("/proc/sys/net/ipv4/ip_local_port_range", encoding="ascii") as file:
        lowest, highest = map(int, file.read().split())
    below = range(10240, lowest)
    for _ in range(1000):
        port = random.choice(below if len(below) > 5000 else range(lowest, highest))
        with socket.socket() as s, contextlib.suppress(OSError):
            s.bind(("127.0.0.1", port))
            return port
    raise Failed("no free port")


# At the end, since they are made of what stands above.
# pylint: disable-next=wrong-import-position
from servers import GIT_PEOPLE, Http2Servers, Nginx, Origin, git_repository  # noqa: E402,F401
