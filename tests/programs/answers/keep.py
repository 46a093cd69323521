"""Keeps answers that nobody wants: keep.py urllib|http.client|requests|httpx|aiohttp URL COUNT [upgrade]. Until there is a file "stop"."""
import asyncio
import http.client
import os
import sys
import time
import urllib.error
import urllib.parse
import urllib.request

client, url, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
HEADERS = {}
if sys.argv[4:]:
    HEADERS = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13",
               "Sec-WebSocket-Key": "AQIDBAUGBwgJCgsMDQ4PEA=="}
kept = []


class Stay(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_):
        return None


def with_urllib():
    """An error is an answer, too: it holds its body."""
    request = urllib.request.Request(url, headers=HEADERS)
    try:
        answer = urllib.request.build_opener(Stay).open(request)  # urllib
    except urllib.error.HTTPError as error:
        answer = error
    return answer, answer.status


def with_http_client():
    parts = urllib.parse.urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname, parts.port)
    connection.request("GET", url[url.index("/", 8):], headers=HEADERS)  # http.client
    answer = connection.getresponse()
    return (connection, answer), answer.status


def with_requests():
    import requests
    if not kept:
        kept.append(requests.Session())
    answer = kept[0].get(url, headers=HEADERS, stream=True, allow_redirects=False)  # requests
    return answer, answer.status_code


def with_httpx():
    import httpx
    if not kept:
        kept.append(httpx.Client())
    answer = kept[0].send(kept[0].build_request("GET", url, headers=HEADERS), stream=True)  # httpx
    return answer, answer.status_code


async def with_aiohttp():
    import aiohttp
    session = aiohttp.ClientSession()
    for _ in range(count):
        answer = await session.get(url, headers=HEADERS, allow_redirects=False)  # aiohttp
        kept.append(answer)
        print(answer.status, flush=True)
    while not os.path.exists("stop"):
        await asyncio.sleep(0.05)
    os._exit(0)  # the event loop's end would close what is kept


if client == "aiohttp":
    asyncio.run(with_aiohttp())
for _ in range(count):
    one, status = globals()["with_" + client.replace(".", "_")]()
    kept.append(one)
    print(status, flush=True)
while not os.path.exists("stop"):
    time.sleep(0.05)
os._exit(0)  # so does the interpreter's
