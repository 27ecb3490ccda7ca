#pragma once

/// Bugs that are planted on purpose, each at the place where it could have been
/// made: they test those who look for bugs. PLANTED(name) tells whether that
/// bug is the one of this process. It is false, and nothing of it is left in
/// the binary, but in a build with -DTROUPE_PLANTED=ON; the table of all bugs
/// is tests/simulation/planted_main.cpp.

#include <atomic>
#include <string_view>

#ifdef TROUPE_PLANTED
#define PLANTED(name) (troupe::planted_bug::is(#name))
#else
#define PLANTED(name) false
#endif

namespace troupe {

/// One for the whole process; none at first. Only PLANTED asks.
class planted_bug {
public:
  /// `name` outlives the process's companies. Not while one is running.
  static void choose(std::string_view name) {
    chosen_ = name;
    was_reached_ = false;
  }

  static bool is(std::string_view name) {
    if (name != chosen_)
      return false;
    was_reached_.store(true, std::memory_order_relaxed);
    return true;
  }

  /// Whether somebody has come by its place.
  static bool was_reached() {
    return was_reached_;
  }

private:
  static inline std::string_view chosen_;
  static inline std::atomic<bool> was_reached_ = false;
};

} // namespace troupe
