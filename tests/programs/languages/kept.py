"""Keeps COUNT unread responses in each of the ways that are asked for: kept.py WAY,WAY... URL COUNT.

Prints "line function file" of the user's frame that connects, as the interpreter itself says it at that moment, and of asyncio's
also the line of the request.
"""
import asyncio
import os
import ssl
import sys
import threading
import urllib.parse
import urllib.request

asked, url, count = sys.argv[1].split(","), sys.argv[2], int(sys.argv[3])
target = urllib.parse.urlsplit(url)
context = ssl._create_unverified_context() if target.scheme == "https" else None
kept = []
told = set()
output = open(1, "w", encoding="utf-8", errors="surrogateescape", closefd=False, buffering=1)


def tell(frame):
    code = frame.f_code
    place = f"{frame.f_lineno} {getattr(code, 'co_qualname', code.co_name)} {code.co_filename}"
    if place not in told:
        told.add(place)
        print(ascii(place), file=output)


def told_by(event, _):
    """Who connects: the innermost frame that is not the interpreter's own library."""
    if event != "socket.connect":
        return
    frame = sys._getframe(1)
    while "/lib/python3." in frame.f_code.co_filename:
        frame = frame.f_back
    tell(frame)


sys.addaudithook(told_by)
ssl._create_default_https_context = ssl._create_unverified_context


class Client:
    def method(self):
        kept.append(urllib.request.urlopen(url))

    @classmethod
    def of_class(cls):
        kept.append(urllib.request.urlopen(url))

    @property
    def answer(self):
        kept.append(urllib.request.urlopen(url))
        return 1


def generator():
    while True:
        kept.append(urllib.request.urlopen(url))
        yield


def long_function():
    value = 0
    # Lines far apart and tables that are long: what comes first is no business of what follows.
    for i in range(3): value += i  # noqa: E701
    text = (
        "a"
        "b"
    )
    values = [
        value,
        len(text), *(
            i for i in range(4)
        ),
    ]
    try:
        raise ValueError(values)
    except ValueError as error:
        kept.append(
            urllib.request.urlopen(
                url
                if error else
                None,
                timeout=60,
            )
        )
    finally:
        values.clear()


async def ask():
    reader, writer = await asyncio.open_connection(target.hostname, target.port, ssl=context)
    tell(sys._getframe()), writer.write(
        f"GET {target.path} HTTP/1.1\r\nHost: {target.netloc}\r\n\r\n".encode())
    kept.append((reader, writer, await reader.readexactly(65536)))


async def outer():
    await asyncio.sleep(0)
    await ask()


def in_threads():
    def work():
        kept.append(urllib.request.urlopen(url))

    for _ in range(count):
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()


def made(filename, name):
    code = f"def {name}():\n    kept.append(urlopen(url))\n"
    space = {"urlopen": urllib.request.urlopen, "url": url, "kept": kept}
    exec(compile(code, filename, "exec"), space)
    return space[name]


def recursive(depth):
    return recursive(depth - 1) if depth else kept.append(urllib.request.urlopen(url))


def in_child():
    """The trace of a fork child is its own."""
    child = os.fork()
    if child == 0:
        repeat(Client().method)
        os._exit(0)
    os.waitpid(child, 0)


def repeat(function):
    for _ in range(count):
        function()


steps = generator()
odd = os.fsdecode(b"/tmp/not \xff utf-8/\xe2\x82\xac.py")
ways = {
    "method": lambda: repeat(Client().method),
    "class": lambda: repeat(Client.of_class),
    "property": lambda: repeat(lambda: Client().answer),
    "generator": lambda: repeat(lambda: next(steps)),
    "lambda": lambda: repeat(lambda: kept.append(urllib.request.urlopen(url))),
    "long": lambda: repeat(long_function),
    "threads": in_threads,
    "fork": in_child,
    "recursive": lambda: repeat(lambda: recursive(100)),
    "string": lambda: repeat(made("<string>", "from_string")),
    "unicode": lambda: repeat(made("/srv/über/数据/📦.py", "größe_数据")),
    "bytes": lambda: repeat(made(odd, "name")),
    "longname": lambda: repeat(made("/" + "d" * 3000 + "/é.py", "f" * 3000)),
    "hostile": lambda: repeat(made("/a\n\x1b[2J\"b\".py", "name")),
}
async def asyncio_way():
    for _ in range(count):
        await outer()
    await asyncio.sleep(0.1)
    os._exit(0)


def changing():
    for i in range(count):  # other code at the same place in memory, again and again
        made(f"/srv/generated/{i}.py", f"step_{i}")()


ways["changing"] = changing
ways["asyncio"] = lambda: asyncio.run(asyncio_way())
for way in asked:
    ways[way]()
os._exit(0)
