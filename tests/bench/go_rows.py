"""The benchmark's rows for Go programs, built by the oldest and the newest Go that is there; none where no Go is."""
import os
import statistics
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests", "integration"))
import golang  # noqa: E402


MORE = 4  # times as many rounds: the aim is three in a hundred, and that is what a neighbour takes now and then


def keep_alive(binary, port, env, pin, requests):
    """Nanoseconds for a request and its answer, read and closed."""
    out = subprocess.run([binary, f"http://127.0.0.1:{port}", "1", str(requests), "keep"], env=env, preexec_fn=pin,
                         stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True)
    return float(out.stdout)


def versions():
    found = golang.toolchains()
    return [version for version in golang.ENDS if version in found]


def throughput(bench, directory, port):
    """Rows of the keep-alive loop; port: a server that answers /bytes/100."""
    rows = []
    for version in versions():
        binary = golang.build(version, "default", "stress")

        def run(traced, binary=binary):
            spent = keep_alive(binary, port, bench.environment(traced, directory), bench.pin, 10000)
            bench.clear(directory)
            return spent
        a, b = bench.alternate(lambda: run(False), lambda: run(True), MORE * bench.ROUNDS)
        ratio = statistics.median(x / y for x, y in zip(a, b))
        rows.append(bench.Row(f"Go {version} keep-alive client against nginx, throughput of bare", "", ratio, 0.97, False,
                              f"bare {1e9 / statistics.median(a):.0f}/s, traced {1e9 / statistics.median(b):.0f}/s"))
    return rows


def start_up(bench, directory):
    """Rows of a program that links net/http and does nothing: finding, checking and patching."""
    rows = []
    for version in versions():
        argv = [golang.build(version, "default", "sacred"), "none", "-"]
        rows.append(bench.added(f"start-up of a Go {version} program, added",
                                lambda a=argv: bench.spawn_time(a, False, directory, 20),
                                lambda a=argv: bench.spawn_time(a, True, directory, 20), "ms", 5, 1e3))
    return rows
