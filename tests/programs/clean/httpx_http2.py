"""Clean work over HTTP/2: `httpx_http2.py URL COUNT [async]`, some of it read in parts, some given up in order."""
import asyncio
import sys

import httpx

url, count = sys.argv[1], int(sys.argv[2])


def sync():
    total = 0
    with httpx.Client(http2=True, verify=False) as client:
        for i in range(count):
            if i % 3 == 0:
                with client.stream("GET", url) as answer:
                    total += sum(len(part) for part in answer.iter_bytes(1000))
            else:
                answer = client.get(url)
                total += len(answer.content)
            assert answer.http_version == "HTTP/2" and answer.status_code == 200, answer
    print(total)


async def together():
    async with httpx.AsyncClient(http2=True, verify=False, timeout=30) as client:
        answers = await asyncio.gather(*(client.get(url) for _ in range(count)))
    assert all(a.http_version == "HTTP/2" and a.status_code == 200 for a in answers)
    print(sum(len(a.content) for a in answers))


if len(sys.argv) > 3:
    asyncio.run(together())
else:
    sync()
