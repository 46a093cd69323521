"""httprb/http#763: a connect that takes too long is given up, and its socket is never closed."""
import os
import select
import socket
import sys
import time
import urllib.parse

KEPT = []  # as the garbage that nobody collects


def connect(host, port, seconds):
    sock = socket.socket()
    KEPT.append(sock)
    sock.setblocking(False)
    sock.connect_ex((host, port))
    if not select.select([], [sock], [], seconds)[1]:
        raise TimeoutError("connect timed out")
    return sock


parts = urllib.parse.urlsplit(sys.argv[1])
for _ in range(3):
    try:
        connect(parts.hostname, parts.port, 0.1)
    except TimeoutError:
        pass
time.sleep(1.5)
os._exit(0)  # as servers stop: nobody tidies up
