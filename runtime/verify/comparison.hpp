#pragma once

/// How near an engine comes to a golden file, and whether that is near enough.
///
/// A position is *clear* while neither it nor an earlier one has chosen other
/// experts, or (FP8 activations) come near a boundary between two codes, in a
/// layer that it depends on. Clear positions keep the tight bounds, others the
/// loose ones; a position that itself chose other experts is left out. Other
/// experts are excused where the golden margin is below `eps`.

#include "runtime/verify/bounds.hpp"
#include "runtime/verify/golden_file.hpp"

#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace troupe {

/// What an engine has computed for one prompt. Shapes as in golden_prompt.
struct engine_prompt {
  std::vector<float> logits;
  std::vector<float> hidden;
  std::vector<int32_t> experts;
  std::vector<float> weights;
  std::vector<int32_t> greedy;
  std::vector<float> layers; ///< [L, T, H] each given the golden state before
};

/// Which prompt, layer and position chose other experts.
struct other_choice {
  double margin = 0;
  bool is_clear = false; ///< What the router saw there was.
  std::string where;
};

/// Largest error, and RMS relative to the golden values, over positions.
struct error_sum {
  uint64_t positions = 0;
  double worst = 0;
  double d2 = 0;
  double g2 = 0;

  void add(const float* golden, const float* engine, size_t count);
  double rms() const;
};

class comparison {
public:
  /// `near` as in golden_bounds.
  comparison(const model_config& config, double near);

  void add(const golden_prompt& golden, const engine_prompt& engine);

  struct report {
    std::vector<std::string> lines;
    std::vector<std::string> faults; ///< Those of the lines out of bounds.
  };

  report judge(const golden_bounds& bounds) const;

private:
  struct masks;
  struct greedy_result {
    size_t prompt = 0;
    size_t agree = 0;
    size_t count = 0;
    double gap = 0;
    double margin = 0;
    bool excused = false;
  };

  masks mask(const golden_prompt& g, const std::vector<bool>& other) const;
  void add_states(const golden_prompt& g, const engine_prompt& e,
                  const masks& m);
  void add_routes(const golden_prompt& g, const engine_prompt& e,
                  const masks& m, const std::vector<bool>& other);
  void add_layers(const golden_prompt& g, const engine_prompt& e);
  void add_greedy(const golden_prompt& g, const engine_prompt& e,
                  const masks& m, bool any_other);
  void check_finite(const engine_prompt& e);
  void judge_states(const golden_bounds& b, report& out) const;
  void judge_routes(const golden_bounds& b, report& out) const;
  void judge_layers(const golden_bounds& b, report& out) const;

  const model_config& c_;
  double near_;
  size_t prompts_ = 0;
  /// By (state, is loose); state L + 2 are the logits.
  std::map<std::pair<uint32_t, bool>, error_sum> errors_;
  std::vector<other_choice> flips_;
  uint64_t places_ = 0;
  double weights_ = 0;
  std::vector<double> layers_;
  std::vector<greedy_result> greedy_;
  std::vector<std::string> not_finite_;
};

} // namespace troupe
