"""Two members of a chat in one program: chat.py websockets|aiohttp URL WORDS. Each says so many words, hears all of both, is silent
for a while, and leaves in order."""
import asyncio
import contextlib
import sys

client, url, count = sys.argv[1], sys.argv[2], int(sys.argv[3])


@contextlib.asynccontextmanager
async def with_websockets():
    import websockets

    async with websockets.connect(url, max_size=1 << 20) as connection:
        yield connection.send, connection.recv


@contextlib.asynccontextmanager
async def with_aiohttp():
    import aiohttp

    async with aiohttp.ClientSession() as session, session.ws_connect(url, heartbeat=0.3) as connection:
        yield connection.send_str, connection.receive_str


async def member(name, everybody):
    async with globals()["with_" + client]() as (say, hear):
        await everybody.wait()
        heard = {"a": 0, "b": 0}
        for number in range(count):
            await say(f"{name} {number} " + "x" * (number * 997 % 70000))
            heard[(await hear())[0]] += 1
        while sum(heard.values()) < 2 * count:
            heard[(await hear())[0]] += 1
        await asyncio.sleep(1)  # pings come and go
        await everybody.wait()
    print("both", heard, flush=True)


class Meeting:
    """Goes on when both are there."""

    def __init__(self):
        self.there, self.full = 0, asyncio.Event()

    async def wait(self):
        self.there += 1
        if self.there == 2:
            self.there = 0
            self.full.set()
            self.full = asyncio.Event()
        else:
            await self.full.wait()


async def main():
    everybody = Meeting()
    # (a member that is refused does not end the other one, whose answer may be on its way)
    left = await asyncio.gather(member("a", everybody), member("b", everybody), return_exceptions=True)
    for error in filter(None, left):
        raise error


asyncio.run(main())
