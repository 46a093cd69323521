"""A clean client on aiohttp: one session, requests one after another and at once."""
import asyncio
import hashlib
import sys

import aiohttp

base = sys.argv[1]


async def fetch(session, path):
    async with session.get(base + path, ssl=False) as response:
        data = await response.read()
        return f"{path} {response.status} {len(data)} {hashlib.md5(data).hexdigest()}"


async def main():
    async with aiohttp.ClientSession() as session:
        for path in (
            "/bytes/262144",
            "/chunked/100000",
            "/close/50000",
            "/status/404",
            "/status/204",
        ):
            print(await fetch(session, path))
        for line in await asyncio.gather(
            *[fetch(session, f"/bytes/{100000 + n}") for n in range(12)]
        ):
            print(line)
    await asyncio.sleep(0.1)


asyncio.run(main())
