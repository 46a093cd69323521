#!/usr/bin/python3
"""The host of a finding is what the program asked for: proxies, Host fields, SNI, Unix sockets,
IPv6, bare addresses."""
import os
import socket
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import harness  # noqa: E402
from harness import brief, check, equal, need  # noqa: E402

suite = harness.Suite()
origin = suite.stack.enter_context(harness.Origin())


def hosts(report):
    return sorted((h["host"], h["port"], h["scheme"]) for h in report["hosts"])


def fetch(scratch, arguments, expected, drained=1, opened=1):
    result = scratch.preloaded([need("curl"), "-sSk", "-o", "/dev/null", *arguments])
    equal("status", (result.status, result.errors), (0, ""))
    check(result.report, "no trace")
    check(
        hosts(result.report) == sorted(expected),
        lambda: f"hosts {hosts(result.report)}, expected {expected}",
    )
    totals = result.report["totals"]
    check(
        (totals["bodies"]["drained"], totals["connections"]["opened"]) == (drained, opened),
        lambda: brief(result.report),
    )
    harness.no_alarm(result.report)
    harness.not_blind(result.report)
    return result.report


@suite.test("the Host field")
def host_field(scratch):
    port = origin.ports["http"]
    fetch(
        scratch,
        ["-H", "Host: API.Example.com", origin.url("http", "/bytes/1000", "127.0.0.1")],
        [("api.example.com", port, "http")],
    )
    fetch(
        scratch,
        ["-H", "Host: api.example:8443", origin.url("http", "/bytes/1000", "127.0.0.1")],
        [("api.example", 8443, "http")],
    )


@suite.test("an address")
def address(scratch):
    report = fetch(
        scratch,
        [origin.url("http", "/bytes/1000", "127.0.0.1")],
        [("127.0.0.1", origin.ports["http"], "http")],
    )
    equal("peers", report["hosts"][0]["peers"], [f"127.0.0.1:{origin.ports['http']}"])


@suite.test("a name given to the resolver, with --resolve a peer of its own")
def resolved(scratch):
    port = origin.ports["https"]
    report = fetch(
        scratch,
        ["--resolve", f"api.example:{port}:127.0.0.1", f"https://api.example:{port}/bytes/1000"],
        [("api.example", port, "https")],
    )
    equal("peers", report["hosts"][0]["peers"], [f"127.0.0.1:{port}"])


@suite.test("the absolute form behind a proxy")
def proxy(scratch):
    """One connection to the proxy belongs to the host of its first exchange."""
    through = ["-x", origin.url("http", "", "127.0.0.1")]
    fetch(
        scratch,
        [*through, "http://api.example/bytes/1000"],
        [("api.example", origin.ports["http"], "http")],
    )
    fetch(
        scratch, [*through, "http://api.example:8080/bytes/1000"], [("api.example", 8080, "http")]
    )


@suite.test("a tunnel through a proxy")
def tunnel(scratch):
    """CONNECT is no exchange; what goes through the tunnel is."""
    through = ["-x", origin.url("http", "", "127.0.0.1")]
    report = fetch(
        scratch,
        [
            *through,
            "https://api.example:8443/bytes/300000",
            "-o",
            "/dev/null",
            "https://api.example:8443/bytes/5",
        ],
        [("api.example", 8443, "https")],
        drained=2,
    )
    equal("reused", report["totals"]["connections"]["reused"], 1)


@suite.test("a tunnel that the proxy refuses")
def refused_tunnel(scratch):
    """An answer like any other: with a body, and no tunnel."""
    through = ["-x", origin.url("http", "", "127.0.0.1")]
    argv = [need("curl"), "-sk", *through, "https://no.example:8443/"]
    result = scratch.run(argv)
    equal("status", result.status, scratch.bare(argv).status)
    harness.no_alarm(result.report)
    harness.not_blind(result.report)
    bodies = result.report["totals"]["bodies"]
    equal("opened, unclosed", (bodies["opened"], bodies["unclosed"]), (1, 0))
    equal("hosts", [h["host"] for h in result.report["hosts"]], ["no.example"])


@suite.test("a leak behind a tunnel")
def tunnel_leak(scratch):
    code = (
        "import http.client, os, ssl, sys\n"
        "kept = []\n"
        "for _ in range(3):\n"
        "    c = http.client.HTTPSConnection('127.0.0.1', int(sys.argv[1]), context=ssl._create_unverified_context())\n"
        "    c.set_tunnel('api.example', 8443); c.request('GET', '/bytes/300000'); kept.append(c.getresponse())\n"
        "print(kept[0].status, flush=True); os._exit(0)\n"
    )
    result = scratch.run([harness.PYTHON, "-c", code, str(origin.ports["http"])])
    equal("status", (result.status, result.output), (23, b"200\n"))
    equal("hosts", hosts(result.report), [("api.example", 8443, "https")])
    equal("unclosed", harness.count(result.report, "unclosed-body", "error"), 3)


@suite.test("a Unix socket")
def unix_socket(scratch):
    path = scratch.path("http.sock")
    with harness.Nginx(
        scratch.folder("nginx"), f"listen unix:{path}; location / {{ return 200 '{'x' * 3000}'; }}"
    ):
        report = fetch(
            scratch,
            ["--unix-socket", path, "http://localhost/a", "-o", "/dev/null", "http://localhost/b"],
            [(f"unix:{path}", 0, "unix")],
            drained=2,
        )
        equal("reused", report["totals"]["connections"]["reused"], 1)


@suite.test("IPv6")
def ipv6(scratch):
    port = harness.free_port()
    with socket.socket(socket.AF_INET6) as probe:
        if probe.connect_ex(("::1", port)) not in (111,):
            raise harness.Skip("IPv6 is not configured here")
    with harness.Nginx(
        scratch.folder("nginx"), f"listen [::1]:{port}; location / {{ return 200 '{'x' * 3000}'; }}"
    ):
        report = fetch(scratch, [f"http://[::1]:{port}/"], [("[::1]", port, "http")])
        equal("peers", report["hosts"][0]["peers"], [f"[::1]:{port}"])


@suite.test("several hosts, each with its own counts")
def several(scratch):
    http, https = origin.ports["http"], origin.ports["https"]
    script = (
        f"import os, ssl, urllib.request as u; c = ssl._create_unverified_context()\n"
        f"kept = [u.urlopen('http://localhost:{http}/bytes/300000') for _ in range(2)]\n"
        f"kept += [u.urlopen('http://127.0.0.1:{http}/bytes/300000') for _ in range(3)]\n"
        f"u.urlopen('https://localhost:{https}/bytes/300000', context=c).read()\n"
        f"os._exit(0)"
    )
    result = scratch.run([harness.PYTHON, "-c", script])
    rows = {
        (h["host"], h["scheme"]): (
            h["connections"]["opened"],
            h["bodies"]["unclosed"],
            h["bodies"]["drained"],
        )
        for h in result.report["hosts"]
    }
    equal(
        "hosts",
        rows,
        {
            ("localhost", "http"): (2, 2, 0),
            ("127.0.0.1", "http"): (3, 3, 0),
            ("localhost", "https"): (1, 0, 1),
        },
    )
    equal(
        "errors",
        sorted((f["host"], f["count"]) for f in harness.findings(result.report, "unclosed-body")),
        [("127.0.0.1", 3), ("localhost", 2)],
    )
    for path, mine in (("127.*", "127.0.0.1"), ("local*", "localhost")):
        narrowed = harness.report(result.traces, "--host", path)
        equal(f"--host {path}", {f["host"] for f in narrowed["findings"]}, {mine})


@suite.test("paths have no query, and none is kept with record_paths=0")
def paths(scratch):
    argv = [
        harness.PYTHON,
        os.path.join(harness.SOURCES, "python", "urllib_unread.py"),
        origin.url("http", "/bytes/300000?secret=7"),
        "1",
    ]
    seen = scratch.preloaded(argv)
    equal("path", seen.report["findings"][0]["request"]["path"], "/bytes/300000")
    hidden = scratch.preloaded(argv, settings="summary=0:record_paths=0")
    equal("path", hidden.report["findings"][0]["request"]["path"] or "", "")
    for result, words in ((seen, (b"secret",)), (hidden, (b"secret", b"/bytes/"))):
        with open(result.traces[0], "rb") as file:
            data = file.read()
        check(not [word for word in words if word in data], "the trace holds what it should not")


suite.main()
