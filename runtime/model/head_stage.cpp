#include "runtime/model/head_stage.hpp"

#include <algorithm>
#include <utility>

namespace troupe {

using kernels::dtype;

void head_stage::begin(const batch& step) {
  rows_.clear();
  draws_.clear();
  wanted_.clear();
  num_scores_ = step.num_scores();
  uint32_t end = 0;
  for (auto& s : step.sequences) {
    auto begin = std::exchange(end, end + uint32_t(s.tokens.size()));
    for (auto& x : s.scored)
      add(begin + x.row, x);
    if (s.want_all_logits) {
      wanted_.push_back({uint32_t(rows_.size()), end - begin});
      for (auto i = begin; i + 1 < end; ++i)
        rows_.push_back(i);
    }
    if (s.draw)
      add(end - 1, *s.draw);
    else if (s.want_logits || s.want_all_logits)
      rows_.push_back(end - 1);
    if (s.want_logits && !s.want_all_logits)
      wanted_.push_back({uint32_t(rows_.size()) - 1, 1});
  }
}

void head_stage::add(uint32_t row, const kernels::draw& x) {
  draws_.push_back(x);
  draws_.back().row = static_cast<uint32_t>(rows_.size());
  rows_.push_back(row);
}

void head_stage::run(kernels::stream& stream, const attention_weights& weights,
                     const kernels::tensor& residual) {
  // Where results end up: nobody copies them again.
  drawn_ = std::make_shared<step_result>();
  drawn_->tokens.resize(draws_.size());
  drawn_->num_scores = num_scores_;
  drawn_->scores.resize(draws_.size() * num_scores_);
  drawn_->score_ids.resize(drawn_->scores.size());
  for (auto& x : wanted_)
    drawn_->logits.emplace_back(size_t{x.count} * vocab_size_);
  auto n = static_cast<uint32_t>(rows_.size());
  for (uint32_t first = 0; first < n; first += room_.max_logit_rows) {
    auto count = std::min(n - first, room_.max_logit_rows);
    auto in = room_.head_in.slice_rows(0, count);
    auto at = rows_.begin() + first;
    stream.enqueue(kernels::gather_rows{residual, {at, at + count}, in});
    stream.enqueue(
      kernels::rms_norm{in, weights.norm, weights.config.rms_norm_eps, in, {}});
    stream.enqueue(kernels::linear{
      {in, {}}, weights.head, {}, room_.head_out.slice_rows(0, count)});
    draw(stream, first, count);
    copy_logits(stream, first, count);
  }
}

/// From rows [first, first + count) of those that need logits.
void head_stage::draw(kernels::stream& stream, uint32_t first, uint32_t count) {
  auto at = [&](uint32_t row) {
    return std::ranges::lower_bound(draws_, row, {}, &kernels::draw::row);
  };
  auto begin = at(first);
  auto n = static_cast<uint32_t>(at(first + count) - begin);
  if (n == 0)
    return;
  kernels::sample op;
  op.logits = room_.head_out.slice_rows(0, count);
  op.draws.assign(begin, begin + n);
  for (auto& x : op.draws)
    x.row -= first;
  op.ids = room_.head_ids.slice_rows(0, n);
  auto width = num_scores_;
  auto scores = kernels::dense(room_.head_scores.mem, dtype::f32, n, width);
  auto score_ids = kernels::dense(room_.head_score_ids.mem, dtype::i32, n,
                                  width);
  if (width > 0) {
    op.scores = scores;
    op.score_ids = score_ids;
  }
  stream.enqueue(std::move(op));
  auto place = static_cast<size_t>(begin - draws_.begin());
  copy_out(stream, room_.head_ids.slice_rows(0, n),
           drawn_->tokens.data() + place);
  if (width == 0)
    return;
  copy_out(stream, scores, drawn_->scores.data() + place * width);
  copy_out(stream, score_ids, drawn_->score_ids.data() + place * width);
}

/// Of the same rows.
void head_stage::copy_logits(kernels::stream& stream, uint32_t first,
                             uint32_t count) {
  for (size_t i = 0; i < wanted_.size(); ++i) {
    auto& x = wanted_[i];
    auto from = std::max(x.first, first);
    auto end = std::min(x.first + x.count, first + count);
    if (from < end)
      copy_out(stream, room_.head_out.slice_rows(from - first, end - from),
               drawn_->logits[i].data() + size_t{from - x.first} * vocab_size_);
  }
}

void head_stage::copy_out(kernels::stream& stream, const kernels::tensor& from,
                          void* to) {
  auto bytes = from.rows * from.stride;
  stream.enqueue(kernels::copy_out{from.mem.slice(0, bytes),
                                   static_cast<std::byte*>(to), drawn_});
}

} // namespace troupe
