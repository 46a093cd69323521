"""A thread that reads the beginning of an answer and then waits for ever, started before there was any connection: parked.py URL COUNT."""
import os
import socket
import sys
import threading
import time
import urllib.parse

target = urllib.parse.urlsplit(sys.argv[1])
kept, ready = [], threading.Event()


class Reader:
    def __init__(self):
        self.given = threading.Event()
        self.never = threading.Event()

    def start(self):
        threading.Thread(target=self.read, daemon=True).start()  # the worker
        return self

    def read(self):
        self.given.wait()
        self.socket.recv(1000)
        ready.set()
        self.never.wait()


def ask(reader):
    reader.socket = socket.create_connection((target.hostname, target.port))
    reader.socket.sendall(f"GET {target.path} HTTP/1.1\r\nHost: {target.netloc}\r\n\r\n".encode())  # the request
    kept.append(reader)
    reader.given.set()


readers = [Reader().start() for _ in range(int(sys.argv[2]))]
for reader in readers:
    ready.clear()
    ask(reader)
    ready.wait()
time.sleep(0.1)
os._exit(0)
