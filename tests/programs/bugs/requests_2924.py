"""requests#2924: responses are closed with bytes unread: no leak, but no connection is ever used again."""
import sys

import requests


def newest(session, url):
    with session.get(url, stream=True) as response:
        return response.status_code


with requests.Session() as session:
    for _ in range(5):
        newest(session, sys.argv[1])
