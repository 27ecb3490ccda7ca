#include "kernels/reference/values.hpp"

#include "kernels/check.hpp"
#include "kernels/host/floats.hpp"
#include "kernels/host/host_memory.hpp"

#include <algorithm>
#include <cmath>

namespace troupe::kernels::reference {

namespace {

float load(dtype type, const std::byte* row, uint64_t i) {
  switch (type) {
    case dtype::f32:
      return reinterpret_cast<const float*>(row)[i];
    case dtype::bf16:
      return host::from_bf16(reinterpret_cast<const uint16_t*>(row)[i]);
    default:
      CHECK(type == dtype::f8_e4m3);
      return host::from_e4m3(static_cast<uint8_t>(row[i]));
  }
}

std::vector<float> load_row(dtype type, const std::byte* row, uint64_t count) {
  std::vector<float> out(count);
  for (uint64_t i = 0; i < count; ++i)
    out[i] = load(type, row, i);
  return out;
}

uint64_t values_bytes(dtype type, uint64_t rows, uint64_t cols,
                      uint64_t groups) {
  auto bytes = groups * rows * cols * size_of(type);
  return (bytes + host::alignment - 1) / host::alignment * host::alignment;
}

void quantize_tile(uint8_t* codes, float& scale, const float* x,
                   uint32_t count) {
  scale = host::e4m3_scale(x, count);
  for (uint32_t i = 0; i < count; ++i)
    codes[i] = host::to_e4m3(x[i], scale);
}

} // namespace

float load(const tensor& t, uint64_t r, uint64_t c) {
  return load(t.type, host::row<const std::byte>(t, r), c);
}

void store(const tensor& t, uint64_t r, uint64_t c, float x) {
  CHECK(t.type == dtype::f32 || t.type == dtype::bf16);
  if (t.type == dtype::f32)
    host::row<float>(t, r)[c] = x;
  else
    host::row<uint16_t>(t, r)[c] = host::to_bf16(x);
}

std::vector<float> load_row(const tensor& t, uint64_t r) {
  return load_row(t.type, host::row<const std::byte>(t, r), t.cols);
}

void quantize_row(const activation& out, uint64_t r, const float* x) {
  auto cols = out.values.cols;
  if (out.values.type != dtype::f8_e4m3) {
    for (uint32_t c = 0; c < cols; ++c)
      store(out.values, r, c, x[c]);
    return;
  }
  auto codes = host::row<uint8_t>(out.values, r);
  auto scales = host::row<float>(out.scales, r);
  for (uint32_t c = 0; c < cols; c += scale_block)
    quantize_tile(codes + c, scales[c / scale_block], x + c,
                  std::min(scale_block, cols - c));
}

void normalize(float* x, const float* weight, uint32_t count, float eps) {
  double sum = 0;
  for (uint32_t i = 0; i < count; ++i)
    sum += double{x[i]} * x[i];
  auto root = std::sqrt(sum / count + double{eps});
  for (uint32_t i = 0; i < count; ++i)
    x[i] = static_cast<float>(x[i] / root * weight[i]);
}

uint64_t weight_bytes(dtype type, uint32_t rows, uint32_t cols,
                      uint32_t groups) {
  auto bytes = values_bytes(type, rows, cols, groups);
  if (type == dtype::f8_e4m3)
    bytes += uint64_t{groups} * num_scale_blocks(rows) * num_scale_blocks(cols)
             * sizeof(float);
  return bytes;
}

std::vector<float> load_row(const weight& w, uint32_t g, uint32_t r) {
  auto width = uint64_t{w.cols} * size_of(w.type);
  auto first = (uint64_t{g} * w.rows + r) * width;
  return load_row(w.type, host::address_of(w.data) + first, w.cols);
}

const float* scales_of_row(const weight& w, uint32_t g, uint32_t r) {
  CHECK(w.type == dtype::f8_e4m3);
  auto scales = host::address_of(w.data)
                + values_bytes(w.type, w.rows, w.cols, w.groups);
  auto row = uint64_t{g} * num_scale_blocks(w.rows) + r / scale_block;
  return reinterpret_cast<const float*>(scales)
         + row * num_scale_blocks(w.cols);
}

} // namespace troupe::kernels::reference
