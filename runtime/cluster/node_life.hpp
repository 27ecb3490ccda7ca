#pragma once

/// How far a node has come. The way only leads forward:
///
///     setting --act--> acting --start--> serving
///        |               |                  |
///        +---------------+------- end ------+--> ending --leave--> left
///
/// Events of the network wait while the cast is set and are dropped once it
/// leaves; between the two they find whom they concern. Not thread-safe: its
/// owner has a lock.

#include "runtime/error.hpp"

#include <optional>
#include <utility>

namespace troupe {

class node_life {
public:
  enum class stage : uint8_t { setting, acting, serving, ending, left };

  /// What an event of the network has to do.
  enum class entrance : uint8_t { wait, go, never };

  stage at() const {
    return at_;
  }

  entrance for_events() const {
    if (at_ == stage::setting)
      return entrance::wait;
    return at_ == stage::left ? entrance::never : entrance::go;
  }

  /// The cast is there.
  void act() {
    if (at_ == stage::setting)
      at_ = stage::acting;
  }

  /// The cluster serves.
  void start() {
    if (at_ == stage::acting)
      at_ = stage::serving;
  }

  /// This node is of no use any more; `cause` is empty if that was asked for.
  /// Returns whether this was the first call: only its cause counts.
  bool end(std::optional<failure> cause) {
    if (is_over())
      return false;
    at_ = stage::ending;
    cause_ = std::move(cause);
    return true;
  }

  /// Nobody is there any more for what the network says.
  void leave() {
    end(std::nullopt);
    at_ = stage::left;
  }

  bool is_over() const {
    return at_ >= stage::ending;
  }

  /// Empty while it lives, and after an end that was asked for.
  const std::optional<failure>& cause() const {
    return cause_;
  }

private:
  stage at_ = stage::setting;
  std::optional<failure> cause_;
};

} // namespace troupe
