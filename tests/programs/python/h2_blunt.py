"""Asks over HTTP/2 in cleartext and takes whatever comes, without a look at it, until the peer closes: h2_blunt.py PORT."""
import hashlib
import socket
import struct
import sys

import hpack

HEADERS, SETTINGS, END_STREAM_AND_HEADERS = 1, 4, 5


def frame(kind, flags, stream, payload=b""):
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


port = int(sys.argv[1])
fields = [(":method", "GET"), (":scheme", "http"), (":authority", f"localhost:{port}"), (":path", "/")]
with socket.create_connection(("localhost", port)) as peer:
    request = frame(HEADERS, END_STREAM_AND_HEADERS, 1, hpack.Encoder().encode(fields))
    peer.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(SETTINGS, 0, 0) + request)
    taken, size = hashlib.md5(), 0
    while data := peer.recv(5000):
        taken.update(data)
        size += len(data)
print(size, taken.hexdigest())
