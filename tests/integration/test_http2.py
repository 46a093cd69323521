#!/usr/bin/python3
"""HTTP/2: real clients and servers at clean work, streams that leak, peers that say what cannot be."""
import contextlib
import os
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import harness  # noqa: E402
import http2_peer as h2  # noqa: E402
from harness import PYTHON, brief, check, count, equal, findings, need  # noqa: E402

suite = harness.Suite()
CLEAN = os.path.join(harness.SOURCES, "clean")
SMALL, BIG, HUGE = 100, 300000, 40 << 20


folder = suite.stack.enter_context(harness.tempfile.TemporaryDirectory(prefix="httpleak-h2."))
servers = []


def server():
    if not servers:
        servers.append(harness.Http2Servers(suite.stack, folder, {"small": SMALL, "big": BIG, "huge": HUGE}))
    return servers[0]


# ---- clean work ----

def judge(result, bodies, connections, streams=None):
    report = result.report
    check(report, "nothing was recorded")
    totals = report["totals"]
    seen = (totals["bodies"]["opened"], totals["bodies"]["drained"], totals["connections"]["opened"])
    check(seen == (bodies, bodies, connections),
          lambda: f"bodies {bodies}, connections {connections} expected; {brief(report)}")
    if streams:
        equal("reused", totals["connections"]["reused"], streams - connections)
    harness.no_alarm(report)
    harness.not_blind(report)
    equal("verdict", report["verdict"], "clean")
    harness.replays(result.traces)


def clean(scratch, argv, bodies, connections=1, output=True, streams=None, **options):
    """Same status, same output, everything seen, nothing found."""
    bare = scratch.bare(argv, **options)
    equal("status of the bare program", bare.status, 0)
    result = scratch.preloaded(argv, **options)
    equal("status", result.status, 0)
    if output:
        check(result.output == bare.output, lambda: f"output {result.output[-300:]!r}, bare {bare.output[-300:]!r}")
    judge(result, bodies, connections, streams)
    return result


def curl(*arguments):
    return [need("curl"), "-sS", "-k", *arguments]


def many(url, times):
    """The same URL several times, thrown away."""
    return [word for _ in range(times) for word in ("-o", "/dev/null", url)]


for scheme, how in (("https", "--http2"), ("http", "--http2-prior-knowledge")):
    @suite.test(f"curl {how}, one body", scheme, how)
    def curl_one(scratch, scheme, how):
        result = clean(scratch, curl(how, "-w", "%{http_version}\n", server().url(scheme, "/big")), 1)
        check(result.output.endswith(b"2\n"), "curl did not speak HTTP/2")
        host = result.report["hosts"][0]
        equal("host", (host["host"], host["port"], host["scheme"]), ("localhost", server().ports[scheme], scheme))

    @suite.test(f"curl {how}, HEAD and an error", scheme, how)
    def curl_head(scratch, scheme, how):
        clean(scratch, curl(how, "-I", server().url(scheme, "/big")), 0, output=False)
        clean(scratch, curl(how, server().url(scheme, "/not-there")), 1)

    @suite.test(f"nghttp ({scheme})", scheme)
    def nghttp(scratch, scheme):
        clean(scratch, [need("nghttp"), "-n", "-m", "100", server().url(scheme, "/big")], 100, streams=100)

    @suite.test(f"h2load: hundreds of streams on each connection ({scheme})", scheme)
    def h2load(scratch, scheme):
        argv = [need("h2load"), "-n", "1200", "-c", "3", "-m", "400", server().url(scheme, "/small")]
        clean(scratch, argv, 1200, connections=3, output=False, streams=1200)

    @suite.test(f"h2load with threads ({scheme})", scheme)
    def h2load_threads(scratch, scheme):
        argv = [need("h2load"), "-n", "600", "-c", "4", "-t", "2", "-m", "10", server().url(scheme, "/small")]
        clean(scratch, argv, 600, connections=4, output=False, streams=600)


# (In cleartext curl 7.88 fails at a connection's second request, with or without us.)
@suite.test("curl --http2, many at once on one connection")
def curl_parallel(scratch):
    url = server().url("https", "/big")
    clean(scratch, curl("--http2", "-Z", "--parallel-max", "40", *many(url, 40)), 40, streams=40)


def need_httpx():
    for name in ("httpx", "h2"):
        if not os.path.exists(f"/usr/lib/python3/dist-packages/{name}"):
            raise harness.Skip(f"python3-{name} is not installed")


@suite.test("httpx, one after the other")
def httpx_sync(scratch):
    need_httpx()
    clean(scratch, [PYTHON, f"{CLEAN}/httpx_http2.py", server().url("https", "/big"), "6"], 6, streams=6)


@suite.test("httpx on asyncio, at once, through memory BIOs")
def httpx_async(scratch):
    need_httpx()
    clean(scratch, [PYTHON, f"{CLEAN}/httpx_http2.py", server().url("https", "/big"), "12", "async"], 12, streams=12)


@suite.test("Node's http2 in cleartext")
def node(scratch):
    clean(scratch, [need("node"), f"{CLEAN}/http2_gets.js", server().url("http", "/big"), "60"], 60, streams=60)


@suite.test("an upgrade from HTTP/1: curl")
def upgrade_curl(scratch):
    # (A larger answer to the upgrade itself is too much for curl 7.88, if it comes with the 101.)
    result = clean(scratch, curl("--http2", "-w", "%{http_version}\n", server().nghttpx("/small")), 1)
    check(result.output.endswith(b"2\n"), "no upgrade")
    clean(scratch, curl("--http2", *many(server().nghttpx("/small"), 5)), 5, streams=5)


@suite.test("an upgrade from HTTP/1: nghttp")
def upgrade_nghttp(scratch):
    clean(scratch, [need("nghttp"), "-nu", server().nghttpx("/big"), server().nghttpx("/small")], 2, streams=2)


@suite.test("a server that speaks first: nghttpd")
def first(scratch):
    argv = [need("h2load"), "-n", "300", "-c", "3", "-m", "20", server().nghttpd("/big")]
    clean(scratch, argv, 300, connections=3, output=False, streams=300)


@suite.test("trailers and padding")
def trailers(scratch):
    url = server().nghttpd("/big", "--trailer=x-sum: 1", "-b", "200")
    clean(scratch, [need("nghttp"), "-n", "-m", "20", "-b", "100", url], 20, streams=20)


@suite.test("pushed responses are nobody's, and harm nothing")
def pushed(scratch):
    url = server().nghttpd("/big", "-p/big=/small")
    clean(scratch, [need("nghttp"), "-n", "-m", "3", url], 3, streams=3)


@suite.test("through a proxy that HTTP/1 asks to CONNECT")
def tunnel(scratch):
    with harness.Origin() as origin:
        url = server().url("https", "/big")
        proxy = f"http://localhost:{origin.ports['http']}"
        # the origin's tunnel always leads to its own https port, which speaks HTTP/1 only
        result = scratch.preloaded(curl("--http2", "-p", "-x", proxy, *many(url, 2)))
        equal("status", result.status, 0)
        harness.not_blind(result.report)


def grpc(talk, stream):
    talk.send(talk.head(stream, ("content-type", "application/grpc")), h2.frame(h2.DATA, 0, stream, b"\0\0\0\0\1x"))


def events(talk, stream):
    talk.send(talk.head(stream, ("content-type", "text/event-stream")), h2.frame(h2.DATA, 0, stream, b"data: 1\n\n"))


for name, answer in (("gRPC", grpc), ("an event stream", events)):
    @suite.test(f"{name} is no body to finish", answer)
    def endless(scratch, answer):
        with h2.Peer(answer) as peer:
            result = scratch.preloaded(curl("--http2-prior-knowledge", "--max-time", "1", peer.url()))
        equal("status", result.status, 28)
        harness.no_alarm(result.report)
        harness.not_blind(result.report)


# ---- leaks ----

def kept(scratch, argv, source, line, number, port, **options):
    result = scratch.run(argv, **options)
    report = result.report
    check(count(report, "unclosed-body", "error") == number and len(findings(report, "unclosed-body")) == 1,
          lambda: brief(report))
    found = findings(report, "unclosed-body")[0]
    equal("host", (found["host"], found["port"]), ("localhost", port))
    check("http2" in found["tags"], lambda: found["tags"])
    check("HTTP/2" in found["message"], lambda: found["message"])
    lines = harness.user_lines(found)
    check((source, line) in lines, lambda: f"{(source, line)} is not in {lines}")
    equal("unclosed", report["totals"]["bodies"]["unclosed"], number)
    equal("findings", [f["rule"] for f in report["findings"]], ["unclosed-body"])
    harness.not_blind(report)
    harness.replays(result.traces)
    return result


@suite.test("libcurl multi: streams paused")
def multi(scratch):
    source = "curl_multi.c"
    argv = [harness.program("curl_multi"), server().url("https", "/huge"), "5", "h2"]
    kept(scratch, argv, source, harness.line_of(source, "curl_multi_perform(multi, &running)"), 5,
         server().ports["https"])


@suite.test("python3-h2: streams kept while others on their connection go on")
def h2_kept(scratch):
    need_httpx()
    source = os.path.join("python", "h2_kept.py")
    server().nginx()
    port = server().ports["http"]
    result = kept(scratch, [PYTHON, os.path.join(harness.SOURCES, source), str(port), "/big", "3"], "h2_kept.py",
                  harness.line_of(source, "# asked"), 3, port)
    equal("status", result.status, 23)
    equal("drained", result.report["totals"]["bodies"]["drained"], 4)
    check(findings(result.report)[0]["confidence"] == "proven", lambda: brief(result.report))


@suite.test("httpx: streams kept")
def httpx_kept(scratch):
    need_httpx()
    source = os.path.join("python", "httpx_kept.py")
    argv = [PYTHON, os.path.join(harness.SOURCES, source), server().url("https", "/huge"), "3"]
    kept(scratch, argv, "httpx_kept.py", harness.line_of(source, "# kept"), 3, server().ports["https"])


@suite.test("a window that nobody opens again, in a program that runs on")
def running(scratch):
    need_httpx()
    source = os.path.join(harness.SOURCES, "python", "h2_kept.py")
    server().nginx()
    argv = [PYTHON, source, str(server().ports["http"]), "/big", "2", str(harness.ASLEEP)]
    process, traces = scratch.start(argv, stdout=subprocess.PIPE)
    try:
        process.stdout.readline()
        early = harness.report(harness.trace_files(traces), "--grace", "1000")
        harness.no_alarm(early)
        equal("unclosed", early["totals"]["bodies"]["unclosed"], 2)

        def found():
            return count(harness.report(harness.trace_files(traces), "--grace", "1"), "unclosed-body", "error") == 2
        harness.wait_until(found, "two abandoned bodies", period=0.3)
    finally:
        harness.end(process)


# ---- peers that say what cannot be ----

def whole(talk, stream, body=b"fine"):
    return (talk.head(stream, ("content-length", str(len(body)))), h2.frame(h2.DATA, h2.END_STREAM, stream, body))


def good(talk, stream):
    talk.send(*whole(talk, stream))


def oversized(talk, stream):
    talk.send(talk.head(stream), h2.frame(h2.DATA, h2.END_STREAM, stream, b"x" * 40000000)[:1 << 20])


def bad_hpack(talk, stream):
    talk.send(h2.frame(h2.HEADERS, h2.END_HEADERS, stream, b"\x88\xff\xff\xff\xff\xff\x0f"))


def flood(talk, stream):
    talk.send(talk.head(stream), *[h2.frame(h2.DATA, 0, stream)] * 2000, h2.frame(h2.DATA, h2.END_STREAM, stream, b"fine"))


def reused(talk, stream):
    talk.send(*whole(talk, stream), *whole(talk, stream, b"again"))


def unasked(talk, stream):
    talk.send(talk.head(stream + 6), h2.frame(h2.DATA, h2.END_STREAM, stream + 6, b"unasked"))
    good(talk, stream)


def continuation(talk, stream):
    block = talk.encoder.encode([(":status", "200")])
    talk.send(h2.frame(h2.HEADERS, 0, stream, block), h2.frame(h2.PING, 0, 0, b"12345678"),
              h2.frame(h2.CONTINUATION, h2.END_HEADERS, stream))


def http1(talk, stream):
    talk.connection.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")


def oversized_frame_of_unknown_kind(talk, stream):
    talk.send(h2.frame(0xBB, 0, 0, b"x" * 20000))
    good(talk, stream)


def headers_flood(talk, stream):
    """Empty ones, each of which says that there is more."""
    talk.send(h2.frame(h2.HEADERS, 0, stream), *[h2.frame(h2.CONTINUATION, 0, stream)] * 2000)


CANNOT_BE = (oversized, bad_hpack, flood, headers_flood, reused, unasked, continuation, http1, oversized_frame_of_unknown_kind)
FIRM = {  # real clients, each with a word of its own about what it is told
    "curl": lambda url: curl("--http2-prior-knowledge", "--max-time", "5", url),
    "nghttp": lambda url: [need("nghttp"), "-n", "-t", "5", url],
    "Node": lambda url: [need("node"), f"{CLEAN}/http2_gets.js", url, "1"],
}


def undisturbed(scratch, argv):
    """Status and output are the bare program's, and nothing is found."""
    bare, result = scratch.bare(argv), scratch.preloaded(argv)
    equal("status", result.status, bare.status)
    check(result.output == bare.output, lambda: f"{result.output!r}, bare {bare.output!r}")
    harness.no_alarm(result.report)
    harness.replays(result.traces)
    return bare, result.report


for answer in CANNOT_BE:
    for name in FIRM:
        @suite.test(f"not followed any more: {answer.__name__.replace('_', ' ')}, by {name}", answer, name)
        def bad(scratch, answer, name):
            with h2.Peer(answer) as peer:
                bare, report = undisturbed(scratch, FIRM[name](peer.url()))
            # a client that gives up at once has closed before the bytes that cannot be were its to read
            check(findings(report, "blind") or bare.status != 0, lambda: brief(report))

    @suite.test(f"not followed any more: {answer.__name__.replace('_', ' ')}, taken to the last byte", answer)
    def blunt(scratch, answer):
        """By a client that looks at nothing: then it is the recorder alone that has to see it."""
        def and_closes(talk, stream):
            answer(talk, stream)
            raise ConnectionError

        with h2.Peer(and_closes) as peer:
            argv = [PYTHON, os.path.join(harness.SOURCES, "python", "h2_blunt.py"), str(peer.port)]
            bare, report = undisturbed(scratch, argv)
        equal("status", bare.status, 0)
        equal("connections that are blind", sum(f["count"] for f in findings(report, "blind")), 1)
        equal("verdict", report["verdict"], "no-leak-seen")


# ---- and what may well be ----

def goaway(talk, stream):
    talk.send(h2.frame(h2.GOAWAY, 0, 0, b"\0\0\0\x01\0\0\0\0"))
    good(talk, stream)


def reset(talk, stream):
    talk.send(talk.head(stream), h2.frame(h2.DATA, 0, stream, b"half"), h2.frame(h2.RST_STREAM, 0, stream, b"\0\0\0\x02"))


def cut(talk, stream):
    talk.send(talk.head(stream), h2.frame(h2.DATA, 0, stream, b"half"))
    raise ConnectionError


def interim(talk, stream):
    talk.send(talk.head(stream, status="103"))
    talk.send(talk.head(stream), h2.frame(h2.DATA, 0, stream), h2.frame(h2.DATA, 8, stream, b"\x03fine\0\0\0"),
              talk.trailers(stream, ("x-sum", "1")))


def unknown(talk, stream):
    talk.send(h2.frame(0xBB, 0xFF, 0, b"grease"))
    good(talk, stream)


for answer, drained, failed in ((goaway, 1, 0), (reset, 0, 1), (cut, 0, 1), (interim, 1, 0), (unknown, 1, 0)):
    @suite.test(f"followed: {answer.__name__}", answer, drained, failed)
    def fine(scratch, answer, drained, failed):
        with h2.Peer(answer) as peer:
            argv = curl("--http2-prior-knowledge", "--max-time", "5", peer.url())
            bare, result = scratch.bare(argv), scratch.preloaded(argv)
        equal("status", result.status, bare.status)
        check(result.output == bare.output, lambda: f"{result.output!r}, bare {bare.output!r}")
        bodies = result.report["totals"]["bodies"]
        check((bodies["drained"], bodies["failed"]) == (drained, failed), lambda: brief(result.report))
        harness.no_alarm(result.report)
        harness.not_blind(result.report)
        harness.replays(result.traces)


suite.main()
