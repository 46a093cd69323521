#!/usr/bin/python3
"""What decides about an open body, seen from outside while programs run: progress, waiting, pauses,
giving up, changing one's mind; and what a body's tags say."""
import contextlib
import os
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import harness  # noqa: E402
from harness import brief, check, count, equal, findings, need, signal  # noqa: E402

suite = harness.Suite()
origin = suite.stack.enter_context(harness.Origin())
PREAMBLE = "import http.client, os, socket, ssl, sys, threading, time, urllib.parse, urllib.request\nurl = sys.argv[1]\n"
BIG = "/bytes/8000000"


def python(code, url):
    return [harness.PYTHON, "-c", PREAMBLE + code, url]


@contextlib.contextmanager
def running(scratch, argv, seconds):
    """A program in the background for so long: yields a function that reports on it, and its
    trace."""
    process, folder = scratch.start(argv)
    try:
        harness.wait_until(lambda: len(harness.trace_files(folder)) == 1, "a trace")
        time.sleep(seconds)
        yield lambda *options: harness.report(harness.trace_files(folder), *options), process
    finally:
        harness.end(process, signal.SIGKILL)


def severities(report, rule):
    return [(f["severity"], f["count"]) for f in findings(report, rule) if not f["caused_by"]]


@suite.test("changed its mind: a body that was read after all is retracted")
def retracted(scratch):
    """It reads on when it is told so, since nobody knows how long a look at it takes."""
    code = (
        "r = urllib.request.urlopen(url); r.read(1000)\n"
        "while not os.path.exists('go'): time.sleep(0.05)\n"
        "r.read(); r.close(); time.sleep(60)"
    )
    with running(scratch, python(code, origin.url("http", BIG)), 0) as (report, _):

        def stands_still():
            return severities(report("--grace", "1"), "unclosed-body") == [("error", 1)]

        harness.wait_until(stands_still, lambda: brief(report("--grace", "1")), period=0.2)
        equal("retracted, too early", report("--grace", "1")["retracted"], 0)
        scratch.write("go", "")
        harness.wait_until(
            lambda: report("--grace", "1")["totals"]["bodies"]["drained"] == 1, "the body is read"
        )
        later = report("--grace", "1")
        harness.no_alarm(later)
        equal("retracted", later["retracted"], 1)
        equal("retracted with a longer grace", report("--grace", "60")["retracted"], 0)


@suite.test("progressing: a reader that takes a little now and then")
def progressing(scratch):
    code = "r = urllib.request.urlopen(url)\nwhile r.read(20000): time.sleep(0.3)"
    with running(scratch, python(code, origin.url("http", BIG)), 3) as (report, _):
        harness.no_alarm(report("--grace", "1"))
        harness.no_alarm(report("--grace", "0.8"))


@suite.test("progressing: curl --limit-rate, whose first burst is long and whose pause is longer")
def limited_after_burst(scratch):
    argv = [need("curl"), "-s", "-o", "/dev/null", "--limit-rate", "100k", origin.url("http", BIG)]
    with running(scratch, argv, 2.5) as (report, _):
        harness.no_alarm(report("--grace", "1"))


@suite.test("progressing: curl --limit-rate")
def limited(scratch):
    argv = [
        need("curl"),
        "-s",
        "-o",
        "/dev/null",
        "--limit-rate",
        "100k",
        origin.url("http", "/slow/2000000?ms=3"),
    ]
    with running(scratch, argv, 3) as (report, process):
        harness.no_alarm(report("--grace", "1.5"))
        harness.end(process, signal.SIGTERM)
        harness.no_error(report("--grace", "1.5"))


def starved(scratch, code, path):
    with running(scratch, python(code, origin.url("http", path)), 2.5) as (report, _):
        now = report("--grace", "1")
        harness.no_alarm(now)
        equal("unclosed", now["totals"]["bodies"]["unclosed"], 1)
        harness.no_alarm(report("--grace", "0"))


suite.test("starved: blocked in recv", "urllib.request.urlopen(url).read()", "/head-then-stall")(
    starved
)
suite.test(
    "starved: waiting in poll",
    "import select; r = urllib.request.urlopen(url); p = select.poll(); p.register(r.fileno(), 1); p.poll()",
    "/head-then-stall",
)(starved)
suite.test(
    "starved: waiting in select",
    "import select; r = urllib.request.urlopen(url); select.select([r.fileno()], [], [])",
    "/head-then-stall",
)(starved)
suite.test(
    "starved: waiting in epoll",
    "import select; r = urllib.request.urlopen(url); e = select.epoll(); e.register(r.fileno(), 1); e.poll()",
    "/head-then-stall",
)(starved)
suite.test(
    "starved: polled with a timeout again and again",
    "import select; r = urllib.request.urlopen(url)\nwhile True: select.select([r.fileno()], [], [], 0.1)",
    "/head-then-stall",
)(starved)


@suite.test(
    "paused: read in bursts, then left alone: a warning, and only after ten times the grace"
)
def paused(scratch):
    code = (
        "r = urllib.request.urlopen(url)\n"
        "for _ in range(4): r.read(30000); time.sleep(0.2)\n"
        "time.sleep(60)"
    )
    with running(scratch, python(code, origin.url("http", BIG)), 3.5) as (report, _):
        harness.no_alarm(report("--grace", "1"))
        equal(
            "after ten times the grace",
            severities(report("--grace", "0.2"), "unclosed-body"),
            [("warning", 1)],
        )
        equal("verdict", report("--grace", "0.2")["verdict"], "clean")


@suite.test("abandoned: that its server was slow makes no pausing reader of it, blocked in recv", "blocked in recv")
@suite.test("abandoned: that its server was slow makes no pausing reader of it, in select", "in select")
@suite.test("abandoned: that its server was slow makes no pausing reader of it, in epoll", "in epoll")
def slow_server(scratch, way):
    """It waited for each part, and then went away from the rest."""
    code = (
        "import select; r = urllib.request.urlopen(url); e = select.epoll(); way = '%s'\n"
        "if way == 'in epoll': e.register(r.fileno(), 1)\n"
        "for _ in range(4):\n"
        "    if way == 'in select': select.select([r.fileno()], [], [])\n"
        "    if way == 'in epoll': e.poll()\n"
        "    r.read1(1000000)\n"
        "if way == 'in epoll': e.unregister(r.fileno())\n"
        "time.sleep(60)" % way
    )
    with running(scratch, python(code, origin.url("http", "/slow/2000000?ms=250")), 0) as (report, _):

        def left():
            return severities(report("--grace", "0.5"), "unclosed-body") == [("error", 1)]

        harness.wait_until(left, lambda: brief(report("--grace", "0.5")), seconds=20, period=0.2)


@suite.test("abandoned: the program runs on, the body stays")
def abandoned(scratch):
    code = "kept = [urllib.request.urlopen(url) for _ in range(3)]; time.sleep(60)"
    with running(scratch, python(code, origin.url("http", BIG)), 1.6) as (report, process):
        harness.no_alarm(report("--grace", "30"))
        equal(
            "after the grace", severities(report("--grace", "1"), "unclosed-body"), [("error", 3)]
        )
        harness.end(process, signal.SIGKILL)
        equal("killed", severities(report("--grace", "0"), "unclosed-body"), [("error", 3)])


@suite.test("abandoned: whatever the age, at an orderly exit")
def at_exit(scratch):
    for leave in ("os._exit(0)", "sys.exit(0)"):
        code = (
            f"s = socket.create_connection(('localhost', urllib.parse.urlsplit(url).port))\n"
            f"s.sendall(b'GET {BIG} HTTP/1.1\\r\\nHost: localhost\\r\\n\\r\\n'); s.recv(3000); keep = os.dup(s.fileno()); {leave}"
        )
        equal(
            leave,
            severities(
                scratch.preloaded(python(code, origin.url("http", BIG))).report, "unclosed-body"
            ),
            [("error", 1)],
        )


@suite.test("progressing: another thread is at it when the process ends, at once or with pauses")
def at_exit_in_flight(scratch):
    code = (
        "def download(pause):\n"
        "    body = urllib.request.urlopen(url)\n"
        "    while body.read(4096):\n"
        "        time.sleep(pause)\n"
        "for pause in (0.001, 0.12): threading.Thread(target=download, args=(pause,), daemon=True).start()\n"
        "time.sleep(1); os._exit(0)"
    )
    report = scratch.preloaded(python(code, origin.url("http", "/bytes/200000000"))).report
    equal("unclosed", report["totals"]["bodies"]["unclosed"], 2)
    harness.no_alarm(report)


@suite.test("abandoned: read in many parts and left, by a thread that stays, ended or ends the process")
def at_exit_left(scratch):
    read = "kept = urllib.request.urlopen(url); [kept.read(4096) for _ in range(40)]"
    for name, code in {
        "stays": f"def f():\n    global kept; {read}; time.sleep(60)\nthreading.Thread(target=f, daemon=True).start(); time.sleep(1); os._exit(0)",
        "ended": f"def f():\n    global kept; {read}\nt = threading.Thread(target=f); t.start(); t.join()\n"
        "while os.path.exists(f'/proc/self/task/{t.native_id}'): time.sleep(0.001)\n"
        "os._exit(0)",
        "ends it": f"def f():\n    global kept; {read}; os._exit(0)\nthreading.Thread(target=f).start(); time.sleep(60)",
    }.items():
        report = scratch.preloaded(python(code, origin.url("http", "/bytes/200000000"))).report
        equal(name, severities(report, "unclosed-body"), [("error", 1)])


@suite.test("an idle connection is no leak, nor one that its server closed meanwhile")
def idle(scratch):
    need("nginx")
    code = (
        "c = http.client.HTTPConnection('localhost', urllib.parse.urlsplit(url).port)\n"
        "c.request('GET', '/'); c.getresponse().read(); time.sleep(60)"
    )
    with harness.Nginx(
        scratch.folder("nginx"), f"location / {{ return 200 '{'x' * 3000}'; }}", keepalive="1s"
    ) as nginx:
        with running(scratch, python(code, nginx.url()), 0.5) as (report, _):
            first = report("--grace", "0")
            equal("idle", first["totals"]["connections"]["idle"], 1)
            equal("findings", first["findings"], [])
            time.sleep(2.2)
            closed = report("--grace", "0.5")
            harness.no_alarm(closed)
            equal("peer-closed", severities(closed, "peer-closed"), [("note", 1)])


@suite.test("the peer closed, the program saw it and kept the descriptor")
def peer_closed(scratch):
    code = (
        "s = socket.create_connection(('localhost', urllib.parse.urlsplit(url).port))\n"
        "s.sendall(b'GET /close/300000 HTTP/1.1\\r\\nHost: localhost\\r\\n\\r\\n')\n"
        "while s.recv(65536): pass\n"
        "time.sleep(60)"
    )
    with running(scratch, python(code, origin.url("http", "/")), 1.6) as (report, _):
        harness.no_alarm(report("--grace", "30"))
        late = report("--grace", "1")
        equal("peer-closed", severities(late, "peer-closed"), [("error", 1)])
        equal(
            "bodies",
            (late["totals"]["bodies"]["drained"], late["totals"]["bodies"]["unclosed"]),
            (1, 0),
        )


@suite.test("an event stream: running no finding, gone and kept it is peer-closed")
def event_stream(scratch):
    code = (
        "s = socket.create_connection(('localhost', urllib.parse.urlsplit(url).port))\n"
        "s.sendall(b'GET /events?n=5 HTTP/1.1\\r\\nHost: localhost\\r\\n\\r\\n')\n"
        "while s.recv(65536): pass\n"
        "time.sleep(60)"
    )
    with running(scratch, python(code, origin.url("http", "/")), 0.6) as (report, _):
        harness.no_alarm(report("--grace", "0"))
        time.sleep(2)
        equal("peer-closed", severities(report("--grace", "0.5"), "peer-closed"), [("error", 1)])


@suite.test("an unread event stream is no body to finish")
def unread_event_stream(scratch):
    code = "kept = [urllib.request.urlopen(url) for _ in range(2)]; time.sleep(1.5); os._exit(0)"
    result = scratch.run(python(code, origin.url("http", "/events")), "--grace", "1")
    harness.no_alarm(result.report)
    equal("status", result.status, 0)


@suite.test("tags: error-status, redirect, upgrade-refused")
def tags(scratch):
    code = (
        "def leak(path, *more):\n"
        "    s = socket.create_connection(('localhost', urllib.parse.urlsplit(url).port))\n"
        "    lines = ['GET ' + path + ' HTTP/1.1', 'Host: localhost', *more, '', '']\n"
        "    s.sendall('\\r\\n'.join(lines).encode()); kept.append(s)\n"
        "    head = b''\n"
        "    while not head.endswith(b'\\r\\n\\r\\n'): head += s.recv(1)\n"
        "kept = []\n"
        "leak('/status/503'); leak('/redirect'); leak('/upgrade/refused', 'Connection: Upgrade', 'Upgrade: echo'); os._exit(0)"
    )
    report = scratch.preloaded(python(code, origin.url("http", "/"))).report
    seen = {tag for finding in findings(report, "unclosed-body") for tag in finding["tags"]}
    check(
        {"error-status", "redirect", "upgrade-refused"} <= seen,
        lambda: f"tags {seen}\n{brief(report)}",
    )
    equal(
        "unclosed",
        (count(report, "unclosed-body", "error"), report["totals"]["bodies"]["unclosed"]),
        (3, 3),
    )


@suite.test("starved: the event loop was closed around it, and the program ended")
def loop_closed(scratch):
    """As load generators do that stop after a time, whatever is in flight."""
    code = (
        "import select; port = urllib.parse.urlsplit(url).port; loop = select.epoll(); kept = []\n"
        "for path in ('/bytes/8000000', '/hang'):\n"
        "    s = socket.create_connection(('localhost', port)); kept.append(s); loop.register(s, 1)\n"
        "    s.sendall(b'GET %s HTTP/1.1\\r\\nHost: localhost\\r\\n\\r\\n' % path.encode())\n"
        "loop.poll(); kept[0].recv(3000); time.sleep(0.1); loop.poll()\n"
        "if sys.argv[2:]: [loop.unregister(s) for s in kept]\n"
        "loop.close(); os._exit(0)"
    )
    argv = python(code, origin.url("http", "/"))
    report = scratch.preloaded(argv).report
    harness.no_alarm(report)
    equal("unclosed", report["totals"]["bodies"]["unclosed"], 1)
    # taken out of the loop by the program, they were given up
    report = scratch.preloaded([*argv, "unregister"]).report
    equal("unclosed-body", severities(report, "unclosed-body"), [("error", 1)])


@suite.test("an upgraded connection is a tunnel")
def upgraded(scratch):
    code = (
        "s = socket.create_connection(('localhost', urllib.parse.urlsplit(url).port))\n"
        "s.sendall(b'GET /upgrade HTTP/1.1\\r\\nHost: localhost\\r\\nConnection: Upgrade\\r\\nUpgrade: echo\\r\\n\\r\\n')\n"
        "head = s.recv(1000)\n"
        "for n in range(5): s.sendall(b'\\x81\\x05hello'); print(s.recv(100))\n"
        "sys.stdout.flush(); os._exit(0)"
    )
    result = scratch.run(python(code, origin.url("http", "/")))
    equal("status", result.status, 0)
    harness.no_alarm(result.report)
    harness.not_blind(result.report)
    totals = result.report["totals"]
    equal("opened, bodies", (totals["connections"]["opened"], totals["bodies"]["opened"]), (1, 0))


@suite.test("a pool of threads at clean work strands nobody")
def thread_pool(scratch):
    code = (
        "import concurrent.futures as f, queue\n"
        "local = threading.local(); port = urllib.parse.urlsplit(url).port\n"
        "def fetch(n):\n"
        "    c = getattr(local, 'c', None) or http.client.HTTPConnection('localhost', port)\n"
        "    local.c = c; c.request('GET', '/bytes/50000'); return len(c.getresponse().read())\n"
        "pool = f.ThreadPoolExecutor(6); print(sum(pool.map(fetch, range(120))), flush=True); time.sleep(1.5); os._exit(0)"
    )
    result = scratch.run(python(code, origin.url("http", "/")), "--grace", "1")
    equal("output", (result.status, result.output), (0, b"6000000\n"))
    harness.no_alarm(result.report)
    totals = result.report["totals"]
    check(
        totals["workers"]["both_live"] == totals["connections"]["idle"] > 0,
        lambda: brief(result.report),
    )
    equal("drained", totals["bodies"]["drained"], 120)


@suite.test("threads that leaked a body and are parked elsewhere")
def stranded_both(scratch):
    """A thread that does both and is parked elsewhere is not stranded: only one blocked in I/O on
    such a connection is."""
    code = (
        "port = urllib.parse.urlsplit(url).port\n"
        "def work():\n"
        "    s = socket.create_connection(('localhost', port))\n"
        "    s.sendall(b'GET /bytes/8000000 HTTP/1.1\\r\\nHost: localhost\\r\\n\\r\\n'); s.recv(3000); kept.append(s)\n"
        "    threading.Event().wait()\n"
        "kept = []\n"
        "for _ in range(3): threading.Thread(target=work, daemon=True).start()\n"
        "time.sleep(0.7); os._exit(0)"
    )
    report = scratch.preloaded(python(code, origin.url("http", "/"))).report
    equal("unclosed-body", severities(report, "unclosed-body"), [("error", 3)])
    workers = report["totals"]["workers"]
    equal("both_live, both_stranded", (workers["both_live"], workers["both_stranded"]), (3, 0))


suite.main()
