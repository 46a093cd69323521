"""The servers that tests talk to, as contexts: the counting origin of tests/origin, and a real nginx."""
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
    """The test origin (tests/origin/origin.py) as a context."""

    def __enter__(self):
        self.process = subprocess.Popen(
            [PYTHON, os.path.join(ROOT, "tests", "origin", "origin.py")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment(),
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
    log_format counts '$connection $request_method $status $body_bytes_sent $request_completion';
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
        path = os.path.join(self.folder, name)
        if not os.path.exists(path):
            return ""
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()

    def url(self, path="/"):
        return f"http://localhost:{self.port}{path}"

    def counts(self):
        """What the access log says: connections with a request, responses, responses with a
        body."""
        lines = [line.split() for line in self.log("access.log").splitlines()]
        return {
            "accepts": len({line[0] for line in lines}),
            "responses_completed": len(lines),
            "bodies_completed": sum(line[1] != "HEAD" and int(line[3]) > 0 for line in lines),
        }
