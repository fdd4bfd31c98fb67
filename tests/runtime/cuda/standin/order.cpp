// Streams and events. Work waits in its stream's queue until somebody waits for it ("late"), or runs as it is put
// ("early"). Either way each piece of work has a vector clock, and memory that two pieces touch, of which one writes,
// with neither before the other, is refused: whether a run happened to give the right values does not count.

#include "driver.h"

#include <chrono>
#include <utility>

namespace standin {

void join(Clock& clock, const Clock& other) {
    for (auto [number, tick] : other) clock[number] = std::max(clock[number], tick);
}

static bool before(const Access& access, const Clock& clock) {
    auto found = clock.find(access.stream);
    return found != clock.end() && found->second >= access.tick;
}

// The legacy default stream and streams that were not made with CU_STREAM_NON_BLOCKING wait for each other.
static void add_implicit(Stream& stream, std::vector<OpPtr>& needs) {
    if (!stream.legacy && !stream.blocking) return;
    for (Stream* other : state().streams) {
        if (other == &stream || other->context != stream.context || other->legacy == stream.legacy) continue;
        if (!other->legacy && !other->blocking) continue;
        if (other->capture && stream.legacy) {
            spoil(*other->capture, "work on the legacy stream");
            refuse(CAPTURE_IMPLICIT, "a blocking stream is being captured");
        }
        if (other->last) needs.push_back(other->last);
    }
}

OpPtr put(Stream& stream, const std::string& what, Run run, std::vector<OpPtr> needs) {
    if (stream.capture) {
        record(stream, 'w', 0, what, std::move(run));
        return nullptr;
    }
    add_implicit(stream, needs);
    auto op = std::make_shared<Op>();
    op->stream = &stream, op->what = what, op->run = std::move(run), op->needs = std::move(needs);
    op->clock = stream.clock;
    join(op->clock, state().host);
    for (const OpPtr& need : op->needs) join(op->clock, need->clock);
    op->clock[stream.number] = op->tick = ++stream.tick;
    stream.clock = op->clock;
    stream.last = op;
    stream.queue.push_back(op);
    if (state().early) execute(op);
    return op;
}

static int depth = 0;

bool working() { return depth > 0; }

struct Working {
    Working() { if (depth++ == 0) show_devices(true); }
    ~Working() { if (--depth == 0) show_devices(false); }
};

void execute(const OpPtr& op) {
    if (op->done) return;
    Working working;
    while (!op->done) {
        OpPtr next = op->stream->queue.front();
        for (const OpPtr& need : next->needs) execute(need);
        op->stream->queue.pop_front();
        Context& context = *op->stream->context;
        if (context.sticky == 0) try {
            if (next->run) next->run(*next);
        } catch (const Refusal& refusal) {
            context.sticky = refusal.code;
            state().log += "! " + next->what + ": " + std::to_string(refusal.code) + " " + refusal.why + "\n";
        }
        next->milliseconds = std::chrono::duration<double, std::milli>(
            std::chrono::steady_clock::now().time_since_epoch()).count();
        next->done = true, next->run = nullptr, next->needs.clear();
    }
}

void wait_for(Stream& stream) {
    if (stream.last) execute(stream.last);
    join(state().host, stream.clock);
}

void touch(Op& op, Allocation& allocation, Address low, Address high, bool write) {
    if (low >= high) return;
    if (allocation.freed) refuse(ILLEGAL_ADDRESS, "memory that was freed");
    if (allocation.device >= 0 && allocation.device != op.stream->context->device)
        refuse(ILLEGAL_ADDRESS, "memory of another device");
    std::vector<Access> kept;
    for (Access& access : allocation.accesses) {
        bool overlaps = access.low < high && low < access.high, conflicts = access.write || write;
        if (overlaps && conflicts && !before(access, op.clock))
            refuse(LAUNCH_FAILED, "order: nothing puts it behind " + access.what + ", on the same memory");
        bool covered = access.stream == op.stream->number && low <= access.low && access.high <= high;
        if (!covered || (access.write && !write)) kept.push_back(std::move(access));
    }
    kept.push_back({low, high, write, op.stream->number, op.tick, op.what});
    allocation.accesses = std::move(kept);
}

void check_released(const Allocation& allocation, const Clock& clock, const std::string& what) {
    for (const Access& access : allocation.accesses)
        if (!before(access, clock)) refuse(LAUNCH_FAILED, "order: " + what + " does not wait for " + access.what);
}

static int cuStreamCreate(void** stream, unsigned flags) {
    auto own = std::make_unique<Stream>();
    own->context = current(), own->number = ++state().numbers, own->blocking = (flags & 1) == 0;
    state().streams.push_back(own.get());
    *stream = made(std::move(own));
    return SUCCESS;
}

static int cuStreamCreateWithPriority(void** stream, unsigned flags, int) { return cuStreamCreate(stream, flags); }

static int cuStreamDestroy(void* stream) {
    if (auto capture = live<Stream>(stream)->capture) spoil(*capture, "its stream was destroyed");
    retire(stream);
    return SUCCESS;
}

static int cuStreamSynchronize(void* handle) {
    Stream& stream = *stream_of(handle);
    refuse_captured(stream, "cuStreamSynchronize");
    wait_for(stream);
    return stream.context->sticky;
}

static int cuStreamQuery(void* handle) {
    Stream& stream = *stream_of(handle);
    refuse_captured(stream, "cuStreamQuery");
    if (stream.queue.empty()) {
        join(state().host, stream.clock);
        return stream.context->sticky;
    }
    execute(stream.queue.front());  // so that who asks again and again comes to an end
    return NOT_READY;
}

static int cuStreamGetCtx(void* stream, void** context) {
    *context = stream_of(stream)->context;
    return SUCCESS;
}

static int cuStreamWaitEvent(void* handle, void* event_handle, unsigned) {
    Stream& stream = *stream_of(handle);
    Event& event = *live<Event>(event_handle);
    if (event.capture && !event.capture->ended) {
        if (stream.capture && stream.capture != event.capture) {
            spoil(*stream.capture, "waits for an event of another capture");
            spoil(*event.capture, "another capture waits for its event");
            refuse(CAPTURE_MERGE, "the event belongs to another capture");
        }
        if (!stream.capture) {
            if (stream.legacy) refuse(CAPTURE_IMPLICIT, "the legacy stream cannot join a capture");
            int branch = static_cast<int>(event.capture->clocks.size());
            event.capture->branches[&stream] = branch;
            event.capture->clocks.emplace_back();
            stream.capture = event.capture;
        }
        record(stream, 'a', event.mark, "cuStreamWaitEvent", nullptr);
        return SUCCESS;
    }
    if (stream.capture && event.recorded) {
        spoil(*stream.capture, "waits for work that is not captured");
        refuse(CAPTURE_ISOLATION, "the event was recorded outside of the capture");
    }
    if (event.recorded) put(stream, "cuStreamWaitEvent", nullptr, {event.recorded});
    return SUCCESS;
}

static int cuEventCreate(void** event, unsigned flags) {
    auto own = std::make_unique<Event>();
    own->context = current(), own->timing = (flags & 2) == 0;
    *event = made(std::move(own));
    return SUCCESS;
}

static int cuEventDestroy(void* event) {
    live<Event>(event);
    retire(event);
    return SUCCESS;
}

static int cuEventRecord(void* handle, void* stream_handle) {
    Event& event = *live<Event>(handle);
    Stream& stream = *stream_of(stream_handle);
    if (event.context != stream.context) refuse(INVALID_HANDLE, "event and stream are of different contexts");
    event.capture = stream.capture;
    if (stream.capture) {
        event.mark = ++state().numbers;
        record(stream, 'r', event.mark, "cuEventRecord", nullptr);
    } else {
        event.recorded = put(stream, "cuEventRecord", nullptr);
    }
    return SUCCESS;
}

static void refuse_captured_event(Event& event) {
    if (!event.capture || event.capture->ended) return;
    spoil(*event.capture, "its event was waited for");
    refuse(CAPTURED_EVENT, "the event was recorded in a capture");
}

static int cuEventSynchronize(void* handle) {
    Event& event = *live<Event>(handle);
    refuse_captured_event(event);
    if (!event.recorded) return SUCCESS;
    execute(event.recorded);
    join(state().host, event.recorded->clock);
    return event.context->sticky;
}

static int cuEventQuery(void* handle) {
    Event& event = *live<Event>(handle);
    refuse_captured_event(event);
    if (event.recorded && !event.recorded->done) {
        execute(event.recorded->stream->queue.front());
        return NOT_READY;
    }
    if (event.recorded) join(state().host, event.recorded->clock);
    return event.context->sticky;
}

static int cuEventElapsedTime(float* milliseconds, void* first, void* last) {
    Event &start = *live<Event>(first), &end = *live<Event>(last);
    if (!start.timing || !end.timing) refuse(INVALID_HANDLE, "an event without timing");
    if (start.context != end.context) refuse(INVALID_HANDLE, "events of different contexts");
    if (!start.recorded || !end.recorded) refuse(INVALID_HANDLE, "an event that was not recorded");
    if (!start.recorded->done || !end.recorded->done) refuse(NOT_READY, "an event that has not happened");
    *milliseconds = static_cast<float>(end.recorded->milliseconds - start.recorded->milliseconds);
    return SUCCESS;
}

static int cuLaunchHostFunc(void* stream, void (*function)(void*), void* data) {
    put(*stream_of(stream), "cuLaunchHostFunc", [=](Op&) { function(data); });
    return SUCCESS;
}

std::vector<Entry> order_entries() {
    return {ENTRY(cuStreamCreate, 'c'), ENTRY(cuStreamCreateWithPriority, 'c'), ENTRY(cuStreamDestroy, 'c'),
            ENTRY(cuStreamSynchronize, 'c'), ENTRY(cuStreamQuery, 'c'), ENTRY(cuStreamGetCtx, 'c'),
            ENTRY(cuStreamWaitEvent, 'c'), ENTRY(cuEventCreate, 'c'), ENTRY(cuEventDestroy, 'c'),
            ENTRY(cuEventRecord, 'c'), ENTRY(cuEventSynchronize, 'c'), ENTRY(cuEventQuery, 'c'),
            ENTRY(cuEventElapsedTime, 'c'), ENTRY(cuLaunchHostFunc, 'c')};
}

}  // namespace standin
