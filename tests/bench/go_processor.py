#!/usr/bin/python3
"""The Go keep-alive client in processor time and page faults a request: what go_rows.py measures by the clock, for a busy machine.

Client and server pinned to one CPU, so their processor time together is what a request takes. Bare and traced in alternating
rounds, what a start takes off. go_processor.py VERSION [LIBRARY...]: other builds of the recorder to compare; BENCH_ROUNDS,
BENCH_REQUESTS (default 5000).
"""
import importlib.machinery
import importlib.util
import os
import statistics
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
loader = importlib.machinery.SourceFileLoader("bench", os.path.join(HERE, "run"))
bench = importlib.util.module_from_spec(importlib.util.spec_from_loader("bench", loader))
loader.exec_module(bench)
REQUESTS = int(os.environ.get("BENCH_REQUESTS", "5000"))
FEW = 20  # requests of a run that is nearly all start


def server_time(nginx):
    with open(f"/proc/{nginx.process.pid}/schedstat", encoding="ascii") as file:
        return int(file.read().split()[0])


def run(binary, nginx, directory, library, requests):
    """(ns of processor time, page faults) of one run, client and server together."""
    env = bench.environment(library is not None, directory)
    if library:
        env["LD_PRELOAD"] = library
    before = server_time(nginx)
    client = subprocess.Popen([binary, f"http://127.0.0.1:{nginx.port}", "1", str(requests), "keep"], env=env,
                              preexec_fn=bench.pin, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(client.pid, 0)
    client.returncode = status
    bench.clear(directory)
    if status:
        sys.exit(f"go_processor: the client ended with {status}")
    return (usage.ru_utime + usage.ru_stime) * 1e9 + server_time(nginx) - before, usage.ru_minflt


def main():
    binary = bench.go_rows.golang.build(sys.argv[1], "default", "stress")
    libraries = [None] + (sys.argv[2:] or [bench.LIB])
    with tempfile.TemporaryDirectory(prefix="httpleak-bench.") as directory, tempfile.TemporaryDirectory() as where:
        nginx = bench.Nginx(where)
        try:
            starts = [[run(binary, nginx, directory, library, FEW) for _ in range(7)] for library in libraries]
            start = [[statistics.median(x[i] for x in runs) for i in (0, 1)] for runs in starts]
            rounds = []
            for i in range(bench.ROUNDS):
                order = list(range(len(libraries)))
                order = order[i % len(order):] + order[:i % len(order)]
                got = {n: run(binary, nginx, directory, libraries[n], REQUESTS) for n in order}
                rounds.append([[(got[n][k] - start[n][k]) / REQUESTS for k in (0, 1)] for n in range(len(libraries))])
        finally:
            nginx.stop()
    for n, library in enumerate(libraries):
        ratios = sorted(r[0][0] / r[n][0] for r in rounds)
        quarter = len(ratios) // 4
        print(f"Go {sys.argv[1]} {library or 'bare'}: {statistics.median(r[n][0] for r in rounds):.0f} ns, "
              f"{statistics.median(r[n][1] for r in rounds):.3f} faults a request; {statistics.median(ratios):.3f} of bare "
              f"(half of the rounds {ratios[quarter]:.3f} to {ratios[-1 - quarter]:.3f})")


if __name__ == "__main__":
    main()
