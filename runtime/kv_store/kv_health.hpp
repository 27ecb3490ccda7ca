#pragma once

/// When a store is given up, and for what. A plain class, told of the time.

#include "runtime/clock.hpp"

#include <deque>
#include <string>

namespace troupe {

class kv_health {
public:
  /// Longer than this no disk takes for a block.
  static constexpr std::chrono::seconds patience{10};

  /// So many damaged blocks within so long are no accident.
  static constexpr size_t max_damaged = 64;
  static constexpr std::chrono::minutes damage_window{10};

  bool may_write() const {
    return may_write_ && may_read_;
  }

  bool may_read() const {
    return may_read_;
  }

  /// Each returns a sentence if the store is given up for it, else nothing.
  std::string write_failed(const std::string& why);
  std::string read_failed();
  std::string found_damaged(clock::instant now);

  /// `since`: when the oldest that is out was begun. A disk that does not write
  /// is still read.
  std::string reads_wait(clock::instant since, clock::instant now);
  std::string writes_wait(clock::instant since, clock::instant now);

private:
  std::string give_up(const std::string& why);

  bool may_write_ = true;
  bool may_read_ = true;
  std::deque<clock::instant> damaged_;
};

} // namespace troupe
