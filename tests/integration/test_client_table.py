#!/usr/bin/python3
"""Every client people use, clean and leaking, over every protocol that it speaks: what of it is seen. Makes docs/clients.md.

A row holds what a run showed: requests, ends of bodies and closes as the server counted them, whether the thread that works for a
connection is a worker, and which line of the program the leak's finding names first. A cell that says "blind" is one that the
report itself names as blind. `test_client_table.py --write` writes the page; the test compares. Without HTTPLEAK_TEST_LONG=1 each client
runs over its last protocol only.
"""
import os
import re
import subprocess
import sys
import tempfile
import threading

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import harness  # noqa: E402
from harness import Skip, brief, check, equal, findings, need  # noqa: E402

PAGE = os.path.join(harness.ROOT, "docs", "clients.md")
CLIENTS = os.path.join(harness.SOURCES, "clients")
SMALL, BIG, COUNT = 20000, 4000000, 3
HUGE = 40 << 20  # more than the window that any client opens for an HTTP/2 stream
GRACE = "0.5"
HEAD = """# Clients, and what is seen of them

Made by `tests/integration/test_client_table.py` (`tests/run client_table`): each row is a run of the client at its clean work, and where it
can leak, a run that keeps three answers unread. The test fails when a run and this page differ.

* protocol: h1 and h2 in cleartext, or in TLS. To h2 in cleartext Java's HttpClient is upgraded, all others know beforehand.
* request, body end, close: "all" when the trace has as many as the server served. Connections that a program leaves to its
  exit are "exit". "all or exit": apt closes its method's input and sends it SIGINT, and the method either dies of that (158 of 180
  bare runs under strace) or comes to the end of its input first and closes. "blind": the report says itself that it could not be seen.
* worker: "thread" when the connection is served by a thread other than the main one (it counts as a worker), else "main".
* caller's line: what the leak's finding shows first. "line": file and line of the program's own source; "function", "module":
  no more is known of it, the report says which switch would name it where there is one; "-": the client is a command.
* leak: the finding that three kept answers give, with its count; "-": it has no way to keep one.

| client | protocol | request | body end | close | worker | caller's line | leak |
|---|---|---|---|---|---|---|---|
"""

suite = harness.Suite()
repositories = suite.stack.enter_context(tempfile.TemporaryDirectory(prefix="httpleak-git."))
origin = suite.stack.enter_context(harness.Origin(repositories))
rows, rows_lock = {}, threading.Lock()


class Http1:
    """The counting origin."""

    def __init__(self, tls):
        self.scheme = "https" if tls else "http"
        self.port = origin.ports[self.scheme]

    def url(self, kept, path=None):
        return origin.url(self.scheme, path or f"/bytes/{BIG if kept else SMALL}")

    def clear(self):
        origin.clear()

    def counts(self):
        return origin.counts(self.scheme)


class Http2:
    """nginx, whose access log counts. Before the origin, where it is the origin that knows what to say."""

    servers = None

    def __init__(self, tls):
        self.scheme = "https" if tls else "http"
        if not Http2.servers:
            folder = suite.stack.enter_context(tempfile.TemporaryDirectory(prefix="httpleak-clients."))
            back = f"location /git/ {{ proxy_pass http://127.0.0.1:{origin.ports['http']}; proxy_http_version 1.1; }}"
            Http2.servers = harness.Http2Servers(suite.stack, folder, {"small": SMALL, "huge": HUGE}, back)
        self.servers.nginx()
        self.port, self.before = self.servers.ports[self.scheme], None

    def url(self, kept, path=None):
        return self.servers.url(self.scheme, path or ("/huge" if kept else "/small"))

    def logged(self):
        return self.servers.nginx().counts()

    def clear(self):
        self.before = self.logged()

    def counts(self):
        after = self.logged()
        counts = {name: after[name] - self.before[name] for name in after}
        return {**counts, "requests": counts["responses_completed"]}


class Upgraded(Http2):
    """nghttpx, for a client that begins with HTTP/1 and asks for HTTP/2."""

    def __init__(self, tls):
        super().__init__(tls)
        self.servers.nghttpx("")
        self.port = self.servers.upgrades

    def url(self, kept, path=None):
        return self.servers.nghttpx(path or ("/huge" if kept else "/small"))

    def logged(self):
        return self.servers.upgrade_counts()


def server_of(client, protocol):
    kind = Http1 if protocol.startswith("h1") else Upgraded if client.upgrades and protocol == "h2" else Http2
    return kind(protocol.endswith("TLS"))


class Client:
    """name, the command for (URL, way, count), the protocols that it speaks, and what differs from the rest."""

    def __init__(self, name, argv, protocols, source=None, keeps=True, env=None, stays=False, tools=(), flying=0,
                 close=None, path=None, upgrades=False, ahead=False):
        self.name, self.argv, self.protocols, self.source = name, argv, protocols, source
        self.keeps, self.env, self.stays, self.tools = keeps, env or {}, stays, tools
        self.flying = flying  # so many requests may be on their way when it stops
        self.close = close  # what its connections' ends may be, where that is a race of the client's own
        self.path = path  # what it asks for, where that is nothing plain
        self.ahead = ahead  # reads ahead of its user: the leak is there when the buffers are full
        self.upgrades = upgrades  # in cleartext it comes to HTTP/2 from HTTP/1


def script(runtime, file, client):
    return lambda url, way, count: [need(runtime) if "/" not in runtime else runtime, os.path.join(CLIENTS, file), client, url,
                                    way, str(count)]


def repeated(*words):
    """A command that takes several URLs."""
    return lambda url, _, count: [need(words[0]), *words[1:], *[url] * count]


def rust(url, way, count):
    path = os.path.join(harness.BUILD, "tests", "programs", "fetch-rust")
    source = os.path.join(CLIENTS, "fetch.rs")
    if not os.path.exists(path) or os.path.getmtime(path) < os.path.getmtime(source):
        subprocess.run([need("rustc"), "-g", "-O", "-o", path, source], check=True, capture_output=True)
    return [path, "std", url, way, str(count)]


def clone(url, *_):
    """The whole history, by the smart protocol."""
    git = need("git")
    if not os.path.exists(os.path.join(repositories, "www")):
        harness.git_repository(repositories)
    return [git, "clone", "-q", url, "clone"]


def download(url, _, count):
    """apt's own methods, one file after the other."""
    more = [word for number in range(count) for word in (f"{url}?{number}", f"file{number}")]
    return ["/usr/lib/apt/apt-helper", "-qq", "-o", "Acquire::https::Verify-Peer=false", "-o", "Acquire::https::Verify-Host=false",
            "-o", "APT::Sandbox::User=root", "download-file", *more]


H1, H2 = ("h1", "h1+TLS"), ("h2", "h2+TLS")
LIST = [
    Client("curl", repeated("curl", "-sSk", "-o", "/dev/null"), H1, keeps=False),
    Client("libcurl multi", lambda url, way, count: [harness.program("curl_fetch"), url, way, str(count)], H1, "curl_fetch.c", ahead=True),
    Client("wget", repeated("wget", "-q", "--no-check-certificate", "-O", "/dev/null"), H1, keeps=False),
    Client("git", clone, ("h1", "h1+TLS", "h2+TLS"), keeps=False, path="/git/www/project.git",
           env={"HOME": "/nonexistent", "GIT_CONFIG_NOSYSTEM": "1", "GIT_SSL_NO_VERIFY": "1", "GIT_TERMINAL_PROMPT": "0"}),
    Client("aria2", lambda url, _, count: [need("aria2c"), "-q", "--check-certificate=false", "-d", ".", "-o", "file", url],
           H1, keeps=False),
    Client("ab", lambda url, _, count: [need("ab"), "-q", "-n", str(count), url], H1, keeps=False),
    Client("wrk", lambda url, _, count: [need("wrk"), "-t1", "-c2", "-d1s", url], H1, keeps=False, flying=2),
    Client("apt", download, H1, keeps=False, close=("all", "exit")),  # a race with the signal that ends its method: see HEAD
    Client("curl --http2", repeated("curl", "-sSk", "--http2", "-o", "/dev/null"), ("h2+TLS",), keeps=False),
    Client("curl --http2-prior-knowledge", lambda url, *_: [need("curl"), "-sS", "--http2-prior-knowledge", "-o", "/dev/null", url], ("h2",),
           keeps=False),
    Client("libcurl multi, HTTP/2", lambda url, way, count: [harness.program("curl_fetch"), url, way, str(count)], ("h2+TLS",),
           "curl_fetch.c", env={"HTTP2": "4"}, ahead=True),
    Client("libcurl multi, HTTP/2 by prior knowledge",
           lambda url, way, count: [harness.program("curl_fetch"), url, way, str(count)], ("h2",), "curl_fetch.c", env={"HTTP2": "5"},
           ahead=True),
    Client("nghttp", repeated("nghttp", "-n"), H2, keeps=False),
    Client("h2load", lambda url, _, count: [need("h2load"), "-n", "20", "-c", "2", url], H2, keeps=False),
    Client("h2load --h1", lambda url, _, count: [need("h2load"), "--h1", "-n", "20", "-c", "2", url], H1, keeps=False),
    *(Client(f"Python {name}", script(harness.PYTHON, "fetch.py", name), H1, "fetch.py", tools=(name,),
             ahead=name in ("httpx-async", "aiohttp", "asyncio"))
      for name in ("urllib", "http.client", "requests", "httpx", "httpx-async", "aiohttp", "asyncio")),
    Client("Python httpx, HTTP/2", script(harness.PYTHON, "fetch.py", "httpx"), ("h2+TLS",), "fetch.py", env={"HTTP2": "1"},
           tools=("h2",)),
    Client("Node http2", script("node", "fetch.js", "http2"), H2, "fetch.js", ahead=True),
    Client("Node http", script("node", "fetch.js", "http"), ("h1",), "fetch.js", ahead=True),
    Client("Node https", script("node", "fetch.js", "https"), ("h1+TLS",), "fetch.js", ahead=True),
    Client("Node fetch", script("node", "fetch.js", "fetch"), H1, "fetch.js", ahead=True),
    Client("Java HttpURLConnection", script("java", "Fetch.java", "HttpURLConnection"), H1, "Fetch.java"),
    Client("Java HttpClient", script("java", "Fetch.java", "HttpClient"), H1 + H2, "Fetch.java", upgrades=True, ahead=True),
    Client("PHP streams", script("php", "fetch.php", "streams"), H1, "fetch.php", stays=True),
    Client("PHP curl", script("php", "fetch.php", "curl"), H1, "fetch.php", stays=True),
    Client("PHP curl, HTTP/2", script("php", "fetch.php", "curl"), H2, "fetch.php", stays=True, env={"HTTP2": "1"}),
    Client("Ruby Net::HTTP", script("ruby", "fetch.rb", "net-http"), H1, "fetch.rb"),
    Client("Perl LWP", script("perl", "fetch.pl", "LWP"), H1, "fetch.pl"),
    Client("Perl HTTP::Tiny", script("perl", "fetch.pl", "HTTP::Tiny"), H1, "fetch.pl"),
    Client("LuaSocket", script("lua5.4", "fetch.lua", "socket"), ("h1",), "fetch.lua"),
    Client("Rust std", rust, ("h1",), "fetch.rs"),
]


def is_blind(report):
    return any(process["blind"] for process in report["processes"]) or bool(findings(report, "blind"))


def events(traces, kind):
    done = subprocess.run([harness.HTTPLEAK, "dump", *traces], capture_output=True, check=True, timeout=harness.TIMEOUT)
    return len(re.findall(rf"^event .* type={kind} ", done.stdout.decode("utf-8", "replace"), re.M))


def ratio(got, wanted, blind, flying=0):
    if abs(got - wanted) <= flying:
        return "all"
    return "blind" if blind else f"{got} of {wanted}"


def clean(scratch, client, protocol):
    """The cells that a clean run fills."""
    server = server_of(client, protocol)
    server.clear()
    result = scratch.preloaded(client.argv(server.url(False, client.path), "read", COUNT), env=client.env, timeout=120)
    check(result.status == 0, lambda: f"status {result.status}: {result.errors[-400:]}")
    check(result.report, "no trace")
    report, counts = result.report, server.counts()
    check(counts["bodies_completed"] > 0, f"the server saw nothing: {counts}")
    harness.no_alarm(report)
    blind = is_blind(report)
    check(blind == (report["verdict"] != "clean"), lambda: brief(report))
    connections = report["totals"]["connections"]
    seen_all = connections["opened"] == counts["accepts"]
    close = "all" if seen_all and connections["live"] == 0 else "exit" if seen_all else "blind" if blind else "not all"
    return [
        ratio(events(result.traces, "request"), counts["requests"], blind, client.flying),
        ratio(report["totals"]["bodies"]["drained"], counts["bodies_completed"], blind, client.flying),
        " or ".join(client.close) if close in (client.close or ()) else close,
        "thread" if report["totals"]["workers"]["started"] else "main",
    ]


def first_line(client, finding):
    for stack in ("connect", "request") if finding["caller"] == "connect" else ("request", "connect"):
        for frame in finding["stacks"][stack] or []:
            if frame["file"] and os.path.basename(frame["file"]) == client.source and frame["line"]:
                return "line"
            return "function" if frame["function"] else "module"
    return "none"


def judged(scratch, client, url):
    """The report of a run that keeps its answers; of one that stays, taken while it runs."""
    argv = client.argv(url, "keep", COUNT)

    def found(report):
        return harness.count(report, "unclosed-body", "error") >= COUNT or is_blind(report)

    if client.ahead or client.stays:
        result = scratch.stopped(argv, found, "--grace", GRACE, env=client.env, orderly=not client.stays)
    else:
        result = scratch.preloaded(argv, "--grace", GRACE, env=client.env, timeout=120)
    check(result.status == 0, lambda: f"status {result.status}: {result.errors[-400:]}")
    check(result.report, "no trace")
    return result.report


def leaking(scratch, client, protocol):
    """The cells that a leaking run fills."""
    server = server_of(client, protocol)
    report = judged(scratch, client, server.url(True, client.path))
    roots = [f for f in findings(report, "unclosed-body") if not f["caused_by"]]
    if not roots and is_blind(report):
        return ["blind", "blind"]
    check(roots, lambda: f"no finding\n{brief(report)}")
    check(all((f["host"], f["port"]) == ("localhost", server.port) for f in roots), lambda: brief(report))
    lines = {first_line(client, finding) for finding in roots}
    count = " + ".join(str(finding["count"]) for finding in roots)
    return [" and ".join(sorted(lines)), f"unclosed-body {count}"]


def fill(scratch, client, protocol):
    return clean(scratch, client, protocol) + (leaking(scratch, client, protocol) if client.keeps else ["-", "-"])


for one in LIST:
    for one_protocol in one.protocols if harness.LONG or "--write" in sys.argv else one.protocols[-1:]:
        @suite.test(f"{one.name}, {one_protocol}", one, one_protocol)
        def row(scratch, client, protocol):
            if client.name.startswith("Python"):
                module = {"httpx-async": "httpx", "http.client": "http", "urllib": "urllib"}.get(client.tools[0], client.tools[0])
                if subprocess.run([harness.PYTHON, "-c", f"import {module}"], capture_output=True, check=False).returncode:
                    raise Skip(f"python3-{module} is not installed")
            cells = fill(scratch, client, protocol)
            with rows_lock:
                rows[client.name, protocol] = "| " + " | ".join([client.name, protocol, *cells]) + " |"
            if "--write" not in sys.argv:
                with open(PAGE, encoding="utf-8") as file:
                    there = [line for line in file.read().splitlines() if line.startswith(f"| {client.name} | {protocol} |")]
                equal("the row in docs/clients.md", there, [rows[client.name, protocol]])


@suite.test("the page: its head, and no other rows")
def page(_):
    with open(PAGE, encoding="utf-8") as file:
        text = file.read()
    equal("head", text[: len(HEAD)], HEAD)
    made = [line.split(" | ")[:2] for line in text[len(HEAD):].splitlines()]
    equal("rows", made, [[f"| {client.name}", protocol] for client in LIST for protocol in client.protocols])


def write():
    sys.argv.remove("--write")
    with suite.stack:
        for number, (name, function, arguments) in enumerate(suite.tests, 1):
            if function is not page:
                suite.run_one(number, name, function, arguments)
    lines = [rows[client.name, protocol] for client in LIST for protocol in client.protocols if (client.name, protocol) in rows]
    with open(PAGE, "w", encoding="utf-8") as file:
        file.write(HEAD + "\n".join(lines) + "\n")


if "--write" in sys.argv:
    sys.argv.append("--write")
    write()
else:
    suite.main()
