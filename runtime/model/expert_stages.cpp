#include "runtime/model/forward.hpp"
#include "runtime/model/scratch.hpp"

#include <algorithm>

namespace troupe {

using kernels::dtype;

/// What a worker claims for its largest run.
struct expert_stages::buffers {
  /// Without a device it is only counted.
  buffers(kernels::device* dev, const model_config& c, precision p,
          uint32_t max_rows)
    : mem(dev) {
    auto inner = c.moe_intermediate_size;
    gate = mem.claim(dtype::f32, max_rows, inner);
    up = mem.claim(dtype::f32, max_rows, inner);
    middle = mem.claim_operand(c.dispatch_layout(p).type, max_rows, inner);
    output = mem.claim(c.combine_type(p), max_rows, c.hidden_size);
  }

  scratch mem;
  kernels::tensor gate;       ///< [rows, inner] f32
  kernels::tensor up;         ///< [rows, inner] f32
  kernels::activation middle; ///< [rows, inner]
  kernels::tensor output;     ///< [rows, hidden]
};

struct expert_stages::impl : buffers {
  impl(kernels::device& dev, kernels::stream& stream,
       const expert_shard& weights, uint32_t max_rows)
    : buffers(&dev, weights.config, weights.activations, max_rows),
      stream(stream), config(weights.config), slots(weights.slots) {
  }

  kernels::stream& stream;
  const model_config config;
  std::vector<std::vector<kernels::expert_weights>> slots;
};

expert_stages::expert_stages(std::unique_ptr<impl> impl)
  : impl_(std::move(impl)) {
}

expert_stages::~expert_stages() = default;

uint64_t expert_stages::num_bytes(const model_config& config, precision p,
                                  uint32_t max_rows) {
  return buffers{nullptr, config, p, max_rows}.mem.num_bytes();
}

result<std::unique_ptr<expert_stages>>
expert_stages::make(kernels::device& dev, kernels::stream& stream,
                    const expert_shard& weights, uint32_t max_rows) {
  auto made = std::make_unique<impl>(dev, stream, weights, max_rows);
  if (auto ok = made->mem.check(); !ok)
    return ok.why();
  return std::unique_ptr<expert_stages>{new expert_stages{std::move(made)}};
}

void expert_stages::set_slot(uint32_t moe_layer, uint32_t slot,
                             const kernels::expert_weights& weights) {
  auto& layer = impl_->slots.at(moe_layer);
  layer.resize(std::max<size_t>(layer.size(), slot + 1u));
  layer[slot] = weights;
}

void expert_stages::run(uint32_t layer, const kernels::activation& x,
                        std::vector<uint32_t> row,
                        const std::vector<slot_rows>& slots) {
  auto& in = *impl_;
  auto& c = in.config;
  CHECK(c.is_moe(layer) && layer < c.num_hidden_layers);
  auto count = static_cast<uint32_t>(row.size());
  CHECK(count <= in.output.rows);
  if (count == 0)
    return;
  auto& experts = in.slots[layer - c.first_k_dense_replace];
  kernels::expert_mlp op;
  op.x = x;
  op.row = std::move(row);
  for (auto& s : slots) {
    CHECK(s.slot < experts.size() && experts[s.slot].gate);
    if (s.count > 0)
      op.groups.push_back({experts[s.slot], s.first, s.count});
  }
  op.gate = in.gate.slice_rows(0, count);
  op.up = in.up.slice_rows(0, count);
  op.middle = in.middle.slice_rows(0, count);
  op.out = in.output.slice_rows(0, count);
  in.stream.enqueue(std::move(op));
}

const kernels::tensor& expert_stages::output() const {
  return impl_->output;
}

} // namespace troupe
