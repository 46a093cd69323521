"""git's own server program, `git http-backend`, as the origin runs it: CGI, as a web server would."""
import asyncio
import os


def variables(root, exchange, body):
    """What RFC 3875 says of a request, and the two header fields that git looks at."""
    fields, path = exchange.fields, exchange.path.removeprefix("/git")
    return {
        "PATH": os.environ.get("PATH", "/usr/bin:/bin"),
        "GIT_PROJECT_ROOT": root,
        "GIT_HTTP_EXPORT_ALL": "1",
        "REMOTE_USER": "tester",  # who has a name may push
        "REMOTE_ADDR": "127.0.0.1",
        "PATH_INFO": path,
        "QUERY_STRING": exchange.target.partition("?")[2],
        "REQUEST_METHOD": exchange.method,
        "CONTENT_TYPE": fields.get("content-type", ""),
        "CONTENT_LENGTH": str(len(body)),
        "HTTP_CONTENT_ENCODING": fields.get("content-encoding", ""),
        "GIT_PROTOCOL": fields.get("git-protocol", ""),
    }


async def start(root, exchange, body):
    """The program, which has been given the request; its status and header fields. Its output goes on behind them."""
    process = await asyncio.create_subprocess_exec(
        "git",
        "http-backend",
        env=variables(root, exchange, body),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )

    async def give():
        try:
            process.stdin.write(body)
            await process.stdin.drain()
            process.stdin.close()
        except ConnectionError:
            pass  # it has heard enough

    process.giving = asyncio.ensure_future(give())  # held here, so that it is not collected
    status, fields = 200, []
    while line := (await process.stdout.readline()).decode("latin-1").strip():
        name, _, value = line.partition(":")
        if name.lower() == "status":
            status = int(value.split()[0])
        else:
            fields.append(line)
    return process, status, fields
