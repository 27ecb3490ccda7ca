#include "runtime/sampling.hpp"

#include "runtime/philox.hpp"

#include <string>

namespace troupe {

uint64_t point_of(uint64_t seed, uint64_t position) {
  auto bits = philox4x32(
    {static_cast<uint32_t>(position), static_cast<uint32_t>(position >> 32), 0,
     0},
    {static_cast<uint32_t>(seed), static_cast<uint32_t>(seed >> 32)});
  auto x = uint64_t{bits[1]} << 32 | bits[0];
  return x >> 11;
}

kernels::draw draw_of(const sampling_params& params, uint32_t num_choices,
                      uint32_t position) {
  kernels::draw out;
  out.num_choices = num_choices;
  out.temperature = params.temperature;
  out.top_p = params.top_p;
  out.top_k = params.top_k;
  out.point = point_of(params.seed, position);
  return out;
}

failure no_choice(uint32_t position) {
  return {errc::step_failed, "the model computed no finite logits for token "
                               + std::to_string(position) + " of the answer"};
}

} // namespace troupe
