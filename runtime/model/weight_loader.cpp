#include "runtime/model/weight_loader.hpp"

#include "kernels/host/floats.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>

namespace troupe {

using kernels::dtype;

namespace {

std::optional<dtype> to_dtype(tensor_type type) {
  switch (type) {
    case tensor_type::f32:
      return dtype::f32;
    case tensor_type::bf16:
      return dtype::bf16;
    case tensor_type::f8_e4m3:
      return dtype::f8_e4m3;
    default:
      return std::nullopt;
  }
}

/// A tensor's bytes with the alignment that its type wants. Files may begin a
/// tensor anywhere; then it is copied.
struct aligned_bytes {
  const std::byte* data = nullptr;
  std::shared_ptr<const void> keep_alive; ///< Null: the file itself.

  explicit aligned_bytes(const tensor_view& view) : data(view.bytes.data()) {
    if (reinterpret_cast<uintptr_t>(data) % size_of(view.dtype) == 0)
      return;
    auto copy = std::make_shared<std::vector<std::byte>>(view.bytes.begin(),
                                                         view.bytes.end());
    data = copy->data();
    keep_alive = std::move(copy);
  }
};

} // namespace

weight_loader::weight_loader(const checkpoint& source,
                             const model_config& config, kernels::device& dev,
                             precision activations,
                             std::vector<kernels::buffer>& memory,
                             const load_progress& progress,
                             uint64_t total_bytes)
  : source_(source), config_(config), dev_(dev), activations_(activations),
    memory_(memory), progress_(progress), total_bytes_(total_bytes),
    stream_(dev.make_stream()) {
}

// -- what there is to load ----------------------------------------------------

kernels::tensor weight_loader::vector(const std::string& name, uint32_t cols) {
  auto view = find(name, {cols});
  if (!view)
    return {};
  auto values = to_floats(name, *view);
  if (!values) {
    trouble_ = values.why();
    return {};
  }
  return floats(std::move(*values), 1, cols);
}

kernels::tensor weight_loader::floats(std::vector<float> values, uint32_t rows,
                                      uint32_t cols) {
  auto copy = std::make_shared<std::vector<float>>(std::move(values));
  return place(std::as_bytes(std::span{*copy}), dtype::f32, rows, cols, copy);
}

kernels::tensor weight_loader::table(const std::string& name, uint32_t rows,
                                     uint32_t cols) {
  auto view = find(name, {rows, cols});
  if (!view)
    return {};
  auto type = to_dtype(view->dtype);
  if (!type || *type == dtype::f8_e4m3) {
    refuse(name, "must be BF16 or F32");
    return {};
  }
  aligned_bytes bytes{*view};
  return place({bytes.data, view->bytes.size()}, *type, rows, cols,
               bytes.keep_alive);
}

kernels::weight weight_loader::linear(const std::string& name, uint32_t rows,
                                      uint32_t cols) {
  auto view = find(name, {rows, cols});
  if (!view)
    return {};
  if (view->dtype == tensor_type::bf16)
    return pack(*view, dtype::bf16, rows, cols);
  if (view->dtype != tensor_type::f8_e4m3) {
    refuse(name, "must be F8_E4M3 or BF16");
    return {};
  }
  auto scales = scales_of(name, rows, cols);
  return scales ? pack(*view, dtype::f8_e4m3, rows, cols, std::move(*scales))
                : kernels::weight{};
}

kernels::weight weight_loader::exact_linear(const std::string& name,
                                            uint32_t rows, uint32_t cols) {
  auto view = find(name, {rows, cols});
  if (!view)
    return {};
  if (view->dtype == tensor_type::bf16 || view->dtype == tensor_type::f32)
    return pack(*view, *to_dtype(view->dtype), rows, cols);
  refuse(name, "must be BF16 or F32");
  return {};
}

kernels::expert_weights weight_loader::mlp(const std::string& prefix,
                                           uint32_t inner, uint32_t hidden) {
  kernels::expert_weights out;
  out.gate = linear(prefix + "gate_proj.weight", inner, hidden);
  out.up = linear(prefix + "up_proj.weight", inner, hidden);
  out.down = linear(prefix + "down_proj.weight", hidden, inner);
  if (out.up.type != out.gate.type || out.down.type != out.gate.type)
    refuse(prefix + "gate_proj.weight",
           "must have the type of up_proj and down_proj");
  return out;
}

void weight_loader::absorbed(const std::string& name, kernels::weight& k_b,
                             kernels::weight& v_b) {
  auto& c = config_;
  auto heads = c.num_attention_heads;
  auto latent = c.kv_lora_rank;
  auto nope = c.qk_nope_head_dim;
  auto per_head = nope + c.v_head_dim;
  auto w = multiplied_out(name, heads * per_head, latent);
  if (!w)
    return;
  std::vector<float> k(uint64_t{heads} * latent * nope);
  std::vector<float> v(uint64_t{heads} * c.v_head_dim * latent);
  for (uint64_t h = 0; h < heads; ++h) {
    auto from = w->data() + h * per_head * latent;
    auto to = k.data() + h * latent * nope;
    for (uint64_t i = 0; i < nope; ++i)
      for (uint64_t j = 0; j < latent; ++j)
        to[j * nope + i] = from[i * latent + j];
    std::copy_n(from + uint64_t{nope} * latent, uint64_t{c.v_head_dim} * latent,
                v.data() + h * c.v_head_dim * latent);
  }
  k_b = pack_floats(std::move(k), latent, nope, heads);
  v_b = pack_floats(std::move(v), c.v_head_dim, latent, heads);
}

void weight_loader::refuse(const std::string& name, const std::string& why) {
  if (!trouble_)
    trouble_ = failure{errc::invalid_input, "tensor " + name + " " + why};
}

bool weight_loader::flush() {
  if (auto status = kernels::synchronize(*stream_); !status && !trouble_)
    trouble_ = failure{errc::step_failed, status.failure};
  if (progress_ && !trouble_)
    progress_(std::min(done_bytes_, total_bytes_), total_bytes_);
  return !trouble_;
}

// -- how ----------------------------------------------------------------------

const tensor_view* weight_loader::find(const std::string& name,
                                       const std::vector<uint64_t>& shape) {
  if (trouble_)
    return nullptr;
  auto view = source_.find(name);
  if (!view) {
    refuse(name, "is missing");
    return nullptr;
  }
  if (view->shape != shape) {
    refuse(name, "has the shape " + shape_text(view->shape) + ", expected "
                   + shape_text(shape));
    return nullptr;
  }
  done_bytes_ += view->bytes.size();
  return view;
}

std::optional<std::vector<float>>
weight_loader::scales_of(const std::string& name, uint32_t rows,
                         uint32_t cols) {
  if (!config_.fp8) {
    refuse(name, "is F8_E4M3 though config.json has no quantization_config");
    return std::nullopt;
  }
  auto scale_name = name + "_scale_inv";
  auto view = find(scale_name, {kernels::num_scale_blocks(rows),
                                kernels::num_scale_blocks(cols)});
  if (!view)
    return std::nullopt;
  if (view->dtype != tensor_type::f32) {
    refuse(scale_name, "must be F32");
    return std::nullopt;
  }
  auto out = *to_floats(scale_name, *view);
  for (auto x : out)
    if (!std::isfinite(x)) {
      refuse(scale_name, "is not finite");
      return std::nullopt;
    }
  return out;
}

std::optional<std::vector<float>>
weight_loader::multiplied_out(const std::string& name, uint32_t rows,
                              uint32_t cols) {
  auto view = find(name, {rows, cols});
  if (!view)
    return std::nullopt;
  if (view->dtype != tensor_type::f8_e4m3 && view->dtype != tensor_type::bf16) {
    refuse(name, "must be F8_E4M3 or BF16");
    return std::nullopt;
  }
  auto out = *to_floats(name, *view);
  if (view->dtype == tensor_type::bf16)
    return out;
  auto scales = scales_of(name, rows, cols);
  if (!scales)
    return std::nullopt;
  auto blocks = kernels::num_scale_blocks(cols);
  for (uint64_t i = 0; i < rows; ++i)
    for (uint64_t j = 0; j < cols; ++j)
      out[i * cols + j] *= (*scales)[i / 128 * blocks + j / 128];
  return out;
}

kernels::buffer weight_loader::claim(uint64_t bytes) {
  if (trouble_)
    return {};
  if (auto mem = dev_.allocate(bytes)) {
    memory_.push_back(*mem);
    return *mem;
  }
  trouble_ = failure{errc::out_of_memory,
                     "no memory for " + std::to_string(bytes)
                       + " bytes of weights on " + std::string{dev_.target()}};
  return {};
}

kernels::tensor weight_loader::place(std::span<const std::byte> bytes,
                                     dtype type, uint32_t rows, uint32_t cols,
                                     std::shared_ptr<const void> keep_alive) {
  auto mem = claim(bytes.size());
  if (!mem)
    return {};
  kernels::copy_in copy;
  copy.src = bytes.data();
  copy.dst = mem.slice(0, bytes.size());
  copy.keep_alive = std::move(keep_alive);
  stream_->enqueue(std::move(copy));
  return kernels::dense(mem, type, rows, cols);
}

kernels::weight weight_loader::claim_weight(dtype type, uint32_t rows,
                                            uint32_t cols, uint32_t groups) {
  auto mem = claim(dev_.weight_bytes(type, rows, cols, groups));
  return mem ? kernels::weight{mem, type, rows, cols, groups}
             : kernels::weight{};
}

kernels::weight weight_loader::pack(const tensor_view& view, dtype type,
                                    uint32_t rows, uint32_t cols,
                                    std::vector<float> scales) {
  kernels::pack_weight op;
  op.dst = claim_weight(type, rows, cols, 1);
  if (!op.dst)
    return {};
  aligned_bytes bytes{view};
  op.src = bytes.data;
  auto kept = std::make_shared<
    std::pair<std::vector<float>, std::shared_ptr<const void>>>(
    std::move(scales), bytes.keep_alive);
  if (type == dtype::f8_e4m3)
    op.scales = kept->first.data();
  op.keep_alive = std::move(kept);
  auto out = op.dst;
  stream_->enqueue(std::move(op));
  return out;
}

kernels::weight weight_loader::pack_floats(std::vector<float> values,
                                           uint32_t rows, uint32_t cols,
                                           uint32_t groups) {
  auto is_exact = activations_ == precision::fp32;
  kernels::pack_weight op;
  op.dst = claim_weight(is_exact ? dtype::f32 : dtype::bf16, rows, cols,
                        groups);
  if (!op.dst)
    return {};
  if (is_exact) {
    auto kept = std::make_shared<std::vector<float>>(std::move(values));
    op.src = reinterpret_cast<const std::byte*>(kept->data());
    op.keep_alive = std::move(kept);
  } else {
    auto kept = std::make_shared<std::vector<uint16_t>>(values.size());
    for (size_t i = 0; i < values.size(); ++i)
      (*kept)[i] = kernels::host::to_bf16(values[i]);
    op.src = reinterpret_cast<const std::byte*>(kept->data());
    op.keep_alive = std::move(kept);
  }
  auto out = op.dst;
  stream_->enqueue(std::move(op));
  return out;
}

} // namespace troupe
