#!/usr/bin/python3
"""TLS that the kernel does, with a kernel that has it: OpenSSL's clients with the option KTLS, and programs that give the kernel their
keys by hand. One boot of an emulated machine, whose nginx is the peer; a test looks at each program's trace. With HTTPLEAK_TEST_LONG=1."""
import functools
import os
import re
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import harness  # noqa: E402
from harness import brief, check, equal, findings, need  # noqa: E402
from machine import Machine  # noqa: E402

suite = harness.Suite()
SIZE, BIG = 300000, 1000000
P12, P13, FRONT = 8443, 8444, 8081

NGINX = """
user root; daemon {daemon}; error_log /tmp/{name}.log; pid /tmp/{name}.pid; events {{}}
http {{ access_log off; client_body_temp_path /tmp/{name}.b; proxy_temp_path /tmp/{name}.p; fastcgi_temp_path /tmp/{name}.f;
uwsgi_temp_path /tmp/{name}.u; scgi_temp_path /tmp/{name}.s; {http} }}
"""
SERVER = """sendfile on; ssl_certificate /srv/certificate.pem; ssl_certificate_key /srv/key.pem; ssl_conf_command Options KTLS;
root /srv; ssi_types *;
server {{ listen 127.0.0.1:{} ssl; ssl_protocols TLSv1.2; include /srv/locations; }}
server {{ listen 127.0.0.1:{} ssl; ssl_protocols TLSv1.3; include /srv/locations; }}"""
# Includes that nobody asks for: a body whose length the server does not know.
LOCATIONS = 'location /said { return 200 "hello\\n"; } location /open/ { alias /srv/bytes/; ssi on; }'
PROXY = f"""upstream up {{ server 127.0.0.1:{P12}; keepalive 2; }}
server {{ listen 127.0.0.1:{FRONT}; location / {{ proxy_pass https://up; proxy_ssl_protocols TLSv1.2; proxy_ssl_conf_command Options KTLS;
proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header Host front.example; }} }}"""
OPENSSL = "openssl_conf = a\n[a]\nssl_conf = b\n[b]\nsystem_default = c\n[c]\nOptions = KTLS\n"
PYTHON = f"""import http.client, os, ssl
kept = []
for _ in range(2):
    client = http.client.HTTPSConnection("localhost", {P12}, context=ssl._create_unverified_context())
    client.request("GET", "/bytes/{SIZE}")
    kept.append((client, client.getresponse()))
os._exit(0)
"""
FUNCTIONS = """
stat() { grep -E 'Tls[TR]xSw' /proc/net/tls_stat; }
run() {
    name=$1; shift; echo $(cat /proc/uptime) $name; mkdir -p /out/$name/traces; stat >/out/$name/before
    HTTPLEAK_OPTIONS=summary=0:max_trace=1M:trace=/out/$name/traces/%e.%p.trace LD_PRELOAD=$LIBRARY OPENSSL_CONF=/srv/openssl.cnf \
        "$@" >/out/$name/output 2>&1
    echo $? >/out/$name/status; stat >/out/$name/after
}
"""


def url(port, path):
    return f"https://localhost:{port}{path}"


class Case:
    """A program, and what is expected: connections and bodies; by how much the kernel's counts of sending and of receiving sockets
    grew (the peer's half included); host; objects of one finding and where its first frame is."""

    def __init__(self, argv, connections, bodies, kernel, host, leak=None, port=P12):
        self.argv, self.connections, self.bodies, self.kernel, self.host, self.leak, self.port = argv, connections, bodies, kernel, host, leak, port


def cases():
    raw, keys, granted = (harness.program(name) for name in ("rawleak", "kernel_tls_keys", "kernel_tls_granted"))
    asked = ("keys.c", harness.line_of("kernel_tls/keys.c", "/* the request */"))
    made = {
        "a leak through OpenSSL": Case([raw, url(P12, f"/bytes/{SIZE}"), "unread", "3"], 3, {"opened": 3, "unclosed": 3}, (6, 6), "localhost",
                                       (3, "rawleak.c", None)),
        "Python keeps responses": Case([harness.PYTHON, "/srv/kept.py"], 2, {"opened": 2, "unclosed": 2}, (4, 4), "localhost", (2, "kept.py", 5)),
    }
    for version, port, reads in (("1.2", P12, 2), ("1.3", P13, 0)):
        two = {"opened": 2, "drained": 2}
        for way in ("ssl", "plain", "sendfile"):
            target = url(port, "/said" if way == "sendfile" else f"/bytes/{SIZE}")
            made[f"OpenSSL, TLS {version}, {way}"] = Case([granted, target, version, way], 1, two, (2, reads), "granted.example", port=port)
        for way in ("message", "read"):
            name = f"keys by hand, TLS {version}, {way}"
            kernel = (2, 1 + reads // 2)
            made[name] = Case([keys, url(port, f"/bytes/{SIZE}"), version, way], 1, {"opened": 1, "drained": 1}, kernel, "keys.example", port=port)
            made[f"{name}, to the connection's end"] = Case(
                [keys, url(port, f"/open/{SIZE}"), version, way], 1, {"opened": 1, "drained": 1}, kernel, "keys.example", port=port)
            made[f"{name}, half"] = Case([keys, url(port, f"/open/{SIZE}"), version, way, "half"], 1, {"opened": 1, "unclosed": 1}, kernel,
                                         "keys.example", (1, *asked), port)
    made["OpenSSL, TLS 1.2, plain, half"] = Case(
        [granted, url(P12, f"/bytes/{SIZE}"), "1.2", "plain", "half"], 1, {"opened": 2, "drained": 1, "unclosed": 1}, (2, 2), "granted.example",
        (1, "granted.c", harness.line_of("kernel_tls/granted.c", "write(fd, head")))
    made["nginx as a proxy"] = Case(["sh", "/srv/proxy"], 1, {"opened": 2, "drained": 2}, (2, 2), "front.example")
    return made


def add_python(machine):
    asked = "import sys, http.client, ssl, encodings.idna, stringprep\n" \
            "print('\\n'.join(m.__file__ for m in sys.modules.values() if getattr(m, '__file__', None)))"
    done = subprocess.run([harness.PYTHON, "-c", asked], capture_output=True, text=True, check=True)
    machine.program(harness.PYTHON)
    for path in set(done.stdout.split()):
        (machine.program if path.endswith(".so") else machine.copy)(path)
    machine.tree(os.path.join(os.path.dirname(os.__file__), "encodings"))
    machine.write("/srv/kept.py", PYTHON)


def filled(folder):
    machine = Machine()
    for path in {case.argv[0] for case in CASES.values()} | {need("nginx"), need("curl")}:
        if os.path.isabs(path) and path != harness.PYTHON:
            machine.program(path)
    add_python(machine)
    machine.copy(harness.LIBRARY)
    subprocess.run([need("openssl"), "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "30",
                    "-subj", "/CN=localhost", "-keyout", "key.pem", "-out", "certificate.pem"], cwd=folder, capture_output=True, check=True)
    for name in ("key.pem", "certificate.pem"):
        machine.copy(os.path.join(folder, name), f"/srv/{name}")
    for size in (SIZE, BIG):
        machine.write(f"/srv/bytes/{size}", b"x" * size)
    machine.write("/srv/openssl.cnf", OPENSSL)
    machine.write("/srv/locations", LOCATIONS)
    machine.write("/srv/nginx.conf", NGINX.format(name="server", daemon="on", http=SERVER.format(P12, P13)))
    machine.write("/srv/proxy.conf", NGINX.format(name="proxy", daemon="on; master_process off", http=PROXY))
    machine.write("/srv/proxy", "nginx -c /srv/proxy.conf; unset LD_PRELOAD OPENSSL_CONF; set -- http://localhost:%d\n"
                  "curl -sS -o /dev/null $1/bytes/%d -o /dev/null $1/bytes/%d; status=$?\n"
                  "kill -QUIT $(cat /tmp/proxy.pid); while [ -e /tmp/proxy.pid ]; do sleep 0.1; done; exit $status\n" % (FRONT, SIZE, BIG))
    return machine


def named(name):
    return re.sub(r"\W+", "-", name)


@functools.lru_cache
def outcome():
    """The folder that the machine left."""
    folder = suite.stack.enter_context(tempfile.TemporaryDirectory(prefix="httpleak-test."))
    commands = f"modprobe tls\nLIBRARY={harness.LIBRARY}\n{FUNCTIONS}nginx -c /srv/nginx.conf\n"
    for name, case in CASES.items():
        commands += f"run {named(name)} {' '.join(case.argv)}\n"
    filled(folder).run(commands, folder, 400)
    return folder


def read(folder, name):
    with open(os.path.join(folder, name), encoding="utf-8", errors="replace") as file:
        return file.read()


def grown(folder):
    before, after = (dict(line.split() for line in read(folder, name).splitlines()) for name in ("before", "after"))
    return tuple(int(after[name]) - int(before[name]) for name in ("TlsTxSw", "TlsRxSw"))


def judged(_, name):
    case, folder = CASES[name], os.path.join(outcome(), named(name))
    equal(f"status ({read(folder, 'output')[-400:]})", read(folder, "status"), "0\n")
    equal("sockets whose TLS the kernel did", grown(folder), case.kernel)
    traces = harness.trace_files(os.path.join(folder, "traces"))
    report = harness.report(traces)
    totals = report["totals"]
    got = totals["connections"]["opened"], {key: n for key, n in totals["bodies"].items() if n}
    check(got == (case.connections, case.bodies), lambda: f"{case.connections} and {case.bodies} expected\n{brief(report)}")
    equal("hosts", [(h["host"], h["port"], h["scheme"]) for h in report["hosts"]], [(case.host, case.port, "https")])
    harness.not_blind(report)
    harness.replays(traces)
    found = findings(report, above_note=True)
    if not case.leak:
        harness.no_alarm(report)
        return
    count, file, line = case.leak
    equal("findings", [(f["rule"], f["severity"], f["count"], f["host"]) for f in found], [("unclosed-body", "error", count, case.host)])
    frame = found[0]["stacks"]["request"][0]
    equal("file", os.path.basename(frame["file"]), file)
    equal("line", frame["line"], line or frame["line"])


CASES = cases() if harness.LONG else {}
for one in CASES:
    suite.test(one, one)(judged)

if __name__ == "__main__":
    suite.main()
