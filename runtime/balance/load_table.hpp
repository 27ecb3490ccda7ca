#pragma once

/// Loads of experts as files have them, and as they are told by an old count
/// that fades: what balancers start from.
///
/// A file is CSV: lines that begin with # are comments, then one header
/// "source,layer,e0,e1,...", then a row for each source and layer with the
/// tokens that chose each expert. A source is a task, model or setting.

#include "runtime/error.hpp"

#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace troupe::balance {

struct load_table {
  uint32_t num_experts = 0;
  std::vector<uint32_t> layers;           ///< Their index in the model.
  std::vector<std::vector<double>> loads; ///< [layers][experts]

  friend bool operator==(const load_table&, const load_table&) = default;
};

/// The rows of one source; without one, the sum of all, which have to have the
/// same layers. `name` stands in front of every complaint. Error:
/// invalid_input.
result<load_table> parse_loads(std::string_view text, std::string_view name,
                               const std::optional<std::string>& source);

/// Errors: those of read_regular_file() and parse_loads().
result<load_table> read_loads(const std::filesystem::path& path,
                              const std::optional<std::string>& source);

/// A file that parse_loads() reads; counts are rounded. `source` has neither
/// comma nor line break.
std::string to_csv(const load_table& x, std::string_view source);

/// Counts of which the older ones weigh less: half as much after each
/// half-life.
class aged_loads {
public:
  /// `layers`: their index in the model. `half_life`: seconds, above 0.
  aged_loads(std::vector<uint32_t> layers, uint32_t num_experts,
             double half_life);

  /// Rows have chosen experts. `layer`: a place in `layers`; `counts`:
  /// [experts].
  void see(size_t layer, std::span<const uint32_t> counts);

  /// So many seconds pass. Not negative.
  void age(double seconds);

  const load_table& table() const {
    return table_;
  }

private:
  load_table table_;
  double half_life_;
};

} // namespace troupe::balance
