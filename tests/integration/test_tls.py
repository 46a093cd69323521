#!/usr/bin/python3
"""Which TLS object works on which connection: each way of knowing it alone, and the right library's functions whoever calls."""
import os
import re
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import harness  # noqa: E402
from harness import brief, check, equal, findings  # noqa: E402

suite = harness.Suite()
origin = suite.stack.enter_context(harness.Origin())
BODY = "/bytes/1000000"
BIG = "/bytes/4000000"


def totals(report):
    bodies = {name: number for name, number in report["totals"]["bodies"].items() if number}
    return report["totals"]["connections"]["opened"], bodies


def same(scratch, argv, **more):
    """The program bare and preloaded: the same output and status. Returns the preloaded run."""
    bare = scratch.bare(argv, **more)
    equal("bare status", bare.status, 0)
    origin.clear()
    result = scratch.preloaded(argv, **more)
    equal("status", result.status, bare.status)
    equal("output", result.output, bare.output)
    check(result.report, "no trace")
    return result


def seen(result, expected, host=None):
    """All that the origin served was seen, with nothing above a note, and under that name."""
    counts = origin.counts("https")
    check(totals(result.report) == (counts["accepts"], expected), lambda: f"{expected} expected\n{brief(result.report)}")
    equal("bodies of the origin", counts["bodies_completed"], expected["drained"])
    harness.no_alarm(result.report)
    harness.not_blind(result.report)
    hosts = [(h["host"], h["port"], h["scheme"]) for h in result.report["hosts"]]
    equal("hosts", hosts, [(host or "localhost", origin.ports["https"], "https")])


def drained(scratch, name, step):
    result = same(scratch, [harness.program(name), step, origin.url("https", BODY)])
    seen(result, {"opened": 1, "drained": 1}, "steps.example" if name != "tls_bio" else "bio.example")


def half(scratch, name, step):
    result = same(scratch, [harness.program(name), step, origin.url("https", BIG), "half"])
    equal("connections and bodies", totals(result.report), (1, {"opened": 1, "unclosed": 1}))
    found = findings(result.report, above_note=True)
    equal("findings", [(f["rule"], f["severity"], f["count"], f["host"]) for f in found],
          [("unclosed-body", "error", 1, "steps.example")])
    check(found[0]["bytes_read"] >= 1990000 and found[0]["bytes_expected"] == 4000000, lambda: brief(result.report))


for library, steps in (("tls_steps", ("nested", "fd", "random")), ("tls_gnutls", ("nested", "random", "packet"))):
    for one in steps:
        suite.test(f"{library} {one}: read to the end", library, one)(drained)
        suite.test(f"{library} {one}: left in the middle", library, one)(half)

for one in ("plain", "buffered", "ex"):
    suite.test(f"OpenSSL's own connecting BIO, {one}", "tls_bio", one)(drained)


@suite.test("GnuTLS sends that are resumed without their data")
def resumed(scratch):
    result = same(scratch, [harness.program("tls_gnutls"), "resume", origin.url("https", BODY)])
    seen(result, {"opened": 1, "drained": 1}, "steps.example")


ASYNCIO = """
import asyncio, ssl, sys
context = ssl._create_unverified_context()
paths = sys.argv[2:]
async def fetch(port, path):
    reader, writer = await asyncio.open_connection("localhost", port, ssl=context)
    writer.write(f"GET {path} HTTP/1.1\\r\\nHost: localhost:{port}\\r\\nConnection: close\\r\\n\\r\\n".encode())
    size = len(await reader.read())
    writer.close()
    return size
async def main():
    return await asyncio.gather(*(fetch(int(sys.argv[1]), path) for path in paths))
print(asyncio.run(main()))
"""


@suite.test("memory BIOs of Python's asyncio, twenty at once")
def asyncio_memory(scratch):
    paths = ["/bytes/100000", "/chunked/50000", "/close/70000", "/bytes/1"] * 5
    result = same(scratch, [harness.PYTHON, "-c", ASYNCIO, str(origin.ports["https"]), *paths])
    seen(result, {"opened": 20, "drained": 20})


SERVER_AND_CLIENT = """
import http.client, http.server, ssl, subprocess, sys, threading
subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
                "-subj", "/CN=localhost", "-keyout", "key.pem", "-out", "certificate.pem"], check=True, stderr=subprocess.DEVNULL)
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "100000")
        self.end_headers()
        self.wfile.write(b"x" * 100000)
    def log_message(self, *_):
        pass
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain("certificate.pem", "key.pem")
server.socket = context.wrap_socket(server.socket, server_side=True)
threading.Thread(target=server.serve_forever, daemon=True).start()
for _ in range(3):
    client = http.client.HTTPSConnection("localhost", server.server_port, context=ssl._create_unverified_context())
    for _ in range(2):
        client.request("GET", "/")
        print(len(client.getresponse().read()))
    client.close()
server.shutdown()
"""


@suite.test("a process that is server and client: only the client's side counts")
def server_and_client(scratch):
    harness.need("openssl")
    result = same(scratch, [harness.PYTHON, "-c", SERVER_AND_CLIENT])
    equal("connections and bodies", totals(result.report), (3, {"opened": 6, "drained": 6}))
    harness.no_alarm(result.report)
    harness.not_blind(result.report)


URLLIB3 = """
import ssl, sys, urllib3
context = ssl._create_unverified_context()
pool = urllib3.ProxyManager(f"https://127.0.0.1:{sys.argv[1]}", proxy_ssl_context=context, cert_reqs="CERT_NONE", assert_hostname=False)
for path in "/bytes/100000", "/chunked/50000":
    print(len(pool.request("GET", "https://api.example:8443" + path).data))
"""


def through_tls(scratch, argv):
    """A proxy that is spoken to over TLS, and TLS to the server inside that."""
    result = same(scratch, argv)
    equal("connections and bodies", totals(result.report), (1, {"opened": 2, "drained": 2}))
    harness.no_alarm(result.report)
    harness.not_blind(result.report)
    equal("hosts", [(h["host"], h["port"], h["scheme"]) for h in result.report["hosts"]], [("api.example", 8443, "https")])


@suite.test("TLS inside TLS: curl, whose inner BIO calls the outer object")
def curl_inside(scratch):
    url = "https://api.example:8443"
    through_tls(scratch, [harness.need("curl"), "-skS", "--proxy-insecure", "-x", origin.url("https", "", "127.0.0.1"),
                          url + "/bytes/100000", "-o", "/dev/null", url + "/chunked/50000", "-o", "/dev/null"])


@suite.test("TLS inside TLS: Python, whose inner object has memory BIOs")
def python_inside(scratch):
    through_tls(scratch, [harness.PYTHON, "-c", URLLIB3, str(origin.ports["https"])])


FORKED = """
import http.client, os, ssl, sys
def fetch():
    client = http.client.HTTPSConnection("localhost", int(sys.argv[1]), context=ssl._create_unverified_context())
    client.request("GET", "/bytes/100000")
    size = len(client.getresponse().read())
    client.close()
    return size
print(fetch(), flush=True)
child = os.fork()
if child == 0:
    print(fetch(), fetch(), flush=True)
    os._exit(0)
os.waitpid(child, 0)
print(fetch(), flush=True)
"""


@suite.test("a fork child starts anew, its parent goes on")
def forked(scratch):
    result = same(scratch, [harness.PYTHON, "-c", FORKED, str(origin.ports["https"])])
    equal("traces", len(result.traces), 2)
    seen(result, {"opened": 4, "drained": 4})


def compile_plugin(scratch, name, libssl):
    """The plugin, linked with that libssl."""
    compiler = harness.need(os.environ.get("CC", "gcc"))
    path = scratch.path(name)
    done = subprocess.run([compiler, "-std=gnu17", "-D_GNU_SOURCE", "-g", "-shared", "-fPIC", "-o", path,
                           os.path.join(harness.SOURCES, "plugin", "tls_plugin.c"), libssl, "-lcrypto",
                           f"-Wl,-rpath,{scratch.directory}"], capture_output=True, check=False)
    check(done.returncode == 0, done.stderr.decode)
    return path


def system_libssl():
    listing = subprocess.run(["/sbin/ldconfig", "-p"], capture_output=True, text=True, check=True).stdout
    match = re.search(r"(libssl\.so\.[0-9.]+) .*x86-64.* => (\S+)", listing)
    if not match:
        raise harness.Skip("no libssl")
    return match[1], os.path.realpath(match[2])


def another_libssl(scratch):
    """A copy of libssl that goes by another name, so that both are in one process."""
    soname, path = system_libssl()
    other = soname[:-1] + "9"
    with open(path, "rb") as file:
        data = file.read()
    check(soname.encode() + b"\0" in data, "no soname in libssl")
    return scratch.write(other, data.replace(soname.encode() + b"\0", other.encode() + b"\0"), 0o755), path


def copies(scratch, order):
    other, system = another_libssl(scratch)
    plugins = {"system": compile_plugin(scratch, "uses_system.so", system), "other": compile_plugin(scratch, "uses_other.so", other)}
    argv = [harness.program("tls_copies"), origin.url("https", "/close/200000"), *(plugins[name] for name in order)]
    result = same(scratch, argv)
    lines = result.output.decode().splitlines()
    check(len(lines) == 2 * len(order) - 1 and all(re.search(r" right \d\d+ wrong 0$", line) for line in lines), lambda: str(lines))
    equal("libraries that worked", len({line.split()[0] for line in lines}), len(order))
    seen(result, {"opened": len(lines), "drained": len(lines)})


suite.test("libssl loaded with local scope", ["system"])(copies)
suite.test("two copies of libssl, each used by its own plugin", ["system", "other"])(copies)
suite.test("the other copy first", ["other", "system"])(copies)

suite.main()
