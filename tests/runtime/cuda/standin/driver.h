// What the parts of the stand-in for libcuda.so.1 share. `__init__.py` says what it is for; each part says what it does.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <iterator>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <thread>
#include <vector>

namespace standin {

using Address = unsigned long long;
using Clock = std::map<int, std::uint64_t>;  // how much of each stream, by its number, comes before

enum Status : int {
    SUCCESS = 0, INVALID_VALUE = 1, OUT_OF_MEMORY = 2, NOT_INITIALIZED = 3, INVALID_DEVICE = 101, INVALID_IMAGE = 200,
    INVALID_CONTEXT = 201, NO_BINARY = 209, INVALID_HANDLE = 400, ILLEGAL_STATE = 401, NOT_FOUND = 500, NOT_READY = 600,
    ILLEGAL_ADDRESS = 700, LAUNCH_FAILED = 719, NOT_SUPPORTED = 801, CAPTURE_UNSUPPORTED = 900, CAPTURE_INVALIDATED = 901,
    CAPTURE_MERGE = 902, CAPTURE_UNMATCHED = 903, CAPTURE_UNJOINED = 904, CAPTURE_ISOLATION = 905,
    CAPTURE_IMPLICIT = 906, CAPTURED_EVENT = 907, CAPTURE_WRONG_THREAD = 908,
    UNKNOWN = 999
};

// What a call, or work on a stream, is refused with. The log keeps `why`, which the driver would not say.
struct Refusal { int code; std::string why; };
[[noreturn]] inline void refuse(int code, const std::string& why) { throw Refusal{code, why}; }

struct Handle { virtual ~Handle() = default; };
struct Op;
struct Stream;
struct Capture;
using OpPtr = std::shared_ptr<Op>;
using Run = std::function<void(Op&)>;

struct Context : Handle {
    int device = 0, retained = 0;
    int sticky = 0;  // what work failed with: every later call returns it, as long as the process lives
    Stream* legacy = nullptr;
};

// Work on a stream. clock: what happens before it, itself included.
struct Op {
    Stream* stream;
    std::uint64_t tick;
    Clock clock;
    std::string what;
    Run run;
    std::vector<OpPtr> needs;
    bool done = false;
    double milliseconds = 0;
};

struct Stream : Handle {
    Context* context = nullptr;
    int number = 0;
    bool blocking = false, legacy = false;
    std::uint64_t tick = 0;
    Clock clock;
    OpPtr last;
    std::deque<OpPtr> queue;
    std::shared_ptr<Capture> capture;
};

struct Event : Handle {
    Context* context = nullptr;
    bool timing = true;
    OpPtr recorded;
    std::shared_ptr<Capture> capture;  // the one that it was last recorded in, or none
    int mark = 0;
};

// One step of a recording. kind: 'w' work, 'r' records `mark`, 'a' awaits it.
struct Node { int branch; char kind; int mark; std::string what; Run run; };

struct Capture {
    int mode = 0;
    std::thread::id thread;
    Stream* origin = nullptr;
    std::string spoiled;  // why it is invalid, or nothing
    bool ended = false;
    std::vector<Node> nodes;
    std::map<Stream*, int> branches;
    std::vector<Clock> clocks;  // of each branch, by the numbers of branches
    std::map<int, Clock> marks;
};

struct Graph : Handle { std::vector<Node> nodes; std::size_t branches = 1; };
struct GraphExec : Handle { std::vector<Node> nodes; std::size_t branches = 1; OpPtr last; };
struct Pool : Handle { int device = 0; bool destroyed = false; Address threshold = 0, used = 0, reserved = 0; };

struct Access { Address low, high; bool write; int stream; std::uint64_t tick; std::string what; };

// device: -1 for page-locked memory of the host. ending: its release was asked for. freed: it is gone.
struct Allocation {
    Address address = 0;
    std::size_t size = 0;
    int device = -1;
    Pool* pool = nullptr;
    bool ending = false, freed = false;
    std::vector<Access> accesses;
};

struct State {
    bool initialized = false, early = false;
    int devices = 2, capability = 89;
    std::size_t memory = std::size_t(1) << 34;
    std::map<void*, std::unique_ptr<Handle>> handles;
    std::vector<std::unique_ptr<Handle>> retired;  // so that no handle is ever given out twice
    std::map<Address, std::unique_ptr<Allocation>> allocations;
    std::vector<Stream*> streams;  // destroyed ones as well, whose work goes on
    std::vector<std::shared_ptr<Capture>> captures;
    std::map<int, Context*> primaries;
    std::map<int, Pool*> default_pools;
    Clock host;  // what the host has waited for
    int numbers = 0;
    std::string log, fail_name;
    int fail_code = 0, fail_after = 0;
};
State& state();

// Handles.
template <class T> T* made(std::unique_ptr<T> handle) {
    T* raw = handle.get();
    state().handles[raw] = std::move(handle);
    return raw;
}
template <class T> T* live(void* handle, int code = INVALID_HANDLE) {
    auto found = state().handles.find(handle);
    T* typed = found == state().handles.end() ? nullptr : dynamic_cast<T*>(found->second.get());
    if (typed == nullptr) refuse(code, "no such handle, or it was destroyed");
    return typed;
}
void retire(void* handle);

// Contexts.
Context* current();
Stream* stream_of(void* handle);

// Order: who comes before whom.
void join(Clock& clock, const Clock& other);
OpPtr put(Stream& stream, const std::string& what, Run run, std::vector<OpPtr> needs = {});
void execute(const OpPtr& op);
void wait_for(Stream& stream);
void touch(Op& op, Allocation& allocation, Address low, Address high, bool write);
void check_released(const Allocation& allocation, const Clock& clock, const std::string& what);

// Memory. show_devices: let the host read memory of devices, or not. working: work runs now.
struct Arena { Address first, end; };
Arena arena();
Allocation* allocation_at(Address address);
void show_devices(bool readable);
bool working();

// Captures.
void record(Stream& stream, char kind, int mark, const std::string& what, Run run);
void spoil(Capture& capture, const std::string& why);
void unsafe(const char* what);
void refuse_captured(const Stream& stream, const char* what);

// One function of the driver, as `cuGetProcAddress` hands it out. needs: 'n' nothing, 'i' cuInit, 'c' a current context.
struct Entry { const char* name; void* function; char needs; };
int guarded(const char* name, char needs, const std::function<int()>& call);

template <auto F> struct Guard;
template <class... A, int (*F)(A...)> struct Guard<F> {
    static inline const char* name = "";
    static inline char needs = 'c';
    static int call(A... arguments) { return guarded(name, needs, [&] { return F(arguments...); }); }
    static Entry entry(const char* given, char needed) {
        name = given, needs = needed;
        return {given, reinterpret_cast<void*>(&call), needed};
    }
};
#define ENTRY(function, needs) Guard<&function>::entry(#function, needs)

std::vector<Entry> context_entries();
std::vector<Entry> memory_entries();
std::vector<Entry> copy_entries();
std::vector<Entry> order_entries();
std::vector<Entry> capture_entries();
std::vector<Entry> module_entries();

}  // namespace standin
