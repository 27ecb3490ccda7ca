// Operations that treat rows one by one.

#include "kernels/cpu/operations.hpp"
#include "kernels/host/host_memory.hpp"

#include <cstring>

namespace troupe::kernels::cpu {

namespace {

constexpr uint64_t bytes_per_ns = 8; // of one thread, rather too few

/// Tolerates null with zero bytes, as memcpy does not.
void copy_bytes(void* dst, const void* src, uint64_t bytes) {
  if (bytes > 0)
    std::memcpy(dst, src, bytes);
}

void copy_parallel(context& ctx, std::byte* dst, const std::byte* src,
                   uint64_t bytes) {
  constexpr uint64_t part = 128 << 10;
  auto parts = uint32_t((bytes + part - 1) / part);
  ctx.for_each(parts, part / bytes_per_ns, [&](uint32_t i) {
    auto first = i * part;
    copy_bytes(dst + first, src + first, std::min(part, bytes - first));
  });
}

} // namespace

void run(context& ctx, const copy_in& op) {
  copy_parallel(ctx, host::address_of(op.dst), op.src, op.dst.bytes);
}

void run(context& ctx, const copy_out& op) {
  copy_parallel(ctx, op.dst, host::address_of(op.src), op.src.bytes);
}

void run(context& ctx, const pack_rows& op) {
  auto& values = op.x.values;
  auto& scales = op.x.scales;
  row_layout layout{values.type, values.cols};
  auto bytes = uint64_t{values.cols} * size_of(values.type);
  auto row_bytes = layout.row_bytes();
  auto pack = [&](uint32_t i) {
    auto dst = op.dst + uint64_t{i} * row_bytes;
    copy_bytes(dst, host::row<std::byte>(values, op.idx[i]), bytes);
    std::memset(dst + bytes, 0, row_bytes - bytes);
    if (scales)
      copy_bytes(dst + layout.values_bytes(),
                 host::row<std::byte>(scales, op.idx[i]),
                 uint64_t{scales.cols} * sizeof(float));
  };
  ctx.for_each(uint32_t(op.idx.size()), row_bytes / bytes_per_ns, pack);
}

void run(context& ctx, const gather_rows& op) {
  auto bytes = uint64_t{op.src.cols} * size_of(op.src.type);
  auto gather = [&](uint32_t i) {
    copy_bytes(host::row<std::byte>(op.dst, i),
               host::row<std::byte>(op.src, op.idx[i]), bytes);
  };
  ctx.for_each(uint32_t(op.idx.size()), bytes / bytes_per_ns, gather);
}

void run(context& ctx, const embed& op) {
  auto cols = op.out.cols;
  auto look_up = [&](uint32_t t) {
    auto id = uint64_t(op.ids[t]);
    auto out = host::row<float>(op.out, t);
    if (op.table.type == dtype::f32)
      copy_bytes(out, host::row<float>(op.table, id), uint64_t{cols} * 4);
    else
      ctx.kernels.from_bf16(host::row<uint16_t>(op.table, id), cols, out);
  };
  ctx.for_each(uint32_t(op.ids.size()), cols * 4 / bytes_per_ns, look_up);
}

void store_operand(const kernel_set& kernels, const activation& out,
                   uint64_t row, const float* x) {
  auto& values = out.values;
  if (values.type == dtype::f32)
    copy_bytes(host::row<float>(values, row), x, uint64_t{values.cols} * 4);
  else if (values.type == dtype::bf16)
    kernels.to_bf16(x, values.cols, host::row<uint16_t>(values, row));
  else
    kernels.to_e4m3(x, values.cols, host::row<uint8_t>(values, row),
                    host::row<float>(out.scales, row));
}

void run(context& ctx, const rms_norm& op) {
  auto cols = op.x.cols;
  auto weight = host::row<const float>(op.weight, 0);
  auto rows = ctx.memory.take<float>(op.out ? 0 : uint64_t{op.x.rows} * cols);
  auto normalize = [&](uint32_t t) {
    auto out = op.out ? host::row<float>(op.out, t) : rows + uint64_t{t} * cols;
    ctx.kernels.rms_norm(host::row<float>(op.x, t), weight, cols, op.eps, out);
    if (op.operand.values)
      store_operand(ctx.kernels, op.operand, t, out);
  };
  ctx.for_each(op.x.rows, cols, normalize);
}

void run(context& ctx, const quantize& op) {
  auto store = [&](uint32_t t) {
    store_operand(ctx.kernels, op.out, t, host::row<float>(op.x, t));
  };
  ctx.for_each(op.x.rows, op.x.cols / 2, store);
}

void run(context& ctx, const swiglu& op) {
  auto cols = op.gate.cols;
  auto rows = ctx.memory.take<float>(uint64_t{op.gate.rows} * cols);
  auto activate = [&](uint32_t t) {
    auto row = rows + uint64_t{t} * cols;
    ctx.kernels.swiglu(host::row<float>(op.gate, t), host::row<float>(op.up, t),
                       cols, row);
    store_operand(ctx.kernels, op.out, t, row);
  };
  ctx.for_each(op.gate.rows, cols, activate);
}

void run(context& ctx, const combine& op) {
  auto cols = op.residual.cols;
  auto k = op.weights.cols;
  auto picked = ctx.memory.take<const std::byte*>(op.row_of.size());
  for (size_t i = 0; i < op.row_of.size(); ++i)
    picked[i] = host::row<const std::byte>(op.rows, op.row_of[i]);
  auto add = [&](uint32_t t) {
    combine_args args;
    args.rows = picked + uint64_t{t} * k;
    args.weights = host::row<float>(op.weights, t);
    args.k = k;
    args.bf16 = op.rows.type == dtype::bf16;
    args.shared = op.shared ? host::row<float>(op.shared, t) : nullptr;
    args.residual = host::row<float>(op.residual, t);
    args.cols = cols;
    ctx.kernels.combine(args);
  };
  ctx.for_each(op.residual.rows, uint64_t{cols} * (k + 2) / 8, add);
}

} // namespace troupe::kernels::cpu
