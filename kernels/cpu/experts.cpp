// The MLPs of several experts in four parallel regions: rows into tiles, gate
// and up of all groups, activation, down of all groups.

#include "kernels/cpu/operations.hpp"
#include "kernels/cpu/product.hpp"
#include "kernels/host/host_memory.hpp"

namespace troupe::kernels::cpu {

namespace {

/// A tile of one group.
struct group_tile {
  uint32_t group;
  uint32_t tile;
};

class expert_run {
public:
  expert_run(context& ctx, const expert_mlp& op) : ctx_(ctx), op_(op) {
    in_.reserve(op.groups.size());
    middle_.reserve(op.groups.size());
    for (auto& g : op.groups) {
      in_.emplace_back(ctx, op.x.values.type, packed_shape(g.expert.gate),
                       g.count);
      middle_.emplace_back(ctx, op.x.values.type, packed_shape(g.expert.down),
                           g.count);
      auto index = uint32_t(in_.size() - 1);
      for (uint32_t t = 0; t < in_.back().tiles().size(); ++t)
        tiles_.push_back({index, t});
    }
  }

  void run() {
    auto num_tiles = uint32_t(tiles_.size());
    if (num_tiles == 0)
      return;
    auto rows_each = op_.row.size() / num_tiles + 1;
    auto hidden = op_.x.values.cols;
    auto inner = op_.gate.cols;
    ctx_.for_each(num_tiles, rows_each * hidden / 2,
                  [this](uint32_t i) { gather(tiles_[i]); });
    multiply_in();
    auto rows = ctx_.memory.take<float>(uint64_t{num_tiles} * inner);
    ctx_.for_each(num_tiles, rows_each * inner, [&](uint32_t i) {
      activate(tiles_[i], rows + uint64_t{i} * inner);
    });
    multiply_down();
  }

private:
  void gather(const group_tile& t) {
    auto& g = op_.groups[t.group];
    row_source from{op_.x, op_.row.data() + g.first, g.count};
    in_[t.group].pack(ctx_.kernels, from, t.tile);
  }

  void multiply_in() {
    std::vector<product> products;
    products.reserve(2 * op_.groups.size());
    for (size_t i = 0; i < op_.groups.size(); ++i) {
      auto& g = op_.groups[i];
      auto add = [&](const weight& w, const tensor& out) {
        products.push_back({&in_[i],
                            packed_shape(w),
                            host::address_of(w.data),
                            out.slice_rows(g.first, g.count),
                            {}});
      };
      add(g.expert.gate, op_.gate);
      add(g.expert.up, op_.up);
    }
    run_products(ctx_, products);
  }

  /// `row` holds one row for the time being.
  void activate(const group_tile& t, float* row) {
    auto& g = op_.groups[t.group];
    auto& tile = middle_[t.group].tiles()[t.tile];
    for (uint32_t r = 0; r < tile.rows; ++r) {
      auto i = g.first + tile.first + r;
      ctx_.kernels.swiglu(host::row<float>(op_.gate, i),
                          host::row<float>(op_.up, i), op_.gate.cols, row);
      store_operand(ctx_.kernels, op_.middle, i, row);
    }
    row_source from{op_.middle.slice_rows(g.first, g.count), nullptr, g.count};
    middle_[t.group].pack(ctx_.kernels, from, t.tile);
  }

  void multiply_down() {
    std::vector<product> products;
    products.reserve(op_.groups.size());
    for (size_t i = 0; i < op_.groups.size(); ++i) {
      auto& g = op_.groups[i];
      auto& w = g.expert.down;
      products.push_back({&middle_[i],
                          packed_shape(w),
                          host::address_of(w.data),
                          op_.out.slice_rows(g.first, g.count),
                          {}});
    }
    run_products(ctx_, products);
  }

  context& ctx_;
  const expert_mlp& op_;
  std::vector<left_rows> in_;
  std::vector<left_rows> middle_;
  std::vector<group_tile> tiles_;
};

} // namespace

void run(context& ctx, const expert_mlp& op) {
  expert_run(ctx, op).run();
}

} // namespace troupe::kernels::cpu
