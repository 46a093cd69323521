"""HTTP/2 streams that are kept unread while others on their connection go on: `h2_kept.py PORT PATH COUNT [SECONDS]`."""
import os
import socket
import sys
import time

import h2.connection
import h2.events

port, path, count = int(sys.argv[1]), sys.argv[2], int(sys.argv[3])
sock = socket.create_connection(("localhost", port))
connection = h2.connection.H2Connection()
connection.initiate_connection()
connection.increment_flow_control_window(1 << 24)
taken, ended = {}, set()


def ask(keep):
    stream = connection.get_next_available_stream_id()
    connection.send_headers(stream, [(":method", "GET"), (":scheme", "http"), (":path", path),
                                     (":authority", f"localhost:{port}")], end_stream=True)
    taken[stream] = not keep
    sock.sendall(connection.data_to_send())  # asked
    return stream


def pump():
    for event in connection.receive_data(sock.recv(65536)):
        if isinstance(event, h2.events.DataReceived) and taken[event.stream_id]:
            connection.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        elif isinstance(event, h2.events.StreamEnded):
            ended.add(event.stream_id)
    sock.sendall(connection.data_to_send())


for _ in range(count):
    ask(keep=True)
for _ in range(4):
    stream = ask(keep=False)
    while stream not in ended:
        pump()
print("kept", count, flush=True)
time.sleep(float(sys.argv[4]) if len(sys.argv) > 4 else 0)
os._exit(0)  # and nothing is closed on the way out
