/* okhttp#4658: the server refuses to upgrade to a WebSocket, the refusal's body is kept open, and each reconnect does it again. */
#include "../raw.h"

static void ask_to_upgrade(int fd, const struct raw_url *url) {
    char text[1024];
    int n =
        snprintf(text, sizeof text,
                 "GET %s HTTP/1.1\r\nHost: %s:%d\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                 "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AQIDBAUGBwgJCgsMDQ4PEA==\r\n\r\n",
                 url->path, url->host, ntohs(url->address.sin_port));
    if (send(fd, text, (size_t)n, MSG_NOSIGNAL) != n) raw_die("send");
}

static bool open_web_socket(const struct raw_url *url) {
    char answer[256];
    int fd = raw_connect(url);
    ask_to_upgrade(fd, url);
    if (recv(fd, answer, sizeof answer, 0) < 12) raw_die("recv");
    usleep(100000);                           /* what comes behind the head is there by then */
    return memcmp(answer + 9, "101", 3) == 0; /* else the response is forgotten, body and all */
}

int main(int argc, char **argv) {
    if (argc != 2) return 2;
    const struct raw_url url = raw_parse(argv[1]);
    for (int attempt = 0; attempt < 4; attempt++)
        if (open_web_socket(&url)) return 1;
    return 0;
}
