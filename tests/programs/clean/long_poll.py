"""Asks again and again for what comes late: long_poll.py urllib|requests|httpx|aiohttp URL TIMES."""
import asyncio
import sys
import urllib.request

client, url, times = sys.argv[1], sys.argv[2], int(sys.argv[3])


def get():
    if client == "urllib":
        with urllib.request.urlopen(url) as answer:
            return answer.read()
    module = __import__(client)
    return module.get(url).content


async def with_aiohttp():
    import aiohttp

    async with aiohttp.ClientSession() as session:
        for _ in range(times):
            async with session.get(url) as answer:
                print(len(await answer.read()), flush=True)


if client == "aiohttp":
    asyncio.run(with_aiohttp())
else:
    for _ in range(times):
        print(len(get()), flush=True)
