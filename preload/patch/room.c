/* Code pages near the text, and jumps written into it. */
#include "patch/room.h"

#include <sys/mman.h>

#include "patch/body.h"
#include "record/sys.h"

#ifndef MAP_FIXED_NOREPLACE
#define MAP_FIXED_NOREPLACE 0x100000
#endif

#define REACH                                                                                      \
    (UINT64_C(0x7fff0000)) /* of a 32-bit distance, less some room for what stands where */
#define LOWEST 65536u      /* the kernel's mmap_min_addr, as it is everywhere */

static bool map_at(struct patch_room *room, uintptr_t at, size_t size) {
    const long p = sys_call(SYS_mmap, at, size, PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
    if (p < 0 && p > -4096) return false;
    if ((uintptr_t)p != at) { /* a kernel before 4.17 takes the address as a hint */
        sys_call(SYS_munmap, p, size);
        return false;
    }
    *room = (struct patch_room){(uint8_t *)p, size, 0};
    return true;
}

/* Below first: above the program begins its heap, which grows upwards. */
bool patch_room_open(struct patch_room *room, uintptr_t low, uintptr_t high, size_t size) {
    room->start = NULL;
    if (high - low >= REACH) return false;
    size = (size + SYS_PAGE - 1) & ~(SYS_PAGE - 1);
    low &= ~(SYS_PAGE - 1);
    high = (high + SYS_PAGE - 1) & ~(SYS_PAGE - 1);
    const uintptr_t bottom = high > REACH ? high - REACH : LOWEST;
    for (uintptr_t away = size, step = 16 * SYS_PAGE; low > away + bottom; away += step, step *= 2)
        if (map_at(room, low - away, size)) return true;
    for (uintptr_t at = LOWEST; at < bottom + SYS_PAGE && at + size <= low; at += 4 * SYS_PAGE)
        if (map_at(room, at, size)) return true;
    for (uintptr_t away = REACH - (high - low) - size; away > size && away < REACH; away /= 2)
        if (map_at(room, (high + away) & ~(SYS_PAGE - 1), size)) return true;
    return false;
}

bool patch_room_seal(struct patch_room *room) {
    return sys_call(SYS_mprotect, room->start, room->size, PROT_READ | PROT_EXEC) == 0;
}

void patch_room_close(struct patch_room *room) {
    if (room->start) sys_call(SYS_munmap, room->start, room->size);
    room->start = NULL;
}

bool patch_put_jump(uint8_t *at, uintptr_t place, uintptr_t to) {
    const int64_t distance = (int64_t)(to - (place + PATCH_JUMP));
    if (distance != (int32_t)distance) return false;
    at[0] = 0xe9;
    for (int b = 0; b < 4; b++)
        at[1 + b] = (uint8_t)(distance >> 8 * b);
    return true;
}

static long protect(const struct patch_write *w, int protection) {
    const uintptr_t first = (uintptr_t)w->at & ~(SYS_PAGE - 1);
    const uintptr_t last = ((uintptr_t)w->at + PATCH_JUMP - 1) & ~(SYS_PAGE - 1);
    return sys_call(SYS_mprotect, first, last - first + SYS_PAGE, protection);
}

/*
 * Where a policy forbids that written code is executed (SELinux's execmod), the last step fails. What was written is taken back
 * then, and the pages are fetched from the file again.
 */
static bool refetch(const struct patch_write *w) {
    sys_call(SYS_madvise, (uintptr_t)w->at & ~(SYS_PAGE - 1), 2 * SYS_PAGE, MADV_DONTNEED);
    return protect(w, PROT_READ | PROT_EXEC) == 0;
}

const char *patch_write_all(const struct patch_write *writes, size_t count) {
    size_t open = 0;
    while (open < count && protect(&writes[open], PROT_READ | PROT_WRITE) == 0)
        open++;
    bool good = open == count;
    for (size_t i = 0; good && i < count; i++) {
        uint8_t jump[PATCH_JUMP];
        good = patch_put_jump(jump, (uintptr_t)writes[i].at, writes[i].to);
    }
    for (size_t i = 0; good && i < count; i++)
        patch_put_jump(writes[i].at, (uintptr_t)writes[i].at, writes[i].to);
    size_t closed = 0;
    while (closed < open && protect(&writes[closed], PROT_READ | PROT_EXEC) == 0)
        closed++;
    if (closed < open) {
        for (size_t i = 0; i < open; i++)
            refetch(&writes[i]);
        return "its text may not be executed once it was written to";
    }
    return good ? NULL : "its text may not be written to";
}
