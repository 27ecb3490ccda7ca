#pragma once

/// What a step is made of, as data: the stages of all layers in order, the kind
/// of stream that each is for (a rank of one lane has one for both), and what
/// has to be there before it is enqueued.

#include "runtime/checkpoint/config.hpp"

#include <cstdint>
#include <span>
#include <vector>

namespace troupe {

enum class stage : uint8_t {
  prepare,   ///< Norm, and the projections to queries and latents.
  attention, ///< Core attention and its output.
  dense_mlp,
  route,         ///< The router chooses experts.
  dispatch,      ///< Rows leave for them.
  shared_expert, ///< While they are away.
  combine,       ///< What has come back is added.
  head,
  end, ///< Nothing is left; what the head has made is on the host.
};

enum class stage_stream : uint8_t { compute, copy };

/// What a stage needs beside those before it on its stream.
enum class stage_wait : uint8_t {
  nothing,
  host, ///< The stream has come this far: what it made is on the host.
  rows, ///< All rows of the dispatch are back.
};

struct step_stage {
  stage what = stage::end;
  uint32_t layer = 0; ///< 0 behind the last layer.
  stage_stream stream = stage_stream::compute;
  stage_wait wait = stage_wait::nothing;

  friend bool operator==(const step_stage&, const step_stage&) = default;
};

class stage_table {
public:
  /// The stages of a model, one after the other; the last is `end`.
  explicit stage_table(const model_config& config);

  uint32_t size() const {
    return static_cast<uint32_t>(stages_.size());
  }

  const step_stage& operator[](uint32_t i) const {
    return stages_[i];
  }

  /// The first stage from `i` on that has to wait for something.
  uint32_t next_wait(uint32_t i) const;

private:
  std::vector<step_stage> stages_;
};

} // namespace troupe
