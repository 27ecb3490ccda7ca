#include "runtime/sim/virtual_results.hpp"

#include "kernels/host/host_memory.hpp"
#include "runtime/sim/random_stream.hpp"

#include <algorithm>
#include <bit>
#include <cstring>

namespace troupe {

namespace {

using namespace kernels;

constexpr int poison = 0xff;

// -- poison -------------------------------------------------------------------

bool overlap(const tensor& a, const tensor& b) {
  return a && b && a.mem.offset < b.mem.offset + b.mem.bytes
         && b.mem.offset < a.mem.offset + a.mem.bytes;
}

/// Unless it is also one of the `inputs`.
template <class... Inputs>
void spoil(const tensor& out, const Inputs&... inputs) {
  if (!out || (overlap(out, inputs) || ...))
    return;
  for (uint32_t r = 0; r < out.rows; ++r)
    std::memset(host::row<std::byte>(out, r), poison,
                size_t{out.cols} * size_of(out.type));
}

template <class... Inputs>
void spoil(const activation& out, const Inputs&... inputs) {
  spoil(out.values, inputs...);
  spoil(out.scales, inputs...);
}

void spoil(std::byte* dst, uint64_t bytes) {
  if (bytes > 0)
    std::memset(dst, poison, bytes);
}

struct poisoner {
  void operator()(const copy_in& op) const {
    spoil(host::address_of(op.dst), op.dst.bytes);
  }

  void operator()(const copy_out& op) const {
    spoil(op.dst, op.src.bytes);
  }

  void operator()(const pack_rows& op) const {
    row_layout row{op.x.values.type, op.x.values.cols};
    spoil(op.dst, uint64_t{row.row_bytes()} * op.idx.size());
  }

  void operator()(const gather_rows& op) const {
    spoil(op.dst, op.src);
  }

  void operator()(const embed& op) const {
    spoil(op.out, op.table);
  }

  void operator()(const rms_norm& op) const {
    spoil(op.out, op.x, op.weight);
    spoil(op.operand, op.x, op.weight);
  }

  void operator()(const quantize& op) const {
    spoil(op.out, op.x);
  }

  void operator()(const linear& op) const {
    spoil(op.out, op.x.values, op.x.scales, op.residual);
  }

  void operator()(const grouped_linear& op) const {
    spoil(op.out, op.x);
  }

  void operator()(const mla_attention& op) const {
    spoil(op.out, op.q_latent, op.q);
  }

  void operator()(const mha_attention& op) const {
    spoil(op.out, op.q);
  }

  void operator()(const router& op) const {
    spoil(op.experts, op.x, op.bias);
    spoil(op.weights, op.x, op.bias);
  }

  void operator()(const swiglu& op) const {
    spoil(op.out, op.gate, op.up);
  }

  void operator()(const expert_mlp& op) const {
    spoil(op.out, op.x.values, op.x.scales);
  }

  void operator()(const sample& op) const {
    spoil(op.ids, op.logits);
    spoil(op.scores, op.logits);
    spoil(op.score_ids, op.logits);
  }

  // In place, of parts of their memory, or in a form that is the device's own.
  void operator()(const append_latent&) const {
  }

  void operator()(const rotate&) const {
  }

  void operator()(const combine&) const {
  }

  void operator()(const pack_weight&) const {
  }
};

// -- what is imagined ---------------------------------------------------------

struct dreamer {
  uint64_t seed;

  void operator()(const copy_out& op) const {
    if (op.src.bytes > 0)
      std::memcpy(op.dst, host::address_of(op.src), op.src.bytes);
  }

  /// They travel: whatever lay in the memory before must not.
  void operator()(const pack_rows& op) const {
    poisoner{}(op);
  }

  /// As far from each other as there is room, so that they are distinct.
  void operator()(const router& op) const {
    auto num_experts = op.w.rows;
    auto step = std::max(1u, num_experts / op.top_k);
    for (uint32_t t = 0; t < op.x.rows; ++t) {
      auto first = random_stream::mix(seed ^ t) % num_experts;
      auto experts = host::row<int32_t>(op.experts, t);
      auto weights = host::row<float>(op.weights, t);
      for (uint32_t i = 0; i < op.top_k; ++i) {
        experts[i] = int32_t((first + uint64_t{i} * step) % num_experts);
        weights[i] = op.scaling / float(op.top_k);
      }
    }
  }

  /// Of what is allowed the first from there on.
  static int32_t choose(const draw& x, uint64_t hash) {
    for (uint32_t i = 0; i < x.num_choices; ++i) {
      auto id = uint32_t((hash + i) % x.num_choices);
      if (!x.allowed || ((*x.allowed)[id / 64] >> (id % 64) & 1) != 0)
        return int32_t(id);
    }
    return no_token;
  }

  void operator()(const sample& op) const {
    for (size_t i = 0; i < op.draws.size(); ++i) {
      auto& x = op.draws[i];
      auto hash
        = random_stream::mix(x.point ^ std::bit_cast<uint32_t>(x.temperature));
      auto id = x.given == no_token ? choose(x, hash) : x.given;
      *host::row<int32_t>(op.ids, i) = id;
      for (uint32_t k = 0; k < x.num_scores; ++k) {
        host::row<float>(op.scores, i)[k] = -1;
        host::row<int32_t>(op.score_ids, i)[k] = id;
      }
    }
  }

  template <class Op>
  void operator()(const Op&) const {
  }
};

} // namespace

void poison_outputs(const operation& op) {
  std::visit(poisoner{}, op);
}

void imagine(const operation& op, uint64_t seed) {
  std::visit(dreamer{random_stream::mix(seed)}, op);
}

} // namespace troupe
