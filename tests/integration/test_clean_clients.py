#!/usr/bin/python3
"""No false alarm: real clients at their normal work. Same output, same status, everything seen, no
finding above note."""
import os
import re
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import harness  # noqa: E402
from harness import brief, check, equal, need  # noqa: E402

suite = harness.Suite()
REPOSITORIES = suite.stack.enter_context(tempfile.TemporaryDirectory(prefix="httpleak-git."))
origin = suite.stack.enter_context(harness.Origin(REPOSITORIES))
CLEAN = os.path.join(harness.SOURCES, "clean")


def judge_seen(report, counts):
    """What the recorder saw is what the server did."""
    totals = report["totals"]
    seen = {
        "accepts": totals["connections"]["opened"],
        "bodies_completed": totals["bodies"]["drained"],
    }
    check(
        all(seen[name] == counts[name] for name in seen),
        lambda: f"the server says {counts}\n{brief(report)}",
    )
    harness.no_alarm(report)
    harness.not_blind(report)
    check(report["verdict"] == "clean", lambda: brief(report))


def same(bare, result, forget=None):
    equal("status", result.status, bare.status)
    outputs = [re.sub(forget, b"", run.output) if forget else run.output for run in (bare, result)]
    check(
        outputs[0] == outputs[1],
        lambda: f"output {outputs[1][-600:]!r}, bare {outputs[0][-600:]!r}",
    )


def compare(scratch, scheme, argv, forget=None, status=0, **options):
    """forget: what may differ between two runs of the bare program."""
    origin.clear()
    bare = scratch.bare(argv, **options)
    check(bare.status == status, lambda: f"bare status {bare.status}: {bare.errors[-500:]}")
    bare_counts = origin.counts(scheme)
    for way in (scratch.preloaded, scratch.run):
        origin.clear()
        result = way(argv, **options)
        check(result.report, "nothing was recorded")
        same(bare, result, forget)
        harness.replays(result.traces)
        counts = origin.counts(scheme)
        equal("requests", counts["requests"], bare_counts["requests"])
        judge_seen(result.report, counts)


def urls(scheme, *paths):
    return [origin.url(scheme, path) for path in paths]


def curl(scratch, scheme):
    paths = urls(
        scheme,
        "/bytes/262144",
        "/chunked/100000",
        "/close/50000",
        "/bytes/9",
        "/status/404",
        "/status/204",
        "/redirect",
    )
    compare(
        scratch, scheme, [need("curl"), "-sSkL", "-w", "%{http_code} %{size_download}\\n", *paths]
    )


def curl_post_and_head(scratch, scheme):
    body = scratch.write("body", b"0123456789" * 200000)  # curl asks before it sends so much
    curl_path, url = need("curl"), origin.url(scheme, "/bytes/5000")
    compare(
        scratch,
        scheme,
        [curl_path, "-sSk", "-T", body, url, "--next", "-skI", url, "--next", "-skd", "a=b", url],
        forget=rb"(?m)^Date:.*$",
    )


def compare_with_nginx(scratch, server, argv_of, status=0):
    """Against a real server: bare, preloaded and under run; argv_of(base URL, port)."""
    need("nginx")
    with harness.Nginx(scratch.folder("nginx"), server) as nginx:
        argv = argv_of(nginx.url("").rstrip("/"))
        outputs = []
        for way in (scratch.bare, scratch.preloaded, scratch.run):
            before = nginx.counts()
            result = way(argv)
            outputs.append((result.status, result.output))
            after = nginx.counts()
            if way != scratch.bare:
                check(result.report, "nothing was recorded")
                judge_seen(result.report, {name: after[name] - before[name] for name in after})
                harness.replays(result.traces)
    check(status in (None, outputs[0][0]), lambda: f"status {outputs[0]}")
    check(outputs[1:] == outputs[:1] * 2, lambda: f"outputs differ: {outputs}")


def curl_and_nginx(scratch):
    """Ranges, multipart ranges, 304, 405, HEAD, compression, all over one connection."""
    curl = need("curl")
    page = scratch.write("www/page.txt", b"a line of text that compresses well\n" * 5000)
    os.utime(page, (1e9, 1e9))

    def argv(base):
        url, out = base + "/page.txt", [
            "-sS",
            "-o",
            "/dev/null",
            "-w",
            "%{http_code} %{size_download} ",
        ]
        date = "If-Modified-Since: Sun, 09 Sep 2001 01:46:40 GMT"
        kinds = [["-r", "0-99"], ["-r", "0-9,100-199,-5"], ["-H", date], ["-I"], ["-X", "DELETE"]]
        kinds += [["--compressed"], ["-d", "form=data"], ["-r", "999999999-"], ["--http1.0"], []]
        words = [curl]
        for kind in kinds:
            words += [*(["--next"] if len(words) > 1 else []), *out, *kind, url]
        return words

    server = f"root {scratch.path('www')}; gzip on; gzip_types text/plain; gzip_min_length 1;"
    compare_with_nginx(scratch, server, argv)


def curl_upload_refused(scratch):
    """The server answers before it has taken the upload, and closes."""
    body = scratch.write("body", b"0123456789" * 300000)
    server = f"root {scratch.path('www')}; client_max_body_size 1k;"
    compare_with_nginx(
        scratch,
        server,
        lambda base: [
            need("curl"),
            "-s",
            "-H",
            "Expect:",
            "-w",
            "%{http_code}",
            "-T",
            body,
            base + "/x",
        ],
        status=None,
    )


def curl_parallel(scratch, scheme):
    argv = [need("curl"), "-sSk", "--parallel", "--parallel-max", "4", "--no-progress-meter"]
    for number in range(8):
        argv += ["-o", f"file{number}", origin.url(scheme, f"/bytes/{200000 + number}")]
    compare(scratch, scheme, argv)


def curl_failing(scratch, scheme):
    """A connection that is refused, a truncated body and a reset: the client's own failures are no
    leaks."""
    curl_path = need("curl")
    for path, status in (("/truncate/100000", 18), ("/reset", 56)):
        bare = scratch.bare([curl_path, "-sko", "/dev/null", origin.url(scheme, path)])
        equal("bare status", bare.status, status)
        result = scratch.run([curl_path, "-sko", "/dev/null", origin.url(scheme, path)])
        same(bare, result)
        harness.no_error(result.report)
        equal("failed", result.report["totals"]["bodies"]["failed"], 1)
    refused = scratch.run([curl_path, "-sk", f"{scheme}://localhost:{harness.free_port()}/"])
    equal("status", refused.status, 7)
    equal("findings", refused.report["findings"], [])
    equal("opened", refused.report["totals"]["connections"]["opened"], 0)


def wget(scratch, scheme):
    paths = urls(
        scheme, "/bytes/262144", "/chunked/100000?trailer=0", "/close/50000", "/redirect"
    )  # wget reads no trailers
    compare(
        scratch,
        scheme,
        [need("wget"), "-q", "--no-check-certificate", "--no-hsts", "-O", "-", *paths],
    )


def script(scratch, scheme, interpreter, name, module=None):
    path = need(interpreter)
    if module and subprocess.run([path, *module], check=False, capture_output=True).returncode != 0:
        raise harness.Skip(f"{' '.join(module)}: not installed")
    compare(scratch, scheme, [path, os.path.join(CLEAN, name), origin.url(scheme, "")])


def ab(scratch, scheme, *options):
    """Many connections, or few that are kept, at once; what it prints besides the counts is
    time."""
    argv = [
        need("ab"),
        "-q",
        "-n",
        "600",
        "-c",
        "8",
        *options,
        origin.url(scheme, "/bytes/20000", "127.0.0.1"),
    ]
    kept = rb"(?m)^(?!Complete requests|Failed requests|HTML transferred|Document Length|Keep-Alive requests).*\n"
    compare(scratch, scheme, argv, forget=kept)


def tls_server(folder):
    sys.path.insert(0, os.path.join(harness.ROOT, "tests", "origin"))
    import origin as module  # pylint: disable=import-outside-toplevel

    certificate, key = module.make_certificate(folder)
    return f"ssl_certificate {certificate}; ssl_certificate_key {key};"


def git_clone(scratch, scheme):
    need("nginx")
    git = harness.git_repository(scratch.directory)
    port = harness.free_port()
    server = f"root {scratch.path('www')};"
    if scheme == "https":
        server += f" listen 127.0.0.1:{port} ssl; {tls_server(scratch.directory)}"
    trees = []
    with harness.Nginx(scratch.folder("nginx"), server) as nginx:
        url = (
            f"https://localhost:{port}/project.git"
            if scheme == "https"
            else nginx.url("/project.git")
        )
        env = {
            "HOME": scratch.directory,
            "GIT_SSL_NO_VERIFY": "1",
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_TERMINAL_PROMPT": "0",
        }
        for number, way in enumerate((scratch.bare, scratch.preloaded, scratch.run)):
            before = nginx.counts()
            target = scratch.path(f"clone{number}")
            result = way([git, "clone", "-q", url, target], env=env)
            check(result.status == 0, lambda r=result: f"git: {r.status} {r.errors}")
            trees.append(
                subprocess.run(
                    [git, "rev-parse", "HEAD^{tree}"], cwd=target, capture_output=True, check=True
                ).stdout
            )
            after = nginx.counts()
            if result.report:
                judge_seen(result.report, {name: after[name] - before[name] for name in after})
            check(way == scratch.bare or result.report, "nothing was recorded")
    equal("trees", len(set(trees)), 1)


GIT_WORK = """set -e
git clone -q "$1/git/$2/www/project.git" work
cd work
for n in 1 2 3; do
    seq $n 30000 >more$n
    git add .
    git commit -q -m "more $n"
    git push -q origin HEAD:work$n
done
git fetch -q origin
git pull -q origin work1
git ls-remote -q origin
git clone -q --depth 1 "$1/git/$2/www/project.git" ../shallow
git -C ../shallow fetch -q --unshallow
git log --oneline --all"""


def git_smart(scratch, scheme):
    """git's own protocol: clone, push, fetch, pull, a shallow clone, against `git http-backend`."""
    git = need("git")
    outputs = []
    for number, way in enumerate((scratch.bare, scratch.preloaded, scratch.run)):
        name = f"{scheme}{number}"
        harness.git_repository(os.path.join(REPOSITORIES, name))
        place = scratch.folder(f"at{number}")
        script = scratch.write("work.sh", GIT_WORK)
        env = {
            "PATH": f"{os.path.dirname(git)}:/usr/bin:/bin",
            "HOME": place,
            "GIT_SSL_NO_VERIFY": "1",
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_TERMINAL_PROMPT": "0",
            **harness.GIT_PEOPLE,
        }
        origin.clear()
        result = way(["/bin/sh", script, origin.url(scheme, ""), name], env=env, cwd=place)
        check(result.status == 0, lambda r=result: f"git: {r.status} {r.errors}")
        outputs.append(result.output)
        if way != scratch.bare:
            judge_seen(result.report, origin.counts(scheme))
            harness.replays(result.traces)
    equal("outputs", len(set(outputs)), 1)
    equal("commits", len(re.findall(rb"(?m)^[0-9a-f]{7} ", outputs[0])), 9)


def package_index(folder):
    """A flat archive of 400 invented packages."""
    www = os.path.join(folder, "www")
    os.makedirs(www)
    text = "".join(
        f"Package: thing{n}\nVersion: 1.{n}\nArchitecture: all\nMaintainer: A <a@example>\nFilename: ./thing{n}.deb\n"
        f"Size: 1000\nSHA256: {n:064x}\nDescription: thing {n}\n\n"
        for n in range(400)
    ).encode()
    with open(os.path.join(www, "Packages"), "wb") as file:
        file.write(text)
    import hashlib  # pylint: disable=import-outside-toplevel

    with open(os.path.join(www, "Release"), "w", encoding="ascii") as file:
        file.write(
            f"Suite: test\nDate: Sat, 01 Jan 2022 00:00:00 UTC\nSHA256:\n {hashlib.sha256(text).hexdigest()} {len(text)} "
            "Packages\n"
        )


def apt_get_update(scratch, scheme):
    """Against an archive of our own, with private state: nothing of the machine's apt is read or
    written."""
    apt = need("apt-get")
    need("nginx")
    os.chmod(scratch.directory, 0o755)  # its methods run as another user
    package_index(scratch.directory)
    port = harness.free_port()
    server = f"root {scratch.path('www')};"
    if scheme == "https":
        server += f" listen 127.0.0.1:{port} ssl; {tls_server(scratch.directory)}"
    outputs = []
    with harness.Nginx(scratch.folder("nginx"), server) as nginx:
        base = f"https://localhost:{port}" if scheme == "https" else nginx.url("").rstrip("/")
        scratch.write("empty.conf", "")
        scratch.write("sources.list", f"deb [trusted=yes] {base} ./\n")
        for number, way in enumerate((scratch.bare, scratch.preloaded, scratch.run)):
            state = scratch.folder(f"apt{number}")
            for name in ("state/lists/partial", "cache/archives/partial", "etc", "log"):
                os.makedirs(os.path.join(state, name))
            scratch.write(f"apt{number}/state/status", "")
            settings = {
                "Dir::State": f"{state}/state",
                "Dir::State::status": f"{state}/state/status",
                "Dir::Cache": f"{state}/cache",
                "Dir::Etc": f"{state}/etc",
                "Dir::Etc::sourcelist": scratch.path("sources.list"),
                "Dir::Log": f"{state}/log",
                "Acquire::https::Verify-Peer": "false",
                "Acquire::https::Verify-Host": "false",
                "Acquire::Languages": "none",
                "Acquire::GzipIndexes": "false",
                "Acquire::http::Proxy": "DIRECT",
                "Acquire::https::Proxy": "DIRECT",
            }
            argv = [
                apt,
                "update",
                *[word for name, value in settings.items() for word in ("-o", f"{name}={value}")],
            ]
            before = nginx.counts()
            result = way(argv, env={"APT_CONFIG": scratch.path("empty.conf")})
            check(result.status == 0, lambda r=result: f"apt: {r.status} {r.output} {r.errors}")
            outputs.append(re.sub(rb"(?m)^(Fetched|Reading).*\n", b"", result.output))
            check(
                os.path.getsize(
                    next(
                        f"{state}/state/lists/{name}"
                        for name in os.listdir(f"{state}/state/lists")
                        if name.endswith("Packages")
                    )
                )
                > 50000,
                "the index was not fetched",
            )
            after = nginx.counts()
            if result.report:
                judge_seen(result.report, {name: after[name] - before[name] for name in after})
            check(way == scratch.bare or result.report, "nothing was recorded")
    equal("outputs", len(set(outputs)), 1)


def reverse_proxy(scratch, upstream, keepalive):
    """nginx between ab and the origin: its connections to the origin are the client ones."""
    ab_path = need("ab")
    need("nginx")
    origin.clear()
    folder = scratch.folder()
    env = harness.environment(
        None, harness.LIBRARY, f"trace={folder}/httpleak.%e.%p.trace:summary=0"
    )
    pool = "keepalive 8;" if keepalive else ""
    http = f"upstream back {{ server 127.0.0.1:{origin.ports[upstream]}; {pool} }}"
    server = (
        f"location / {{ proxy_pass {upstream}://back; proxy_http_version 1.1; proxy_ssl_verify off; "
        f"proxy_set_header Connection '{'' if keepalive else 'close'}'; proxy_buffering on; }}"
    )
    nginx = harness.Nginx(scratch.folder("nginx"), server, http, master=True, env=env)
    with nginx:
        load = subprocess.run(
            [
                ab_path,
                "-q",
                "-k",
                "-n",
                "800",
                "-c",
                "8",
                nginx.url("/bytes/30000").replace("localhost", "127.0.0.1"),
            ],
            capture_output=True,
            check=True,
            env=harness.environment(),
        ).stdout.decode()
        equal("failed", re.search(r"Failed requests: +(\d+)", load)[1], "0")
        chunked = subprocess.run(
            [need("curl"), "-s", nginx.url("/chunked/300000")], capture_output=True, check=True
        ).stdout
        equal("chunked", len(chunked), 300000)
        traces = [path for path in harness.trace_files(folder)]
        running = harness.report(traces, "--grace", "1")
        harness.no_alarm(running)
        equal("status", harness.end(nginx.process, harness.signal.SIGQUIT), 0)
    judge_seen(harness.report(harness.trace_files(folder)), origin.counts(upstream))


for tls in ("http", "https"):
    suite.test(f"curl ({tls})", tls)(curl)
    suite.test(f"curl: upload, HEAD, POST ({tls})", tls)(curl_post_and_head)
    suite.test(f"curl --parallel ({tls})", tls)(curl_parallel)
    suite.test(f"curl: refused, truncated, reset ({tls})", tls)(curl_failing)
    suite.test(f"wget ({tls})", tls)(wget)
    suite.test(f"Python urllib and http.client ({tls})", tls, harness.PYTHON, "urllib_gets.py")(
        script
    )
    suite.test(
        f"Python requests ({tls})",
        tls,
        harness.PYTHON,
        "requests_gets.py",
        ["-c", "import requests"],
    )(script)
    suite.test(
        f"Python aiohttp ({tls})", tls, harness.PYTHON, "aiohttp_gets.py", ["-c", "import aiohttp"]
    )(script)
    suite.test(
        f"Perl HTTP::Tiny ({tls})",
        tls,
        "perl",
        "tiny.pl",
        ["-e", "use HTTP::Tiny; use IO::Socket::SSL"],
    )(script)
    suite.test(
        f"Perl LWP ({tls})", tls, "perl", "lwp.pl", ["-e", "use LWP; use LWP::Protocol::https"]
    )(script)
    suite.test(f"Ruby net/http ({tls})", tls, "ruby", "net_http.rb")(script)
    suite.test(f"PHP streams ({tls})", tls, "php", "streams.php")(script)
    suite.test(
        f"PHP curl ({tls})",
        tls,
        "php",
        "curl.php",
        ["-r", "exit(extension_loaded('curl') ? 0 : 1);"],
    )(script)
    suite.test(f"ab ({tls})", tls)(ab)
    suite.test(f"ab -k ({tls})", tls, "-k")(ab)
    suite.test(f"git clone ({tls})", tls)(git_clone)
    suite.test(f"git: clone, push, fetch, smart ({tls})", tls)(git_smart)
    suite.test(f"apt-get update ({tls})", tls)(apt_get_update)
    suite.test(f"nginx as a reverse proxy under ab ({tls} upstream)", tls, False)(reverse_proxy)
    suite.test(
        f"nginx as a reverse proxy with kept connections under ab ({tls} upstream)", tls, True
    )(reverse_proxy)
suite.test("curl and nginx: ranges, conditions, methods, compression")(curl_and_nginx)
suite.test("curl: an upload that is refused half-way")(curl_upload_refused)
suite.main()
