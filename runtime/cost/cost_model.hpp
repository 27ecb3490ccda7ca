#pragma once

/// What things take on a machine. Of one that is given: what its kernels take
/// follows from its rates; so virtual devices and units have their times. Of
/// the one at hand: learnt from what was timed there. Of stages and experts a
/// fixed part and what each row, each pair of a query and a key, each slot of
/// experts that is used takes; of links a latency and a rate; of kernels the
/// rates. A plain class, told of the times.

#include "runtime/cost/layer_work.hpp"
#include "runtime/cost/running_fit.hpp"
#include "runtime/pipeline/stage_table.hpp"

#include <optional>
#include <string>
#include <vector>

namespace troupe {

class cost_model {
public:
  /// Of a layer's experts, rather than of a stage of the rank.
  struct run_load {
    double pairs = 0; ///< Of rows and experts.
    double slots = 0; ///< That have some.
  };

  /// Of the machine at hand. `kept`: see running_fit.
  explicit cost_model(double kept = 0.99);

  /// Of one that is given.
  explicit cost_model(const device_rates& given);

  // -- what was seen ----------------------------------------------------------

  /// One that a stream runs, in one layer. Of the head the rows are those with
  /// logits.
  void see(stage what, const step_load& load, double seconds);
  void see_run(const run_load& load, double seconds);

  /// Kernels that ran one after the other.
  void see_kernels(const kernel_list& all, double seconds);

  /// A frame of so many bytes, from leaving to arriving.
  void see_frame(double bytes, double seconds);

  // -- what is to be expected -------------------------------------------------

  double seconds(stage what, const step_load& load) const;
  double run_seconds(const run_load& load) const;
  double frame_seconds(double bytes) const;

  /// What is given, or else has been seen: copies as any bytes, products alike
  /// whatever their type; what no kernel has shown has no limit.
  device_rates rates() const;
  double seconds(const kernel_work& x) const;

  /// One parameter, e.g. "attention", "absorbed pair".
  struct parameter {
    std::string of;
    std::string per;
    double seconds = 0;
  };

  /// Those of all that was seen.
  std::vector<parameter> parameters() const;

private:
  static running_fit::amounts amounts_of(stage what, const step_load& load);

  static constexpr size_t num_stages = size_t(stage::end) + 1;

  std::array<running_fit, num_stages> stages_;
  running_fit run_;
  running_fit frames_;
  running_fit kernels_;
  std::optional<device_rates> given_;
};

/// A line for each that is not 0.
std::string to_string(const std::vector<cost_model::parameter>& x);

} // namespace troupe
