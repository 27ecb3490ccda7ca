#include "runtime/model/expert_proof.hpp"

#include "runtime/model/forward.hpp"

#include <bit>
#include <cstring>

namespace troupe {

namespace {

using kernels::dtype;

/// Finite numbers of either kind of size, no two neighbours alike.
void fill(std::span<std::byte> row, const kernels::row_layout& layout) {
  for (uint32_t i = 0; i < layout.cols; ++i) {
    auto x = (i * 37 + 11) % 113;
    if (layout.type == dtype::f8_e4m3) {
      row[i] = std::byte(x); // below 0x7f, which is none
    } else {
      auto bits = std::bit_cast<uint32_t>(float(int(x) - 56) / 64);
      auto is_short = layout.type == dtype::bf16;
      bits = is_short ? bits >> 16 : bits;
      auto size = kernels::size_of(layout.type);
      std::memcpy(row.data() + size_t{i} * size, &bits, size);
    }
  }
  float scale = 0.0625f;
  if (layout.type == dtype::f8_e4m3)
    for (auto at = layout.values_bytes(); at + 4 <= row.size(); at += 4)
      std::memcpy(row.data() + at, &scale, 4);
}

/// Memory for as long as it is needed.
class claimed {
public:
  claimed(kernels::device& dev, uint64_t bytes)
    : dev_(dev), mem_(dev.allocate(bytes)) {
  }

  ~claimed() {
    if (mem_)
      dev_.free(*mem_);
  }

  const std::optional<kernels::buffer>& mem() const {
    return mem_;
  }

private:
  kernels::device& dev_;
  std::optional<kernels::buffer> mem_;
};

} // namespace

std::optional<digest> expert_digest(const digest_table& all, uint32_t layer,
                                    uint32_t expert) {
  auto prefix = expert_prefix(layer, expert);
  digest_stream out;
  auto i = all.lower_bound(prefix);
  if (i == all.end() || !i->first.starts_with(prefix))
    return std::nullopt;
  for (; i != all.end() && i->first.starts_with(prefix); ++i) {
    out.add(std::as_bytes(std::span{i->first}));
    out.add(std::as_bytes(std::span{&i->second, 1}));
  }
  return out.take();
}

result<std::vector<std::byte>> canary_row(kernels::device& dev,
                                          const expert_shard& shard,
                                          uint32_t moe_layer, uint32_t slot) {
  auto layout = shard.config.dispatch_layout(shard.activations);
  std::vector<std::byte> row(layout.row_bytes());
  fill(row, layout);
  claimed operand{dev, row.size()};
  if (!operand.mem())
    return failure{errc::out_of_memory, "no memory for a row"};
  auto stream = dev.make_stream();
  auto stages = expert_stages::make(dev, *stream, shard, 1);
  if (!stages)
    return stages.why();
  stream->enqueue(kernels::copy_in{row.data(), *operand.mem(), nullptr});
  (*stages)->run(shard.config.first_k_dense_replace + moe_layer,
                 layout.view(*operand.mem(), 1), {0}, {{slot, 0, 1}});
  auto& output = (*stages)->output();
  std::vector<std::byte> out(size_t{output.cols}
                             * kernels::size_of(output.type));
  stream->enqueue(
    kernels::copy_out{output.mem.slice(0, out.size()), out.data(), nullptr});
  if (auto status = kernels::synchronize(*stream); !status)
    return failure{errc::step_failed, status.failure};
  stream.reset(); // before the memory
  return out;
}

} // namespace troupe
