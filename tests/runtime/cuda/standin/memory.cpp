// Memory of devices, pools, and page-locked memory of the host, all of it in one reserved range. No address is given out
// twice, so that who uses or frees memory after its release is always found out, and gaps lie between. New memory holds
// 0xA5. The host can read memory of devices only while work runs.

#include "driver.h"

#include <algorithm>
#include <cstring>
#include <sys/mman.h>

namespace standin {

constexpr std::size_t PAGE = 4096, GAP = 1 << 16, RESERVED = std::size_t(1) << 38;

struct PoolProperties { int kind, handles, location_type, location; };  // the beginning of CUmemPoolProps

Allocation* allocation_at(Address address) {
    auto& all = state().allocations;
    auto after = all.upper_bound(address);
    if (after == all.begin()) return nullptr;
    Allocation* found = std::prev(after)->second.get();
    return address < found->address + found->size ? found : nullptr;
}

Arena arena() {
    static void* start = mmap(nullptr, RESERVED, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (start == MAP_FAILED) refuse(OUT_OF_MEMORY, "the host has no addresses for it");
    return {reinterpret_cast<Address>(start), reinterpret_cast<Address>(start) + RESERVED};
}

static std::size_t whole_pages(std::size_t size) { return (size + PAGE - 1) / PAGE * PAGE; }

static void protect(const Allocation& allocation, bool readable) {
    mprotect(reinterpret_cast<void*>(allocation.address), whole_pages(allocation.size),
             readable ? PROT_READ | PROT_WRITE : PROT_NONE);
}

void show_devices(bool readable) {
    for (auto& [address, allocation] : state().allocations)
        if (!allocation->freed && allocation->device >= 0) protect(*allocation, readable);
}

static std::size_t held(int device) {
    std::size_t bytes = 0;
    for (auto& [address, allocation] : state().allocations)
        if (!allocation->freed && allocation->device == device) bytes += allocation->size;
    return bytes;
}

static Allocation& allocated(std::size_t size, int device, Pool* pool = nullptr) {
    if (size == 0) refuse(INVALID_VALUE, "an allocation of nothing");
    if (device >= 0 && size > state().memory - std::min(state().memory, held(device)))
        refuse(OUT_OF_MEMORY, "the device has no room for it");
    static Address next = arena().first;
    if (next + size + 2 * GAP > arena().end) refuse(OUT_OF_MEMORY, "the stand-in has given out all of its addresses");
    auto own = std::make_unique<Allocation>();
    own->address = next, own->size = size, own->device = device, own->pool = pool;
    next += whole_pages(size) + GAP;
    protect(*own, true);
    std::memset(reinterpret_cast<void*>(own->address), 0xA5, size);
    if (device >= 0 && !working()) protect(*own, false);
    if (pool) pool->used += size, pool->reserved = std::max(pool->reserved, pool->used);
    Allocation& made = *own;
    state().allocations[made.address] = std::move(own);
    return made;
}

static void shrink(Pool& pool) {
    pool.reserved = std::min(pool.reserved, std::max(pool.used, pool.destroyed ? 0 : pool.threshold));
}

static void release(Allocation& allocation) {
    allocation.freed = true;
    allocation.accesses.clear();
    mmap(reinterpret_cast<void*>(allocation.address), whole_pages(allocation.size), PROT_NONE,
         MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1, 0);
    if (allocation.pool) allocation.pool->used -= allocation.size, shrink(*allocation.pool);
}

static Allocation& to_release(Address address, bool on_device, const char* what) {
    Allocation* found = allocation_at(address);
    if (!found || found->address != address || found->ending || (found->device >= 0) != on_device)
        refuse(INVALID_VALUE, std::string(what) + " of what is not allocated");
    return *found;
}

// Here the real driver waits for the device, or does not; our code shall not depend on that.
static int release_now(Allocation& allocation, const char* what) {
    try {
        check_released(allocation, state().host, what);
    } catch (const Refusal& refusal) {
        current()->sticky = refusal.code;
        throw;
    }
    allocation.ending = true;
    release(allocation);
    return SUCCESS;
}

static int cuMemAlloc(Address* address, std::size_t size) {
    unsafe("cuMemAlloc");
    *address = allocated(size, current()->device).address;
    return SUCCESS;
}

static int cuMemFree(Address address) {
    if (address == 0) return SUCCESS;
    unsafe("cuMemFree");
    return release_now(to_release(address, true, "cuMemFree"), "cuMemFree");
}

static int cuMemHostAlloc(void** address, std::size_t size, unsigned) {
    unsafe("cuMemHostAlloc");
    *address = reinterpret_cast<void*>(allocated(size, -1).address);
    return SUCCESS;
}

static int cuMemFreeHost(void* address) {
    unsafe("cuMemFreeHost");
    return release_now(to_release(reinterpret_cast<Address>(address), false, "cuMemFreeHost"), "cuMemFreeHost");
}

static int cuMemAllocFromPoolAsync(Address* address, std::size_t size, void* pool_handle, void* stream_handle) {
    Stream& stream = *stream_of(stream_handle);
    if (stream.capture) refuse(NOT_SUPPORTED, "the stand-in records no allocations");
    Pool& pool = *live<Pool>(pool_handle);
    Allocation& made = allocated(size, pool.device, &pool);
    *address = made.address;
    put(stream, "cuMemAllocAsync", [&made](Op& op) {
        touch(op, made, made.address, made.address + made.size, true);  // whoever uses it comes after this
    });
    return SUCCESS;
}

static int cuDeviceGetDefaultMemPool(void** pool, int device) {
    if (device < 0 || device >= state().devices) refuse(INVALID_DEVICE, "no such device");
    Pool*& own = state().default_pools[device];
    if (own == nullptr) own = made(std::make_unique<Pool>()), own->device = device;
    *pool = own;
    return SUCCESS;
}

static int cuMemAllocAsync(Address* address, std::size_t size, void* stream) {
    void* pool;
    cuDeviceGetDefaultMemPool(&pool, stream_of(stream)->context->device);
    return cuMemAllocFromPoolAsync(address, size, pool, stream);
}

static int cuMemFreeAsync(Address address, void* stream_handle) {
    Stream& stream = *stream_of(stream_handle);
    Allocation& allocation = to_release(address, true, "cuMemFreeAsync");
    if (stream.capture) refuse(INVALID_VALUE, "memory that no graph allocated cannot be freed by one");
    allocation.ending = true;
    put(stream, "cuMemFreeAsync", [&allocation](Op& op) {
        check_released(allocation, op.clock, "cuMemFreeAsync");
        release(allocation);
    });
    return SUCCESS;
}

static int cuMemPoolCreate(void** pool, const PoolProperties* properties) {
    if (properties->location < 0 || properties->location >= state().devices) refuse(INVALID_DEVICE, "no such device");
    auto own = std::make_unique<Pool>();
    own->device = properties->location;
    *pool = made(std::move(own));
    return SUCCESS;
}

static int cuMemPoolDestroy(void* handle) {
    Pool& pool = *live<Pool>(handle);
    pool.destroyed = true;  // what was allocated from it lives on
    shrink(pool);
    retire(handle);
    return SUCCESS;
}

static int cuMemPoolTrimTo(void* handle, std::size_t kept) {
    Pool& pool = *live<Pool>(handle);
    pool.reserved = std::min<Address>(pool.reserved, std::max<Address>(pool.used, kept));
    return SUCCESS;
}

static int cuMemPoolSetAttribute(void* handle, int attribute, void* value) {
    Pool& pool = *live<Pool>(handle);
    if (attribute == 4) pool.threshold = *static_cast<Address*>(value);
    return SUCCESS;
}

static int cuMemPoolGetAttribute(void* handle, int attribute, void* value) {
    const Pool& pool = *live<Pool>(handle);
    if (attribute < 4 || attribute > 8) refuse(NOT_SUPPORTED, "an attribute that the stand-in does not know");
    *static_cast<Address*>(value) = attribute == 4 ? pool.threshold : attribute < 7 ? pool.reserved : pool.used;
    return SUCCESS;
}

static int cuMemGetInfo(std::size_t* free, std::size_t* total) {
    *total = state().memory;
    *free = *total - held(current()->device);
    return SUCCESS;
}

static int cuPointerGetAttribute(void* data, int attribute, Address address) {
    Allocation* found = allocation_at(address);
    if (!found || found->freed) refuse(INVALID_VALUE, "an address that is not allocated");
    bool device = found->device >= 0;
    int owner = device ? found->device : 0;
    switch (attribute) {
    case 1: *static_cast<void**>(data) = state().primaries.count(owner) ? state().primaries[owner] : nullptr; break;
    case 2: *static_cast<unsigned*>(data) = device ? 2 : 1; break;
    case 3: *static_cast<Address*>(data) = address; break;
    case 4: *static_cast<Address*>(data) = device ? 0 : address; break;
    case 8: *static_cast<unsigned*>(data) = 0; break;
    case 9: *static_cast<int*>(data) = owner; break;
    case 11: *static_cast<Address*>(data) = found->address; break;
    case 12: *static_cast<std::size_t*>(data) = found->size; break;
    case 13: *static_cast<unsigned*>(data) = 1; break;
    case 17: *static_cast<void**>(data) = found->pool; break;
    default: refuse(NOT_SUPPORTED, "an attribute that the stand-in does not know");
    }
    return SUCCESS;
}

// Unlike the one before, this gives zeros for an address that is not allocated; the widest of the values is 8 bytes.
static int cuPointerGetAttributes(unsigned count, const int* attributes, void** data, Address address) {
    Allocation* found = allocation_at(address);
    for (unsigned index = 0; index < count; ++index) {
        if (found && !found->freed) cuPointerGetAttribute(data[index], attributes[index], address);
        else std::memset(data[index], 0, attributes[index] == 2 || attributes[index] == 8 || attributes[index] == 9 ? 4 : 8);
    }
    return SUCCESS;
}

std::vector<Entry> memory_entries() {
    return {ENTRY(cuMemAlloc, 'c'), ENTRY(cuMemFree, 'c'), ENTRY(cuMemHostAlloc, 'c'), ENTRY(cuMemFreeHost, 'c'),
            ENTRY(cuMemAllocAsync, 'c'), ENTRY(cuMemAllocFromPoolAsync, 'c'), ENTRY(cuMemFreeAsync, 'c'),
            ENTRY(cuDeviceGetDefaultMemPool, 'i'), ENTRY(cuMemPoolCreate, 'i'), ENTRY(cuMemPoolDestroy, 'i'),
            ENTRY(cuMemPoolTrimTo, 'i'), ENTRY(cuMemPoolSetAttribute, 'i'), ENTRY(cuMemPoolGetAttribute, 'i'),
            ENTRY(cuMemGetInfo, 'c'), ENTRY(cuPointerGetAttribute, 'i'), ENTRY(cuPointerGetAttributes, 'i')};
}

}  // namespace standin
