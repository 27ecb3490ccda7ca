#include "runtime/pipeline/stage_table.hpp"

#include "kernels/check.hpp"

namespace troupe {

namespace {

struct row {
  stage what;
  stage_stream stream;
  stage_wait wait;
};

using enum stage_stream;

constexpr row dense_layer[] = {
  {stage::prepare, compute, stage_wait::nothing},
  {stage::attention, compute, stage_wait::nothing},
  {stage::dense_mlp, compute, stage_wait::nothing},
};

constexpr row moe_layer[] = {
  {stage::prepare, compute, stage_wait::nothing},
  {stage::attention, compute, stage_wait::nothing},
  {stage::route, compute, stage_wait::nothing},
  {stage::dispatch, copy, stage_wait::host},
  {stage::shared_expert, compute, stage_wait::nothing},
  {stage::combine, compute, stage_wait::rows},
};

constexpr row after_layers[] = {
  {stage::head, compute, stage_wait::nothing},
  {stage::end, compute, stage_wait::host},
};

} // namespace

stage_table::stage_table(const model_config& config) {
  auto append = [this](std::span<const row> rows, uint32_t layer) {
    for (auto& x : rows)
      stages_.push_back({x.what, layer, x.stream, x.wait});
  };
  for (uint32_t layer = 0; layer < config.num_hidden_layers; ++layer)
    if (config.is_moe(layer))
      append(moe_layer, layer);
    else
      append(dense_layer, layer);
  append(after_layers, 0);
}

uint32_t stage_table::next_wait(uint32_t i) const {
  CHECK(i < size());
  while (stages_[i].wait == stage_wait::nothing)
    ++i;
  return i;
}

} // namespace troupe
