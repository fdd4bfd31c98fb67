// The functions that instrumented kernels call at each access.
#pragma once
#include "touched.h"

#define UNWATCHED __attribute__((no_sanitize("thread")))

static Launch* launched;

UNWATCHED static void accessed(const void* place, unsigned long long size, bool write) {
    const unsigned long long address = (unsigned long long)place;
    const bool nowhere = address < 65536 || address >> 47;  // null, or close to it, or read from memory nobody wrote
    if (!nowhere && (address < launched->arena || address >= launched->arena_end)) return;  // of the host's own
    for (int again = 0; again < 2; ++again) {
        for (int index = 0; index < launched->count; ++index) {
            Touched& seen = launched->touched[index];
            if (address < seen.first || address + size > seen.end) continue;
            unsigned long long &low = write ? seen.write_low : seen.read_low;
            unsigned long long &high = write ? seen.write_high : seen.read_high;
            if (address < low) low = address;
            if (address + size > high) high = address + size;
            return;
        }
        launched->find(launched, address);
    }
    launched->find(launched, address + size - 1);  // it begins within an allocation and ends outside
}

// Under other names than the linker sees: compilers know some of these, each with parameters of its own.
#define WATCHED(NAME, PARAMETERS, ...)                      \
    extern "C" void watched##NAME PARAMETERS asm("__tsan" #NAME); \
    UNWATCHED void watched##NAME PARAMETERS { __VA_ARGS__; }
#define ACCESS(SIZE)                                                         \
    WATCHED(_read##SIZE, (void* at), accessed(at, SIZE, false))              \
    WATCHED(_write##SIZE, (void* at), accessed(at, SIZE, true))              \
    WATCHED(_unaligned_read##SIZE, (void* at), accessed(at, SIZE, false))    \
    WATCHED(_unaligned_write##SIZE, (void* at), accessed(at, SIZE, true))

ACCESS(1)
ACCESS(2)
ACCESS(4)
ACCESS(8)
ACCESS(16)
WATCHED(_read_range, (void* at, unsigned long size), accessed(at, size, false))
WATCHED(_write_range, (void* at, unsigned long size), accessed(at, size, true))
WATCHED(_init, (), )
WATCHED(_func_entry, (void*), )
WATCHED(_func_exit, (), )
