#!/usr/bin/python3
"""make soak: a long-lived client that makes new connections, threads and paths all the time, for SOAK_SECONDS (600 unless set).

The trace must stay bounded and the program's memory flat, and after all that the last few leaks must be reported exactly.
"""
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.path.abspath(os.environ.get("BUILD", os.path.join(ROOT, "build")))
SECONDS = float(os.environ.get("SOAK_SECONDS", "600"))
LEAKS = 7
BODY = 300_000


def serve(listener):
    """Keep-alive: /leak gets a large body, everything else a small one."""

    def answer(connection):
        pending = b""
        with connection:
            while True:
                while b"\r\n\r\n" not in pending:
                    data = connection.recv(65536)
                    if not data:
                        return
                    pending += data
                head, pending = pending.split(b"\r\n\r\n", 1)
                size = BODY if b" /leak" in head else 100
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size + b"x" * size)

    def quietly(connection):
        try:
            answer(connection)
        except OSError:
            pass  # the client was done with it

    while True:
        threading.Thread(target=quietly, args=(listener.accept()[0],), daemon=True).start()


def exchange(connection, path):
    connection.sendall(b"GET %s HTTP/1.1\r\nHost: soak.example\r\n\r\n" % path)
    data = b""
    while b"\r\n\r\n" not in data:
        data += connection.recv(65536)
    head, body = data.split(b"\r\n\r\n", 1)
    left = int(head.split(b"Content-Length: ")[1].split(b"\r\n")[0]) - len(body)
    while left > 0:
        left -= len(connection.recv(65536))


def resident():
    with open("/proc/self/statm", encoding="ascii") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGESIZE")


def client(port, log):
    """Runs under the recorder. A sample a second: exchanges so far, resident bytes."""
    stop = time.monotonic() + SECONDS
    done, lock = [0, 0], threading.Lock()

    def work(first):
        with socket.create_connection(("127.0.0.1", port)) as connection:
            for number in range(50):
                exchange(connection, b"/unique/%d/%d?secret" % (first, number))
        with lock:
            done[0] += 50
            done[1] += 1

    batch = 0
    with open(log, "w", encoding="ascii") as samples:
        while time.monotonic() < stop:
            workers = [threading.Thread(target=work, args=(batch * 4 + n,)) for n in range(4)]
            for worker in workers:
                worker.start()
            for worker in workers:
                worker.join()
            batch += 1
            samples.write(f"{done[0]} {done[1]} {resident()}\n")
            samples.flush()
    kept = []
    for _ in range(LEAKS):
        connection = socket.create_connection(("127.0.0.1", port))
        connection.sendall(b"GET /leak HTTP/1.1\r\nHost: soak.example\r\n\r\n")
        connection.recv(1000)
        kept.append(connection)
    os._exit(0)


def check(results, name, good, detail=""):
    results.append(good)
    print(f"{'ok' if good else 'not ok'} {len(results)} - {name}" + (f"\n# {detail}" if not good else ""), flush=True)


def main():
    listener = socket.create_server(("127.0.0.1", 0), backlog=512)
    server = os.fork()
    if server == 0:
        serve(listener)
    results = []
    with tempfile.TemporaryDirectory() as directory:
        log, trace = os.path.join(directory, "log"), os.path.join(directory, "soak.trace")
        environment = {**os.environ, "LD_PRELOAD": os.path.join(BUILD, "libhttpleak.so"),
                       "HTTPLEAK_OPTIONS": f"trace={trace}:max_trace=16m:summary=0"}
        run = subprocess.Popen([sys.executable, __file__, "client", str(listener.getsockname()[1]), log], env=environment)
        blocks = [0]
        while run.poll() is None:
            time.sleep(0.5)
            if os.path.exists(trace):
                blocks.append(os.stat(trace).st_blocks * 512)
        report = subprocess.run([os.path.join(BUILD, "httpleak"), "report", "--json", "-", trace], capture_output=True,
                                text=True, check=False)
        with open(log, encoding="ascii") as samples:
            rows = [list(map(int, line.split())) for line in samples]
    exchanges, connections, _ = rows[-1]
    print(f"# {exchanges} exchanges on {connections} connections, trace of {blocks[-1] >> 10} KiB, "
          f"client of {rows[len(rows) // 4][2] >> 10} to {rows[-1][2] >> 10} KiB")
    check(results, "the client ran to its end", run.returncode == 0, f"status {run.returncode}")
    check(results, "the trace stayed within max_trace", 0 < max(blocks) <= 17 << 20, f"{max(blocks)} bytes")
    check(results, "the client's memory is flat after the first quarter", rows[-1][2] - rows[len(rows) // 4][2] < 17 << 20,
          f"{rows[len(rows) // 4][2]} to {rows[-1][2]} bytes")
    check(results, "the report says leaks", report.returncode == 23, report.stderr or f"status {report.returncode}")
    totals = json.loads(report.stdout)["totals"]
    findings = [(finding["rule"], finding["count"]) for finding in json.loads(report.stdout)["findings"]
                if finding["severity"] == "error"]
    check(results, "the leaks at its end are the only errors", findings == [("unclosed-body", LEAKS)], str(findings))
    bodies = {"opened": exchanges + LEAKS, "drained": exchanges, "discarded": 0, "failed": 0, "unclosed": LEAKS}
    check(results, "every body is counted", bodies == {key: totals["bodies"][key] for key in bodies}, str(totals["bodies"]))
    check(results, "every connection is counted", totals["connections"]["opened"] == connections + LEAKS,
          str(totals["connections"]))
    print(f"1..{len(results)}", flush=True)
    os.kill(server, signal.SIGKILL)
    os.waitpid(server, 0)
    sys.exit(0 if all(results) else 1)


if __name__ == "__main__":
    if sys.argv[1:2] == ["client"]:
        client(int(sys.argv[2]), sys.argv[3])
    else:
        main()
