/* The reason why a Go program is not followed. */
#include "golang/words.h"

#include "golang/golang.h"

bool words_refuse_all(const char *const *texts) {
    char *to = golang_program.blind_reason;
    const char *const end = to + sizeof golang_program.blind_reason - 1;
    for (; *texts; texts++)
        for (const char *s = *texts; *s && to < end; s++)
            *to++ = *s;
    *to = 0;
    return false;
}
