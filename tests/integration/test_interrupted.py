#!/usr/bin/python3
"""No false alarm where work is cut short or takes long: signals in mid-transfer, long polls, event
streams, back pressure."""
import os
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import harness  # noqa: E402
from harness import brief, check, equal, need, signal  # noqa: E402

suite = harness.Suite()
origin = suite.stack.enter_context(harness.Origin())
SLOW = "/slow/2000000?ms=20"
PYTHON_READ = (
    "import ssl, sys, urllib.request; c = ssl._create_unverified_context()\n"
    "sys.stdout.buffer.write(urllib.request.urlopen(sys.argv[1], context=c).read())"
)
REQUESTS_READ = (
    "import sys, requests, warnings; warnings.simplefilter('ignore')\n"
    "print(len(requests.get(sys.argv[1], verify=False).content))"
)
AIOHTTP_READ = """import aiohttp, asyncio, sys
async def main():
    async with aiohttp.ClientSession() as session:
        async with session.get(sys.argv[1], ssl=False) as response:
            print(len(await response.read()))
asyncio.run(main())"""
RUBY_READ = (
    "require 'net/http'; require 'openssl'; u = URI(ARGV[0]); "
    "Net::HTTP.start(u.host, u.port, use_ssl: u.scheme == 'https', verify_mode: OpenSSL::SSL::VERIFY_NONE) "
    "{ |h| h.get(u.request_uri) }"
)
PERL_READ = "use HTTP::Tiny; HTTP::Tiny->new(verify_SSL => 0)->get($ARGV[0])"
PHP_READ = (
    "echo strlen(file_get_contents($argv[1], false, stream_context_create(['ssl' => ['verify_peer' => false, "
    "'verify_peer_name' => false]])));"
)


def signals(scheme):
    """Over TLS only the one whose handlers run most of a program's own code, unless there is
    time."""
    return (
        (signal.SIGINT, signal.SIGTERM, signal.SIGKILL)
        if scheme == "http" or harness.LONG
        else (signal.SIGINT,)
    )


def clients(url):
    return {
        "curl": ["-skN", "-o", "/dev/null", url],
        "wget": ["-q", "--no-check-certificate", "--no-hsts", "-O", "/dev/null", url],
        harness.PYTHON: ["-c", PYTHON_READ, url],
        "ruby": ["-e", RUBY_READ, url],
        "perl": ["-e", PERL_READ, url],
        "php": ["-r", PHP_READ, "--", url],
    }


def has_body(traces):
    """A body is under way in some trace that can already be read."""
    for trace in traces:
        done = harness.report_run(["--json", "-", trace])
        if (
            done.returncode in (0, 23)
            and harness.json.loads(done.stdout)["totals"]["bodies"]["opened"] > 0
        ):
            return True
    return False


def interrupt(scratch, argv, number, in_the_middle):
    """Status and report of a program that gets a signal once its transfer is under way."""
    process, folder = scratch.start(argv)
    try:
        harness.wait_until(lambda: has_body(harness.trace_files(folder)), "a body under way")
        time.sleep(in_the_middle)
    finally:
        status = harness.end(process, number)
    return status, harness.report(harness.trace_files(folder)), folder


def bare_status(scratch, argv, number, under_way):
    process, _ = scratch.start(argv, preload=False)
    try:
        harness.wait_until(
            lambda: origin.control("/_stats")[under_way]["requests"] > 0, "a request"
        )
        time.sleep(0.4)
    finally:
        status = harness.end(process, number)
    return status


def interrupted(scratch, scheme, tool, arguments):
    argv = [need(tool), *arguments]
    for number in signals(scheme):
        origin.clear()
        bare = (
            128 + number if number == signal.SIGKILL else bare_status(scratch, argv, number, scheme)
        )
        status, report, _ = interrupt(scratch, argv, number, 0.1)
        equal(f"status after {number.name}", status, bare)
        harness.no_error(report)
        bodies = report["totals"]["bodies"]
        check(
            bodies["opened"] == 1 and bodies["drained"] == 0 and bodies["failed"] == 0,
            lambda r=report: brief(r),
        )


def interrupted_module(scratch, scheme, module, code):
    if (
        subprocess.run(
            [harness.PYTHON, "-c", f"import {module}"], check=False, capture_output=True
        ).returncode
        != 0
    ):
        raise harness.Skip(f"python3-{module} is not installed")
    interrupted(scratch, scheme, harness.PYTHON, ["-c", code, origin.url(scheme, SLOW)])


def interrupted_ab(scratch, scheme):
    """Several transfers at once; ab answers SIGINT with its results and an ordered exit."""
    ab = need("ab")
    for number in signals(scheme):
        argv = [ab, "-q", "-c", "5", "-n", "50", origin.url(scheme, SLOW, "127.0.0.1")]
        _, report, _ = interrupt(scratch, argv, number, 0.1)
        harness.no_error(report)
        equal("opened", report["totals"]["bodies"]["opened"], 5)


def interrupted_group(scratch, scheme, argv, env):
    """Signals as a terminal sends them: to the program and its helpers, which are the clients."""
    for number in signals(scheme):
        process, folder = scratch.start(argv, env=env, start_new_session=True)
        try:
            harness.wait_until(
                lambda f=folder: has_body(harness.trace_files(f)), "a body under way"
            )
            os.killpg(process.pid, number)
        finally:
            harness.end(process, number)
        harness.no_error(harness.report(harness.trace_files(folder)))


def interrupted_git(scratch, scheme):
    url = origin.url(scheme, "/slow/2000000")
    env = {"HOME": scratch.directory, "GIT_SSL_NO_VERIFY": "1", "GIT_CONFIG_NOSYSTEM": "1"}
    interrupted_group(scratch, scheme, [need("git"), "clone", "-q", url, "clone"], env)


def interrupted_apt(scratch, scheme):
    os.chmod(scratch.directory, 0o755)  # its methods run as another user
    for name in ("state/lists/partial", "cache/archives/partial", "etc", "log"):
        os.makedirs(scratch.path("apt", name))
    settings = {
        "Dir::State": scratch.path("apt/state"),
        "Dir::State::status": scratch.write("apt/state/status", ""),
        "Dir::Cache": scratch.path("apt/cache"),
        "Dir::Etc": scratch.path("apt/etc"),
        "Dir::Log": scratch.path("apt/log"),
        "Dir::Etc::sourcelist": scratch.write(
            "sources.list", f"deb [trusted=yes] {origin.url(scheme, '/slow/2000000')} ./\n"
        ),
        "Acquire::https::Verify-Peer": "false",
        "Acquire::https::Verify-Host": "false",
        "Acquire::http::Proxy": "DIRECT",
        "Acquire::https::Proxy": "DIRECT",
    }
    words = [word for name, value in settings.items() for word in ("-o", f"{name}={value}")]
    env = {"APT_CONFIG": scratch.write("empty.conf", "")}
    interrupted_group(scratch, scheme, [need("apt-get"), "update", *words], env)


def interrupted_run(scratch):
    """The same when `httpleak run` saw the end: what was progressing then is no leak."""
    url = origin.url("http", SLOW)
    for name, status in (("TERM", 143), ("KILL", 137)):
        result = scratch.run(
            ["/bin/sh", "-c", f"(sleep 1; kill -{name} $$) & exec curl -sN -o /dev/null '{url}'"],
            "--grace",
            "0.5",
        )
        equal("status", result.status, status)
        harness.no_error(result.report)


def waits(scratch, scheme, path, argv, seconds=2.5):
    """Seen while it waits, longer than the grace, and after it was killed: no error, not even a
    warning."""
    process, folder = scratch.start([*argv, origin.url(scheme, path)])
    try:
        harness.wait_until(lambda: len(harness.trace_files(folder)) == 1, "a trace")
        time.sleep(seconds)
        running = harness.report(harness.trace_files(folder), "--grace", "1")
        equal("end", running["processes"][0]["end"], "running")
        equal("opened", running["totals"]["connections"]["opened"], 1)
        harness.no_alarm(running)
    finally:
        harness.end(process, signal.SIGKILL)
    harness.no_alarm(harness.report(harness.trace_files(folder), "--grace", "1"))


def stopped_wait(scratch, scheme, path, argv):
    """Ended by SIGTERM in the middle of waiting, seen by `httpleak run`."""
    command = " ".join(f"'{word}'" for word in [*argv, origin.url(scheme, path)])
    result = scratch.run(
        ["/bin/sh", "-c", f"(sleep 2.5; kill -TERM $$) & exec {command}"], "--grace", "1"
    )
    harness.no_alarm(result.report)


def slow_pipe(scratch, scheme, ending):
    """`curl | slow reader`: curl is blocked writing while its socket is full."""
    curl = need("curl")
    reader, writer = os.pipe()
    process, folder = scratch.start(
        [curl, "-sk", origin.url(scheme, "/bytes/20000000")], stdout=writer
    )
    os.close(writer)
    try:
        harness.wait_until(lambda: has_body(harness.trace_files(folder)), "a body under way")
        time.sleep(2.5)
        harness.no_error(harness.report(harness.trace_files(folder), "--grace", "1"))
        if ending is None:
            size = 0
            while data := os.read(reader, 1 << 16):
                size += len(data)
            equal("size", size, 20000000)
            equal("status", process.wait(20), 0)
            final = harness.report(harness.trace_files(folder), "--grace", "1")
            equal("drained", final["totals"]["bodies"]["drained"], 1)
            harness.no_alarm(final)
        else:
            harness.end(process, ending)
            harness.no_error(harness.report(harness.trace_files(folder), "--grace", "1"))
    finally:
        os.close(reader)
        harness.end(process, signal.SIGKILL)


def nginx_back_pressure(scratch, buffering, stopped=False):
    """A reverse proxy whose client reads slowly: what it leaves in the upstream's socket is not forgotten."""
    need("nginx")
    curl = need("curl")
    folder = scratch.folder()
    env = harness.environment(
        None, harness.LIBRARY, f"trace={folder}/httpleak.%e.%p.trace:summary=0"
    )
    server = (
        f"location / {{ proxy_pass http://127.0.0.1:{origin.ports['http']};"
        f" proxy_buffering {buffering}; proxy_max_temp_file_size 0; }}"
    )
    reader, writer = os.pipe()
    with harness.Nginx(scratch.folder("nginx"), server, env=env) as nginx:
        client = subprocess.Popen(
            [curl, "-s", nginx.url("/bytes/40000000")], stdout=writer, env=harness.environment()
        )
        os.close(writer)
        try:
            harness.wait_until(lambda: has_body(harness.trace_files(folder)), "a body under way")
            time.sleep(2.5)
            harness.no_error(harness.report(harness.trace_files(folder), "--grace", "1"))
            if stopped:
                equal("status", harness.end(nginx.process), 0)
                harness.no_error(harness.report(harness.trace_files(folder)))
                return
            size = 0
            while data := os.read(reader, 1 << 16):
                size += len(data)
            equal("size", size, 40000000)
        finally:
            os.close(reader)
            harness.end(client)
        harness.no_alarm(harness.report(harness.trace_files(folder), "--grace", "1"))
        harness.end(nginx.process, signal.SIGQUIT)
    final = harness.report(harness.trace_files(folder))
    harness.no_alarm(final)
    equal("drained", final["totals"]["bodies"]["drained"], 1)


def nginx_stopped(scratch, number, path, master):
    """A reverse proxy that is told to go while requests are in flight: SIGTERM drops them, SIGQUIT
    finishes them."""
    need("nginx")
    curl = need("curl")
    folder = scratch.folder()
    env = harness.environment(
        None, harness.LIBRARY, f"trace={folder}/httpleak.%e.%p.trace:summary=0"
    )
    http = f"upstream back {{ server 127.0.0.1:{origin.ports['http']}; keepalive 4; }}"
    server = "location / { proxy_pass http://back; proxy_http_version 1.1; proxy_set_header Connection ''; }"
    origin.clear()
    with harness.Nginx(scratch.folder("nginx"), server, http, master=master, env=env) as nginx:
        loads = [
            subprocess.Popen(
                [curl, "-sN", "-o", "/dev/null", nginx.url(path)], env=harness.environment()
            )
            for _ in range(4)
        ]
        try:
            harness.wait_until(
                lambda: origin.control("/_stats")["http"]["requests"] == 4, "requests in flight"
            )
            time.sleep(0.5)
            harness.no_error(harness.report(harness.trace_files(folder)))
            nginx.process.send_signal(number)
            equal("status", nginx.process.wait(30), 0)
        finally:
            for load in loads:
                harness.end(load)
    traces = harness.trace_files(folder)
    check(traces, "nginx left no trace")
    report = harness.report(traces)
    harness.no_error(report)
    bodies = report["totals"]["bodies"]
    if number == signal.SIGQUIT and path != "/hang":
        equal("drained", bodies["drained"], 4)


for tls in ("http", "https"):
    for client, words in clients(origin.url(tls, SLOW)).items():
        suite.test(
            f"{os.path.basename(client)} interrupted, terminated, killed ({tls})",
            tls,
            client,
            words,
        )(interrupted)
    suite.test(f"requests interrupted, terminated, killed ({tls})", tls, "requests", REQUESTS_READ)(
        interrupted_module
    )
    suite.test(f"aiohttp interrupted, terminated, killed ({tls})", tls, "aiohttp", AIOHTTP_READ)(
        interrupted_module
    )
    suite.test(f"ab interrupted, terminated, killed ({tls})", tls)(interrupted_ab)
    suite.test(f"git interrupted, terminated, killed ({tls})", tls)(interrupted_git)
    suite.test(f"apt-get interrupted, terminated, killed ({tls})", tls)(interrupted_apt)
    suite.test(f"a long poll by curl ({tls})", tls, "/longpoll/60", ["curl", "-sk"])(waits)
    suite.test(
        f"a long poll by Python ({tls})", tls, "/longpoll/60", [harness.PYTHON, "-c", PYTHON_READ]
    )(waits)
    suite.test(f"an event stream by curl ({tls})", tls, "/events", ["curl", "-skN"])(waits)
    suite.test(
        f"an event stream by Python ({tls})", tls, "/events", [harness.PYTHON, "-c", PYTHON_READ]
    )(waits)
    suite.test(
        f"a response that stalls after its head ({tls})", tls, "/head-then-stall", ["curl", "-skN"]
    )(waits)
    suite.test(f"a long poll terminated under run ({tls})", tls, "/longpoll/60", ["curl", "-sk"])(
        stopped_wait
    )
    suite.test(f"curl | slow reader ({tls})", tls, None)(slow_pipe)
    suite.test(f"curl | slow reader, terminated ({tls})", tls, signal.SIGTERM)(slow_pipe)
suite.test("curl | slow reader, killed", "http", signal.SIGKILL)(slow_pipe)
suite.test("curl terminated and killed under run")(interrupted_run)
suite.test("nginx behind a slow client, buffering", "on")(nginx_back_pressure)
suite.test("nginx behind a slow client, not buffering", "off")(nginx_back_pressure)
suite.test("nginx behind a slow client, stopped at once", "off", True)(nginx_back_pressure)
suite.test("nginx stopped at once, requests in flight", signal.SIGTERM, "/slow/60000?ms=40", True)(
    nginx_stopped
)
suite.test("nginx stopped at once, one process", signal.SIGTERM, "/slow/60000?ms=40", False)(
    nginx_stopped
)
suite.test("nginx stopped at once, no answer yet", signal.SIGTERM, "/hang", True)(nginx_stopped)
suite.test("nginx stopped in order, requests in flight", signal.SIGQUIT, "/slow/60000?ms=40", True)(
    nginx_stopped
)
suite.main()
