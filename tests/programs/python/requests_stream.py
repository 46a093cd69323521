"""Keeps COUNT responses of requests.get(URL, stream=True) unread and leaves with os._exit."""
import os
import sys
import warnings

import requests

warnings.simplefilter("ignore")
url, count = sys.argv[1], int(sys.argv[2])


def fetch():
    return requests.get(url, stream=True, verify=False)


kept = [fetch() for _ in range(count)]
print([response.status_code for response in kept], flush=True)
os._exit(0)
