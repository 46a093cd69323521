/* golang/go#19976: a 302 without a Location is an error to the client, which returns it and forgets the response's body. */
#include "../raw.h"

enum outcome { ANSWERED, MISSING_LOCATION };

/* Byte by byte, so that nothing of the body is taken with it. */
static void read_head(int fd, char *head, size_t size) {
    size_t n = 0;
    do {
        if (n + 1 == size || recv(fd, head + n, 1, 0) != 1) raw_die("recv");
        head[++n] = '\0';
    } while (n < 4 || strcmp(head + n - 4, "\r\n\r\n") != 0);
}

static enum outcome get(const struct raw_url *url) {
    char head[1024];
    const int fd = raw_connect(url);
    raw_send(fd, url);
    read_head(fd, head, sizeof head);
    if (strncmp(head + 9, "302", 3) == 0 && !strstr(head, "\r\nLocation:")) return MISSING_LOCATION;
    close(fd);
    return ANSWERED;
}

int main(int argc, char **argv) {
    if (argc != 2) return 2;
    const struct raw_url url = raw_parse(argv[1]);
    for (int i = 0; i < 3; i++)
        if (get(&url) != MISSING_LOCATION) return 1;
    usleep(100000);
    return 0;
}
