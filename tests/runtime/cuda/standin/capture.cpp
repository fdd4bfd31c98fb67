// Stream capture and graphs. A launched graph puts what was recorded on its stream, in recorded order; each stream that
// was forked off while recording becomes a stream of its own again.

#include "driver.h"

namespace standin {

void spoil(Capture& capture, const std::string& why) {
    if (capture.spoiled.empty()) capture.spoiled = why;
}

// Some calls are forbidden to the thread that captures, or to all, unless the capture is relaxed.
void unsafe(const char* what) {
    bool forbidden = false;
    for (auto& capture : state().captures) {
        bool concerns = capture->mode == 0 || (capture->mode == 1 && capture->thread == std::this_thread::get_id());
        if (!concerns) continue;
        spoil(*capture, what);
        forbidden = true;
    }
    if (forbidden) refuse(CAPTURE_UNSUPPORTED, std::string(what) + " during a capture that is not relaxed");
}

void refuse_captured(const Stream& stream, const char* what) {
    if (!stream.capture) return;
    spoil(*stream.capture, what);
    refuse(CAPTURE_UNSUPPORTED, "the stream is being captured");
}

void record(Stream& stream, char kind, int mark, const std::string& what, Run run) {
    Capture& capture = *stream.capture;
    if (!capture.spoiled.empty()) refuse(CAPTURE_INVALIDATED, "the capture was spoiled: " + capture.spoiled);
    int branch = capture.branches.at(&stream);
    Clock& clock = capture.clocks[branch];
    if (kind == 'w') ++clock[branch];
    if (kind == 'r') capture.marks[mark] = clock;
    if (kind == 'a') join(clock, capture.marks[mark]);
    capture.nodes.push_back({branch, kind, mark, what, std::move(run)});
}

static int cuStreamBeginCapture(void* handle, int mode) {
    Stream& stream = *stream_of(handle);
    if (stream.legacy) refuse(CAPTURE_UNSUPPORTED, "the legacy stream cannot be captured");
    if (stream.capture) refuse(ILLEGAL_STATE, "the stream is being captured already");
    auto capture = std::make_shared<Capture>();
    capture->mode = mode, capture->thread = std::this_thread::get_id(), capture->origin = &stream;
    capture->branches[&stream] = 0;
    capture->clocks.resize(1);
    stream.capture = capture;
    state().captures.push_back(capture);
    return SUCCESS;
}

static int cuStreamEndCapture(void* handle, void** graph) {
    *graph = nullptr;
    Stream& stream = *stream_of(handle);
    auto capture = stream.capture;
    if (!capture) refuse(ILLEGAL_STATE, "the stream is not being captured");
    if (capture->origin != &stream) {
        spoil(*capture, "ended by another stream");
        refuse(CAPTURE_UNMATCHED, "the capture began on another stream");
    }
    if (capture->mode != 2 && capture->thread != std::this_thread::get_id())
        refuse(CAPTURE_WRONG_THREAD, "the capture began in another thread");
    capture->ended = true;
    for (auto& [branch, number] : capture->branches) branch->capture = nullptr;
    std::erase(state().captures, capture);
    if (!capture->spoiled.empty()) refuse(CAPTURE_INVALIDATED, "the capture was spoiled: " + capture->spoiled);
    for (std::size_t branch = 1; branch < capture->clocks.size(); ++branch)
        if (capture->clocks[branch][static_cast<int>(branch)] > capture->clocks[0][static_cast<int>(branch)])
            refuse(CAPTURE_UNJOINED, "the first stream does not wait for another one's work");
    auto own = std::make_unique<Graph>();
    own->nodes = std::move(capture->nodes), own->branches = capture->clocks.size();
    *graph = made(std::move(own));
    return SUCCESS;
}

static int cuStreamIsCapturing(void* handle, int* status) {
    Stream& stream = *stream_of(handle);
    *status = !stream.capture ? 0 : stream.capture->spoiled.empty() ? 1 : 2;
    return SUCCESS;
}

static int cuThreadExchangeStreamCaptureMode(int*) { return SUCCESS; }

static int cuGraphInstantiateWithFlags(void** exec, void* handle, unsigned long long) {
    Graph& graph = *live<Graph>(handle);
    auto own = std::make_unique<GraphExec>();
    own->nodes = graph.nodes, own->branches = graph.branches;
    *exec = made(std::move(own));
    return SUCCESS;
}

static int cuGraphLaunch(void* handle, void* stream_handle) {
    GraphExec& exec = *live<GraphExec>(handle);
    Stream& stream = *stream_of(stream_handle);
    if (stream.context != current()) refuse(INVALID_HANDLE, "the stream is of another context");
    if (stream.capture) refuse(NOT_SUPPORTED, "the stand-in has no graphs within graphs");
    std::vector<OpPtr> first;
    if (exec.last) first.push_back(exec.last);  // launches of one graph come one after the other
    OpPtr start = put(stream, "cuGraphLaunch", nullptr, first);
    std::vector<Stream*> branches{&stream};
    while (branches.size() < exec.branches) {
        auto own = std::make_unique<Stream>();
        own->context = stream.context, own->number = ++state().numbers;
        branches.push_back(own.get());
        state().streams.push_back(own.get());
        state().retired.push_back(std::move(own));
    }
    std::map<int, OpPtr> marks;
    for (const Node& node : exec.nodes) {
        Stream& branch = *branches[static_cast<std::size_t>(node.branch)];
        std::vector<OpPtr> needs;
        if (node.kind == 'a') needs.push_back(marks.at(node.mark));
        OpPtr op = put(branch, node.what + " of a graph", node.run, needs);
        if (node.kind == 'r') marks[node.mark] = op;
    }
    exec.last = stream.last;
    return SUCCESS;
}

static int cuGraphDestroy(void* graph) {
    live<Graph>(graph);
    retire(graph);
    return SUCCESS;
}

static int cuGraphExecDestroy(void* exec) {
    live<GraphExec>(exec);
    retire(exec);  // what was launched goes on
    return SUCCESS;
}

std::vector<Entry> capture_entries() {
    return {ENTRY(cuStreamBeginCapture, 'c'), ENTRY(cuStreamEndCapture, 'c'), ENTRY(cuStreamIsCapturing, 'c'),
            ENTRY(cuThreadExchangeStreamCaptureMode, 'i'), ENTRY(cuGraphInstantiateWithFlags, 'c'),
            ENTRY(cuGraphLaunch, 'c'), ENTRY(cuGraphDestroy, 'c'), ENTRY(cuGraphExecDestroy, 'c')};
}

}  // namespace standin
