"""Reads the first 64 KiB of COUNT responses through asyncio streams and leaves with os._exit while
the loop lives."""
import asyncio
import os
import ssl
import sys
import urllib.parse

url, count = urllib.parse.urlsplit(sys.argv[1]), int(sys.argv[2])


async def fetch():
    context = ssl._create_unverified_context() if url.scheme == "https" else None
    reader, writer = await asyncio.open_connection(url.hostname, url.port, ssl=context)
    writer.write(f"GET {url.path} HTTP/1.1\r\nHost: {url.netloc}\r\n\r\n".encode())
    status = (await reader.readline()).split()[1]
    while (await reader.readline()).strip():
        pass
    await reader.readexactly(65536)
    return status, reader, writer


async def main():
    kept = [await fetch() for _ in range(count)]
    await asyncio.sleep(0.05)
    print([int(status) for status, _, _ in kept], flush=True)
    os._exit(0)


asyncio.run(main())
