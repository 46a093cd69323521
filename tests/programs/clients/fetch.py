"""Python's HTTP clients: fetch.py CLIENT URL read|keep COUNT. Reads bodies to their end, or asks and keeps the answers unread;
an event loop does so until there is a file "stop"."""
import asyncio
import http.client
import os
import ssl
import sys
import urllib.parse
import urllib.request

client, url, way, count = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])
parts = urllib.parse.urlsplit(url)
context = ssl._create_unverified_context()
kept = []


def with_urllib():
    answer = urllib.request.urlopen(url, context=context if parts.scheme == "https" else None)
    kept.append(answer)
    if way == "read":
        print(len(answer.read()))
        answer.close()


def with_http_client():
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    options = {"context": context} if parts.scheme == "https" else {}
    connection = kind(parts.hostname, parts.port, **options)
    connection.request("GET", parts.path)
    answer = connection.getresponse()
    kept.append((connection, answer))
    if way == "read":
        print(len(answer.read()))
        connection.close()


def with_requests():
    import requests
    if not kept:
        kept.append(requests.Session())
    answer = kept[0].get(url, stream=True, verify=False)
    kept.append(answer)
    if way == "read":
        print(len(answer.content))


def with_httpx():
    import httpx
    if not kept:
        kept.append(httpx.Client(verify=False, http2=os.environ.get("HTTP2") == "1", http1=os.environ.get("HTTP2") != "1"))
    request = kept[0].build_request("GET", url)
    answer = kept[0].send(request, stream=True)
    kept.append(answer)
    if way == "read":
        print(len(answer.read()))


async def with_httpx_async():
    import httpx
    if not kept:
        kept.append(httpx.AsyncClient(verify=False))
    request = kept[0].build_request("GET", url)
    answer = await kept[0].send(request, stream=True)
    kept.append(answer)
    if way == "read":
        print(len(await answer.aread()))


async def with_aiohttp():
    import aiohttp
    if not kept:
        kept.append(aiohttp.ClientSession())
    answer = await kept[0].get(url, ssl=False)
    kept.append(answer)
    if way == "read":
        print(len(await answer.read()))


async def with_asyncio():
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port, ssl=context if parts.scheme == "https" else None)
    writer.write(f"GET {parts.path} HTTP/1.1\r\nHost: {parts.netloc}\r\n\r\n".encode())
    head = await reader.readuntil(b"\r\n\r\n")
    kept.append((reader, writer))
    if way == "read":
        length = int([line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")][0].split(b":")[1])
        print(len(await reader.readexactly(length)))
        writer.close()
        await writer.wait_closed()


async def all_of(one):
    for _ in range(count):
        await one()
    if way == "keep":
        while not os.path.exists("stop"):
            await asyncio.sleep(0.05)  # the loop reads ahead until its buffers are full
        os._exit(0)  # the event loop's end would close what is kept


one = globals()["with_" + client.replace(".", "_").replace("-", "_")]
if asyncio.iscoroutinefunction(one):
    asyncio.run(all_of(one))
else:
    for _ in range(count):
        one()
sys.stdout.flush()
os._exit(0)  # so does the interpreter's
