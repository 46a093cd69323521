#!/usr/bin/python3
"""TLS whose inside nobody shows (Java's JSSE): connections and peers are reported, bodies are named blind, and nothing is "clean".
And TLS that the kernel does, whose inside the socket itself shows."""
import os
import socket
import sys
import threading

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import harness  # noqa: E402
from harness import brief, check, equal, findings  # noqa: E402

suite = harness.Suite()
origin = suite.stack.enter_context(harness.Origin())
SOURCE = os.path.join(harness.SOURCES, "clients", "Fetch.java")


def fetch(scratch, client, way, count=3):
    """Java 11 and later run a source file as it is."""
    java = harness.need("java")
    origin.clear()
    scratch.write("stop", "")  # what it keeps it keeps for its end only
    result = scratch.preloaded([java, SOURCE, client, origin.url("https", "/bytes/300000"), way, str(count)], timeout=120)
    equal(f"status of java ({result.errors[-300:]})", result.status, 0)
    check(b"done" in result.output, lambda: result.output)
    check(result.report, "no trace")
    return result.report


def never_clean(report):
    equal("verdict", report["verdict"], "no-leak-seen")
    harness.no_error(report)
    check(findings(report, "blind"), lambda: f"no blind note\n{brief(report)}")
    check(any(process["blind"] for process in report["processes"]), lambda: brief(report))
    equal("bodies", report["totals"]["bodies"]["opened"], 0)


for way in ("read", "keep"):
    @suite.test(f"Java's HttpClient, bodies {way}: counted by ALPN, blind by host", way)
    def by_alpn(scratch, way):
        report = fetch(scratch, "HttpClient", way)
        never_clean(report)
        accepts = origin.counts("https")["accepts"]
        equal("connections opened", report["totals"]["connections"]["opened"], accepts)
        equal("hosts", [(h["host"], h["port"], h["scheme"]) for h in report["hosts"]],
              [("localhost", origin.ports["https"], "https")])
        blind = findings(report, "blind")
        equal("connections named blind", sum(f["count"] for f in blind), accepts)
        check(all("TLS" in f["message"] and f["host"] == "localhost" for f in blind), lambda: brief(report))

    @suite.test(f"HttpURLConnection, bodies {way}: TLS on a port that says nothing", way)
    def by_nothing(scratch, way):
        report = fetch(scratch, "HttpURLConnection", way)
        never_clean(report)
        blind = findings(report, "blind")
        equal("connections named blind", sum(f["count"] for f in blind), origin.counts("https")["accepts"])
        equal("connections in the totals", report["totals"]["connections"]["opened"], 0)


BODY = 500000


def serve_kernel(listener, alert):
    """What such a client's peer sends: a record of the handshake, a ticket, then a response as it is. No TLS is on this wire."""
    with listener.accept()[0] as peer:
        peer.recv(52, socket.MSG_WAITALL)
        peer.sendall(b"\x16\x03\x03\x00\x04\x02\x00\x00\x00")
        received = b""
        while b"\r\n\r\n" not in received:
            received += peer.recv(4096)
        alert.append(received[:2])
        peer.sendall(b"TICKET" + b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % BODY)
        try:
            peer.sendall(b"x" * BODY)
            peer.shutdown(socket.SHUT_WR)
            peer.recv(1)
        except OSError:
            return  # the client is content with less


def kernel(scratch, way):
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(1)
        port = listener.getsockname()[1]
        alert = []
        thread = threading.Thread(target=serve_kernel, args=(listener, alert), daemon=True)
        thread.start()
        env = {"LD_PRELOAD": f"{harness.LIBRARY} {harness.program('kernel_tls.so')}"}
        result = scratch.preloaded([harness.program("kernel_tls"), str(port), way], env=env)
        thread.join(20)
    equal(f"status ({result.errors})", result.status, 0)
    equal("the alert", alert, [b"\x01\x00"])
    equal("hosts", [(h["host"], h["port"], h["scheme"]) for h in result.report["hosts"]],
          [("kernel.example", port, "https")])
    harness.not_blind(result.report)
    harness.replays(result.traces)
    return result


@suite.test("TLS in the kernel: the socket shows requests and bodies")
def kernel_read(scratch):
    result = kernel(scratch, "read")
    check(int(result.output) > BODY, lambda: result.output)  # the head is counted too
    bodies = result.report["totals"]["bodies"]
    equal("opened and drained", (bodies["opened"], bodies["drained"]), (1, 1))
    harness.no_alarm(result.report)


@suite.test("TLS in the kernel: a body that is kept")
def kernel_kept(scratch):
    result = kernel(scratch, "keep")
    found = findings(result.report, above_note=True)
    equal("findings", [(f["rule"], f["count"], f["host"], f["bytes_expected"]) for f in found],
          [("unclosed-body", 1, "kernel.example", BODY)])


suite.main()
