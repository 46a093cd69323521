#!/usr/bin/python3
"""Go in the integration tests: toolchains, builds of tests/programs/go in every kind, and the Go origin.

Builds stay in build/tests/go/VERSION/KIND and are made again when a source is newer. As a program it
builds ahead: golang.py all|ends, what the suites of check-all and check need.
"""
import fcntl
import functools
import glob
import json
import os
import subprocess
import sys
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import harness
from harness import BUILD, ROOT, Failed, Skip, check, end, environment

sys.path.insert(0, os.path.join(ROOT, "tests", "origin"))
import origin as python_origin  # noqa: E402

VERSIONS = ("1.19", "1.21", "1.22", "1.23", "1.24", "1.25", "1.26", "1.27")
ENDS = (VERSIONS[0], VERSIONS[-1])
PROGRAMS = os.path.join(harness.SOURCES, "go")
PLACE = os.path.join(BUILD, "tests", "go")

# kind: arguments of go build, environment
KINDS = {
    "default": ([], {}),
    "stripped": (["-ldflags=-s -w"], {}),
    "pie": (["-buildmode=pie"], {}),
    "pie-stripped": (["-buildmode=pie", "-ldflags=-s -w"], {}),
    "trimpath": (["-trimpath"], {}),
    "pgo": ([], {}),  # and the profile
    "external": (["-ldflags=-linkmode=external"], {}),
    "race": (["-race"], {}),
    "unoptimised": (["-gcflags=all=-N -l"], {}),
    "v3": ([], {"GOAMD64": "v3"}),
    "pie-nocgo": (["-buildmode=pie"], {"CGO_ENABLED": "0"}),
    "static": ([], {"CGO_ENABLED": "0"}),
    "static-stripped": (["-ldflags=-s -w"], {"CGO_ENABLED": "0"}),
    "static-netgo": (
        ["-tags=netgo,osusergo", "-ldflags=-linkmode=external -extldflags=-static"],
        {},
    ),
    "static-pie": (
        [
            "-tags=netgo,osusergo",
            "-buildmode=pie",
            "-ldflags=-linkmode=external -extldflags=-static-pie",
        ],
        {},
    ),
}
STATIC = tuple(kind for kind in KINDS if kind.startswith("static"))
DYNAMIC = tuple(kind for kind in KINDS if kind not in STATIC)


def number(version):
    return int(version.split(".")[1])


def ci_go(*arguments):
    done = subprocess.run(
        [os.path.join(ROOT, ".ci", "go"), *arguments], capture_output=True, check=False, text=True
    )
    return done.stdout.splitlines()


@functools.lru_cache(None)
def toolchains():
    """{version: path of go} of those that .ci/go has brought, the oldest first."""
    return dict(line.split(" ", 1) for line in ci_go("list"))


@functools.lru_cache(None)
def settings():
    return dict(line.split("=", 1) for line in ci_go("env"))


def need(version):
    if version not in toolchains():
        raise Skip(f"Go {version} is not installed")
    return toolchains()[version]


def newest():
    return need(list(toolchains())[-1] if toolchains() else VERSIONS[-1])


def go(version, arguments, env=None, cwd=None, timeout=600):
    tool = need(version)
    done = subprocess.run(
        [tool, *arguments],
        env=environment({**settings(), **(env or {})}),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        cwd=cwd or PROGRAMS,
        timeout=timeout,
        check=False,
    )
    check(
        done.returncode == 0,
        lambda: f"go {version} {' '.join(arguments)}: {done.stderr.decode()[-1500:]}",
    )
    return done.stdout.decode()


def can_run(kind):
    """Whether this machine's processor runs that kind of build."""
    if kind == "v3":
        with open("/proc/cpuinfo", encoding="ascii", errors="replace") as file:
            flags = file.read().split("\nflags", 1)[-1].split("\n", 1)[0].split()
        return {"avx2", "bmi1", "bmi2", "fma", "movbe"} <= set(flags)
    return True


def module_file(version, language=None):
    """The go line decides what the timers do: that of the toolchain, unless said otherwise."""
    path = os.path.join(PLACE, f"go-{language or version}.mod")
    text = f"module httpleak.example/programs\n\ngo {language or version}\n"
    if not os.path.exists(path) or harness_read(path) != text:
        os.makedirs(PLACE, exist_ok=True)
        with open(f"{path}.{os.getpid()}", "w", encoding="ascii") as file:
            file.write(text)
        os.replace(f"{path}.{os.getpid()}", path)
    return path


def harness_read(path):
    with open(path, encoding="ascii") as file:
        return file.read()


def profile():
    """A profile for PGO: the stress program's own, a few seconds of it."""
    path = os.path.join(PLACE, "default.pgo")
    if not os.path.exists(path):
        version = list(toolchains())[-1]
        binary = build(version, "default", "stress")
        with Origin() as origin:
            subprocess.run(
                [binary, origin.base("http"), "4", "1000"],
                env=environment({"PROFILE": path + ".new"}),
                stdout=subprocess.DEVNULL,
                timeout=120,
                check=True,
            )
        os.replace(path + ".new", path)
    return path


def impossible(version, kind):
    """Why there is no such build, or None."""
    if version == "1.19" and kind in ("static-netgo", "static-pie"):
        return "Go 1.19 programs that gcc links statically trap at their start, also alone"
    if kind == "pgo" and number(version) < 21:
        return f"Go {version} knows no PGO"
    return None


def matrix():
    """(version, kind) of every build there is. The first ones have each version and each kind once, and so have the next ones:
    however far the time reaches, what was left out is spread evenly. Most of a kind's price is that the standard library is
    compiled once more for it."""
    cells = []
    for turn in range(len(VERSIONS)):
        for place, kind in enumerate(KINDS):
            version = VERSIONS[(place + turn) % len(VERSIONS)]
            if not impossible(version, kind):
                cells.append((version, kind))
    return cells


def build(version, kind, program, language=None, more=()):
    """The path of tests/programs/go/PROGRAM, built by that version in that way."""
    need(version)
    arguments, env = KINDS[kind]
    arguments = list(arguments)
    if not can_run(kind):
        raise Skip(f"this processor does not run {kind} builds")
    if impossible(version, kind):
        raise Skip(impossible(version, kind))
    if kind == "pgo":
        arguments += ["-pgo=" + profile()]
    # Of the compiler: a fifth of its time.
    env = {"GOGC": "800", "GOMAXPROCS": "1", **env}
    folder = os.path.join(PLACE, version, kind)
    target = os.path.join(folder, program.replace("/", "-") + (f"-{language}" if language else ""))
    sources = glob.glob(os.path.join(PROGRAMS, program, "*.go"))
    check(sources, f"no program {program}")
    os.makedirs(folder, exist_ok=True)
    with open(target + ".lock", "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not os.path.exists(target) or os.path.getmtime(target) < max(
            os.path.getmtime(source) for source in sources
        ):
            if program == "h2direct":  # with Debian's package of golang.org/x/net
                env = {**env, "GO111MODULE": "off", "GOPATH": "/usr/share/gocode", "GOFLAGS": ""}
                module = []
            else:
                module = [f"-modfile={module_file(version, language)}"]
            go(
                version,
                [
                    "build",
                    "-buildvcs=false",
                    "-p=2",
                    *module,
                    *arguments,
                    *more,
                    "-o",
                    target + ".new",
                    "./" + program,
                ],
                env,
            )
            os.replace(target + ".new", target)
    return target


def packed(version, kind, program):
    """The path of that build, packed by UPX (with the library that came with it)."""
    found = ci_go("path", "upx")
    if not found:
        raise Skip("upx is not installed")
    plain = build(version, kind, program)
    target = plain + ".packed"
    if os.path.exists(target) and os.path.getmtime(target) > os.path.getmtime(plain):
        return target
    library = os.path.join(os.path.dirname(found[0]), "..", "lib", "x86_64-linux-gnu")
    done = subprocess.run(
        [found[0], "-q", "-1", "-f", "-o", f"{target}.new", plain],
        env=environment({"LD_LIBRARY_PATH": library}),
        capture_output=True,
        timeout=120,
        check=False,
    )
    check(done.returncode == 0, lambda: f"upx: {done.stderr.decode()[-500:]}")
    os.utime(f"{target}.new")
    os.replace(f"{target}.new", target)
    return target


class Origin:
    """The Go origin (tests/programs/go/origin) as a context, built by the newest Go that is there."""

    def __enter__(self):
        newest()
        self.folder = os.path.join(PLACE, "origin")
        os.makedirs(self.folder, exist_ok=True)
        with open(os.path.join(self.folder, "lock"), "w", encoding="ascii") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            self.certificate, key = python_origin.make_certificate(self.folder)
        self.process = subprocess.Popen(
            [
                build(list(toolchains())[-1], "default", "origin"),
                self.certificate,
                key,
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment(),
        )
        line = self.process.stdout.readline()
        check(line, "the Go origin does not start")
        self.ports = json.loads(line)
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        end(self.process)

    def base(self, kind, host="localhost"):
        """kind: http, https, h2, impatient, proxy."""
        scheme = "https" if kind in ("https", "h2") else "http"
        return f"{scheme}://{host}:{self.ports[kind]}"

    def env(self, **more):
        """What lets an unmodified client believe this origin."""
        return {"SSL_CERT_FILE": self.certificate, **more}

    def control(self, path):
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(f"http://127.0.0.1:{self.ports['control']}{path}", timeout=10) as answer:
            return json.load(answer)

    def clear(self):
        return self.control("/clear")


def open_origin(suite):
    """For a suite: the origin, or None where no Go is; tests that need it skip by `need`."""
    return suite.stack.enter_context(Origin()) if toolchains() else None


# What the suites want of every version; of the oldest and the newest in make check, of all in make check-all.
CHECK = {
    "default": ("puzzle", "leaks", "incident", "timers", "stress", "sacred", "cgocurl", "h2direct"),
    "static": ("puzzle", "incident", "stress", "sacred"),
}
CHECK_ALL = {
    "default": CHECK["default"],
    "static": (*CHECK["static"], "timers"),
    "stripped": ("timers",),
}
CHECK_ALL_LATER = {"race": ("stress", "sacred"), "pie-stripped": ("sacred",)}


def can_build(version, kind, program):
    try:
        build(version, kind, program)
    except (Skip, Failed) as reason:
        print(f"{version} {kind} {program}: {reason}", file=sys.stderr)
        return False
    return True


def ahead(versions, wanted):
    """Builds what suites will want, so that no test's own time limit sees the compiler. Two versions at a time: one build
    alone often waits for the one package that all others need, and two of one version would compile the same packages."""

    def all_of(version):
        for kind, programs in wanted.items():
            all(can_build(version, kind, program) for program in programs)  # up to the first that cannot

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(all_of, versions))


def ahead_of_matrix():
    """Neighbours in the matrix are of different versions."""
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda cell: can_build(*cell, "puzzle"), matrix()))


if __name__ == "__main__":
    if toolchains():
        newest()
        build(list(toolchains())[-1], "default", "origin")
        if sys.argv[1:] == ["all"]:
            ahead(VERSIONS, CHECK_ALL)
            ahead_of_matrix()
            ahead(VERSIONS, CHECK_ALL_LATER)
        else:
            ahead(ENDS, CHECK)
