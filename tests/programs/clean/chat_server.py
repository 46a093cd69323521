"""A chat room of python3-websockets: chat_server.py PORT. Everything that one says, all hear. Prints each connection that ends."""
import asyncio
import sys

import websockets

room = set()


async def member(connection, *_):
    room.add(connection)
    try:
        async for word in connection:
            await asyncio.gather(*(one.send(word) for one in room), return_exceptions=True)
    finally:
        room.discard(connection)
        print("left", connection.close_code, flush=True)


async def main():
    async with websockets.serve(member, "127.0.0.1", int(sys.argv[1]), ping_interval=0.3):
        print("open", flush=True)
        await asyncio.Future()


asyncio.run(main())
