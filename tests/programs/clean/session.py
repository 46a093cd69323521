"""A session kept for the life of the program: session.py requests|httpx|aiohttp URL ROUNDS. Between rounds it rests for longer than its
server keeps idle connections. Stays until there is a file "stop"."""
import asyncio
import os
import sys
import time

client, url, rounds = sys.argv[1], sys.argv[2], int(sys.argv[3])
REST = 1.6


def sizes():
    if client == "requests":
        import requests

        session = requests.Session()
        return lambda: len(session.get(url).content)
    import httpx

    session = httpx.Client()
    return lambda: len(session.get(url).content)


async def with_aiohttp():
    import aiohttp

    async with aiohttp.ClientSession() as session:
        for _ in range(rounds):
            for _ in range(4):
                async with session.get(url) as answer:
                    print(len(await answer.read()), flush=True)
            await asyncio.sleep(REST)
        while not os.path.exists("stop"):
            await asyncio.sleep(0.05)


if client == "aiohttp":
    asyncio.run(with_aiohttp())
else:
    get = sizes()
    for _ in range(rounds):
        for _ in range(4):
            print(get(), flush=True)
        time.sleep(REST)
    while not os.path.exists("stop"):
        time.sleep(0.05)
