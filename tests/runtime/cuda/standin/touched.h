// What a kernel touches, on the host. Kernels are compiled with the instrumentation of ThreadSanitizer and without its
// library: each access calls a function of ours (instrumented.h), whatever pointer it goes through.
#pragma once

// Bytes of one allocation that a launch read and wrote; low > high for none.
struct Touched { unsigned long long first, end, read_low, read_high, write_low, write_high; };

struct Launch {
    unsigned long long arena, arena_end;  // all memory that a device may see lies in here, and nothing else
    void (*find)(Launch*, unsigned long long address);  // adds the allocation at an address, or throws
    int count;
    Touched touched[64];
};
