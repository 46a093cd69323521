"""HTTP/2 streams of httpx that are opened and never read: `httpx_kept.py URL COUNT`."""
import os
import sys

import httpx

url, count = sys.argv[1], int(sys.argv[2])
client = httpx.Client(http2=True, verify=False)
kept = []
for _ in range(count):
    kept.append(client.send(client.build_request("GET", url), stream=True))  # kept
assert all(answer.http_version == "HTTP/2" for answer in kept)
os._exit(0)  # and nothing is closed on the way out
