// Devices, contexts, the driver's words, the way in, and what only the tests call (`standin_*`).

#include "driver.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <mutex>

namespace standin {

static std::recursive_mutex mutex;
static thread_local std::vector<void*> contexts;  // of this thread; the last one is current

State& state() {
    static State* only = new State;  // never destroyed: other libraries may call while the process ends
    return *only;
}

void retire(void* handle) {
    auto found = state().handles.find(handle);
    state().retired.push_back(std::move(found->second));
    state().handles.erase(found);
}

Context* current() {
    if (contexts.empty() || !contexts.back()) refuse(INVALID_CONTEXT, "no context is current in this thread");
    return live<Context>(contexts.back(), INVALID_CONTEXT);
}

Stream* stream_of(void* handle) {
    auto number = reinterpret_cast<std::uintptr_t>(handle);
    return number <= 1 ? current()->legacy : live<Stream>(handle);  // 0 and 1 are the legacy default stream
}

int guarded(const char* name, char needs, const std::function<int()>& call) {
    std::lock_guard<std::recursive_mutex> lock(mutex);
    State& all = state();
    all.log += std::string(name) + "\n";
    if (all.fail_name == name && all.fail_after-- == 0) {
        all.fail_name.clear();
        return all.fail_code;
    }
    try {
        if (needs != 'n' && !all.initialized) refuse(NOT_INITIALIZED, "cuInit was not called");
        if (needs == 'c' && current()->sticky) return current()->sticky;
        return call();
    } catch (const Refusal& refusal) {
        all.log += std::string("! ") + name + ": " + std::to_string(refusal.code) + " " + refusal.why + "\n";
        return refusal.code;
    }
}

static const std::map<int, std::pair<const char*, const char*>> WORDS = {
    {SUCCESS, {"CUDA_SUCCESS", "no error"}},
    {INVALID_VALUE, {"CUDA_ERROR_INVALID_VALUE", "invalid argument"}},
    {OUT_OF_MEMORY, {"CUDA_ERROR_OUT_OF_MEMORY", "out of memory"}},
    {NOT_INITIALIZED, {"CUDA_ERROR_NOT_INITIALIZED", "initialization error"}},
    {INVALID_DEVICE, {"CUDA_ERROR_INVALID_DEVICE", "invalid device ordinal"}},
    {INVALID_IMAGE, {"CUDA_ERROR_INVALID_IMAGE", "device kernel image is invalid"}},
    {INVALID_CONTEXT, {"CUDA_ERROR_INVALID_CONTEXT", "invalid device context"}},
    {NO_BINARY, {"CUDA_ERROR_NO_BINARY_FOR_GPU", "no kernel image is available for execution on the device"}},
    {INVALID_HANDLE, {"CUDA_ERROR_INVALID_HANDLE", "invalid resource handle"}},
    {ILLEGAL_STATE, {"CUDA_ERROR_ILLEGAL_STATE", "the operation cannot be performed in the present state"}},
    {NOT_FOUND, {"CUDA_ERROR_NOT_FOUND", "named symbol not found"}},
    {NOT_READY, {"CUDA_ERROR_NOT_READY", "device not ready"}},
    {ILLEGAL_ADDRESS, {"CUDA_ERROR_ILLEGAL_ADDRESS", "an illegal memory access was encountered"}},
    {LAUNCH_FAILED, {"CUDA_ERROR_LAUNCH_FAILED", "unspecified launch failure"}},
    {NOT_SUPPORTED, {"CUDA_ERROR_NOT_SUPPORTED", "operation not supported"}},
    {CAPTURE_UNSUPPORTED,
     {"CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED", "operation not permitted when stream is capturing"}},
    {CAPTURE_INVALIDATED,
     {"CUDA_ERROR_STREAM_CAPTURE_INVALIDATED", "operation failed due to a previous error during capture"}},
    {CAPTURE_MERGE, {"CUDA_ERROR_STREAM_CAPTURE_MERGE", "operation would result in a merge of separate capture sequences"}},
    {CAPTURE_UNMATCHED, {"CUDA_ERROR_STREAM_CAPTURE_UNMATCHED", "capture was not ended in the same stream as it began"}},
    {CAPTURE_UNJOINED,
     {"CUDA_ERROR_STREAM_CAPTURE_UNJOINED", "capturing stream has unjoined work"}},
    {CAPTURE_ISOLATION,
     {"CUDA_ERROR_STREAM_CAPTURE_ISOLATION", "dependency created on uncaptured work in another stream"}},
    {CAPTURE_IMPLICIT,
     {"CUDA_ERROR_STREAM_CAPTURE_IMPLICIT", "operation would make the legacy stream depend on a capturing blocking stream"}},
    {CAPTURED_EVENT,
     {"CUDA_ERROR_CAPTURED_EVENT", "operation not permitted on an event last recorded in a capturing stream"}},
    {CAPTURE_WRONG_THREAD,
     {"CUDA_ERROR_STREAM_CAPTURE_WRONG_THREAD", "attempt to terminate a thread-local capture sequence from another thread"}},
    {UNKNOWN, {"CUDA_ERROR_UNKNOWN", "unknown error"}},
};

static int cuGetErrorString(int code, const char** words) {
    auto found = WORDS.find(code);
    *words = found == WORDS.end() ? nullptr : found->second.second;
    return found == WORDS.end() ? INVALID_VALUE : SUCCESS;
}

static int cuGetErrorName(int code, const char** name) {
    auto found = WORDS.find(code);
    *name = found == WORDS.end() ? nullptr : found->second.first;
    return found == WORDS.end() ? INVALID_VALUE : SUCCESS;
}

static int cuInit(unsigned flags) {
    if (flags != 0) return INVALID_VALUE;
    state().initialized = true;
    return SUCCESS;
}

static int cuDriverGetVersion(int* version) {
    *version = 13000;
    return SUCCESS;
}

static int cuDeviceGetCount(int* count) {
    *count = state().devices;
    return SUCCESS;
}

static void check_device(int device) {
    if (device < 0 || device >= state().devices) refuse(INVALID_DEVICE, "no such device");
}

static int cuDeviceGet(int* device, int index) {
    check_device(index);
    *device = index;
    return SUCCESS;
}

static int cuDeviceGetName(char* name, int size, int device) {
    check_device(device);
    std::strncpy(name, ("Stand-in " + std::to_string(device)).c_str(), static_cast<std::size_t>(size));
    return SUCCESS;
}

static int cuDeviceGetUuid(unsigned char* uuid, int device) {
    check_device(device);
    std::memset(uuid, device + 1, 16);
    return SUCCESS;
}

static int cuDeviceTotalMem(std::size_t* bytes, int device) {
    check_device(device);
    *bytes = state().memory;
    return SUCCESS;
}

static int cuDeviceGetAttribute(int* value, int attribute, int device) {
    check_device(device);
    switch (attribute) {
    case 1: *value = 1024; break;  // threads of a block
    case 5: *value = 2147483647; break;  // blocks of a grid, along x
    case 6: case 7: *value = 65535; break;  // along y and z
    case 16: *value = 1; break;  // multiprocessors
    case 41: case 115: *value = 1; break;  // unified addressing, memory pools
    case 75: *value = state().capability / 10; break;
    case 76: *value = state().capability % 10; break;
    default: *value = 0;
    }
    return SUCCESS;
}

static int cuDevicePrimaryCtxRetain(void** context, int device) {
    check_device(device);
    Context*& own = state().primaries[device];
    if (own == nullptr) {
        own = made(std::make_unique<Context>());
        own->device = device;
        auto legacy = std::make_unique<Stream>();
        legacy->context = own, legacy->legacy = true, legacy->number = ++state().numbers;
        own->legacy = legacy.get();
        state().streams.push_back(legacy.get());
        state().retired.push_back(std::move(legacy));
    }
    ++own->retained;
    *context = own;
    return SUCCESS;
}

static int cuDevicePrimaryCtxRelease(int device) {
    check_device(device);
    auto found = state().primaries.find(device);
    if (found == state().primaries.end()) refuse(INVALID_CONTEXT, "its primary context is not retained");
    if (--found->second->retained > 0) return SUCCESS;
    retire(found->second);
    state().primaries.erase(found);
    return SUCCESS;
}

static int cuDevicePrimaryCtxGetState(int device, unsigned* flags, int* active) {
    check_device(device);
    *flags = 0, *active = static_cast<int>(state().primaries.count(device));
    return SUCCESS;
}

static int cuCtxSetCurrent(void* context) {
    if (context) live<Context>(context, INVALID_CONTEXT);
    if (contexts.empty()) contexts.push_back(context);
    else contexts.back() = context;
    if (!context) contexts.pop_back();
    return SUCCESS;
}

static int cuCtxGetCurrent(void** context) {
    *context = contexts.empty() ? nullptr : contexts.back();
    return SUCCESS;
}

static int cuCtxPushCurrent(void* context) {
    contexts.push_back(live<Context>(context, INVALID_CONTEXT));
    return SUCCESS;
}

static int cuCtxPopCurrent(void** context) {
    if (contexts.empty()) refuse(INVALID_CONTEXT, "no context is current in this thread");
    if (context) *context = contexts.back();
    contexts.pop_back();
    return SUCCESS;
}

static int cuCtxGetDevice(int* device) {
    *device = current()->device;
    return SUCCESS;
}

static int cuCtxSynchronize() {
    bool captured = false;
    for (auto& capture : state().captures) {
        if (capture->origin->context != current()) continue;
        spoil(*capture, "cuCtxSynchronize");
        captured = true;
    }
    if (captured) refuse(CAPTURE_UNSUPPORTED, "a stream of this context is being captured");
    for (std::size_t index = 0; index < state().streams.size(); ++index)
        if (state().streams[index]->context == current()) wait_for(*state().streams[index]);
    return current()->sticky;
}

std::vector<Entry> context_entries() {
    return {ENTRY(cuGetErrorString, 'n'), ENTRY(cuGetErrorName, 'n'), ENTRY(cuInit, 'n'), ENTRY(cuDriverGetVersion, 'n'),
            ENTRY(cuDeviceGetCount, 'i'), ENTRY(cuDeviceGet, 'i'), ENTRY(cuDeviceGetName, 'i'),
            ENTRY(cuDeviceGetUuid, 'i'), ENTRY(cuDeviceTotalMem, 'i'), ENTRY(cuDeviceGetAttribute, 'i'),
            ENTRY(cuDevicePrimaryCtxRetain, 'i'), ENTRY(cuDevicePrimaryCtxRelease, 'i'),
            ENTRY(cuDevicePrimaryCtxGetState, 'i'), ENTRY(cuCtxSetCurrent, 'i'), ENTRY(cuCtxGetCurrent, 'i'),
            ENTRY(cuCtxPushCurrent, 'i'), ENTRY(cuCtxPopCurrent, 'i'), ENTRY(cuCtxGetDevice, 'c'),
            ENTRY(cuCtxSynchronize, 'c')};
}

static const std::map<std::string, void*>& entries() {
    static const auto* all = [] {
        auto* table = new std::map<std::string, void*>;
        for (auto list : {context_entries(), memory_entries(), copy_entries(), order_entries(), capture_entries(),
                          module_entries()})
            for (const Entry& entry : list) (*table)[entry.name] = entry.function;
        return table;
    }();
    return *all;
}

template <class T> static long long count() {
    long long found = 0;
    for (auto& [raw, handle] : state().handles) found += dynamic_cast<T*>(handle.get()) != nullptr;
    return found;
}

}  // namespace standin

using namespace standin;

// Bindings look every function up by its name without suffixes, whatever version they want.
extern "C" int cuGetProcAddress_v2(const char* name, void** function, int, unsigned long long, int* status) {
    auto found = entries().find(name);
    *function = found == entries().end() ? nullptr : found->second;
    if (status) *status = *function ? 0 : 1;
    return *function ? SUCCESS : NOT_FOUND;
}

// Forget everything, as a new process would. early: work runs when it is put, not when it is waited for.
extern "C" void standin_reset(int early) {
    std::lock_guard<std::recursive_mutex> lock(mutex);
    State& all = state();
    for (auto& [raw, handle] : all.handles) all.retired.push_back(std::move(handle));
    State fresh;
    fresh.early = early != 0, fresh.numbers = all.numbers;
    fresh.retired = std::move(all.retired), fresh.allocations = std::move(all.allocations);
    for (auto& [address, allocation] : fresh.allocations) allocation->ending = allocation->freed = true;
    all = std::move(fresh);
    contexts.clear();
}

// The device has this much memory.
extern "C" void standin_memory(std::size_t bytes) { state().memory = bytes; }

// Code of this compute capability runs, such as 89.
extern "C" void standin_capability(int capability) { state().capability = capability; }

// The next call but `after` of a function returns `code` and does nothing.
extern "C" void standin_fail(const char* name, int code, int after) {
    state().fail_name = name, state().fail_code = code, state().fail_after = after;
}

// The functions that were called, one a line; those with "!" were refused. It is empty afterwards.
extern "C" std::size_t standin_log(char* text, std::size_t size) {
    std::lock_guard<std::recursive_mutex> lock(mutex);
    std::size_t length = state().log.size();
    if (!text) return length;
    std::memcpy(text, state().log.data(), std::min(length, size));
    state().log.clear();
    return length;
}

// What is held when all work is done: bytes on devices, page-locked bytes, bytes that pools keep back, and handles of
// streams, events, graphs, pools and all others but contexts.
extern "C" void standin_held(long long* numbers) {
    std::lock_guard<std::recursive_mutex> lock(mutex);
    for (std::size_t index = 0; index < state().streams.size(); ++index)
        if (Stream& stream = *state().streams[index]; stream.last) execute(stream.last);
    std::fill_n(numbers, 8, 0);
    for (auto& [address, allocation] : state().allocations)
        if (!allocation->freed) numbers[allocation->device < 0] += static_cast<long long>(allocation->size);
    for (auto& [raw, handle] : state().handles)
        if (auto* pool = dynamic_cast<Pool*>(handle.get())) numbers[2] += static_cast<long long>(pool->reserved - pool->used);
    numbers[3] = count<Stream>(), numbers[4] = count<Event>(), numbers[5] = count<Graph>() + count<GraphExec>();
    numbers[6] = count<Pool>();
    numbers[7] = static_cast<long long>(state().handles.size()) - numbers[3] - numbers[4] - numbers[5] - numbers[6] -
                 count<Context>();
}
