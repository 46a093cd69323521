"""docker/distribution#473 (goamz): each request makes a transport of its own, and with it a pool that nobody else uses."""
import os
import sys

import requests

TRANSPORTS = []  # none is ever closed


def put(url):
    transport = requests.Session()
    TRANSPORTS.append(transport)
    return transport.get(url).status_code


for _ in range(6):
    put(sys.argv[1])
os._exit(0)  # as servers stop: nobody tidies up
