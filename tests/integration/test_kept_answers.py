#!/usr/bin/python3
"""Answers that programs forget because nobody wants them: a refused upgrade to a WebSocket, a redirect, an error. Real clients
keep them, and each finding says which answer it was. An event stream that is kept is none of them."""
import concurrent.futures
import os
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import harness  # noqa: E402
from harness import brief, check, equal, findings  # noqa: E402

suite = harness.Suite()
origin = suite.stack.enter_context(harness.Origin())
ANSWERS = os.path.join(harness.SOURCES, "answers")
COUNT, SIZE, GRACE = 3, 2000000, "0.5"  # more than a client takes ahead

KINDS = {  # path, status, tags, and whether the request asks for an upgrade
    "a refused WebSocket (401)": (f"/upgrade/401/{SIZE}", 401, {"upgrade-refused", "error-status"}, True),
    "a redirect that is not followed (302)": (f"/redirect?size={SIZE}", 302, {"redirect"}, False),
    "an error (404)": (f"/status/404/{SIZE}", 404, {"error-status"}, False),
}
CLIENTS = {  # the program, what it has instead of a line of its own, whether it can ask for an upgrade
    "Node http": (["node", "keep.js", "http"], "function", True),
    "Node fetch": (["node", "keep.js", "fetch"], "function", False),
    "Python urllib": ([harness.PYTHON, "keep.py", "urllib"], None, False),  # it always closes: Connection is its own
    "Python http.client": ([harness.PYTHON, "keep.py", "http.client"], None, True),
    "Python requests": ([harness.PYTHON, "keep.py", "requests"], None, True),
    "Python httpx": ([harness.PYTHON, "keep.py", "httpx"], None, True),
    "Python aiohttp": ([harness.PYTHON, "keep.py", "aiohttp"], None, True),
    "PHP streams": (["php", "keep.php", "streams"], None, True),  # its end would close them, so it has none
    "Java HttpURLConnection": (["java", "Keep.java", "HttpURLConnection"], "function", False),
    "Java HttpClient": (["java", "Keep.java", "HttpClient"], "function", False),
}


def command(words):
    runtime, source, client = words
    if runtime == harness.PYTHON and client in ("requests", "httpx", "aiohttp"):
        if subprocess.run([runtime, "-c", f"import {client}"], capture_output=True, check=False).returncode:
            raise harness.Skip(f"python3-{client} is not installed")
    return [harness.need(runtime), os.path.join(ANSWERS, source), client]


def unclosed(report):
    return [f for f in findings(report, "unclosed-body", above_note=True) if not f["caused_by"]]


def kept(scratch, client, kind):
    words, instead, _ = CLIENTS[client]
    path, status, tags, upgrade = KINDS[kind]
    argv = [*command(words), origin.url("http", path), str(COUNT), *(["upgrade"] if upgrade else [])]
    origin.clear()
    result = scratch.stopped(argv, lambda report: sum(f["count"] for f in unclosed(report)) >= COUNT, "--grace", GRACE,
                             orderly=words[0] != "php")
    equal("output", result.output.split(), [str(status).encode()] * COUNT)
    found = unclosed(result.report)
    equal("findings", [(f["severity"], f["count"], f["host"], f["port"], f["request"]["status"], f["request"]["path"]) for f in found],
          [("error", COUNT, "localhost", origin.ports["http"], status, path.partition("?")[0])])
    told = set(found[0]["tags"]) & {"upgrade-refused", "error-status", "redirect"}
    equal("tags", told, tags)  # Java's HttpClient offers HTTP/2 with each request: that is no refused upgrade
    equal("bodies", result.report["totals"]["bodies"]["unclosed"], COUNT)
    equal("connections", result.report["totals"]["connections"]["opened"], origin.counts("http")["accepts"])
    harness.not_blind(result.report)
    frame = found[0]["stacks"]["request"][0]
    if instead:
        check(frame["function"], lambda: frame)
    else:
        source = os.path.join("answers", words[1])
        equal("line", (os.path.basename(frame["file"]), frame["line"]), (words[1], harness.line_of(source, f"# {words[2]}"
              if source.endswith(".py") else f"// {words[2]}")))


for client_name, (_, _, can_upgrade) in CLIENTS.items():
    for kind_name, (*_, needs_upgrade) in KINDS.items():
        if client_name == "Python requests" and kind_name.startswith("a redirect"):
            continue  # it reads the body of a redirect itself, whatever it was told
        if can_upgrade or not needs_upgrade:
            suite.test(f"{client_name}: {kind_name}", client_name, kind_name)(kept)


@suite.test("an event stream that is kept unread is no finding")
def event_streams(scratch):
    """Of each client two, all clients at once, which are left alone for several graces."""
    asked = time.monotonic()

    def rests(report):
        return report["totals"]["bodies"]["opened"] == 2 and time.monotonic() > asked + 8 * float(GRACE)

    def keep(client, place):
        words = CLIENTS[client][0]
        argv = [*command(words), origin.url("http", "/events"), "2"]
        result = place.stopped(argv, rests, "--grace", GRACE, orderly=words[0] != "php")
        equal(f"{client}: output", result.output, b"200\n" * 2)
        check(not findings(result.report, above_note=True), lambda: f"{client}\n{brief(result.report)}")
        equal(f"{client}: unclosed", result.report["totals"]["bodies"]["unclosed"], 2)

    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        jobs = [pool.submit(keep, client, harness.Scratch(scratch.folder())) for client in CLIENTS]
    for job in jobs:
        job.result()


suite.main()
