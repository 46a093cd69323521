#!/usr/bin/python3
"""The test origin: an HTTP/1.1 server that counts what it did, over http and https, on loopback
ports of its own choice.

Prints one JSON line {"http": PORT, "https": PORT, "control": PORT} and serves until its standard
input ends or it gets SIGTERM. The control port answers /_stats with {"http": COUNTS, "https":
COUNTS} and /_clear with the counts up to now, which start anew; COUNTS = {accepts, requests,
responses_completed, bodies_completed}: accepts are TCP connections, a completed response was written to its last byte, and it
counts under bodies_completed too if its framing gave it a body.

  /bytes/N             N bytes with Content-Length
  /chunked/N           N bytes, chunked, with a trailer (without: ?trailer=0)
  /close/N             N bytes, ended by closing
  /slow/N?ms=M         N bytes, 1 KiB each M ms (20); more path is ignored
  /hang                never answers
  /longpoll/SECONDS    answers after SECONDS
  /events?n=N          an event each 200 ms, N of them or endless
  /head-then-stall     a head that promises 256 KiB, and nothing more
  /redirect?to=PATH    302 to PATH (/bytes/64), with a body of 2 KiB (&size=N: of N bytes)
  /status/CODE[/N]     that status, with a body of N (32) bytes where it may have one
  /upgrade             101 and then an echo, if asked to upgrade; else 426 with a body of 2 KiB
  /upgrade/refused     the latter, always
  /upgrade/401/N       asks for a password instead, with a body of N bytes
  /git/REPOSITORY/...  git's smart protocol, by `git http-backend` in the directory that GIT_PROJECT_ROOT names
  /truncate/N          promises N bytes, closes after half of them
  /reset               half of 64 KiB, then a TCP reset
  CONNECT host:port    a tunnel to the origin's own https port, whatever the host; to a host whose
                       name starts with "no." 403 with a body of 2 KiB
"""
import asyncio
import json
import os
import signal
import socket
import ssl
import struct
import subprocess
import sys
import tempfile
import urllib.parse

import git_backend

BLOCK = bytes(range(32, 127)) * 700  # 66,500 printable bytes
EVENT_PERIOD = 0.2
NO_BODY = (204, 304)


class Counts(dict):
    tunnel_port = 0

    def __init__(self):
        super().__init__(accepts=0, requests=0, responses_completed=0, bodies_completed=0)


class Listener(socket.socket):
    """Counts connections where they come in, whether a TLS handshake follows or not."""

    def __init__(self, counts):
        super().__init__(socket.AF_INET, socket.SOCK_STREAM)
        self.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.bind(("127.0.0.1", 0))
        self.counts = counts

    def accept(self):
        accepted = super().accept()
        self.counts["accepts"] += 1
        return accepted


class Exchange:
    """One request and the means to answer it."""

    def __init__(self, counts, reader, writer, method, target, version, fields):
        self.counts, self.reader, self.writer = counts, reader, writer
        self.method, self.target, self.fields = method, target, fields
        parts = urllib.parse.urlsplit(target)
        self.path = parts.path
        self.query = dict(urllib.parse.parse_qsl(parts.query))
        wish = fields.get("connection", "").lower()
        self.keep_alive = "close" not in wish and (version == "HTTP/1.1" or "keep-alive" in wish)
        self.body = b""  # of the request

    def head(self, status, fields):
        lines = [f"HTTP/1.1 {status} X", "Server: origin"] + fields
        lines.append("Connection: keep-alive" if self.keep_alive else "Connection: close")
        self.writer.write(("\r\n".join(lines) + "\r\n\r\n").encode())

    async def send(self, data):
        self.writer.write(data)
        await self.writer.drain()

    async def send_bytes(self, count):
        for start in range(0, count, 65536):
            await self.send(BLOCK[: min(65536, count - start)])

    async def completed(self, body):
        await self.writer.drain()
        self.counts["responses_completed"] += 1
        self.counts["bodies_completed"] += body

    async def answer(self, status, size, fields=()):
        """A whole response with Content-Length; HEAD, 204 and 304 get no body."""
        bodiless = self.method == "HEAD" or status in NO_BODY
        length = [] if status == 204 else [f"Content-Length: {size}"]
        self.head(status, [*fields, *length, "Content-Type: text/plain"])
        if not bodiless:
            await self.send_bytes(size)
        await self.completed(not bodiless and size > 0)

    async def get_bytes(self, size):
        await self.answer(200, int(size))

    async def get_chunked(self, size):
        trailer = b"" if self.query.get("trailer") == "0" else b"X-Sum: 1\r\n"
        self.head(200, ["Transfer-Encoding: chunked", *["Trailer: X-Sum"][: len(trailer)]])
        if self.method != "HEAD":
            for start in range(0, int(size), 10000):
                data = BLOCK[: min(10000, int(size) - start)]
                await self.send(b'%x;note="a;b"\r\n%s\r\n' % (len(data), data))
            await self.send(b"0\r\n" + trailer + b"\r\n")
        await self.completed(self.method != "HEAD")

    async def get_close(self, size):
        self.keep_alive = False
        self.head(200, ["Content-Type: text/plain"])
        if self.method != "HEAD":
            await self.send_bytes(int(size))
        await self.completed(self.method != "HEAD")

    async def get_slow(self, size, *_):
        self.head(200, [f"Content-Length: {size}"])
        for start in range(0, int(size), 1024):
            await self.send(BLOCK[: min(1024, int(size) - start)])
            await asyncio.sleep(float(self.query.get("ms", 20)) / 1000)
        await self.completed(int(size) > 0)

    async def get_longpoll(self, seconds):
        await asyncio.sleep(float(seconds))
        await self.answer(200, 64)

    async def get_events(self):
        self.keep_alive = False
        self.head(200, ["Content-Type: text/event-stream", "Cache-Control: no-store"])
        number, last = 0, int(self.query.get("n", 1 << 60))
        while number < last:
            number += 1
            await self.send(b"id: %d\ndata: tick\n\n" % number)
            await asyncio.sleep(EVENT_PERIOD)
        await self.completed(True)

    async def wait_for_the_client(self):
        self.keep_alive = False
        await self.writer.drain()
        await self.reader.read()

    async def get_hang(self):
        await self.wait_for_the_client()

    async def get_head_then_stall(self):
        self.head(200, ["Content-Length: 262144"])
        await self.wait_for_the_client()

    async def get_redirect(self):
        size = int(self.query.get("size", 2048))
        await self.answer(302, size, [f"Location: {self.query.get('to', '/bytes/64')}"])

    async def get_status(self, code, size=32):
        await self.answer(int(code), int(size))

    async def get_upgrade(self, refused=None, size=2048):
        if refused == "401":
            await self.answer(401, int(size), ['WWW-Authenticate: Basic realm="chat"'])
            return
        if refused or "upgrade" not in self.fields.get("connection", "").lower():
            await self.answer(426, 2048, ["Upgrade: echo"])
            return
        self.keep_alive = False
        self.writer.write(b"HTTP/1.1 101 Switching\r\nUpgrade: echo\r\nConnection: Upgrade\r\n\r\n")
        while data := await self.reader.read(4096):
            await self.send(data)

    async def get_truncate(self, size):
        self.head(200, [f"Content-Length: {size}"])
        self.keep_alive = False
        await self.send_bytes(int(size) // 2)

    async def get_reset(self):
        self.head(200, ["Content-Length: 65536"])
        await self.send_bytes(32768)
        await asyncio.sleep(0.05)
        self.keep_alive = False
        raw = self.writer.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()

    async def get_git(self, *_):
        if not (root := os.environ.get("GIT_PROJECT_ROOT")):
            await self.answer(404, 32)
            return
        process, status, fields = await git_backend.start(root, self, self.body)
        self.head(status, [*fields, "Transfer-Encoding: chunked"])
        try:
            while data := await process.stdout.read(65536):
                await self.send(b"%x\r\n%s\r\n" % (len(data), data))
        except OSError:  # nobody listens any more
            process.kill()
            raise
        finally:
            await process.wait()
        await self.send(b"0\r\n\r\n")
        await self.completed(True)

    async def tunnel(self):
        """What a proxy does: bytes both ways until either side ends."""
        self.keep_alive = False
        reader, writer = await asyncio.open_connection("127.0.0.1", self.counts.tunnel_port)
        self.writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")

        async def pass_on(source, target):
            try:
                while data := await source.read(65536):
                    target.write(data)
                    await target.drain()
            finally:
                target.close()

        await asyncio.gather(
            pass_on(self.reader, writer), pass_on(reader, self.writer), return_exceptions=True
        )

    async def run(self):
        if self.method == "CONNECT":
            await (self.answer(403, 2048) if self.target.startswith("no.") else self.tunnel())
            return
        name, *arguments = self.path.strip("/").split("/")
        handler = getattr(self, "get_" + name.replace("-", "_"), None)
        try:
            if handler:
                await handler(*arguments)
                return
        except (TypeError, ValueError):
            pass
        await self.answer(404, 32)


async def read_request_body(reader, writer, fields, keep=False):
    """To its end; given back only where somebody will look at it."""
    kept = bytearray()
    if "100-continue" in fields.get("expect", "").lower():
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    if "chunked" in fields.get("transfer-encoding", "").lower():
        while size := int((await reader.readline()).split(b";")[0], 16):
            data = await reader.readexactly(size + 2)
            kept += data[:-2] if keep else b""
        while (await reader.readline()).strip():
            pass
    else:
        left = int(fields.get("content-length", 0))
        while left > 0:
            data = await reader.read(min(left, 65536))
            if not data:
                raise asyncio.IncompleteReadError(b"", left)
            kept += data if keep else b""
            left -= len(data)
    return bytes(kept)


async def serve_connection(counts, reader, writer):
    try:
        while True:
            line = (await reader.readline()).decode("latin-1").split()
            if len(line) != 3:
                break
            fields = {}
            while field := (await reader.readline()).decode("latin-1").strip():
                name, _, value = field.partition(":")
                fields[name.strip().lower()] = value.strip()
            counts["requests"] += 1
            exchange = Exchange(counts, reader, writer, *line, fields)
            exchange.body = await read_request_body(reader, writer, fields, exchange.path.startswith("/git/"))
            await exchange.run()
            if not exchange.keep_alive:
                break
    except (OSError, ValueError, asyncio.IncompleteReadError, ssl.SSLError):
        pass
    finally:
        writer.close()


async def serve_control(scheme_counts, reader, writer):
    line = (await reader.readline()).split()
    while (await reader.readline()).strip():
        pass
    text = json.dumps(scheme_counts).encode()
    if len(line) > 1 and line[1] == b"/_clear":
        for counts in scheme_counts.values():
            counts.update(Counts())
    writer.write(
        b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s" % (len(text), text)
    )
    await writer.drain()
    writer.close()


def make_certificate(directory):
    key, certificate = os.path.join(directory, "key.pem"), os.path.join(
        directory, "certificate.pem"
    )
    if not os.path.exists(certificate):
        subprocess.run(
            [
                "openssl",
                "req",
                "-x509",
                "-newkey",
                "ec",
                "-pkeyopt",
                "ec_paramgen_curve:prime256v1",
                "-nodes",
                "-days",
                "30",
                "-subj",
                "/CN=localhost",
                "-addext",
                "subjectAltName=DNS:localhost,IP:127.0.0.1",
                "-keyout",
                key,
                "-out",
                certificate,
            ],
            check=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
    return certificate, key


async def main(directory):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*make_certificate(directory))
    scheme_counts = {"http": Counts(), "https": Counts()}
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    loop.add_reader(sys.stdin.fileno(), lambda: os.read(sys.stdin.fileno(), 4096) or stop.set())
    loop.set_exception_handler(lambda *_: None)  # clients that vanish in a handshake are no news
    ports = {}
    for name, tls in (("http", None), ("https", context), ("control", None)):
        if name == "control":

            def handler(reader, writer):
                return serve_control(scheme_counts, reader, writer)

        else:

            def handler(reader, writer, counts=scheme_counts[name]):
                return serve_connection(counts, reader, writer)

        # not every client answers a close_notify
        patience = {"ssl_shutdown_timeout": 0.3} if tls else {}
        listener = Listener(scheme_counts.get(name) or Counts())
        await asyncio.start_server(handler, sock=listener, ssl=tls, backlog=1024, **patience)
        ports[name] = listener.getsockname()[1]
    Counts.tunnel_port = ports["https"]
    print(json.dumps(ports), flush=True)
    await stop.wait()


if __name__ == "__main__":
    if len(sys.argv) > 1:
        asyncio.run(main(sys.argv[1]))
    else:
        with tempfile.TemporaryDirectory() as temporary:
            asyncio.run(main(temporary))
