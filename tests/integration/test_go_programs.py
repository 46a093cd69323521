#!/usr/bin/python3
"""Go programs that nobody built for a test, as Debian ships them, at their normal work: as without the preload, and every count exact."""
import os
import sys
import urllib.request

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import harness  # noqa: E402
from harness import brief, check, end, equal, free_port, need  # noqa: E402
from servers import is_open  # noqa: E402

suite = harness.Suite()
origin = suite.stack.enter_context(harness.Origin())
SIZE = 20000
PATH = f"/bytes/{SIZE}"


def all_was_seen(report, scheme, cut_off=0):
    """Opened and drained are what the origin itself counted, and nothing is found; but for as many dials as the program's end may
    have cut off, of which it never learned that they came through."""
    counts, totals = origin.counts(scheme), report["totals"]
    check(counts["bodies_completed"] > 0, f"the origin saw nothing: {counts}")
    opened = totals["connections"]["opened"]
    check(counts["accepts"] - cut_off <= opened <= counts["accepts"], f"opened {opened}, accepted {counts['accepts']}")
    equal("drained", totals["bodies"]["drained"], counts["bodies_completed"])
    harness.not_blind(report)
    harness.no_alarm(report)


def hey(scratch, scheme, *options):
    """A load generator: its connections are kept to the end, as many as it has workers at least."""
    argv = [need("hey"), "-n", "600", "-c", "10", *options, origin.url(scheme, PATH)]
    bare = scratch.bare(argv)
    check(b"[200]\t600 responses" in bare.output, lambda: bare.output.decode())
    origin.clear()
    result = scratch.preloaded(argv, timeout=120)
    equal("status", (result.status, result.errors), (bare.status, bare.errors))
    check(b"[200]\t600 responses" in result.output, lambda: result.output.decode())
    # A request that finds an idle connection leaves the dial that it has begun behind.
    all_was_seen(result.report, scheme, 0 if "-disable-keepalive" in options else 2)
    equal("requests", result.report["totals"]["bodies"]["opened"], 600)


suite.test("hey", "http")(hey)
suite.test("hey, TLS", "https")(hey)
suite.test("hey, a connection each", "http", "-disable-keepalive")(hey)


@suite.test("rclone")
def rclone(scratch):
    copy = os.path.join(scratch.directory, "copy")
    argv = [need("rclone"), "--config", "/dev/null", "copyurl", origin.url("http", PATH), copy]
    origin.clear()
    result = scratch.preloaded(argv, env={"HOME": scratch.directory})
    equal("status", (result.status, result.output, result.errors), (0, b"", ""))
    equal("size", os.path.getsize(copy), SIZE)
    all_was_seen(result.report, "http")


def ask(port, count):
    for _ in range(count):
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{PATH}", timeout=20) as response:
            equal("size", len(response.read()), SIZE)


def of_a_server(scratch, argv, port, work, **env):
    """What a server that is a client too leaves at its orderly end."""
    origin.clear()
    process, traces = scratch.start(argv, env={"HOME": scratch.directory, **env})
    try:
        harness.wait_until(lambda: is_open(port), "the server's port", seconds=30)
        work()
    finally:
        status = end(process)
    equal("status", status, 0)
    report = harness.report(harness.trace_files(traces))
    equal("end", [p["end"] for p in report["processes"]], ["exit"])
    all_was_seen(report, "http")
    return report


@suite.test("caddy as a reverse proxy")
def caddy(scratch):
    """A request that a proxy passes on belongs to the host that it names."""
    port, upstream = free_port(), origin.url("http", "").removeprefix("http://")
    argv = [need("caddy"), "reverse-proxy", "--from", f":{port}", "--to", upstream]
    report = of_a_server(scratch, argv, port, lambda: ask(port, 50))
    equal("hosts", [(h["host"], h["port"]) for h in report["hosts"]], [("127.0.0.1", port)])
    equal("reused", report["totals"]["connections"]["reused"], 49)


@suite.test("prometheus asks its targets")
def prometheus(scratch):
    port, target = free_port(), origin.url("http", "").removeprefix("http://")
    config = os.path.join(scratch.directory, "prometheus.yml")
    with open(config, "w", encoding="utf-8") as file:
        file.write(f"global: {{scrape_interval: 100ms}}\nscrape_configs:\n- job_name: origin\n  metrics_path: {PATH}\n"
                   f"  static_configs: [{{targets: ['{target}']}}]\n")
    argv = [need("prometheus"), f"--config.file={config}", f"--storage.tsdb.path={scratch.directory}/data", "--log.level=error",
            f"--web.listen-address=127.0.0.1:{port}"]

    def some():
        harness.wait_until(lambda: origin.counts("http")["bodies_completed"] >= 10, "ten answers", period=0.1)

    report = of_a_server(scratch, argv, port, some)
    check(report["totals"]["connections"]["reused"] >= 9, lambda: brief(report))


suite.main()
