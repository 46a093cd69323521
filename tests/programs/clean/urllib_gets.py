"""A clean client on urllib.request and http.client: reads everything, closes everything."""
import hashlib
import http.client
import ssl
import sys
import urllib.error
import urllib.parse
import urllib.request

base = sys.argv[1]
unverified = ssl._create_unverified_context()


def show(what, status, data):
    print(what, status, len(data), hashlib.md5(data).hexdigest())


def fetch(path, method="GET", data=None):
    try:
        with urllib.request.urlopen(
            urllib.request.Request(base + path, data, method=method), context=unverified
        ) as response:
            show(path, response.status, response.read())
    except urllib.error.HTTPError as error:
        with error:
            show(path, error.code, error.read())


for target in (
    "/bytes/262144",
    "/chunked/100000",
    "/close/50000",
    "/status/404",
    "/status/204",
    "/redirect",
):
    fetch(target)
fetch("/bytes/1000", "HEAD")
fetch("/bytes/1000", "POST", b"x" * 100000)

url = urllib.parse.urlsplit(base)
if url.scheme == "https":
    connection = http.client.HTTPSConnection(url.hostname, url.port, context=unverified)
else:
    connection = http.client.HTTPConnection(url.hostname, url.port)
for target in ("/bytes/262144", "/chunked/100000", "/status/404", "/status/304", "/bytes/7"):
    connection.request("GET", target)
    answer = connection.getresponse()
    show(target, answer.status, answer.read())
connection.close()
