"""Keeps COUNT responses of http.client unread, one connection each, and leaves with os._exit."""
import http.client
import os
import ssl
import sys
import urllib.parse

url, count = urllib.parse.urlsplit(sys.argv[1]), int(sys.argv[2])


def connect():
    if url.scheme == "https":
        return http.client.HTTPSConnection(
            url.hostname, url.port, context=ssl._create_unverified_context()
        )
    return http.client.HTTPConnection(url.hostname, url.port)


def fetch():
    connection = connect()
    connection.request("GET", url.path)
    return connection, connection.getresponse()


kept = [fetch() for _ in range(count)]
print([response.status for _, response in kept], flush=True)
os._exit(0)
