// linear and grouped_linear.

#include "kernels/reference/products.hpp"

#include "kernels/host/floats.hpp"
#include "kernels/host/host_memory.hpp"
#include "kernels/reference/operations.hpp"

#include <algorithm>
#include <numeric>

namespace troupe::kernels::reference {

namespace {

/// Product and sum round each.
float dot(const float* x, const float* w, size_t count) {
  float sum = 0;
  for (size_t k = 0; k < count; ++k)
    sum += x[k] * w[k];
  return sum;
}

/// The K columns of one group, rounded to bf16 if the weight is bf16.
std::vector<operand_row> load_group(const grouped_linear& op, uint32_t g) {
  std::vector<operand_row> out;
  for (uint32_t t = 0; t < op.x.rows; ++t) {
    auto first = host::row<const float>(op.x, t) + g * op.x_stride;
    out.push_back({{first, first + op.w.cols}});
    if (op.w.type == dtype::bf16)
      for (auto& x : out.back().values)
        x = host::round_to_bf16(x);
  }
  return out;
}

} // namespace

std::vector<operand_row> load_rows(const activation& x, const uint32_t* idx,
                                   uint32_t count) {
  std::vector<operand_row> out;
  for (uint32_t i = 0; i < count; ++i)
    out.push_back(
      {load_row(x.values, idx[i]),
       x.scales ? host::row<const float>(x.scales, idx[i]) : nullptr});
  return out;
}

std::vector<operand_row> load_rows(const activation& x) {
  std::vector<uint32_t> idx(x.values.rows);
  std::iota(idx.begin(), idx.end(), 0);
  return load_rows(x, idx.data(), x.values.rows);
}

float multiply(const operand_row& x, const std::vector<float>& w,
               const float* w_scales) {
  if (!w_scales)
    return dot(x.values.data(), w.data(), w.size());
  float sum = 0;
  for (size_t k = 0; k < w.size(); k += scale_block) {
    auto count = std::min<size_t>(scale_block, w.size() - k);
    auto part = dot(&x.values[k], &w[k], count);
    auto b = k / scale_block;
    sum += part * (x.scales ? x.scales[b] : 1.0f) * w_scales[b];
  }
  return sum;
}

void run(const linear& op) {
  multiply(load_rows(op.x), op.w, 0, [&](auto t, auto n, auto sum) {
    store(op.out, t, n, op.residual ? sum + load(op.residual, t, n) : sum);
  });
}

void run(const grouped_linear& op) {
  for (uint32_t g = 0; g < op.w.groups; ++g)
    multiply(load_group(op, g), op.w, g, [&](auto t, auto n, auto sum) {
      store(op.out, t, g * op.w.rows + n, sum);
    });
}

} // namespace troupe::kernels::reference
