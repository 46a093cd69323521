"""Keeps COUNT responses of urllib.request.urlopen(URL) unread and leaves with os._exit."""
import os
import ssl
import sys
import urllib.request

url, count = sys.argv[1], int(sys.argv[2])
unverified = ssl._create_unverified_context()


def fetch():
    return urllib.request.urlopen(url, context=unverified)


kept = [fetch() for _ in range(count)]
print([response.status for response in kept], flush=True)
os._exit(0)
