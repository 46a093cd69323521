"""httpx#3782: the caller is cancelled between the connect and the request; the pool keeps the connection as one in use, and nothing
is ever sent on it."""
import asyncio
import os
import sys
import urllib.parse

POOL = []


async def connect(host, port):
    reader, writer = await asyncio.open_connection(host, port)
    POOL.append((reader, writer))
    return writer


async def request(url):
    parts = urllib.parse.urlsplit(url)
    writer = await connect(parts.hostname, parts.port)
    await asyncio.sleep(10)  # a lock, a hook: whatever the cancellation finds
    writer.write(f"GET {parts.path} HTTP/1.1\r\nHost: {parts.netloc}\r\n\r\n".encode())


async def main():
    for _ in range(4):
        try:
            await asyncio.wait_for(request(sys.argv[1]), 0.2)
        except asyncio.TimeoutError:
            pass


asyncio.run(main())
os._exit(0)  # as servers stop: nobody tidies up
