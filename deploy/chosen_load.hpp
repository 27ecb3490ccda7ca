#pragma once

/// --requests and --load: what clients ask in a virtual run.

#include "runtime/checkpoint/config.hpp"
#include "runtime/sim/request_load.hpp"

#include <CLI/CLI.hpp>

#include <filesystem>

namespace troupe {

struct load_flags {
  std::string requests; ///< A file.
  std::string load = "streams=8,prompt=4-48,output=2-16,requests=32";
  uint64_t seed = 1; ///< Of the load: all seeds of a run have the same.

  void add_to(CLI::App& command);

  /// As it would be typed again.
  std::string replayed() const;
};

/// Prompts are ids, also where the file has texts. Errors: invalid_input,
/// not_found, io.
result<client_load> choose_load(const load_flags& flags,
                                const std::filesystem::path& model_dir,
                                const model_config& config);

} // namespace troupe
