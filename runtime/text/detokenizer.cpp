#include "runtime/text/detokenizer.hpp"

#include <utility>

namespace troupe {

std::string detokenizer::push(int32_t id) {
  if (skip_special_ && tokens_->is_special(id))
    return {};
  repair_.feed(tokens_->bytes_of(id), held_);
  if (repair_.pending() || held_.ends_with(replacement_character))
    return {};
  return std::exchange(held_, {});
}

std::string detokenizer::finish() {
  repair_.finish(held_);
  return std::exchange(held_, {});
}

} // namespace troupe
