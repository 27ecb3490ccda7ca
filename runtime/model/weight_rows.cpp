#include "runtime/model/weight_rows.hpp"

#include "kernels/host/floats.hpp"
#include "runtime/checkpoint/finite.hpp"

#include <algorithm>
#include <cstring>

namespace troupe {

namespace {

constexpr uint64_t block_width = 128;

using shape = std::vector<uint64_t>;

failure wrong(const std::string& name, const std::string& why) {
  return {errc::invalid_input, "tensor " + name + " " + why};
}

result<const stored_tensor*>
find(const checkpoint& source, const std::string& name, const shape& wanted) {
  auto view = source.find(name);
  if (!view)
    return wrong(name, "is missing");
  if (view->shape != wanted)
    return wrong(name, "has the shape " + shape_text(view->shape)
                         + ", expected " + shape_text(wanted));
  return view;
}

result<std::vector<float>> scales_of(const checkpoint& source,
                                     const std::string& weight, uint64_t rows,
                                     uint64_t cols) {
  auto name = weight + "_scale_inv";
  auto view = find(source, name,
                   {(rows + block_width - 1) / block_width,
                    (cols + block_width - 1) / block_width});
  if (!view)
    return view.why();
  if ((*view)->dtype != tensor_type::f32)
    return wrong(name, "must be F32");
  auto out = source.read_floats(name, **view);
  if (!out)
    return out;
  if (auto ok = check_scales(name, *out); !ok)
    return ok.why();
  return out;
}

} // namespace

result<weight_rows>
weight_rows::open(const checkpoint& source, const model_config& config,
                  const std::string& name, uint64_t rows, uint64_t cols) {
  auto is_vector = rows == 1 && source.find(name)
                   && source.find(name)->shape.size() == 1;
  auto view = find(source, name, is_vector ? shape{cols} : shape{rows, cols});
  if (!view)
    return view.why();
  weight_rows out;
  out.source_ = &source;
  out.name_ = name;
  out.place_ = *view;
  out.cols_ = cols;
  auto type = out.place_->dtype;
  if (type == tensor_type::f32 || type == tensor_type::bf16)
    return out;
  if (type != tensor_type::f8_e4m3)
    return wrong(name, "must be F8_E4M3, BF16 or F32");
  if (!config.fp8)
    return wrong(name,
                 "is F8_E4M3 though config.json has no quantization_config");
  auto scales = scales_of(source, name, rows, cols);
  if (!scales)
    return scales.why();
  out.scales_ = std::move(*scales);
  for (uint32_t code = 0; code < 256; ++code)
    out.values_[code] = kernels::host::from_e4m3(static_cast<uint8_t>(code));
  return out;
}

result<void> weight_rows::read(uint64_t first, uint64_t count,
                               float* out) const {
  auto type = place_->dtype;
  auto begin = first * cols_;
  auto num_values = count * cols_;
  std::vector<std::byte> bytes(num_values * size_of(type));
  if (auto ok = source_->read(*place_, begin * size_of(type), bytes); !ok)
    return ok;
  if (auto at = first_not_finite(type, bytes))
    return not_finite(name_, begin + *at);
  auto from = bytes.data();
  if (type == tensor_type::f32) {
    std::memcpy(out, from, bytes.size());
  } else if (type == tensor_type::bf16) {
    for (uint64_t i = 0; i < num_values; ++i) {
      uint16_t bits;
      std::memcpy(&bits, from + 2 * i, sizeof(bits));
      out[i] = kernels::host::from_bf16(bits);
    }
  } else {
    for (uint64_t i = 0; i < count; ++i)
      read_codes(from + i * cols_, first + i, out + i * cols_);
  }
  return {};
}

void weight_rows::read_codes(const std::byte* codes, uint64_t row,
                             float* out) const {
  auto blocks = (cols_ + block_width - 1) / block_width;
  auto scales = scales_.data() + row / block_width * blocks;
  for (uint64_t begin = 0; begin < cols_; begin += block_width) {
    auto scale = scales[begin / block_width];
    auto end = std::min(begin + block_width, cols_);
    for (auto i = begin; i < end; ++i)
      out[i] = values_[static_cast<uint8_t>(codes[i])] * scale;
  }
}

} // namespace troupe
