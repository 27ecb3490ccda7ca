#include "runtime/grammar/known_grammars.hpp"

#include "runtime/grammar/compile_grammar.hpp"

namespace troupe {

/// Two of one key are told apart by their sources: one is forgotten.
uint64_t known_grammars::key_of(const grammar_source& x) {
  auto kind = uint64_t(x.kind) << 1 | uint64_t{x.after_thought};
  return digest_of(x.text).low ^ kind * 0x9e3779b97f4a7c15;
}

std::optional<std::string> known_grammars::trouble(const grammar_source& x) {
  auto key = key_of(x);
  {
    std::lock_guard guard{mutex_};
    ++counts_.asked;
    if (auto i = by_key_.find(key);
        i != by_key_.end() && i->second->source == x) {
      by_use_.splice(by_use_.begin(), by_use_, i->second);
      return i->second->trouble;
    }
  }
  entry made{key, x, std::nullopt};
  if (auto program = compile_grammar(x); !program)
    made.trouble = program.why().message;
  auto out = made.trouble;
  remember(std::move(made));
  return out;
}

void known_grammars::remember(entry x) {
  std::lock_guard guard{mutex_};
  ++counts_.compiled;
  if (auto i = by_key_.find(x.key); i != by_key_.end())
    forget(i->second);
  if (x.num_bytes() > max_bytes_)
    return; // all others would go for its sake
  auto key = x.key;
  counts_.bytes += x.num_bytes();
  by_use_.push_front(std::move(x));
  by_key_[key] = by_use_.begin();
  while (counts_.bytes > max_bytes_)
    forget(std::prev(by_use_.end()));
}

void known_grammars::forget(entries::iterator i) {
  counts_.bytes -= i->num_bytes();
  by_key_.erase(i->key);
  by_use_.erase(i);
}

known_grammars::counts known_grammars::counted() const {
  std::lock_guard guard{mutex_};
  return counts_;
}

} // namespace troupe
