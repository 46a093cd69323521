/* A library whose IFUNC resolver makes calls while the loader still relocates: the recorder's own
 * relocations come later. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

static int results[8], errors[8];

static int chosen(void) {
    return 42;
}

static void note(int n, long result) {
    results[n] = (int)result;
    errors[n] = result < 0 ? errno : 0;
}

static void *resolve(void) {
    char byte;
    struct pollfd none = {.fd = -1};
    int fd = dup(2);
    note(0, fd >= 0);
    note(1, close(fd));
    note(2, read(-1, &byte, 1));
    note(3, write(2, "", 0));
    note(4, close(-1));
    note(5, poll(&none, 1, 0));
    note(6, fcntl(-1, F_GETFD));
    note(7, send(-1, &byte, 1, 0));
    return (void *)chosen;
}

static int choice(void) __attribute__((ifunc("resolve")));

int early_choice(void);
int early_result(int n, int *error);

int early_choice(void) {
    return choice();
}

int early_result(int n, int *error) {
    *error = errors[n];
    return results[n];
}
