#pragma once

/// The stages of a model, run and timed one by one on this machine; what they
/// take, as a cost model that was learnt from some shapes and held against
/// others.

#include "kernels/device.hpp"
#include "runtime/clock.hpp"
#include "runtime/cost/cost_model.hpp"
#include "runtime/error.hpp"

#include <map>
#include <string>

namespace troupe {

struct stages_report {
  cost_model costs{1}; ///< Nothing is forgotten.

  struct check {
    size_t num_seen = 0;    ///< Stages that it has learnt from.
    double error = 0;       ///< Median, relative, in other shapes.
    size_t num_checked = 0; ///< Stages in those.
  };

  std::map<std::string, check> checks; ///< By parameter::of.
  double error_of_rates = 0;           ///< Of all, by costs.rates() alone.
};

/// Loads the whole model. Errors: what the checkpoint or the device says.
result<stages_report> bench_stages(const std::string& model_dir,
                                   uint32_t num_threads, const clock& time);

} // namespace troupe
