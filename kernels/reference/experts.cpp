// swiglu, expert_mlp, combine.

#include "kernels/host/host_memory.hpp"
#include "kernels/reference/operations.hpp"
#include "kernels/reference/products.hpp"

#include <cmath>

namespace troupe::kernels::reference {

namespace {

float gated(float gate, float up) {
  return static_cast<float>(gate / (1 + std::exp(-double{gate})) * up);
}

void run_group(const expert_mlp& op, const expert_mlp::group& g) {
  auto xs = load_rows(op.x, op.row.data() + g.first, g.count);
  multiply(xs, g.expert.gate, 0, [&](auto i, auto n, auto sum) {
    store(op.gate, g.first + i, n, sum);
  });
  multiply(xs, g.expert.up, 0, [&](auto i, auto n, auto sum) {
    store(op.up, g.first + i, n, sum);
  });
  auto middle = op.middle.slice_rows(g.first, g.count);
  run(swiglu{op.gate.slice_rows(g.first, g.count),
             op.up.slice_rows(g.first, g.count), middle});
  multiply(load_rows(middle), g.expert.down, 0, [&](auto i, auto n, auto sum) {
    store(op.out, g.first + i, n, sum);
  });
}

} // namespace

void run(const swiglu& op) {
  for (uint32_t t = 0; t < op.gate.rows; ++t) {
    auto x = load_row(op.gate, t);
    for (uint32_t c = 0; c < x.size(); ++c)
      x[c] = gated(x[c], load(op.up, t, c));
    quantize_row(op.out, t, x.data());
  }
}

void run(const expert_mlp& op) {
  for (auto& g : op.groups)
    if (g.count > 0)
      run_group(op, g);
}

void run(const combine& op) {
  auto k = op.weights.cols;
  for (uint32_t t = 0; t < op.residual.rows; ++t)
    for (uint32_t c = 0; c < op.residual.cols; ++c) {
      float acc = 0;
      for (uint32_t i = 0; i < k; ++i)
        acc = std::fma(load(op.weights, t, i),
                       load(op.rows, op.row_of[uint64_t{t} * k + i], c), acc);
      if (op.shared)
        acc += load(op.shared, t, c);
      store(op.residual, t, c, load(op.residual, t, c) + acc);
    }
}

} // namespace troupe::kernels::reference
