#include "runtime/grammar/grammar_cache.hpp"

#include <algorithm>

namespace troupe {

/// Null if it is not there. Under the lock.
std::shared_ptr<grammar_masks> grammar_cache::known(const grammar_source& x) {
  auto i = std::ranges::find(entries_, x, &entry::source);
  if (i == entries_.end())
    return nullptr;
  entries_.splice(entries_.begin(), entries_, i);
  return i->masks;
}

result<std::shared_ptr<grammar_masks>>
grammar_cache::find(const grammar_source& x) {
  {
    std::lock_guard guard{mutex_};
    if (auto masks = known(x))
      return masks;
  }
  auto program = compile_grammar(x);
  if (!program)
    return program.why();
  auto made = std::make_shared<grammar_masks>(*program, words_);
  std::lock_guard guard{mutex_};
  if (auto masks = known(x)) // somebody was faster
    return masks;
  entries_.push_front({x, made});
  if (entries_.size() > max_grammars)
    entries_.pop_back();
  return made;
}

result<std::shared_ptr<grammar_masks>>
grammar_of(const generation_request& request, grammar_cache* from) {
  auto& source = request.grammar;
  if (source.kind == grammar_kind::none)
    return std::shared_ptr<grammar_masks>{};
  if (!from)
    return failure{errc::invalid_input,
                   "the model has no tokenizer.json, which a grammar needs"};
  auto found = from->find(source);
  if (!found)
    return failure{found.why().code, "the grammar: " + found.why().message};
  return found;
}

} // namespace troupe
