/*
 * Pools of connections: `pool URL MODE COUNT SECONDS` opens COUNT connections at once, uses each, and goes on for SECONDS in the way
 * of MODE, URL being /bytes/64.
 */
#include "raw.h"

static int fds[256];

static void ask(int fd, const struct raw_url *url) {
    raw_send(fd, url);
    if (!raw_drain(fd, 64 - raw_head(fd))) raw_die("the answer");
}

static void burst(const struct raw_url *url, int count) {
    for (int i = 0; i < count; i++)
        raw_send(fds[i], url);
    for (int i = 0; i < count; i++)
        if (!raw_drain(fds[i], 64 - raw_head(fds[i]))) raw_die("the answer");
}

int main(int argc, char **argv) {
    if (argc != 5) return 2;
    const struct raw_url url = raw_parse(argv[1]);
    const int count = atoi(argv[3]), steps = atoi(argv[4]) * 10;
    for (int i = 0; i < count; i++)
        fds[i] = raw_connect(&url);
    burst(&url, count);
    for (int i = 0; i < steps; i++) {
        usleep(100000);
        if (strcmp(argv[2], "one") == 0) ask(fds[0], &url);     /* one is enough from here on */
        if (strcmp(argv[2], "pair") == 0) burst(&url, 2);       /* two are */
        if (strcmp(argv[2], "bursts") == 0) burst(&url, count); /* all are needed again and again */
        if (strcmp(argv[2], "quiet") == 0) continue;            /* nothing is asked any more */
    }
    puts("done");
    return 0;
}
