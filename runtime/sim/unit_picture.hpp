#pragma once

/// What a layer of a virtual unit has taken, stage by stage, beside what others
/// have published of a real one.

#include "runtime/error.hpp"
#include "runtime/sim/virtual_unit.hpp"

#include <filesystem>
#include <map>
#include <string>

namespace troupe {

/// Microseconds in a layer with experts.
struct layer_figures {
  double layer = 0; ///< From one to the next, all micro-batches.
  /// Of one micro-batch: shared, attn_0 (from combine to core attention),
  /// attn_1 (core attention to routing), mlp, dispatch, combine, copies.
  std::map<std::string, double> stages;
  /// Of all of them, by kernel_family.
  std::map<std::string, double> kernels;
  // -- not of published figures
  double idle = 0;    ///< Nothing was computed.
  double hidden = 0;  ///< Communication while something was.
  double exposed = 0; ///< The other.
};

/// Means over layers in the middle. The model has six with experts at least.
layer_figures measure_layer(const virtual_unit_options& of,
                            const unit_step& what);

/// The table `name` of a file as examples/pictures/published.toml; what is not
/// there is not published. Errors: not_found, io, invalid_input.
result<layer_figures> read_published(const std::filesystem::path& path,
                                     const std::string& name);

/// As a table: ours, published, ratio.
std::string to_string(const layer_figures& ours,
                      const layer_figures& published);

} // namespace troupe
