/*
 * golang/go#13801: ten requests at once, but the pool keeps two connections: eight are closed after each round and opened again for
 * the next. Nothing leaks; the totals tell of 26 connections for 30 requests.
 */
#include "../raw.h"

enum { AT_ONCE = 10, KEPT = 2, ROUNDS = 3 };

int main(int argc, char **argv) {
    int pool[AT_ONCE];
    if (argc != 2) return 2;
    const struct raw_url url = raw_parse(argv[1]);
    for (int round = 0; round < ROUNDS; round++) {
        for (int i = 0; i < AT_ONCE; i++)
            if (round == 0 || i >= KEPT) pool[i] = raw_connect(&url);
        for (int i = 0; i < AT_ONCE; i++)
            raw_send(pool[i], &url);
        for (int i = 0; i < AT_ONCE; i++)
            if (!raw_drain(pool[i], 64 - raw_head(pool[i]))) raw_die("the answer");
        for (int i = KEPT; i < AT_ONCE; i++)
            close(pool[i]);
    }
    return 0;
}
