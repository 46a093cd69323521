#!/usr/bin/python3
"""The caller's line in the caller's language: what a finding shows first is what the interpreter itself said."""
import ast
import collections
import contextlib
import functools
import glob
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import threading

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import harness  # noqa: E402
from harness import brief, check, equal  # noqa: E402

suite = harness.Suite()
origin = suite.stack.enter_context(harness.Origin())
LANGUAGES = os.path.join(harness.SOURCES, "languages")
BIG, HUGE = "/bytes/262144", "/bytes/4000000"
COUNT = 3


def source(name):
    return os.path.join(LANGUAGES, name)


def marked(name, text="the request"):
    """The line of a program that a comment marks."""
    with open(source(name), encoding="utf-8") as file:
        lines = [n for n, line in enumerate(file, 1) if line.rstrip().endswith(text)]
    equal(f"marked lines of {name}", len(lines), 1)
    return lines[0]


# ---- Python ----------------------------------------------------------------------------------------

VERSIONS = ("3.8", "3.9", "3.10", "3.11", "3.12", "3.13")
WAYS = {  # way: its function, as 3.11 and later call it
    "method": "Client.method",
    "class": "Client.of_class",
    "property": "Client.answer",
    "generator": "generator",
    "lambda": None,
    "long": "long_function",
    "threads": "in_threads.<locals>.work",
    "recursive": "recursive",
    "string": "from_string",
    "unicode": "größe_数据",
    "bytes": "name",
    "longname": "f" * 1024,
    "hostile": "name",
}


def pythons():
    """One interpreter of each version: what the system has, what pyenv or PATH have."""
    found = {}
    places = [harness.PYTHON, *(shutil.which(f"python{v}") or "" for v in VERSIONS)]
    places += sorted(glob.glob(os.path.expanduser("~/.pyenv/versions/*/bin/python3")))
    for place in filter(os.path.exists, places):
        asked = subprocess.run(
            [place, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"], capture_output=True, text=True
        )
        if asked.returncode == 0:  # a name in PATH may be pyenv's, which knows no such version just now
            found.setdefault(asked.stdout.strip(), place)
    return found


PYTHONS = pythons()


def python(version):
    if version not in PYTHONS:
        raise harness.Skip(f"no CPython {version} on this machine")
    return PYTHONS[version]


def told(output):
    """What the program was told by its interpreter: [(line, function, file)]."""
    places = [ast.literal_eval(line).split(" ", 2) for line in output.decode().splitlines() if line[0] in "'\""]
    return [(int(line), function, file) for line, function, file in places]


def as_reported(text):
    """As the recorder keeps it and JSON shows it: cut to 1,024 bytes, bytes that are no UTF-8 as \\xNN."""
    data = text.encode("utf-8", "surrogateescape")[:1024]
    while len(text.encode("utf-8", "surrogateescape")) > 1024 and data and data[-1] & 0xC0 == 0x80:
        data = data[:-1]
    return data.decode("utf-8", "backslashreplace")


def first(finding, stack="request"):
    frames = finding["stacks"][stack]
    check(frames, lambda: f"no {stack} stack: {finding}")
    return frames[0]


def place(frame):
    return frame["line"], frame["function"], frame["file"]


def leaks(result, objects=COUNT, rule="unclosed-body"):
    found = [f for f in result.report["findings"] if f["rule"] == rule and f["severity"] == "error"]
    equal(f"{rule} objects", sum(f["count"] for f in found), objects)
    return found


def kept_python(scratch, version, ways, scheme="http"):
    """One finding for each way, and its first frame is what sys._getframe said."""
    argv = [python(version), source("kept.py"), ",".join(ways), origin.url(scheme, BIG), str(COUNT)]
    result = scratch.preloaded(argv)
    equal("status", (result.status, result.errors), (0, ""))
    harness.replays(result.traces)
    found = leaks(result, COUNT * len(ways))
    expected = sorted((line, as_reported(function), as_reported(file)) for line, function, file in told(result.output))
    equal("told", len(expected), len(ways))
    for stack in ("request", "connect"):
        equal(stack, sorted(place(first(finding, stack)) for finding in found), expected)
    equal("counts", {finding["count"] for finding in found}, {COUNT})
    for frame in map(first, found):
        equal("language, module", (frame["language"], frame["module"]), ("python", frame["file"]))
    if tuple(map(int, version.split("."))) >= (3, 11):
        functions = {first(finding)["function"] for finding in found}
        check({WAYS[way] for way in ways if WAYS[way]} <= functions, functions)


def kept_asyncio(scratch, version, scheme="http"):
    """The coroutines that wait for each other are on the stack, and the request has a line of its own."""
    argv = [python(version), source("kept.py"), "asyncio", origin.url(scheme, HUGE), str(COUNT)]
    result = scratch.preloaded(argv)
    equal("status", (result.status, result.errors), (0, ""))
    for finding in leaks(result):
        equal("connect", place(first(finding, "connect")), told(result.output)[0])
        equal("request", place(first(finding)), told(result.output)[1])
        functions = [frame["function"] for frame in finding["stacks"]["request"]]
        check({"ask", "outer", "asyncio_way"} <= set(functions), functions)


for version in VERSIONS:
    suite.test(f"Python {version}: {', '.join(WAYS)}", version, list(WAYS))(kept_python)
    suite.test(f"Python {version}: asyncio", version)(kept_asyncio)
    if harness.LONG or version == "3.11":
        suite.test(f"Python {version}: https", version, ["method", "threads"], "https")(kept_python)
        suite.test(f"Python {version}: asyncio (https)", version, "https")(kept_asyncio)


@suite.test("Python: a fork child's trace has its own names")
def fork_child(scratch):
    argv = [harness.PYTHON, source("kept.py"), "method,fork", origin.url("http", BIG), str(COUNT)]
    result = scratch.preloaded(argv)
    equal("processes", len(result.traces), 2)
    found = leaks(result, 2 * COUNT)
    equal("functions", {first(finding)["function"] for finding in found}, {"Client.method"})


@suite.test("Python: who started a stranded thread, before there was a trace")
def parked(scratch):
    argv = [harness.PYTHON, source("parked.py"), origin.url("http", BIG), str(COUNT)]
    result = scratch.preloaded(argv)
    equal("status", result.status, 0)
    worker = leaks(result, rule="stranded-worker")[0]
    expected = (marked("parked.py", "the worker"), "Reader.start", source("parked.py"))
    got = place(first(worker, "worker"))
    equal("worker", (got[0], got[1].split(".")[-1], got[2]), (expected[0], "start", expected[2]))
    equal("request", place(first(leaks(result)[0])), (marked("parked.py"), "ask", source("parked.py")))


@suite.test("Python: generated code, another at the same address each time")
def changing(scratch):
    argv = [harness.PYTHON, source("kept.py"), "changing", origin.url("http", BIG), "40"]
    result = scratch.preloaded(argv)
    found = leaks(result, 40)
    got = sorted(place(first(f)) for f in found)
    equal("places", got, sorted((2, f"step_{i}", f"/srv/generated/{i}.py") for i in range(40)))


@suite.test("Python: whole stacks have the libraries' frames, and the interpreter's own are gone")
def full_stacks(scratch):
    argv = [harness.PYTHON, source("kept.py"), "method", origin.url("http", BIG), str(COUNT)]
    result = scratch.preloaded(argv, "--full-stacks")
    frames = leaks(result)[0]["stacks"]["request"]
    functions = [frame["function"] for frame in frames]
    check("HTTPConnection.request" in functions and functions[-1] == "<module>", functions)
    check(not any("EvalFrame" in (function or "") for function in functions), functions)
    files = {frame["file"] for frame in frames if frame["function"] == "HTTPConnection.request"}
    check(all(file.endswith("/http/client.py") for file in files), files)


@suite.test("Python: the text report shows the user's lines and nothing raw")
def text_report(scratch):
    argv = [harness.PYTHON, source("kept.py"), "hostile", origin.url("http", BIG), str(COUNT)]
    result = scratch.preloaded(argv)
    text = subprocess.run([harness.HTTPLEAK, "report", *result.traces], capture_output=True).stdout
    check(rb'asked for in  name  /a\x0a\x1b[2J"b".py:2' in text, text)
    check(b"interprets" not in text and b"\x1b[2J" not in text, text)


@suite.test("Python: --source-root finds the file elsewhere")
def source_root(scratch):
    scratch.write("elsewhere/languages/kept.py", "")
    argv = [harness.PYTHON, source("kept.py"), "method", origin.url("http", BIG), str(COUNT)]
    result = scratch.preloaded(argv, "--source-root", scratch.path("elsewhere"))
    frame = first(leaks(result)[0])
    equal("file", frame["file"], scratch.path("elsewhere/languages/kept.py"))
    equal("module", frame["module"], source("kept.py"))


@suite.test("Python: a fingerprint is the same from another directory and with other lines")
def fingerprint(scratch):
    with open(source("kept.py"), encoding="utf-8") as file:
        text = file.read()
    seen = set()
    for name, more in (("a/kept.py", ""), ("b/kept.py", "\n\n# moved\n")):
        moved = scratch.write(name, more + text)
        argv = [harness.PYTHON, moved, "method", origin.url("http", BIG), str(COUNT)]
        seen.add(leaks(scratch.preloaded(argv))[0]["fingerprint"])
    equal("fingerprints", len(seen), 1)


@suite.test("Python: a program installed as a package is shown by its own code")
def installed(scratch):
    scratch.write("lib/python3.11/site-packages/prog/__init__.py", "")
    code = "import sys, os\nfrom other import ask\ndef run():\n    ask()\n    os._exit(0)\n"
    scratch.write("lib/python3.11/site-packages/prog/cli.py", code)
    code = "import sys, urllib.request\nkept = []\ndef ask():\n    for _ in range(3):\n"
    code += "        kept.append(urllib.request.urlopen(sys.argv[1]))\n"
    scratch.write("lib/python3.11/site-packages/other.py", code)
    starter = scratch.write("bin/prog", "from prog.cli import run\nrun()\n")
    env = {"PYTHONPATH": scratch.path("lib/python3.11/site-packages")}
    result = scratch.preloaded([harness.PYTHON, starter, origin.url("http", BIG)], env=env)
    frame = first(leaks(result)[0])
    equal("frame", (frame["line"], frame["function"], os.path.basename(frame["file"])), (4, "run", "cli.py"))


@suite.test("Python: clean threads while code, frames and garbage come and go")
def churn(scratch):
    for version in PYTHONS if harness.LONG else [v for v in ("3.10", "3.12") if v in PYTHONS]:
        argv = [PYTHONS[version], source("churn.py"), origin.url("http", "/bytes/1000"), "20"]
        result = scratch.preloaded(argv, timeout=120)
        equal(f"{version}: status, output", (result.status, result.output), (0, b"160 {1000}\n"))
        harness.no_error(result.report)
        equal("opened", result.report["totals"]["bodies"]["opened"], 160)


@suite.test("Python inside another program, loaded late")
def embedded(scratch):
    libraries = [
        (path, prefix)
        for prefix in {os.path.dirname(os.path.dirname(os.path.realpath(p))) for p in PYTHONS.values()}
        for folder in ("/lib/", "/lib/*-linux-gnu/")
        for path in glob.glob(prefix + folder + "libpython3.*.so.1.0")
    ]
    if not libraries:
        raise harness.Skip("no libpython3 as a library on this machine")
    library, home = max(libraries, key=lambda found: int(re.search(r"libpython3\.(\d+)", found[0])[1]))
    argv = [harness.program("embed_python"), library, source("kept.py"), "method", origin.url("http", BIG), str(COUNT)]
    result = scratch.preloaded(argv, env={"PYTHONHOME": home})
    check(result.report, lambda: f"no trace: {result.errors}")
    finding = leaks(result)[0]
    line, function, file = told(result.output)[0]
    equal("request", place(first(finding)), (line, function, file))
    frames = finding["stacks"]["request"]
    check(any(f["function"] == "run_script" and f["language"] != "python" for f in frames), frames)


# ---- Ruby, PHP, Node, Java -------------------------------------------------------------------------


def kept_script(scratch, tool, name, functions, scheme="http", rule="unclosed-body"):
    """The finding's first frame: the marked line of the program."""
    command = harness.need(tool)
    result = scratch.preloaded([command, source(name), origin.url(scheme, BIG), str(COUNT)])
    equal("status, output", (result.status, result.output), (0, b"done\n"))
    found = [f for f in result.report["findings"] if f["rule"] == rule]
    equal("objects", sum(f["count"] for f in found), COUNT)
    equal("findings", len(found), 1)
    frames = found[0]["stacks"]["request"]
    equal("first frame", place(frames[0]), (marked(name), functions[0], source(name)))
    equal("language", frames[0]["language"], tool)
    got = [frame["function"] for frame in frames]
    check(set(functions) <= set(got), lambda: f"{functions} expected, {got}")


suite.test("Ruby: a socket of a class", "ruby", "kept.rb", ["fetch", "work", "<main>"])(kept_script)
for tls in ("http", "https"):
    suite.test(f"Ruby: Net::HTTP ({tls})", "ruby", "kept_net_http.rb", ["fetch", "<main>"], tls)(kept_script)
    suite.test(
        f"PHP: streams ({tls})", "php", "kept.php", ["Client::fetch", "{closure}", "work", "{main}"], tls, "discarded-body"
    )(kept_script)


# ---- Perl ------------------------------------------------------------------------------------------

PERL_KNOWN = (32, 36, 40, 42)
PERL_WAYS = ("sub alias method byname autoload recursive block text file sort bysub map first pattern replace overload tied destroy "
             "handler signal dying jump local lines argument loops deep threads").split()


def perls():
    """One threaded Perl of each version that is known: what the system has, what perlbrew has."""
    found = {}
    places = [shutil.which("perl") or "", *sorted(glob.glob(os.path.expanduser("~/perl5/perlbrew/perls/*/bin/perl")))]
    for place in filter(os.path.exists, places):
        asked = subprocess.run([place, "-MConfig", "-e", "print $^V->{version}[1], ' ', $Config{useithreads} // ''"],
                               capture_output=True, text=True)
        version, _, threads = asked.stdout.partition(" ")
        if threads == "define" and int(version) in PERL_KNOWN:
            found.setdefault(f"5.{version}", place)
    return found


PERLS = perls()


def perl_ways(scratch, version, ways=tuple(PERL_WAYS), count=2):
    """Every stack is the one that caller() gave at the line that sends: all of its files, lines and functions."""
    if version not in PERLS:
        raise harness.Skip("no threaded Perl of a known version on this machine")
    argv = [PERLS[version], source("kept.pl"), ",".join(ways), origin.url("http", BIG), str(count)]
    result = scratch.preloaded(argv, "--full-stacks", settings="summary=0:stack_depth=128")
    equal("status", (result.status, result.errors), (0, ""))
    harness.replays(result.traces)
    lines = result.output.decode().splitlines()
    equal("requests", len(lines), count * len(ways))
    expected = {re.sub(r"\(eval \d+\)", "(eval N)", line) for line in lines}
    equal("stacks told", len(expected), len(ways))
    found = [f for f in result.report["findings"] if f["rule"] == "unclosed-body"] # a thread that does something else "paused"
    equal("objects", sum(f["count"] for f in found), len(lines))
    got = set()
    for finding in found:
        frames = [frame for frame in finding["stacks"]["request"] if frame["language"] == "perl"]
        told = " ".join(f"{frame['file']}|{frame['line']}|{frame['function']}" for frame in frames)
        got.add(re.sub(r"\(eval \d+\)", "(eval N)", told))
        equal("first frame", place(first(finding)), (marked("kept.pl"), "main::ask", source("kept.pl")))
    equal("stacks", sorted(got), sorted(expected))


for version in PERLS or ["5.36"]:
    suite.test(f"Perl {version}: stacks are Perl's own", version)(perl_ways)


@suite.test("Perl: a line of the command line, and a program that is text")
def perl_text(scratch):
    module = scratch.write("lib/perl5/Asks.pm", "package Asks;\nsub get { my ($at, $path) = @_;\n"
                           "my $s = IO::Socket::INET->new($at); print $s qq{GET $path HTTP/1.1\\r\\nHost: $at\\r\\n\\r\\n};"
                           "sysread $s, my $head, 4096; push @main::kept, $s }\n1;\n")
    host = f"127.0.0.1:{origin.ports['http']}"
    code = f"use IO::Socket::INET; use Asks; use POSIX ();\nsub one {{ Asks::get('{host}', '{BIG}') }}\n"
    code += "one() for 1 .. 3; eval 'sub { one() }->()'; POSIX::_exit(0)"
    argv = [harness.need("perl"), "-I" + os.path.dirname(module), "-e", code]
    frames = {place(first(finding)) for finding in leaks(scratch.preloaded(argv), 4)}
    equal("frames", frames, {(2, "main::one", "-e")})


def perl_client(scratch, client, scheme):
    """A finding shows the line of the program, not those of the client's modules."""
    argv = [harness.need("perl"), os.path.join(harness.SOURCES, "clients", "fetch.pl"), client, origin.url(scheme, BIG), "keep", str(COUNT)]
    result = scratch.preloaded(argv)
    for finding in leaks(result):
        for stack in ("request", "connect"):
            frame = first(finding, stack)
            equal(stack, (frame["function"], os.path.basename(frame["file"]), frame["language"]), ("main::keep", "fetch.pl", "perl"))
        check("interprets" not in text_of(result), lambda: text_of(result))


for tls in ("http", "https"):
    suite.test(f"Perl: LWP's sockets ({tls})", "LWP", tls)(perl_client)


# ---- Lua -------------------------------------------------------------------------------------------

LUAS = {version: path for version in ("5.1", "5.2", "5.3", "5.4") if (path := shutil.which(f"lua{version}"))}
LUA_WAYS = ("fn method callable recursive protected handler text file sort gsub index add coroutine nested waited failed ended tail "
            "iterator").split()


def lua_ways(scratch, version, count=2):
    """Every stack is the one that debug.getinfo gave at the line that sends, coroutine by coroutine."""
    if version not in LUAS:
        raise harness.Skip("no Lua on this machine")
    host, port = "127.0.0.1", str(origin.ports["http"])
    argv = [LUAS[version], source("kept.lua"), ",".join(LUA_WAYS), host, port, BIG, str(count)]
    result = scratch.preloaded(argv, "--full-stacks", settings="summary=0:stack_depth=128")
    equal("status", (result.status, result.errors), (0, ""))
    harness.replays(result.traces)
    lines = result.output.decode().splitlines()
    equal("requests", len(lines), count * len(LUA_WAYS))
    found = leaks(result, len(lines))
    got = set()
    for finding in found:
        frames = [frame for frame in finding["stacks"]["request"] if frame["language"] == "lua"]
        got.add(" ".join(f"{frame['file']}|{frame['line']}|{frame['function']}" for frame in frames))
    equal("stacks", sorted(got), sorted(set(lines)))


for version in LUAS or ["5.4"]:
    suite.test(f"Lua {version}: stacks are Lua's own", version)(lua_ways)


def text_of(result):
    run = subprocess.run([harness.HTTPLEAK, "report", *result.traces], capture_output=True, text=True)
    return re.sub(r"\s+", " ", run.stdout)


# ---- Node ------------------------------------------------------------------------------------------

NODE_WAYS = ["method", "byname", "posted", "waited", "https", "again", "https-again", "fetch", "socket", "unix"]
NODE_RUNS = {  # V8's collector at work all the time, and its compilers in other orders than usual
    "as it likes": [],
    "collecting": ["--gc-interval=300"],
    "compacting": ["--stress-compaction", "--gc-interval=1000"],
    "not optimizing": ["--no-opt"],
    "one thread collects": ["--single-threaded-gc"],
}


@contextlib.contextmanager
def unix_relay(path, port):
    """The origin on a Unix socket."""

    def pump(source_end, other):
        with contextlib.suppress(OSError):
            while data := source_end.recv(65536):
                other.sendall(data)
            other.shutdown(socket.SHUT_WR)

    def serve():
        with contextlib.suppress(OSError):
            while True:
                near, far = listener.accept()[0], socket.create_connection(("127.0.0.1", port))
                for ends in ((near, far), (far, near)):
                    threading.Thread(target=pump, args=ends, daemon=True).start()

    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        threading.Thread(target=serve, daemon=True).start()
        yield
        listener.shutdown(socket.SHUT_RDWR)


def system_node():
    return [harness.need("node")]


@functools.lru_cache
def node_in_parts():
    """Debian's Node, which is cut into libnode, libuv and libssl: .ci/aside has it. Parts of its own JavaScript have their fixed place
    in /usr/share, so that it runs where they seem to be there."""
    aside = os.path.join(harness.ROOT, ".ci", "aside")
    place_of = subprocess.run([aside, "path", "node"], capture_output=True, text=True, check=False).stdout.strip()
    if not place_of:
        raise harness.Skip("the node of .ci/aside is not there")
    script = 'mount -t overlay -o lowerdir="$0/usr/share:/usr/share" none /usr/share\n' \
             'export LD_LIBRARY_PATH="$0/usr/lib/x86_64-linux-gnu"\nexec "$0/usr/bin/node" "$@"'
    argv = [harness.need("unshare"), "--mount", *(["--map-root-user"] if os.getuid() else []), "sh", "-ec", script, place_of]
    tried = subprocess.run([*argv, "-p", "process.config.variables.node_shared"], capture_output=True, text=True, check=False)
    if tried.returncode:
        raise harness.Skip(f"no file system of its own for a program: {tried.stderr.strip()[:200]}")
    equal("it is a library", tried.stdout, "true\n")
    return argv


def node_ways(scratch, switches, node=system_node, ways=tuple(NODE_WAYS), count=2):
    """What is shown first is the line that the program itself says it asks at, though the event loop connects and sends."""
    path = os.path.join(scratch.directory, "socket")
    with unix_relay(path, origin.ports["http"]):
        argv = [*node(), *switches, source("asked.js"), ",".join(ways), origin.url("http", HUGE).replace("localhost", "127.0.0.1"),
                origin.url("https", HUGE).replace("localhost", "127.0.0.1"), path, str(count)]
        result = scratch.preloaded(argv, timeout=90)
    equal("status, errors", (result.status, result.errors), (0, ""))
    harness.replays(result.traces)
    *lines, done = result.output.decode().splitlines()
    equal("the end", done, "done")
    expected = {int(line.split()[1]) for line in lines}
    found = leaks(result, count * len(ways))
    shown = [first(finding, finding["caller"]) for finding in found]
    equal("lines", {frame["line"] for frame in shown}, expected)
    equal("files, languages", {(frame["file"], frame["language"]) for frame in shown}, {(source("asked.js"), "javascript")})
    equal("objects of each line", {line: sum(f["count"] for f, frame in zip(found, shown) if frame["line"] == line) for line in expected},
          collections.Counter(int(line.split()[1]) for line in lines))


for name, switches in NODE_RUNS.items() if harness.LONG else [("as it likes", [])]:
    suite.test(f"Node: who asked ({name})", switches)(node_ways)


@suite.test("Node: one leak is one finding, whether its function had waited before or not")
def node_kept(scratch):
    result = scratch.preloaded([harness.need("node"), source("kept.js"), origin.url("http", BIG), str(COUNT)])
    equal("status, output, errors", (result.status, result.output, result.errors), (0, b"done\n", ""))
    found = leaks(result)
    equal("findings", len(found), 1)
    frame = first(found[0])
    equal("frame", (frame["line"], frame["file"], frame["language"]), (marked("kept.js"), source("kept.js"), "javascript"))
    check("interprets" not in text_of(result), lambda: text_of(result))


def node_churn(scratch, switches, node=system_node):
    """Clean work is not disturbed, whatever the collector and the compilers do meanwhile."""
    urls = [origin.url(scheme, "/bytes/3000") for scheme in ("http", "https")]
    result = scratch.preloaded([*node(), *switches, source("churn.js"), *urls, "5"], timeout=120)
    equal("status, output, errors", (result.status, result.output, result.errors), (0, b"true 3000\n", ""))
    harness.no_error(result.report)
    equal("opened", result.report["totals"]["bodies"]["opened"], 3 * 7 * 5)


for name, switches in {**NODE_RUNS, "collected by the program": ["--expose-gc"]}.items() if harness.LONG else [("collecting", NODE_RUNS["collecting"])]:
    suite.test(f"Node: clean requests ({name})", switches)(node_churn)

if harness.LONG:
    suite.test("Node in parts: who asked", [], node_in_parts)(node_ways)
    suite.test("Node in parts: clean requests", NODE_RUNS["collecting"], node_in_parts)(node_churn)


# ---- Java ------------------------------------------------------------------------------------------

JAVA_WAYS = ("method inlined replaced given_up invalidated initializer constructor inner recursive lambda reference bridge handler "
             "reflection handle proxy privileged thread pool").split()
COMPILED = {  # how the JVM runs the code: interpreted, compiled by its first or second compiler, as it likes; collectors that move
    "as it likes": [],
    "interpreted": ["-Xint"],
    "compiled first": ["-Xcomp"],
    "C1": ["-XX:TieredStopAtLevel=1"],
    "C2": ["-XX:-TieredCompilation"],
    "frame pointers": ["-XX:+PreserveFramePointer"],
}
COLLECTORS = {"serial": ["-XX:+UseSerialGC"], "ZGC": ["-XX:+UseZGC"], "Shenandoah": ["-XX:+UseShenandoahGC"]}


def jvms():
    """One HotSpot of each version: {"17": "/usr/lib/jvm/.../bin/java"}."""
    found = {}
    places = [shutil.which("java") or "", *sorted(glob.glob("/usr/lib/jvm/*/bin/java"))]
    for place in filter(os.path.exists, places):
        asked = subprocess.run([place, "-version"], capture_output=True, text=True)
        version = re.search(r'version "(?:1\.)?(\d+)', asked.stderr)
        if version and "OpenJ9" not in asked.stderr:
            found.setdefault(version[1], place)
    return found


JVMS = jvms()


@functools.lru_cache
def classes(name):
    """Where the classes of a program are, such that every version runs them."""
    compiler = harness.need("javac")
    folder = suite.stack.enter_context(tempfile.TemporaryDirectory(prefix="httpleak-java."))
    subprocess.run([compiler, "-nowarn", "--release", "8", "-d", folder, source(name + ".java")], check=True, capture_output=True)
    return folder


def java_command(version, name, *switches):
    if version not in JVMS:
        raise harness.Skip(f"no HotSpot {version} on this machine")
    return [JVMS[version], *switches, "-cp", classes(name), name]


def user_frames(places):
    """Those of the program itself; what the JVM makes for lambdas is in no stack."""
    return tuple(place for place in places if place.startswith("Ways") and "$$" not in place)


def java_ways(scratch, version, switches, ways=JAVA_WAYS, count=2):
    """Every stack is the one that the JVM gave of the line that sends: all of the program's functions and lines."""
    host, port = "127.0.0.1", origin.ports["http"]
    argv = [*java_command(version, "Ways", *switches), ",".join(ways), host, str(port), str(count)]
    result = scratch.preloaded(argv, "--full-stacks", timeout=120, settings="summary=0:stack_depth=128")
    equal("status", (result.status, result.errors), (0, ""))
    harness.replays(result.traces)
    *lines, done = result.output.decode().splitlines()
    equal("the end", done, "done")
    expected = {user_frames(line.split()[1:]) for line in lines}
    found = leaks(result, len(lines))
    got = {user_frames(f"{frame['function']}:{frame['line']}" for frame in finding["stacks"]["request"]) for finding in found}
    equal("stacks", sorted(got), sorted(expected))
    for frame in (frame for finding in found for frame in finding["stacks"]["request"]):
        if (frame["function"] or "").startswith("Ways."):
            equal("module, file", (frame["module"], frame["file"], frame["language"]), ("Ways", "Ways.java", "java"))


for version in sorted(JVMS, key=int) or ["17"]:
    for name, switches in COMPILED.items() if harness.LONG else [("as it likes", [])]:
        suite.test(f"Java {version}: stacks are the JVM's own ({name})", version, switches)(java_ways)
    if harness.LONG and int(version) >= 17:
        for name, switches in COLLECTORS.items():
            suite.test(f"Java {version}: stacks are the JVM's own ({name})", version, switches)(java_ways)


@suite.test("Java: HttpURLConnection, and who started the threads")
def java_kept(scratch):
    argv = [*java_command(next(iter(JVMS), "17"), "Kept"), origin.url("http", BIG), str(COUNT)]
    result = scratch.preloaded(argv)
    equal("status, output", (result.status, result.output, result.errors), (0, b"done\n", ""))
    finding = leaks(result)[0]
    for stack in ("request", "connect"):
        frame = first(finding, stack)
        equal(stack, place(frame), (marked("Kept.java"), "Kept.fetch", "Kept.java"))
        equal("language, module", (frame["language"], frame["module"]), ("java", "Kept"))
    check("interprets" not in text_of(result), lambda: text_of(result))


@suite.test("Java: one client's executor sends, the caller is who asked")
def java_client(scratch):
    command = JVMS.get("17") or JVMS.get("25")
    if not command:
        raise harness.Skip("no Java 17 or 25 on this machine")
    argv = [command, source("KeptClient.java"), origin.url("http", BIG), str(COUNT)]
    result = scratch.preloaded(argv)
    equal("status, output", (result.status, result.output), (0, b"done\n"))
    finding = leaks(result)[0]
    equal("caller", finding["caller"], "connect")
    equal("frame", place(first(finding, "connect")), (marked("KeptClient.java"), "KeptClient.fetch", "KeptClient.java"))


def java_churn(scratch, version, switches):
    """Clean threads while classes come and go, and nothing of it is disturbed."""
    argv = [*java_command(version, "Churn", *switches), origin.url("http", "/bytes/1000"), "20"]
    result = scratch.preloaded(argv, timeout=120)
    equal("status, output", (result.status, result.output, result.errors), (0, b"160 [1000]\n", ""))
    harness.no_error(result.report)
    equal("opened", result.report["totals"]["bodies"]["opened"], 160)


for version in sorted(JVMS, key=int) or ["17"]:
    suite.test(f"Java {version}: clean threads while classes come and go", version, [])(java_churn)
    if harness.LONG and int(version) >= 17:
        for name, switches in COLLECTORS.items():
            suite.test(f"Java {version}: the same ({name})", version, switches)(java_churn)


suite.main()
