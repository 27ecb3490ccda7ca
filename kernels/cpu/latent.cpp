// The latent cache: appending to it, and rotation by position.

#include "kernels/cpu/operations.hpp"
#include "kernels/host/host_memory.hpp"

#include <algorithm>
#include <cstring>

namespace troupe::kernels::cpu {

namespace {

/// Calls fn(row, position, sequence) for each row of each sequence.
template <class Fn>
void for_each_row(context& ctx, const std::vector<sequence_rows>& sequences,
                  uint64_t ns, const Fn& fn) {
  std::vector<uint32_t> ends; // of sequences, in rows one after another
  ends.reserve(sequences.size());
  for (auto& s : sequences)
    ends.push_back((ends.empty() ? 0 : ends.back()) + s.num_rows);
  if (ends.empty())
    return;
  ctx.for_each(ends.back(), ns, [&](uint32_t n) {
    auto i = std::upper_bound(ends.begin(), ends.end(), n) - ends.begin();
    auto& s = sequences[i];
    auto r = n - (ends[i] - s.num_rows);
    fn(s.first_row + r, s.first_position + r, s);
  });
}

} // namespace

void run(context& ctx, const append_latent& op) {
  auto& cache = op.cache;
  auto width = cache.latent + cache.rope;
  auto rows = ctx.memory.take<float>(uint64_t{op.kv.rows} * width);
  auto append = [&](uint32_t r, uint32_t position, const sequence_rows& s) {
    auto kv = host::row<float>(op.kv, r);
    auto row = rows + uint64_t{r} * width;
    ctx.kernels.rms_norm(kv, host::row<float>(op.weight, 0), cache.latent,
                         op.eps, row);
    ctx.kernels.rotate(kv + cache.latent,
                       host::row<float>(op.cos_sin, position), cache.rope,
                       row + cache.latent);
    auto block = (*s.blocks)[position / latent_cache::block_tokens];
    auto token = position % latent_cache::block_tokens;
    auto dst = host::address_of(cache.mem) + block * cache.block_stride
               + uint64_t{token} * width * size_of(cache.type);
    if (cache.type == dtype::bf16)
      ctx.kernels.to_bf16(row, width, reinterpret_cast<uint16_t*>(dst));
    else
      std::memcpy(dst, row, width * sizeof(float));
  };
  // A row of the cache is seldom in a near one.
  for_each_row(ctx, op.sequences, 2 * width, append);
}

void run(context& ctx, const rotate& op) {
  auto rope = op.cos_sin.cols;
  auto turn = [&](uint32_t r, uint32_t position, const sequence_rows&) {
    auto cos_sin = host::row<float>(op.cos_sin, position);
    auto x = host::row<float>(op.x, r) + op.skip;
    for (uint32_t h = 0; h < op.heads; ++h, x += op.head_stride)
      ctx.kernels.rotate(x, cos_sin, rope, x);
  };
  for_each_row(ctx, op.sequences, uint64_t{op.heads} * rope, turn);
}

} // namespace troupe::kernels::cpu
