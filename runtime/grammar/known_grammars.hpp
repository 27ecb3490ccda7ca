#pragma once

/// Which grammars can be compiled, and why others cannot: for who has to know
/// before a request is accepted, often of the same few.

#include "runtime/digest.hpp"
#include "runtime/grammar/grammar_source.hpp"

#include <list>
#include <mutex>
#include <optional>
#include <unordered_map>

namespace troupe {

/// Thread-safe.
class known_grammars {
public:
  /// `max_bytes`: of sources that are remembered.
  explicit known_grammars(size_t max_bytes = 4 << 20) : max_bytes_(max_bytes) {
  }

  /// Why it cannot be compiled, as compile_grammar says; which is asked if it
  /// is not remembered, and may take some ten of milliseconds: the threads that
  /// read requests ask, never one of I/O.
  std::optional<std::string> trouble(const grammar_source& x);

  struct counts {
    uint64_t asked = 0;
    uint64_t compiled = 0; ///< Of them.
    size_t bytes = 0;      ///< Remembered.
  };

  counts counted() const;

private:
  struct entry {
    uint64_t key = 0;
    grammar_source source;
    std::optional<std::string> trouble;

    size_t num_bytes() const {
      return 2 * sizeof(entry) + source.text.size()
             + (trouble ? trouble->size() : 0);
    }
  };

  using entries = std::list<entry>;

  static uint64_t key_of(const grammar_source& x);
  void remember(entry x);
  void forget(entries::iterator i);

  const size_t max_bytes_;
  mutable std::mutex mutex_; ///< For what follows.
  entries by_use_;           ///< The last used first.
  std::unordered_map<uint64_t, entries::iterator> by_key_;
  counts counts_;
};

} // namespace troupe
