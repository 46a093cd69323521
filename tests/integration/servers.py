"""The servers that tests talk to, as contexts: the counting origin of tests/origin, and a real nginx."""
import itertools
import json
import os
import socket
import subprocess
import time
import urllib.request

from harness import (
    PYTHON,
    ROOT,
    check,
    end,
    environment,
    free_port,
    need,
    wait_until,
)


class Origin:
    """The test origin (tests/origin/origin.py) as a context; repositories: the folder of those that it serves with git."""

    def __init__(self, repositories=None):
        self.env = environment({"GIT_PROJECT_ROOT": repositories} if repositories else None)

    def __enter__(self):
        self.process = subprocess.Popen(
            [PYTHON, os.path.join(ROOT, "tests", "origin", "origin.py")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=self.env,
        )
        self.ports = json.loads(self.process.stdout.readline())
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        end(self.process)

    def url(self, scheme, path, host="localhost"):
        return f"{scheme}://{host}:{self.ports[scheme]}{path}"

    def control(self, path):
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(f"http://127.0.0.1:{self.ports['control']}{path}", timeout=10) as answer:
            return json.load(answer)

    def clear(self):
        return self.control("/_clear")

    def counts(self, scheme):
        """The counts, once they stand still."""
        before = None
        while (now := self.control("/_stats")[scheme]) != before:
            before = now
            time.sleep(0.05)
        return now


NGINX_CONFIG = """
daemon off; master_process {master}; worker_processes 1; pid {folder}/nginx.pid; error_log {folder}/error.log info; {user}
lock_file {folder}/lock;
events {{ worker_connections 512; }}
http {{
    client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
    log_format counts '$connection $request_method $status $body_bytes_sent $http_x_marker';
    access_log {folder}/access.log counts;
    keepalive_requests 100000; keepalive_timeout {keepalive};
    types {{ text/plain txt; }} default_type application/octet-stream;
    {http}
    server {{ listen 127.0.0.1:{port} backlog=1024; {server} }}
}}
"""


class Nginx:
    """A real nginx in the foreground, with a prefix, a pid and logs of its own; env preloads the
    recorder into it."""

    def __init__(self, folder, server, http="", master=False, keepalive="60s", env=None):
        self.binary = need("nginx")
        self.folder, self.env, self.port = folder, env, free_port()
        user = "user root;" if os.getuid() == 0 else ""
        with open(os.path.join(folder, "nginx.conf"), "w", encoding="utf-8") as file:
            file.write(
                NGINX_CONFIG.format(
                    folder=folder,
                    port=self.port,
                    server=server,
                    http=http,
                    user=user,
                    keepalive=keepalive,
                    master="on" if master else "off",
                )
            )

    def __enter__(self):
        self.process = subprocess.Popen(
            [self.binary, "-p", self.folder, "-c", "nginx.conf", "-e", f"{self.folder}/start.log"],
            env=self.env or environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd=self.folder,
        )
        wait_until(self.answers, "nginx starts")
        return self

    def answers(self):
        check(
            self.process.poll() is None,
            lambda: f"nginx ended: {self.log('error.log')[-500:]}{self.log('start.log')[-500:]}",
        )
        with socket.socket() as s:
            return s.connect_ex(("127.0.0.1", self.port)) == 0

    def __exit__(self, *_):
        end(self.process)

    def log(self, name):
        return contents(os.path.join(self.folder, name))

    def url(self, path="/"):
        return f"http://localhost:{self.port}{path}"

    def counts(self):
        return counts_of(os.path.join(self.folder, "access.log"), self.port)


def contents(path):
    if not os.path.exists(path):
        return ""
    with open(path, encoding="utf-8", errors="replace") as file:
        return file.read()


MARKERS = itertools.count(1)


def counts_of(access_log, port):
    """What an access log says: connections with a request, responses, responses with a body. A line comes a little after its
    response, so this makes a request of its own; when that one is there, all before it are."""
    marker = f"marker-{os.getpid()}-{next(MARKERS)}"
    with socket.create_connection(("127.0.0.1", port), timeout=10) as s:
        s.sendall(b"GET / HTTP/1.1\r\nHost: counts\r\nConnection: close\r\nX-Marker: %s\r\n\r\n" % marker.encode())
        while s.recv(65536):
            pass
    wait_until(lambda: marker in contents(access_log), "the access log's line")
    lines = [line.split() for line in contents(access_log).splitlines() if "marker-" not in line]
    return {
        "accepts": len({line[0] for line in lines}),
        "responses_completed": len(lines),
        "bodies_completed": sum(line[1] != "HEAD" and int(line[3]) > 0 for line in lines),
    }


class Http2Servers:
    """nginx over TLS and in cleartext; nghttpd, which speaks first; nghttpx, which takes an upgrade. Made when first asked for.
    locations: more of nginx's configuration."""

    def __init__(self, stack, folder, files, locations=""):
        self.stack, self.folder, self.made, self.locations = stack, folder, {}, locations
        self.options = {}  # nghttpd's ports, by its options
        for name, size in files.items():
            with open(os.path.join(folder, name), "wb") as file:
                file.truncate(size)
        openssl = need("openssl")
        self.key, self.certificate = os.path.join(folder, "key.pem"), os.path.join(folder, "cert.pem")
        subprocess.run([openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                        "-subj", "/CN=localhost", "-days", "2", "-keyout", self.key, "-out", self.certificate],
                       check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def nginx(self):
        if "nginx" not in self.made:
            self.ports = {"http": free_port(), "https": free_port()}
            nginx = Nginx(self.folder, f"""listen 127.0.0.1:{self.ports['http']} http2;
                listen 127.0.0.1:{self.ports['https']} ssl http2; ssl_certificate {self.certificate};
                ssl_certificate_key {self.key}; root {self.folder}; http2_max_concurrent_streams 400; {self.locations}""")
            self.made["nginx"] = self.stack.enter_context(nginx)
        return self.made["nginx"]

    def url(self, scheme, path):
        self.nginx()
        return f"{scheme}://localhost:{self.ports[scheme]}{path}"

    def process(self, name, argv, port):
        if name not in self.made:
            self.made[name] = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                               stderr=subprocess.DEVNULL, env=environment())
            self.stack.callback(end, self.made[name])
            wait_until(lambda: is_open(port), f"{name} starts")

    def nghttpd(self, path, *options):
        if options not in self.options:
            port = self.options[options] = free_port()
            self.process(" ".join(("nghttpd", *options)),
                         [need("nghttpd"), "-d", self.folder, "--no-tls", "-a", "127.0.0.1", *options, str(port)],
                         port)
        return f"http://localhost:{self.options[options]}{path}"

    def nghttpx(self, path):
        if "nghttpx" not in self.made:
            self.upgrades = free_port()
            nginx = self.nginx()
            self.process("nghttpx", [need("nghttpx"), f"-f127.0.0.1,{self.upgrades};no-tls",
                                     f"-b127.0.0.1,{nginx.port}", "--workers=1",
                                     f"--errorlog-file={self.folder}/nghttpx.log", "--conf=/dev/null",
                                     f"--accesslog-file={self.folder}/nghttpx-access.log",
                                     "--accesslog-format=$remote_port $method $status $body_bytes_sent $http_x_marker"], self.upgrades)
        return f"http://localhost:{self.upgrades}{path}"

    def upgrade_counts(self):
        """What nghttpx served."""
        return counts_of(os.path.join(self.folder, "nghttpx-access.log"), self.upgrades)


def is_open(port):
    with socket.socket() as s:
        return s.connect_ex(("127.0.0.1", port)) == 0


GIT_PEOPLE = {
    "GIT_AUTHOR_NAME": "a",
    "GIT_AUTHOR_EMAIL": "a@example",
    "GIT_COMMITTER_NAME": "a",
    "GIT_COMMITTER_EMAIL": "a@example",
    "GIT_AUTHOR_DATE": "2020-01-01T00:00:00Z",
    "GIT_COMMITTER_DATE": "2020-01-01T00:00:00Z",
}


def git_repository(folder):
    """A bare repository of six commits, FOLDER/www/project.git; the path of git."""
    git = need("git")
    env = environment({"HOME": folder, "GIT_CONFIG_NOSYSTEM": "1", **GIT_PEOPLE})
    work, bare = os.path.join(folder, "work"), os.path.join(folder, "www", "project.git")
    os.makedirs(work)

    def run(*argv, cwd=work):
        subprocess.run([git, *argv], cwd=cwd, env=env, check=True, capture_output=True)

    run("init", "-q")
    for number in range(6):
        with open(os.path.join(work, f"file{number}"), "wb") as file:
            file.write(bytes((number * 7 + n * n) % 251 for n in range(40000)))
        run("add", ".")
        run("commit", "-q", "-m", f"change {number}")
    run("clone", "-q", "--bare", work, bare, cwd=folder)
    run("update-server-info", cwd=bare)
    return git
