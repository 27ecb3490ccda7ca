#pragma once

/// The grammars of a process's requests, each compiled once for as long as it
/// is in use or among the last ones.

#include "runtime/grammar/compile_grammar.hpp"
#include "runtime/grammar/grammar_masks.hpp"
#include "runtime/service.hpp"

#include <list>
#include <memory>
#include <mutex>

namespace troupe {

/// Thread-safe.
class grammar_cache {
public:
  explicit grammar_cache(std::shared_ptr<const vocabulary> words)
    : words_(std::move(words)) {
  }

  /// Errors: see compile_grammar.
  result<std::shared_ptr<grammar_masks>> find(const grammar_source& x);

private:
  static constexpr size_t max_grammars = 32;

  struct entry {
    grammar_source source;
    std::shared_ptr<grammar_masks> masks;
  };

  std::shared_ptr<grammar_masks> known(const grammar_source& x);

  const std::shared_ptr<const vocabulary> words_;
  std::mutex mutex_;         ///< For what follows.
  std::list<entry> entries_; ///< The last used first.
};

/// The grammar of a request; null if it has none. `from` is null where nothing
/// is known of the tokens' texts: invalid_input. Other errors: see `find`.
result<std::shared_ptr<grammar_masks>>
grammar_of(const generation_request& request, grammar_cache* from);

} // namespace troupe
