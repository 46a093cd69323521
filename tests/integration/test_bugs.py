#!/usr/bin/python3
"""Real bugs of real projects, each rebuilt as a small program (tests/programs/bugs), and the report that shall explain it in a
minute, kept beside it. HTTPLEAK_TEST_UPDATE=1 writes the reports anew."""
import contextlib
import difflib
import os
import re
import socket
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import harness  # noqa: E402
from harness import check, equal  # noqa: E402

suite = harness.Suite()
origin = suite.stack.enter_context(harness.Origin())
BUGS = os.path.join(harness.SOURCES, "bugs")
UPDATE = os.environ.get("HTTPLEAK_TEST_UPDATE") == "1"

# What is another number in each run. Words alone count: where a line breaks depends on the length of what is masked.
MASKS = (
    (r"\bpid \d+", "pid N"),
    (r"\b(localhost|127\.0\.0\.1):\d+", r"\1:PORT"),
    (r"\b\d+(\.\d+)? s\b", "N s"),
    (r"\bfd( \d+)+", "fd N"),
    (r"\btid( \d+)+", "tid N"),
    (r" *grew by +[^\n]*(\n {24}[^\n]*)*\n", ""),  # told only when it took long enough to be told
    (r";\s+threads \d+\s+\([^)]*\)", ""),  # of the Java runtime: as many as it likes
    (r"[\d,]+ of ([\d,]+) bytes read", r"N of \1 bytes read"),
    (r"(?<!of )(?<![\d,])[\d,]+ bytes read", "N bytes read"),
)


def masked(text):
    for pattern, word in MASKS:
        text = re.sub(pattern, word, text)
    return text


def command(name):
    """The program of a bug, by its source's language."""
    source = next(
        os.path.join(BUGS, entry)
        for entry in sorted(os.listdir(BUGS))
        if entry.startswith(name + ".") and not entry.endswith(".expected")
    )
    kind = source.rsplit(".", 1)[1]
    if kind == "c":
        return [harness.program(os.path.join("bugs", name))]
    if kind == "py":
        return [harness.PYTHON, source]
    if kind == "java":
        harness.need("javac")  # it is compiled in memory
    return [harness.need({"js": "node", "java": "java"}[kind]), source]


def bug(scratch, name, url, status, *options, argv=None):
    """Runs it as a user does, and compares the text."""
    result = scratch.execute(
        [harness.HTTPLEAK, "run", "-o", scratch.folder(), *options, "--"]
        + (argv or command(name) + [url]),
        harness.environment(),
        cwd=harness.ROOT,
    )
    equal("status", result.status, status)
    said = masked(result.output.decode())
    expected = os.path.join(BUGS, name + ".expected")
    if UPDATE:
        with open(expected, "w", encoding="utf-8") as file:
            file.write(said)
    with open(expected, encoding="utf-8") as file:
        wanted = file.read()
    check(
        said.split() == masked(wanted).split(),
        lambda: "\n".join(difflib.unified_diff(wanted.splitlines(), said.splitlines(), lineterm="")),
    )


def simple(name, scheme, path, status, *options):
    suite.test(name)(
        lambda scratch: bug(scratch, name, origin.url(scheme, path), status, *options)
    )


simple("okhttp_4658", "http", "/upgrade/refused", 23)
simple("curl_22282", "https", "/close/4096", 23)
simple("dd_trace_cpp_31", "http", "/bytes/64", 23)
simple("node_29394", "http", "/bytes/1000000", 23)
simple("next_43493", "http", "/bytes/1000000", 23)
simple("golang_16953", "http", "/bytes/262144", 23)
simple("golang_13801", "http", "/bytes/64", 0)
simple("golang_19976", "http", "/status/302", 23)
simple("Mcp_620", "http", "/bytes/64", 0)
simple("httpx_3782", "http", "/bytes/64", 23)


def with_requests(scratch, name, path):
    if not os.path.exists("/usr/lib/python3/dist-packages/requests"):
        raise harness.Skip("python3-requests is not installed")
    bug(scratch, name, origin.url("http", path), 0)


suite.test("requests_2924", "requests_2924", "/bytes/1000000")(with_requests)
suite.test("goamz_473", "goamz_473", "/bytes/64")(with_requests)


@suite.test("golang_21229")
def golang_21229(scratch):
    """nginx, HTTP/2 without TLS, and a file larger than any window."""
    folder, port = scratch.folder(), harness.free_port()
    with open(os.path.join(folder, "large"), "wb") as file:
        file.truncate(40 << 20)
    with harness.Nginx(folder, f"listen 127.0.0.1:{port} http2; root {folder};"):
        bug(scratch, "golang_21229", f"http://localhost:{port}/large", 23)


def impatient_server(scratch, name, status):
    """nginx, which closes connections that have been idle for a second."""
    with harness.Nginx(scratch.folder(), 'location / { return 200 "' + "x" * 64 + '"; }', keepalive="1s") as nginx:
        bug(scratch, name, nginx.url("/"), status)


suite.test("aws_sdk_cpp_393", "aws_sdk_cpp_393", 0)(impatient_server)
suite.test("curb_277", "curb_277", 23)(impatient_server)


@suite.test("httprb_763")
def httprb_763(scratch):
    """To a listener whose queue is full, so that the kernel answers no further SYN."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(4):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
        bug(scratch, "httprb_763", url, 23, "--grace", "1")


suite.main()
