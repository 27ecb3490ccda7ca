#pragma once

/// Plans as JSON, for people who want the algorithm alone and as a place to go
/// on from: {"seconds": ..., "moves": ..., "layers": [{"layer": 3,
/// "physical_to_logical": [slots], "weights": [slots], "balance": ...,
/// "bound": ...}]}.

#include "runtime/balance/expert_layout.hpp"

#include <filesystem>
#include <string>
#include <string_view>

namespace troupe::balance {

struct planned_layer {
  uint32_t layer = 0; ///< Index in the model.
  layer_layout layout;
  double balance = 1; ///< Mean over largest load of the workers.
  double bound = 0;   ///< No layout has a largest load below this, in rows.
};

struct plan_report {
  double seconds = 0; ///< That planning took.
  uint64_t moves = 0; ///< Copies that have to be made.
  std::vector<planned_layer> layers;
};

std::string to_json(const plan_report& x);

/// A table for people. `shape` says what the plan is for.
std::string to_text(const plan_report& x, const layout_shape& shape,
                    std::span<const std::vector<double>> loads);

/// Of each layer the slots and, if they are there, the weights; all else is
/// passed over. `name` stands in front of every complaint. Error:
/// invalid_input.
result<std::vector<planned_layer>> parse_plan(std::string_view text,
                                              std::string_view name,
                                              const layout_shape& shape);

/// Errors: those of read_regular_file() and parse_plan().
result<std::vector<planned_layer>> read_plan(const std::filesystem::path& path,
                                             const layout_shape& shape);

} // namespace troupe::balance
