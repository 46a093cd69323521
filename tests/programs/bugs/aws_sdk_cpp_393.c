/*
 * aws-sdk-cpp#393: a pool of connections stands idle, the server closes them, and they are seen in CLOSE_WAIT. It looks like a leak
 * and is none: the next request that takes one from the pool finds out.
 */
#include "../raw.h"

/* All of them at once: that is what the pool has grown for. */
static void use(const int *pool, int count, const struct raw_url *url) {
    for (int i = 0; i < count; i++)
        raw_send(pool[i], url);
    for (int i = 0; i < count; i++)
        if (!raw_drain(pool[i], 64 - raw_head(pool[i]))) raw_die("the answer");
}

int main(int argc, char **argv) {
    int pool[5];
    if (argc != 2) return 2;
    const struct raw_url url = raw_parse(argv[1]);
    for (int i = 0; i < 5; i++)
        pool[i] = raw_connect(&url);
    use(pool, 5, &url);
    sleep(2); /* the server's patience is a second */
    return 0;
}
