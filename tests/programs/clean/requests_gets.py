"""A clean client on requests: one session whose pool keeps the connections, a streamed download, a
session per request."""
import hashlib
import sys
import threading
import warnings

import requests

warnings.simplefilter("ignore")
base = sys.argv[1]


def show(what, status, data):
    print(what, status, len(data), hashlib.md5(data).hexdigest())


with requests.Session() as session:
    session.verify, session.trust_env = False, False
    for target in (
        "/bytes/262144",
        "/chunked/100000",
        "/close/50000",
        "/status/404",
        "/status/204",
        "/redirect",
    ):
        response = session.get(base + target)
        show(target, response.status_code, response.content)
    with session.get(base + "/bytes/1000000", stream=True) as response:
        show("stream", response.status_code, b"".join(response.iter_content(10000)))
    response = session.post(base + "/bytes/64", data=b"y" * 70000)
    show("post", response.status_code, response.content)
    threads = [
        threading.Thread(target=session.get, args=(base + "/bytes/70000",)) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
response = requests.get(base + "/bytes/50000", verify=False)
show("single", response.status_code, response.content)
