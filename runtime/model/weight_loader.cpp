#include "runtime/model/weight_loader.hpp"

#include "runtime/checkpoint/finite.hpp"

#include <algorithm>

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

/// Memory is claimed in pieces of up to this size, which the system fills with
/// large pages from end to end.
constexpr uint64_t max_chunk_bytes = 256 << 20;
constexpr uint64_t min_chunk_bytes = 2 << 20;

} // namespace

weight_loader::weight_loader(const checkpoint& source,
                             const model_config& config, kernels::device& dev,
                             precision activations,
                             std::vector<kernels::buffer>& memory,
                             const load_progress& progress,
                             uint64_t total_bytes, std::stop_token stop)
  : source_(source), config_(config), dev_(dev), activations_(activations),
    memory_(memory), progress_(progress), total_bytes_(total_bytes),
    stop_(std::move(stop)), window_(dev) {
}

// -- what there is to load ----------------------------------------------------

kernels::tensor weight_loader::vector(const std::string& name, uint32_t cols) {
  auto view = find(name, {cols});
  if (!view)
    return {};
  auto values = read_floats(name, *view);
  if (!values)
    return {};
  auto bytes = std::as_bytes(std::span{*values});
  if (auto at = first_not_finite(tensor_type::f32, bytes)) {
    note(not_finite(name, *at));
    return {};
  }
  return floats(std::move(*values), 1, cols);
}

kernels::tensor weight_loader::floats(std::vector<float> values, uint32_t rows,
                                      uint32_t cols) {
  auto mem = claim(values.size() * sizeof(float));
  if (!mem)
    return {};
  auto kept = std::make_shared<std::vector<float>>(std::move(values));
  auto bytes = std::as_bytes(std::span{*kept});
  window_.submit(kernels::copy_in{bytes.data(), mem, kept}, bytes.size());
  return kernels::dense(mem, dtype::f32, rows, cols);
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
  auto mem = claim(view->num_bytes);
  if (!mem)
    return {};
  constexpr auto step = load_window::part_bytes;
  for (uint64_t at = 0; at < mem.bytes; at += step) {
    auto size = std::min(step, mem.bytes - at);
    auto part = read(name, *view, at, size);
    if (!part)
      return {};
    kernels::copy_in op{part.bytes.data(), mem.slice(at, size), nullptr};
    window_.submit(std::move(op), part);
  }
  return kernels::dense(mem, *type, rows, cols);
}

kernels::weight weight_loader::linear(const std::string& name, uint32_t rows,
                                      uint32_t cols) {
  auto view = find(name, {rows, cols});
  if (!view)
    return {};
  if (view->dtype == tensor_type::bf16)
    return pack(name, *view, dtype::bf16, rows, cols);
  if (view->dtype != tensor_type::f8_e4m3) {
    refuse(name, "must be F8_E4M3 or BF16");
    return {};
  }
  auto scales = scales_of(name, rows, cols);
  return scales
           ? pack(name, *view, dtype::f8_e4m3, rows, cols, std::move(*scales))
           : kernels::weight{};
}

kernels::weight weight_loader::exact_linear(const std::string& name,
                                            uint32_t rows, uint32_t cols) {
  auto view = find(name, {rows, cols});
  if (!view)
    return {};
  if (view->dtype == tensor_type::bf16 || view->dtype == tensor_type::f32)
    return pack(name, *view, *to_dtype(view->dtype), rows, cols);
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
  absorbed_shape shape{c.num_attention_heads, c.kv_lora_rank,
                       c.qk_nope_head_dim, c.v_head_dim};
  auto rows = shape.heads * (shape.nope + shape.v_head);
  auto view = find(name, {rows, shape.latent});
  if (!view)
    return;
  if (view->dtype != tensor_type::f8_e4m3 && view->dtype != tensor_type::bf16) {
    refuse(name, "must be F8_E4M3 or BF16");
    return;
  }
  std::vector<float> scales;
  if (view->dtype == tensor_type::f8_e4m3) {
    auto found = scales_of(name, rows, shape.latent);
    if (!found)
      return;
    scales = std::move(*found);
  }
  auto whole = read(name, *view, 0, view->num_bytes);
  if (!whole)
    return;
  tensor_view values{view->dtype, view->shape, whole.bytes};
  auto pack = [&]<class T>(absorbed_halves<T> halves) {
    window_.give_back(whole); // before its halves ask for room
    pack_halves(std::move(halves), shape, k_b, v_b);
  };
  if (activations_ == precision::fp32)
    pack(absorb<float>(values, scales, shape));
  else
    pack(absorb<uint16_t>(values, scales, shape));
}

void weight_loader::refuse(const std::string& name, const std::string& why) {
  note({errc::invalid_input, "tensor " + name + " " + why});
}

void weight_loader::note(failure why) {
  if (!trouble_)
    trouble_ = std::move(why);
}

bool weight_loader::go_on() {
  if (progress_ && !trouble_) {
    auto done = done_bytes_ - std::min(done_bytes_, window_.in_flight());
    shown_bytes_ = std::max(shown_bytes_, std::min(done, total_bytes_));
    progress_(shown_bytes_, total_bytes_);
  }
  return !trouble_;
}

bool weight_loader::finish() {
  if (auto status = window_.finish(); !status)
    note({errc::step_failed, status.failure});
  return go_on();
}

// -- how ----------------------------------------------------------------------

const stored_tensor* weight_loader::find(const std::string& name,
                                         const std::vector<uint64_t>& shape) {
  if (stop_.stop_requested() && !trouble_)
    trouble_ = failure{errc::cancelled, "loading was cancelled"};
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
  done_bytes_ += view->num_bytes;
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
  auto out = read_floats(scale_name, *view);
  if (!out)
    return std::nullopt;
  if (auto ok = check_scales(scale_name, *out); !ok) {
    note(ok.why());
    return std::nullopt;
  }
  return out;
}

/// Fills `out` with bytes of `x`, which is read from its first byte to its
/// last, part by part: so each is looked at once, while it is in the cache.
bool weight_loader::fill(const std::string& name, const stored_tensor& x,
                         uint64_t first, std::span<std::byte> out,
                         bool must_be_finite) {
  std::optional<uint64_t> bad; // the element
  auto at = first;
  auto look = [&](std::span<const std::byte> bytes) {
    digest_.add(bytes);
    if (must_be_finite && !bad)
      if (auto i = first_not_finite(x.dtype, bytes))
        bad = at / size_of(x.dtype) + *i;
    at += bytes.size();
  };
  if (auto ok = source_.read(x, first, out, look); !ok)
    note(ok.why());
  else if (bad)
    note(not_finite(name, *bad));
  if (at == x.num_bytes)
    digests_[name] = digest_.take();
  return !trouble_;
}

std::optional<std::vector<float>>
weight_loader::read_floats(const std::string& name, const stored_tensor& x) {
  std::vector<std::byte> bytes(x.num_bytes);
  if (!fill(name, x, 0, bytes, false))
    return std::nullopt;
  auto out = to_floats(name, {x.dtype, x.shape, bytes});
  if (out)
    return std::move(*out);
  note(out.why());
  return std::nullopt;
}

/// Bytes of `x` in the window, every element a finite number; else empty.
load_window::part weight_loader::read(const std::string& name,
                                      const stored_tensor& x, uint64_t first,
                                      uint64_t num_bytes) {
  if (trouble_)
    return {};
  auto part = window_.claim(num_bytes);
  if (!part) {
    note({errc::out_of_memory, "no memory to read tensor " + name + " into"});
    return {};
  }
  if (fill(name, x, first, part.bytes, true))
    return part;
  window_.give_back(part);
  return {};
}

kernels::buffer weight_loader::claim(uint64_t bytes) {
  if (trouble_)
    return {};
  auto whole = (bytes + 63) / 64 * 64; // where the next one begins
  if (whole > chunk_.bytes) {
    auto size = std::clamp(total_bytes_ / 16, min_chunk_bytes, max_chunk_bytes);
    size = std::max(size / min_chunk_bytes * min_chunk_bytes, whole);
    auto mem = dev_.allocate(size);
    if (!mem) {
      note({errc::out_of_memory, "no memory for " + std::to_string(size)
                                   + " bytes of weights on "
                                   + std::string{dev_.target()}});
      return {};
    }
    memory_.push_back(*mem);
    chunk_ = *mem;
  }
  auto out = chunk_.slice(0, bytes);
  chunk_ = chunk_.slice(whole, chunk_.bytes - whole);
  return out;
}

kernels::weight weight_loader::claim_weight(dtype type, uint32_t rows,
                                            uint32_t cols, uint32_t groups) {
  auto mem = claim(dev_.weight_bytes(type, rows, cols, groups));
  return mem ? kernels::weight{mem, type, rows, cols, groups}
             : kernels::weight{};
}

kernels::weight
weight_loader::pack(const std::string& name, const stored_tensor& x, dtype type,
                    uint32_t rows, uint32_t cols, std::vector<float> scales) {
  kernels::pack_weight op;
  op.dst = claim_weight(type, rows, cols, 1);
  if (!op.dst)
    return {};
  auto kept = std::make_shared<std::vector<float>>(std::move(scales));
  if (type == dtype::f8_e4m3)
    op.scales = kept->data();
  op.keep_alive = std::move(kept);
  auto row_bytes = uint64_t{cols} * size_of(type);
  auto step = std::max<uint64_t>(1, load_window::part_bytes / row_bytes
                                      / kernels::scale_block)
              * kernels::scale_block;
  for (uint64_t at = 0; at < rows; at += step) {
    op.first_row = static_cast<uint32_t>(at);
    op.num_rows = static_cast<uint32_t>(std::min(step, rows - at));
    auto part = read(name, x, at * row_bytes, op.num_rows * row_bytes);
    if (!part)
      return {};
    // The matrix would begin here; rows before the part are not read.
    auto first = reinterpret_cast<uintptr_t>(part.bytes.data());
    op.src = reinterpret_cast<const std::byte*>(first - at * row_bytes);
    window_.submit(op, part);
  }
  return op.dst;
}

template <class T>
void weight_loader::pack_halves(absorbed_halves<T> halves,
                                const absorbed_shape& shape,
                                kernels::weight& k_b, kernels::weight& v_b) {
  auto pack = [&](std::vector<T> values, uint32_t rows, uint32_t cols) {
    kernels::pack_weight op;
    op.dst = claim_weight(sizeof(T) == 2 ? dtype::bf16 : dtype::f32, rows, cols,
                          shape.heads);
    if (!op.dst)
      return kernels::weight{};
    auto kept = std::make_shared<std::vector<T>>(std::move(values));
    op.src = reinterpret_cast<const std::byte*>(kept->data());
    op.keep_alive = kept;
    window_.submit(op, kept->size() * sizeof(T));
    return op.dst;
  };
  k_b = pack(std::move(halves.k), shape.latent, shape.nope);
  v_b = pack(std::move(halves.v), shape.v_head, shape.latent);
}

} // namespace troupe
