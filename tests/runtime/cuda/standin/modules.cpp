// Modules and launches. A cubin or PTX is checked as far as its container goes: that it is one, for this device, and has
// the kernel. What runs is the same source, compiled for the host, in the libraries that STANDIN_KERNELS names.

#include "driver.h"
#include "touched.h"

#include <cstdlib>
#include <cstring>
#include <dlfcn.h>
#include <elf.h>
#include <sstream>

namespace standin {

using Launcher = void (*)(const unsigned*, const unsigned*, void* const*, Launch*);

struct Module : Handle { Context* context = nullptr; std::string text; std::set<std::string> kernels; };
struct Function : Handle {
    Context* context = nullptr;
    Module* module = nullptr;
    std::string name, types;  // of each parameter: 'p' pointer, 'i' int, 'f' float
    Launcher launcher = nullptr;
};
struct LaunchConfig { unsigned grid[3], block[3], shared; void* stream; };  // the beginning of CUlaunchConfig

constexpr unsigned short EM_CUDA_CODE = 190;

static std::set<std::string> kernels_of_cubin(const char* image) {
    const auto* header = reinterpret_cast<const Elf64_Ehdr*>(image);
    if (header->e_machine != EM_CUDA_CODE) refuse(INVALID_IMAGE, "not for NVIDIA's architecture");
    int built = static_cast<int>(header->e_flags >> 8 & 0xFF), here = state().capability;
    if (built / 10 != here / 10 || built > here)
        refuse(NO_BINARY, "built for sm_" + std::to_string(built) + ", this is sm_" + std::to_string(here));
    const auto* sections = reinterpret_cast<const Elf64_Shdr*>(image + header->e_shoff);
    const char* names = image + sections[header->e_shstrndx].sh_offset;
    std::set<std::string> found;
    for (int index = 0; index < header->e_shnum; ++index)
        if (std::string name = names + sections[index].sh_name; name.starts_with(".text.")) found.insert(name.substr(6));
    return found;
}

static std::set<std::string> kernels_of_ptx(const std::string& text) {
    std::size_t target = text.find(".target sm_");
    if (text.find(".version") == std::string::npos || target == std::string::npos)
        refuse(INVALID_IMAGE, "neither a cubin nor PTX");
    if (std::atoi(text.c_str() + target + 11) > state().capability) refuse(NO_BINARY, "PTX of a newer architecture");
    std::set<std::string> found;
    for (std::size_t at = text.find(".entry "); at != std::string::npos; at = text.find(".entry ", at + 1))
        found.insert(text.substr(at + 7, text.find('(', at) - at - 7));
    return found;
}

static int cuModuleLoadData(void** module, const void* image) {
    unsafe("cuModuleLoadData");
    const char* bytes = static_cast<const char*>(image);
    auto own = std::make_unique<Module>();
    own->context = current();
    own->kernels = std::memcmp(bytes, ELFMAG, SELFMAG) == 0 ? kernels_of_cubin(bytes) : kernels_of_ptx(bytes);
    *module = made(std::move(own));
    return SUCCESS;
}

static int cuModuleUnload(void* module) {
    live<Module>(module);
    std::vector<void*> ended{module};  // a function ends with its module
    for (auto& [raw, handle] : state().handles)
        if (auto* function = dynamic_cast<Function*>(handle.get()); function && function->module == module)
            ended.push_back(raw);
    for (void* handle : ended) retire(handle);
    return SUCCESS;
}

static int cuModuleGetFunction(void** function, void* handle, const char* name) {
    Module& module = *live<Module>(handle);
    if (!module.kernels.count(name)) refuse(NOT_FOUND, std::string("the code has no kernel ") + name);
    auto own = std::make_unique<Function>();
    own->context = module.context, own->module = &module, own->name = name;
    const char* paths = std::getenv("STANDIN_KERNELS");
    std::istringstream libraries(paths ? paths : "");
    for (std::string path; !own->launcher && std::getline(libraries, path, ':');) {
        void* library = dlopen(path.c_str(), RTLD_NOW);
        if (!library) refuse(NOT_FOUND, dlerror());
        own->launcher = reinterpret_cast<Launcher>(dlsym(library, ("launch_" + own->name).c_str()));
        if (own->launcher) own->types = *static_cast<const char**>(dlsym(library, ("types_" + own->name).c_str()));
    }
    if (!own->launcher) refuse(NOT_FOUND, "STANDIN_KERNELS has no such kernel for the host");
    *function = made(std::move(own));
    return SUCCESS;
}

static thread_local Op* running;  // what `find_touched` answers for

static void find_touched(Launch* launch, Address address) {
    Allocation* found = allocation_at(address);
    if (!found || found->freed) refuse(ILLEGAL_ADDRESS, "reaches outside of an allocation, or into one that was freed");
    if (found->device >= 0 && found->device != running->stream->context->device)
        refuse(ILLEGAL_ADDRESS, "reaches into memory of another device");
    if (launch->count == static_cast<int>(std::size(launch->touched))) refuse(UNKNOWN, "too many allocations at a time");
    launch->touched[launch->count++] = {found->address, found->address + found->size, ~0ull, 0, ~0ull, 0};
}

static void run_kernel(Op& op, const Function& function, const unsigned* shape, std::vector<Address> values) {
    std::vector<void*> places;
    for (Address& value : values) places.push_back(&value);
    auto launch = std::make_unique<Launch>();
    launch->arena = arena().first, launch->arena_end = arena().end, launch->find = find_touched, launch->count = 0;
    running = &op;
    function.launcher(shape, shape + 3, places.data(), launch.get());
    for (int index = 0; index < launch->count; ++index) {
        const Touched& touched = launch->touched[index];
        Allocation& allocation = *allocation_at(touched.first);
        touch(op, allocation, touched.read_low, touched.read_high, false);
        touch(op, allocation, touched.write_low, touched.write_high, true);
    }
}

static int launch(void* handle, const unsigned* shape, void* stream_handle, void** parameters) {
    Function& function = *live<Function>(handle);
    Stream& stream = *stream_of(stream_handle);
    if (function.context != stream.context || stream.context != current())
        refuse(INVALID_HANDLE, "kernel, stream and current context do not belong together");
    for (int axis = 0; axis < 6; ++axis)
        if (shape[axis] == 0 || (shape[axis] > 65535 && axis != 0)) refuse(INVALID_VALUE, "a grid or block of this size");
    if (shape[3] * shape[4] * shape[5] > 1024) refuse(INVALID_VALUE, "more than 1024 threads in a block");
    if (!parameters) refuse(INVALID_VALUE, "no arguments");
    std::vector<Address> values;
    for (std::size_t index = 0; index < function.types.size(); ++index) {
        values.push_back(0);
        std::memcpy(&values.back(), parameters[index], function.types[index] == 'p' ? 8 : 4);
    }
    std::vector<unsigned> copy(shape, shape + 6);
    put(stream, function.name, [&function, copy, values](Op& op) { run_kernel(op, function, copy.data(), values); });
    return SUCCESS;
}

static int cuLaunchKernel(void* function, unsigned grid_x, unsigned grid_y, unsigned grid_z, unsigned block_x,
                          unsigned block_y, unsigned block_z, unsigned, void* stream, void** parameters, void**) {
    const unsigned shape[6] = {grid_x, grid_y, grid_z, block_x, block_y, block_z};
    return launch(function, shape, stream, parameters);
}

static int cuLaunchKernelEx(const LaunchConfig* config, void* function, void** parameters, void**) {
    return launch(function, config->grid, config->stream, parameters);
}

std::vector<Entry> module_entries() {
    return {ENTRY(cuModuleLoadData, 'c'), ENTRY(cuModuleUnload, 'c'), ENTRY(cuModuleGetFunction, 'c'),
            ENTRY(cuLaunchKernel, 'c'), ENTRY(cuLaunchKernelEx, 'c')};
}

}  // namespace standin
