/* A preload: the engine of preload/golang with probes that only count, into the file that COUNT_FILE names. */
#include <fcntl.h>
#include <stdlib.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "count.h"

static long now(void) {
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return t.tv_sec * 1000000000 + t.tv_nsec;
}

__attribute__((constructor)) static void init(void) {
    const char *path = getenv("COUNT_FILE");
    const int fd = path ? open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600) : -1;
    if (fd < 0 || ftruncate(fd, sizeof(struct count_page)) != 0) return;
    struct count_page *page = mmap(NULL, sizeof *page, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    unsetenv("COUNT_FILE"); /* children are not counted */
    if (page == MAP_FAILED) return;
    struct golang_start start = {(const void *)getauxval(AT_PHDR), getauxval(AT_PHNUM), 0};
    for (size_t i = 0; i < start.header_count; i++)
        if (start.headers[i].p_type == PT_PHDR)
            start.bias = (uintptr_t)start.headers - start.headers[i].p_vaddr;
    const long from = now();
    golang_start(&start);
    count_say(page, now() - from);
    count_page = page;
}
