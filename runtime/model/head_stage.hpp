#pragma once

/// The end of a step: the final norm, the head and the draws, for the rows
/// that need logits.

#include "runtime/model/attention_scratch.hpp"
#include "runtime/model/batch.hpp"
#include "runtime/model/weights.hpp"

namespace troupe {

class head_stage {
public:
  /// `room` outlives this. A step may have more rows with logits than there is
  /// room for: they are computed by so many at a time.
  head_stage(attention_scratch& room, uint32_t vocab_size)
    : room_(room), vocab_size_(vocab_size) {
  }

  /// Which rows need logits, and what becomes of these.
  void begin(const batch& step);

  /// `residual` has the rows of the step; results go to the host.
  void run(kernels::stream& stream, const attention_weights& weights,
           const kernels::tensor& residual);

  /// For how many rows the next `run` is.
  uint32_t num_rows() const {
    return static_cast<uint32_t>(rows_.size());
  }

  /// What the last `run` gives. It is the caller's, who may move it out.
  const std::shared_ptr<step_result>& drawn() const {
    return drawn_;
  }

private:
  /// Rows of logits that are wanted as they are.
  struct part {
    uint32_t first = 0;
    uint32_t count = 0;
  };

  void add(uint32_t row, const kernels::draw& x);
  void draw(kernels::stream& stream, uint32_t first, uint32_t count);
  void copy_logits(kernels::stream& stream, uint32_t first, uint32_t count);
  void copy_out(kernels::stream& stream, const kernels::tensor& from, void* to);

  attention_scratch& room_;
  uint32_t vocab_size_;

  // Of this step:
  std::vector<uint32_t> rows_;
  std::vector<kernels::draw> draws_; ///< `row` is a place in `rows_`.
  std::vector<part> wanted_;         ///< Likewise.
  uint32_t num_scores_ = 0;          ///< Most of any draw.
  std::shared_ptr<step_result> drawn_;
};

} // namespace troupe
