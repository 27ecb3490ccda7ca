#pragma once

/// Which kernels a product is: dense ones, those of heads, of experts and of
/// the router.

#include "kernels/cuda/product_kernels.hpp"
#include "kernels/cuda/row_operations.hpp"

#include <algorithm>

namespace troupe::kernels::cuda {

/// Up to this many rows a tile of 16 does; more rows share what is read.
constexpr uint32_t few_rows = 16;

/// Several products that differ in rows, matrices and outputs alone.
struct product_plan {
  activation x;
  list<uint32_t> row; ///< Empty: rows of x in their order.
  dtype w_type = dtype::bf16;
  uint32_t num_outputs = 0;
  uint32_t num_inputs = 0;
  bool rounds_x = false; ///< FP32 rows become BF16 instead of three terms.
  uint32_t tile_rows = few_rows;
  std::vector<product_job> jobs;
  product_outs outs;

  /// FP32 rows times narrower weights may take tiles of 64 rows too.
  void choose_tiles(uint64_t num_rows, uint64_t num_groups) {
    auto is_many = num_rows > few_rows * num_groups;
    tile_rows = is_many && w_type != dtype::f32 ? 4 * few_rows : few_rows;
  }

  /// Rows [job.first, job.first + job.count), in tiles.
  void add(product_job job) {
    auto end = job.first + job.count;
    for (; job.first < end;
         job.first += tile_rows, job.out_first += tile_rows) {
      job.count = std::min(tile_rows, end - job.first);
      jobs.push_back(job);
    }
  }

  /// Matrix `g` of a weight.
  static product_job job_of(const weight& w, uint64_t g) {
    packed_weight layout{w};
    product_job out;
    out.w = w.data.offset + g * layout.matrix_bytes;
    if (w.type == dtype::f8_e4m3)
      out.w_scales = w.data.offset + layout.scales_at
                     + g * layout.matrix_scales * 4;
    return out;
  }
};

template <class Kernel, class Queue>
void launch_product(Queue& q, const product_plan& plan, Kernel k) {
  k.row = plan.row;
  k.jobs = q.bring(plan.jobs);
  k.num_outputs = plan.num_outputs;
  k.num_inputs = plan.num_inputs;
  k.w_row_bytes = packed_weight{plan.w_type, 1, plan.num_inputs, 1}.row_bytes;
  k.outs = plan.outs;
  // Jobs are x, of which there may be more than 65,535.
  q.launch(
    k, {uint32_t(plan.jobs.size()), parts_of(plan.num_outputs, product_cols)});
}

template <class X, class W, uint32_t terms, uint32_t tiles, class Queue>
void launch_tiles(Queue& q, const product_plan& plan) {
  product_kernel<X, W, terms, tiles> k;
  k.x = rows_of<const X>(plan.x.values);
  k.x_scales = rows_of<const float>(plan.x.scales);
  auto at = plan.x.values.mem.offset;
  auto is_whole = [](const product_job& job) { return job.x_col % 8 == 0; };
  k.x_is_aligned = is_aligned(at, plan.x.values.stride, sizeof(X) == 1 ? 8 : 16)
                   && std::all_of(plan.jobs.begin(), plan.jobs.end(), is_whole);
  launch_product(q, plan, k);
}

template <class X, class W, uint32_t terms, class Queue>
void launch_any_tiles(Queue& q, const product_plan& plan) {
  if (plan.tile_rows == few_rows)
    launch_tiles<X, W, terms, 1>(q, plan);
  else
    launch_tiles<X, W, terms, 4>(q, plan);
}

template <class Queue>
void multiply(Queue& q, const product_plan& plan) {
  auto x = plan.x.values.type;
  auto is_f8 = plan.w_type == dtype::f8_e4m3;
  if (plan.jobs.empty())
    return;
  if (plan.w_type == dtype::f32) {
    plain_product_kernel k;
    k.x = rows_of<const float>(plan.x.values);
    launch_product(q, plan, k);
  } else if (x == dtype::f8_e4m3) {
    launch_any_tiles<uint8_t, uint8_t, 1>(q, plan);
  } else if (x == dtype::bf16) {
    if (is_f8)
      launch_any_tiles<uint16_t, uint8_t, 1>(q, plan);
    else
      launch_any_tiles<uint16_t, uint16_t, 1>(q, plan);
  } else if (plan.rounds_x) {
    launch_any_tiles<float, uint16_t, 1>(q, plan);
  } else if (is_f8) {
    launch_any_tiles<float, uint8_t, 3>(q, plan);
  } else {
    launch_any_tiles<float, uint16_t, 3>(q, plan);
  }
}

template <class Queue>
void run(Queue& q, const linear& op) {
  product_plan plan;
  plan.x = op.x;
  plan.w_type = op.w.type;
  plan.num_outputs = op.w.rows;
  plan.num_inputs = op.w.cols;
  plan.choose_tiles(op.x.values.rows, 1);
  plan.outs.wide[0] = rows_of<float>(op.out);
  plan.outs.residual = rows_of<const float>(op.residual);
  auto job = plan.job_of(op.w, 0);
  job.count = op.x.values.rows;
  plan.add(job);
  multiply(q, plan);
}

template <class Queue>
void run(Queue& q, const grouped_linear& op) {
  product_plan plan;
  plan.x.values = op.x;
  plan.w_type = op.w.type;
  plan.num_outputs = op.w.rows;
  plan.num_inputs = op.w.cols;
  plan.rounds_x = true;
  plan.choose_tiles(op.x.rows, 1);
  plan.outs.wide[0] = rows_of<float>(op.out);
  for (uint32_t g = 0; g < op.w.groups; ++g) {
    auto job = plan.job_of(op.w, g);
    job.count = op.x.rows;
    job.x_col = uint32_t(g * op.x_stride);
    job.out_col = g * op.w.rows;
    plan.add(job);
  }
  multiply(q, plan);
}

template <class Queue>
void run(Queue& q, const router& op) {
  run(q, linear{{op.x, {}}, op.w, {}, op.logits});
  route_kernel k;
  k.logits = rows_of<const float>(op.logits);
  k.bias = rows_of<const float>(op.bias);
  k.score = op.score;
  k.group = op.group;
  k.num_groups = op.num_groups;
  k.topk_group = op.topk_group;
  k.top_k = op.top_k;
  k.normalize = op.normalize;
  k.scaling = op.scaling;
  k.experts = rows_of<int32_t>(op.experts);
  k.weights = rows_of<float>(op.weights);
  q.launch(k, {op.x.rows}, route_kernel::shared_bytes_of(op));
}

/// One product of all groups: of two weights, or of one.
template <class Queue>
void multiply_experts(Queue& q, const expert_mlp& op, product_plan& plan,
                      std::initializer_list<weight expert_weights::*> of) {
  // Weights of several types are several launches.
  for (auto type : {dtype::f8_e4m3, dtype::bf16, dtype::f32}) {
    plan.w_type = type;
    plan.choose_tiles(op.row.size(), op.groups.size());
    plan.jobs.clear();
    uint32_t out = 0;
    for (auto which : of) {
      for (auto& g : op.groups) {
        auto& w = g.expert.*which;
        if (g.count == 0 || w.type != type)
          continue;
        auto job = plan.job_of(w, 0);
        job.first = job.out_first = g.first;
        job.count = g.count;
        job.out = out;
        plan.add(job);
      }
      ++out;
    }
    multiply(q, plan);
  }
}

template <class Queue>
void run(Queue& q, const expert_mlp& op) {
  if (op.row.empty())
    return;
  auto hidden = op.x.values.cols;
  auto inner = op.middle.values.cols;
  product_plan in;
  in.x = op.x;
  in.row = q.bring(op.row);
  in.num_outputs = inner;
  in.num_inputs = hidden;
  in.outs.wide[0] = rows_of<float>(op.gate);
  in.outs.wide[1] = rows_of<float>(op.up);
  multiply_experts(q, op, in, {&expert_weights::gate, &expert_weights::up});
  run(q, swiglu{op.gate, op.up, op.middle});
  product_plan down;
  down.x = op.middle;
  down.num_outputs = hidden;
  down.num_inputs = inner;
  if (op.out.type == dtype::f32)
    down.outs.wide[0] = rows_of<float>(op.out);
  else
    down.outs.half = rows_of<uint16_t>(op.out);
  multiply_experts(q, op, down, {&expert_weights::down});
}

} // namespace troupe::kernels::cuda
