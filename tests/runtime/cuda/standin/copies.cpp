// Copies and fills. Between pageable memory of the host and a device, the call takes what it reads, or waits for what it
// writes, as documented; page-locked memory is read and written when the stream comes to it.

#include "driver.h"

#include <cstring>

namespace standin {

// The driver looks at the addresses of copies itself, before anything runs.
static void check_side(Address address, std::size_t size) {
    Allocation* found = allocation_at(address);
    if (!found || found->freed) refuse(INVALID_VALUE, "an address that is not allocated");
    if (address + size > found->address + found->size) refuse(INVALID_VALUE, "reaches beyond its allocation");
}

static char* side(Op& op, Address address, std::size_t size, bool write) {
    if (Allocation* found = allocation_at(address)) touch(op, *found, address, address + size, write);
    return reinterpret_cast<char*>(address);
}

static OpPtr put_copy(const char* what, Address to, Address from, std::size_t size, Stream& stream) {
    bool pageable = !allocation_at(from) && !stream.capture;
    auto staged = std::make_shared<std::vector<char>>();
    if (pageable) {
        const char* begin = reinterpret_cast<const char*>(from);
        staged->assign(begin, begin + size);
    }
    return put(stream, what, [=](Op& op) {
        const char* source = pageable ? staged->data() : side(op, from, size, false);
        std::memmove(side(op, to, size, true), source, size);
    });
}

static int cuMemcpyHtoDAsync(Address to, const void* from, std::size_t size, void* stream) {
    check_side(to, size);
    put_copy("cuMemcpyHtoDAsync", to, reinterpret_cast<Address>(from), size, *stream_of(stream));
    return SUCCESS;
}

static int cuMemcpyDtoHAsync(void* to, Address from, std::size_t size, void* stream) {
    check_side(from, size);
    OpPtr copy = put_copy("cuMemcpyDtoHAsync", reinterpret_cast<Address>(to), from, size, *stream_of(stream));
    if (copy && !allocation_at(reinterpret_cast<Address>(to))) {
        execute(copy);
        join(state().host, copy->clock);
    }
    return SUCCESS;
}

static int cuMemcpyDtoDAsync(Address to, Address from, std::size_t size, void* stream) {
    check_side(to, size);
    check_side(from, size);
    put_copy("cuMemcpyDtoDAsync", to, from, size, *stream_of(stream));
    return SUCCESS;
}

static int cuMemsetD8Async(Address to, unsigned char value, std::size_t size, void* stream) {
    check_side(to, size);
    put(*stream_of(stream), "cuMemsetD8Async", [=](Op& op) { std::memset(side(op, to, size, true), value, size); });
    return SUCCESS;
}

static int waited(int code) {
    wait_for(*current()->legacy);
    return code ? code : current()->sticky;
}

static int cuMemcpyHtoD(Address to, const void* from, std::size_t size) {
    unsafe("cuMemcpyHtoD");
    return waited(cuMemcpyHtoDAsync(to, from, size, nullptr));
}

static int cuMemcpyDtoH(void* to, Address from, std::size_t size) {
    unsafe("cuMemcpyDtoH");
    return waited(cuMemcpyDtoHAsync(to, from, size, nullptr));
}

static int cuMemcpyDtoD(Address to, Address from, std::size_t size) {
    unsafe("cuMemcpyDtoD");
    return cuMemcpyDtoDAsync(to, from, size, nullptr);
}

static int cuMemsetD8(Address to, unsigned char value, std::size_t size) {
    unsafe("cuMemsetD8");
    return cuMemsetD8Async(to, value, size, nullptr);
}

std::vector<Entry> copy_entries() {
    return {ENTRY(cuMemcpyHtoDAsync, 'c'), ENTRY(cuMemcpyDtoHAsync, 'c'), ENTRY(cuMemcpyDtoDAsync, 'c'),
            ENTRY(cuMemsetD8Async, 'c'), ENTRY(cuMemcpyHtoD, 'c'), ENTRY(cuMemcpyDtoH, 'c'), ENTRY(cuMemcpyDtoD, 'c'),
            ENTRY(cuMemsetD8, 'c')};
}

}  // namespace standin
