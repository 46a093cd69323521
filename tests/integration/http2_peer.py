"""An HTTP/2 server that says exactly what a test wants, good or bad: frames by hand, header fields by python3-hpack."""
import socket
import struct
import threading

import harness

try:
    import hpack
except ImportError:
    hpack = None

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = (
    0, 1, 3, 4, 5, 6, 7, 8, 9)
END_STREAM, END_HEADERS = 1, 4


def frame(kind, flags, stream, payload=b""):
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


class Talk:
    """One connection. answer(talk, stream) is called for each request."""

    def __init__(self, connection, answer):
        self.connection, self.answer = connection, answer
        self.encoder, self.decoder = hpack.Encoder(), hpack.Decoder()
        self.frames = []  # what the client said: (kind, flags, stream, payload)

    def send(self, *frames):
        self.connection.sendall(b"".join(frames))

    def head(self, stream, *fields, end=False, status="200"):
        block = self.encoder.encode([(":status", status), *fields])
        return frame(HEADERS, END_HEADERS | (END_STREAM if end else 0), stream, block)

    def trailers(self, stream, *fields):
        return frame(HEADERS, END_HEADERS | END_STREAM, stream, self.encoder.encode(list(fields)))

    def take(self, n):
        data = b""
        while len(data) < n:
            part = self.connection.recv(n - len(data))
            if not part:
                raise ConnectionError
            data += part
        return data

    def serve(self):
        if self.take(len(PREFACE)) != PREFACE:
            return
        self.send(frame(SETTINGS, 0, 0, struct.pack(">HI", 3, 100)))
        while True:
            head = self.take(9)
            kind, flags = head[3], head[4]
            stream = struct.unpack(">I", head[5:])[0] & 0x7FFFFFFF
            payload = self.take(int.from_bytes(head[:3], "big"))
            self.frames.append((kind, flags, stream, payload))
            if kind == SETTINGS and not flags & 1:
                self.send(frame(SETTINGS, 1, 0))
            elif kind == PING and not flags & 1:
                self.send(frame(PING, 1, 0, payload))
            elif kind == HEADERS:
                self.answer(self, stream)


class Peer:
    """Serves each connection with `answer` in a thread of its own; a context."""

    def __init__(self, answer):
        if not hpack:
            raise harness.Skip("python3-hpack is not installed")
        self.answer = answer
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.connections = []

    def run(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            self.connections.append(connection)
            threading.Thread(target=self.talk, args=(connection,), daemon=True).start()

    def talk(self, connection):
        try:
            Talk(connection, self.answer).serve()
        except OSError:
            pass
        finally:
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def __enter__(self):
        threading.Thread(target=self.run, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        for connection in self.connections:
            connection.close()

    def url(self, path="/"):
        return f"http://localhost:{self.port}{path}"
