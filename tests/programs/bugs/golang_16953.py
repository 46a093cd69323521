"""golang/go#16953: a crawler asks for each page and looks at its status; 426 connections later somebody wonders."""
import http.client
import os
import sys
import time
import urllib.parse

KEPT = []  # what the transport keeps of a response that nobody reads


def status(url):
    parts = urllib.parse.urlsplit(url)
    connection = http.client.HTTPConnection(parts.netloc)
    connection.request("GET", parts.path)
    response = connection.getresponse()
    KEPT.append(response)
    return response.status


def crawl(url):
    for _ in range(26):
        status(url)


crawl(sys.argv[1])
time.sleep(0.3)
os._exit(0)  # as servers stop: nobody tidies up
