#pragma once

/// Which kernels a draw is.

#include "kernels/cuda/row_operations.hpp"
#include "kernels/cuda/sample_kernels.hpp"
#include "kernels/host/token_weights.hpp"

namespace troupe::kernels::cuda {

/// The draws of an operation and what they name, one after the other.
struct draw_lists {
  std::vector<draw_args> draws;
  std::vector<logit_edit> edits;
  std::vector<uint64_t> allowed;
  uint32_t num_edited = 0;

  void add(const draw& x) {
    draw_args out;
    out.row = x.row;
    out.num_choices = x.num_choices;
    out.temperature = x.temperature;
    out.top_p = x.top_p;
    out.top_k = x.top_k;
    out.point = x.point;
    out.octaves = host::level_scale{0, x.temperature}.by;
    out.least_level = host::level_of_share(x.min_p);
    out.given = x.given;
    out.num_scores = x.num_scores;
    if (x.given == no_token && (x.edits || x.allowed))
      out.edited_row = num_edited++;
    if (x.edits) {
      out.edits_at = uint32_t(edits.size());
      out.num_edits = uint32_t(x.edits->size());
      edits.insert(edits.end(), x.edits->begin(), x.edits->end());
    }
    if (x.allowed) {
      out.allowed_at = uint32_t(allowed.size());
      out.is_restricted = true;
      allowed.insert(allowed.end(), x.allowed->begin(), x.allowed->end());
    }
    draws.push_back(out);
  }
};

template <class Queue>
void run(Queue& q, const sample& op) {
  if (op.draws.empty())
    return;
  draw_lists all;
  for (auto& x : op.draws)
    all.add(x);
  sample_kernel k;
  k.logits = rows_of<const float>(op.logits);
  k.draws = q.bring(all.draws);
  if (all.num_edited > 0) {
    auto vocab = op.logits.cols;
    auto mem = q.scratch(uint64_t{all.num_edited} * vocab * 4);
    rows<float> edited{reinterpret_cast<float*>(mem), vocab * 4ull,
                       all.num_edited, vocab};
    edit_kernel edit{k.logits, k.draws, q.bring(all.edits),
                     q.bring(all.allowed), edited};
    q.launch(edit, {uint32_t(all.draws.size())});
    k.edited = {edited.data, edited.stride, edited.num_rows, vocab};
  }
  k.ids = rows_of<int32_t>(op.ids);
  k.scores = rows_of<float>(op.scores);
  k.score_ids = rows_of<int32_t>(op.score_ids);
  q.launch(k, {uint32_t(all.draws.size())});
}

} // namespace troupe::kernels::cuda
