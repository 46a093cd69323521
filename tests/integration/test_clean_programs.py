#!/usr/bin/python3
"""No false alarm: what only looks like a leak, in real programs. Something that speaks no HTTP, a chat, a long poll, an event stream,
a pool of idle threads, a session whose server hangs up. Nothing above a note, while they run and at their end, and everything seen."""
import contextlib
import os
import re
import signal
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import harness  # noqa: E402
from harness import brief, check, equal, need  # noqa: E402

suite = harness.Suite()
origin = suite.stack.enter_context(harness.Origin())
CLEAN = os.path.join(harness.SOURCES, "clean")
GRACE = "0.3"


def python(name, client, *arguments):
    """The command; skips when the client is not there."""
    for module in {"httpx", "requests", "aiohttp", "websockets"} & {client}:
        if subprocess.run([harness.PYTHON, "-c", f"import {module}"], capture_output=True, check=False).returncode:
            raise harness.Skip(f"python3-{module} is not installed")
    return [harness.PYTHON, os.path.join(CLEAN, name), client, *map(str, arguments)]


def node(name, *arguments):
    return [need("node"), os.path.join(CLEAN, name), *map(str, arguments)]


def seen(report, counts):
    """No finding above note, nothing blind, and what the server counted."""
    harness.no_alarm(report)
    harness.not_blind(report)
    totals = report["totals"]
    equal("opened, drained", (totals["connections"]["opened"], totals["bodies"]["drained"]),
          (counts["accepts"], counts["bodies_completed"]))


def watched(scratch, argv, status=0, **options):
    """A run that is looked at all the while: no report of it has a finding above note. The output, and the last report."""
    with open(scratch.path("out"), "w+b") as out, open(scratch.path("err"), "w+b") as err:
        process, folder = scratch.start(argv, stdout=out, stderr=err, **options)
        looks, deadline = 0, time.monotonic() + harness.TIMEOUT
        try:
            while process.poll() is None:
                check(time.monotonic() < deadline, f"{argv}: not over")
                if traces := harness.trace_files(folder):
                    harness.no_alarm(harness.report(traces, "--grace", GRACE))
                    looks += 1
                time.sleep(0.1)
        finally:
            harness.end(process)
        out.seek(0), err.seek(0)
        output, errors = out.read(), err.read()
    equal(f"status ({errors[-300:]})", harness.shell_status(process.returncode), status)
    check(looks >= 3, f"looked at {looks} times only")
    harness.replays(harness.trace_files(folder))
    return output, harness.report(harness.trace_files(folder))


# ---- databases ----

def no_http(result):
    """In no total, and nothing to say about it."""
    if result.report:
        equal("findings", [f for f in result.report["findings"] if f["rule"] != "blind"], [])
        equal("opened", result.report["totals"]["connections"]["opened"], 0)
        equal("hosts", result.report["hosts"], [])


REDIS_WORK = "PING\nSET name value\nGET name\nRPUSH list a b c\nLRANGE list 0 -1\nINCR n\nBLPOP nothing 1\nGET big\nINFO clients\n"


@suite.test("redis-cli at work, and one that listens")
def redis(scratch):
    server, client = need("redis-server", "redis-cli")
    port = harness.free_port()
    process = subprocess.Popen(
        [server, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", scratch.directory],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )
    try:
        base = [client, "-p", str(port)]

        def answers():
            return subprocess.run([*base, "PING"], capture_output=True, check=False).stdout == b"PONG\n"

        harness.wait_until(answers, "redis-server starts")
        subprocess.run([*base, "-x", "SET", "big"], input=b"x" * 3000000, check=True, capture_output=True)
        commands = scratch.write("commands", REDIS_WORK)
        outputs = []
        for way in (scratch.bare, scratch.preloaded, scratch.run):
            subprocess.run([*base, "DEL", "list", "n"], check=True, capture_output=True)
            with open(commands, "rb") as stdin:
                result = way(base, stdin=stdin)
            equal("status", result.status, 0)
            outputs.append(re.sub(rb"# Clients.*", b"", result.output, flags=re.S))
            no_http(result)
        check(len(outputs[0]) > 3000000 and outputs[1:] == outputs[:1] * 2, lambda: [o[:300] for o in outputs])
        listener, folder = scratch.start([*base, "SUBSCRIBE", "news"], stdout=subprocess.PIPE)
        try:
            check(b"subscribe" in listener.stdout.readline(), "no answer")
            time.sleep(4 * float(GRACE))
            for traces in filter(None, [harness.trace_files(folder)]):
                equal("findings", harness.report(traces, "--grace", GRACE)["findings"], [])
        finally:
            harness.end(listener)
            listener.stdout.close()
    finally:
        harness.end(process)


PSQL_WORK = """
create table t (n int, word text);
insert into t select i, repeat('x', i % 100) from generate_series(1, 20000) i;
select count(*), sum(length(word)) from t;
select * from t where n < 2000 order by n;
\\copy t to 'copied'
begin; declare c cursor for select * from t; fetch 100 from c; commit;
listen news; notify news, 'hello';
select pg_sleep(1);
"""


def postgres_programs():
    """The newest server of Debian's; it wants to be no root."""
    with contextlib.suppress(FileNotFoundError):
        for version in sorted(os.listdir("/usr/lib/postgresql"), key=int, reverse=True):
            folder = f"/usr/lib/postgresql/{version}/bin"
            if os.path.exists(f"{folder}/initdb"):
                return folder
    raise harness.Skip("no server of PostgreSQL on this machine")


@suite.test("psql at work, in cleartext and in TLS")
def postgres(scratch):
    psql, programs = need("psql"), postgres_programs()
    folder, port = scratch.folder("pg"), harness.free_port()
    user = []
    if os.getuid() == 0:
        user = [need("setpriv"), "--reuid=65534", "--regid=65534", "--clear-groups"]
        os.chmod(scratch.directory, 0o755)
        os.chown(folder, 65534, 65534)
    env = harness.environment({"HOME": folder})
    subprocess.run([*user, f"{programs}/initdb", "-D", f"{folder}/data", "-A", "trust", "-U", "tester", "--no-sync", "-E", "UTF8"],
                   check=True, capture_output=True, env=env, cwd=folder)
    subprocess.run([*user, "openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=localhost", "-keyout",
                    f"{folder}/data/server.key", "-out", f"{folder}/data/server.crt"], check=True, capture_output=True, cwd=folder)
    server = subprocess.Popen(
        [*user, f"{programs}/postgres", "-D", f"{folder}/data", "-k", folder, "-p", str(port), "-c", "fsync=off", "-c", "ssl=on",
         "-c", "listen_addresses=127.0.0.1"],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=env, cwd=folder,
    )
    try:
        work = scratch.write("work.sql", PSQL_WORK)

        def query(mode, *more):
            return [psql, "-X", "-q", "-v", "ON_ERROR_STOP=1",
                    f"host=127.0.0.1 port={port} user=tester dbname=postgres sslmode={mode}", *more]

        def ready():
            return subprocess.run(query("disable", "-c", "select 1"), capture_output=True, check=False).returncode == 0

        harness.wait_until(ready, "PostgreSQL starts", seconds=30)
        for mode in ("disable", "require"):
            outputs = []
            for way in (scratch.bare, scratch.preloaded, scratch.run):
                result = way(query(mode, "-f", work, "-c", "drop table t"))
                equal(f"status ({result.errors[-300:]})", result.status, 0)
                outputs.append(re.sub(rb"process with PID \d+", b"", result.output))
                no_http(result)
            check(len(outputs[0]) > 50000 and outputs[1:] == outputs[:1] * 2, lambda: [o[-300:] for o in outputs])
    finally:
        harness.end(server, signal.SIGINT)


# ---- a chat ----

@suite.test("a WebSocket chat: python3-websockets", "websockets")
@suite.test("a WebSocket chat: aiohttp", "aiohttp")
def chat(scratch, client):
    """Pings and words both ways, and each leaves as it does without the recorder."""
    port = harness.free_port()
    server = subprocess.Popen([*python("chat_server.py", "websockets")[:2], str(port)], stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=harness.environment())
    argv = python("chat.py", client, f"ws://localhost:{port}/room", 40)
    try:
        equal("server", server.stdout.readline(), b"open\n")
        bare = scratch.bare(argv)
        equal("status", (bare.status, bare.output), (0, b"both {'a': 40, 'b': 40}\n" * 2))
        left = [server.stdout.readline() for _ in range(2)]
        output, report = watched(scratch, argv)
        equal("output", output, bare.output)
        equal("the server's word", [server.stdout.readline() for _ in range(2)], left)
    finally:
        harness.end(server)
        server.stdout.close()
    seen(report, {"accepts": 2, "bodies_completed": 0})
    equal("verdict, hosts", (report["verdict"], [(h["host"], h["port"]) for h in report["hosts"]]), ("clean", [("localhost", port)]))


@suite.test("a chat that is refused, by clients that close: python3-websockets", "websockets")
@suite.test("a chat that is refused, by clients that close: aiohttp", "aiohttp")
def refused_chat(scratch, client):
    origin.clear()
    url = origin.url("http", "/upgrade/401/200000").replace("http:", "ws:")
    result = scratch.run(python("chat.py", client, url, 1), "--grace", "0")
    check(b"401" in result.errors.encode(), lambda: result.errors)
    harness.no_alarm(result.report)
    harness.not_blind(result.report)
    bodies = result.report["totals"]["bodies"]
    equal("unclosed", (bodies["opened"], bodies["unclosed"]), (2, 0))
    equal("opened, live", (result.report["totals"]["connections"]["opened"], result.report["totals"]["connections"]["live"]),
          (origin.counts("http")["accepts"], 0))


# ---- long polls and event streams ----

def late(path, *arguments, scheme="http"):
    url = origin.url(scheme, path)
    return {
        "curl": lambda: [need("curl"), "-skN", *[url] * (arguments[0] if arguments else 1)],
        "Node": lambda: node("long_poll.js" if arguments else "events.js", url, *arguments),
        **{name: lambda name=name: python("long_poll.py" if arguments else "events.py", name, url, *arguments)
           for name in ("urllib", "requests", "httpx", "aiohttp")},
    }


for name in late(""):
    @suite.test(f"a long poll: {name}", name)
    def long_poll(scratch, name):
        """The answer comes after several times the grace."""
        origin.clear()
        output, report = watched(scratch, late("/longpoll/1.2", 2)[name]())
        equal("output", len(output) if name == "curl" else output, 128 if name == "curl" else b"64\n64\n")
        seen(report, origin.counts("http"))
        equal("verdict", report["verdict"], "clean")

    @suite.test(f"a long poll whose answer has come this moment: {name}", name)
    def long_poll_answered(scratch, name):
        """The program is stopped before the answer comes, and looked at after it: it is about to wake up."""
        origin.clear()
        with open(scratch.path("out"), "w+b") as out:
            process, folder = scratch.start(late("/longpoll/2", 1)[name](), stdout=out)
            try:
                def is_asking():
                    traces = harness.trace_files(folder)
                    return traces and not process.poll() and origin.counts("http")["requests"] == 1

                harness.wait_until(is_asking, "the request", seconds=harness.TIMEOUT)
                time.sleep(0.5)
                process.send_signal(signal.SIGSTOP)
                harness.wait_until(lambda: origin.counts("http")["bodies_completed"] == 1, "the answer", seconds=harness.TIMEOUT)
                time.sleep(2 * float(GRACE))
                report = harness.report(harness.trace_files(folder), "--grace", GRACE)
                harness.no_alarm(report)
                equal("end", report["processes"][0]["end"], "running")
                process.send_signal(signal.SIGCONT)
                equal("status", process.wait(harness.TIMEOUT), 0)
            finally:
                harness.end(process)
            out.seek(0)
            equal("output", len(out.read()), 64 if name == "curl" else 3)
        seen(harness.report(harness.trace_files(folder)), origin.counts("http"))

    @suite.test(f"an event stream: {name}", name)
    def event_stream(scratch, name):
        origin.clear()
        output, report = watched(scratch, late("/events?n=8")[name]())
        equal("events", output.count(b"data:") if name == "curl" else int(output), 8)
        seen(report, origin.counts("http"))
        equal("verdict", report["verdict"], "clean")


@suite.test("an event stream that its reader leaves: curl --max-time")
def event_stream_left(scratch):
    argv = [need("curl"), "-sN", "-o", "/dev/null", "--max-time", "1.5", origin.url("http", "/events")]
    _, report = watched(scratch, argv, status=28)
    harness.no_alarm(report)
    harness.not_blind(report)


# ---- pools ----

@suite.test("a hundred threads of a Java executor, most of them idle: exit", "exit")
@suite.test("a hundred threads of a Java executor, most of them idle: shutdown", "shutdown")
def executor(scratch, way):
    source, began, count = os.path.join(CLEAN, "Executor.java"), [], 24
    origin.clear()

    def rested(report):
        """All is read, and then several times the grace has gone by. No look at it shows anything."""
        harness.no_alarm(report)
        if report["totals"]["bodies"]["drained"] < count:
            return False
        began.append(time.monotonic())
        return began[-1] - began[0] > 6 * float(GRACE)

    argv = [need("java"), source, origin.url("http", "/bytes/50000"), str(count), way]
    result = scratch.stopped(argv, rested, "--grace", GRACE)
    equal("status, output", (result.status, result.output), (0, b"%d bytes, 100 threads\n" % (50000 * count)))
    seen(result.report, origin.counts("http"))
    harness.replays(result.traces)
    equal("stranded", [result.report["totals"]["workers"][f"{role}_stranded"] for role in ("readers", "writers", "both")], [0, 0, 0])


ROUNDS = 3


def kept_sessions(url):
    return {
        "Node's agent": lambda: node("session.js", url, ROUNDS),
        **{name: lambda name=name: python("session.py", name, url, ROUNDS) for name in ("requests", "httpx", "aiohttp")},
    }


for name in kept_sessions(""):
    @suite.test(f"a session kept for life, whose server closes idle connections: {name}", name)
    def session(scratch, name):
        began = []

        def rested(report):
            harness.no_alarm(report)
            if report["totals"]["bodies"]["drained"] < 4 * ROUNDS:
                return False
            began.append(time.monotonic())
            return began[-1] - began[0] > 2.2  # the server has closed the last one, too

        with harness.Nginx(scratch.folder("nginx"), f"location / {{ return 200 '{'x' * 3000}'; }}", keepalive="1s") as nginx:
            result = scratch.stopped(kept_sessions(nginx.url("/"))[name](), rested, "--grace", GRACE)
            counts = nginx.counts()
        equal("status, output", (result.status, result.output), (0, b"3000\n" * 4 * ROUNDS))
        seen(result.report, counts)
        equal("connections", counts["accepts"], ROUNDS)
        harness.replays(result.traces)


suite.main()
