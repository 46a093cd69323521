"""Reads an event stream to its end, event by event: events.py urllib|requests|httpx|aiohttp URL."""
import asyncio
import sys
import urllib.request

client, url = sys.argv[1:3]


def lines():
    if client == "urllib":
        with urllib.request.urlopen(url) as answer:
            yield from answer
    elif client == "requests":
        import requests

        with requests.get(url, stream=True) as answer:
            yield from answer.iter_lines()
    else:
        import httpx

        with httpx.stream("GET", url) as answer:
            yield from (line.encode() for line in answer.iter_lines())


async def with_aiohttp():
    import aiohttp

    async with aiohttp.ClientSession() as session, session.get(url) as answer:
        return [line async for line in answer.content]


heard = asyncio.run(with_aiohttp()) if client == "aiohttp" else list(lines())
print(sum(line.startswith(b"data:") for line in heard))
