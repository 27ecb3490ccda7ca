#include "kernels/host/cuda_module.hpp"

#include "kernels/cuda/module.hpp"

#include <dlfcn.h>

namespace troupe::kernels {

namespace {

namespace fs = std::filesystem;

/// The module, or why there is none.
struct opened_module {
  const cuda::module_table* table = nullptr;
  std::string why;
};

opened_module open_at(const fs::path& path) {
  auto handle = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (!handle)
    return {nullptr, dlerror()};
  auto entry = reinterpret_cast<cuda::module_entry>(
    dlsym(handle, cuda::module_entry_name));
  auto table = entry ? entry() : nullptr;
  if (table && table->version == cuda::module_version
      && table->layout == cuda::module_layout)
    return {table, {}};
  dlclose(handle);
  return {nullptr, path.string() + " is of another build than this program"};
}

/// Empty: it is nowhere.
fs::path module_path() {
  std::error_code error;
  auto program = fs::read_symlink("/proc/self/exe", error);
  for (auto& path : cuda_module_places(program))
    if (fs::exists(path, error))
      return path;
  return {};
}

opened_module find_module() {
  auto path = module_path();
  if (!path.empty())
    return open_at(path);
  return {nullptr, std::string{"this build has no "} + cuda_module_file};
}

/// Opened once and kept: what is made of it may live as long as the process.
const opened_module& module() {
  static const auto once = find_module();
  return once;
}

} // namespace

std::vector<fs::path> cuda_module_places(const fs::path& program) {
  auto folder = program.parent_path();
  return {folder / cuda_module_file,
          folder / ".." / "lib" / "troupe" / cuda_module_file,
          folder / ".." / "kernels" / cuda_module_file};
}

std::unique_ptr<device> make_cuda_device(const cuda_options& options,
                                         std::string& why) {
  auto& [table, reason] = module();
  why = reason;
  if (!table)
    return nullptr;
  char text[256] = {};
  std::unique_ptr<device> out{
    table->make(options.id, options.ordinal, text, sizeof text)};
  why = text;
  return out;
}

bool has_cuda_module() {
  return !module_path().empty();
}

std::vector<std::string> describe_gpus(std::string& why) {
  auto& [table, reason] = module();
  why = reason;
  if (!table)
    return {};
  char text[256] = {};
  std::vector<std::string> out(table->count(text, sizeof text));
  why = text;
  for (uint32_t i = 0; i < out.size(); ++i) {
    table->describe(i, text, sizeof text);
    out[i] = text;
  }
  return out;
}

} // namespace troupe::kernels
