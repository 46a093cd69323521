#!/usr/bin/python3
"""TLS libraries inside the executable: Node, and programs linked with libssl.a. What cannot be patched is blind, never "clean"."""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import harness  # noqa: E402
from harness import brief, check, equal, findings  # noqa: E402

suite = harness.Suite()
origin = suite.stack.enter_context(harness.Origin())
FETCH = os.path.join(harness.SOURCES, "clients", "fetch.js")
BIG = 4000000


def bodies(report):
    return {name: number for name, number in report["totals"]["bodies"].items() if number}


for name in ("exported", "symbols"):
    for step in ("nested", "fd", "random"):
        @suite.test(f"libssl.a inside, {name}, {step}: read to the end", name, step)
        def carried(scratch, name, step):
            origin.clear()
            result = scratch.preloaded([harness.program(f"tls_steps-{name}"), step, origin.url("https", "/bytes/100000")])
            equal("status", result.status, 0)
            equal("bodies", bodies(result.report), {"opened": 1, "drained": 1})
            equal("connections", result.report["totals"]["connections"]["opened"], origin.counts("https")["accepts"])
            equal("verdict", result.report["verdict"], "clean")

    @suite.test(f"libssl.a inside, {name}: left in the middle", name)
    def left(scratch, name):
        argv = [harness.program(f"tls_steps-{name}"), "nested", origin.url("https", f"/bytes/{BIG}"), "half"]
        result = scratch.preloaded(argv)
        found = findings(result.report, above_note=True)
        equal("findings", [(f["rule"], f["count"], f["host"], f["bytes_expected"]) for f in found],
              [("unclosed-body", 1, "steps.example", BIG)])
        check(("tls_steps.c", "main") in [(os.path.basename(frame["file"] or ""), frame["function"])
                                          for frame in found[0]["stacks"]["request"]], lambda: found[0]["stacks"])


@suite.test("libssl.a inside, stripped: blind")
def stripped(scratch):
    result = scratch.preloaded([harness.program("tls_steps-stripped"), "nested", origin.url("https", "/bytes/100000")])
    equal("status", result.status, 0)
    equal("verdict", result.report["verdict"], "no-leak-seen")
    equal("bodies", bodies(result.report), {})


def node(scratch, *arguments, found=None):
    """found: of one that keeps what it has, when to stop it."""
    origin.clear()
    argv = [harness.need("node"), FETCH, *arguments]
    result = scratch.stopped(argv, found, "--grace", "0.5") if found else scratch.preloaded(argv)
    equal(f"status ({result.errors[-300:]})", result.status, 0)
    check(result.output.endswith(b"done\n"), lambda: result.output)
    harness.not_blind(result.report)
    harness.replays(result.traces)
    return result.report


for client in ("https", "fetch"):
    @suite.test(f"Node's {client}: bodies read", client)
    def node_read(scratch, client):
        report = node(scratch, client, origin.url("https", "/bytes/300000"), "read", "5")
        equal("bodies", bodies(report), {"opened": 5, "drained": 5})
        equal("connections", report["totals"]["connections"]["opened"], origin.counts("https")["accepts"])
        harness.no_alarm(report)

    @suite.test(f"Node's {client}: bodies never consumed", client)
    def node_kept(scratch, client):
        report = node(scratch, client, origin.url("https", f"/bytes/{BIG}"), "keep", "3",
                      found=lambda running: harness.count(running, "unclosed-body") == 3)
        equal("bodies", bodies(report), {"opened": 3, "unclosed": 3})
        found = findings(report, "unclosed-body")
        equal("findings", sum(f["count"] for f in found if not f["caused_by"]), 3)
        check(all((f["host"], f["port"], f["severity"]) == ("localhost", origin.ports["https"], "error") for f in found),
              lambda: brief(report))


@suite.test("Node's https: bodies destroyed")
def node_aborted(scratch):
    report = node(scratch, "https", origin.url("https", f"/bytes/{BIG}"), "abort", "3")
    equal("bodies", bodies(report), {"opened": 3, "discarded": 3})
    harness.no_alarm(report)


suite.main()
