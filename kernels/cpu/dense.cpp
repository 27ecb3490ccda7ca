// Weights and their products.

#include "kernels/cpu/operations.hpp"
#include "kernels/cpu/product.hpp"
#include "kernels/host/host_memory.hpp"

namespace troupe::kernels::cpu {

void run(context& ctx, const pack_weight& op) {
  packed_shape shape(op.dst);
  auto first = op.first_row / panel_rows;
  auto panels = (op.end_row() - op.first_row + panel_rows - 1) / panel_rows;
  auto pack = [&](uint32_t i) {
    pack_panel(ctx.kernels, op, i / panels, first + i % panels);
  };
  // Some 6 bytes in a nanosecond, new pages on both sides included.
  ctx.for_each(op.dst.groups * panels, shape.panel_bytes() / 6, pack);
}

void run(context& ctx, const linear& op) {
  packed_shape shape(op.w);
  row_source from{op.x, nullptr, op.out.rows};
  left_rows left(ctx, op.x.values.type, shape, from.count);
  pack_rows_of(ctx, left, from);
  product what{&left, shape, host::address_of(op.w.data), op.out, op.residual};
  run_products(ctx, {&what, 1});
}

void run(context& ctx, const grouped_linear& op) {
  packed_shape shape(op.w);
  auto groups = op.w.groups;
  auto rounds = op.w.type == dtype::bf16;
  std::vector<left_rows> left;
  std::vector<row_source> from;
  std::vector<product> products;
  left.reserve(groups);
  for (uint32_t g = 0; g < groups; ++g) {
    // What is rounded may go in pairs.
    left.emplace_back(ctx, rounds ? dtype::bf16 : dtype::f32, shape, op.x.rows);
    auto first = uint32_t(g * op.x_stride);
    from.push_back(
      {{op.x.slice_cols(first, shape.cols), {}}, nullptr, op.x.rows, rounds});
    auto w = host::address_of(op.w.data) + g * shape.matrix_bytes();
    auto out = op.out.slice_cols(g * shape.rows, shape.rows);
    products.push_back({&left[g], shape, w, out, {}});
  }
  ctx.for_each(groups, uint64_t{op.x.rows} * shape.cols / 2, [&](uint32_t g) {
    for (uint32_t i = 0; i < left[g].tiles().size(); ++i)
      left[g].pack(ctx.kernels, from[g], i);
  });
  run_products(ctx, products);
}

} // namespace troupe::kernels::cpu
