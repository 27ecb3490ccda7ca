#include "actors/grammar_desk.hpp"

namespace troupe {

result<grammar_desk::grammar> grammar_desk::given(const grammar_order& x) {
  if (!x.what())
    return of_the_grammar(x.what().why());
  return x.what();
}

std::optional<result<grammar_desk::grammar>>
grammar_desk::ask(const run_request& msg, grammar_cache* from) {
  auto& source = msg.what->grammar;
  if (source.kind == grammar_kind::none)
    return grammar{};
  if (!from)
    return no_texts_of_tokens();
  auto order = from->ask(source, wake_);
  if (order->is_done())
    return given(*order);
  waiting_[{msg.request, msg.term}] = {msg, std::move(order)};
  return std::nullopt;
}

std::vector<grammar_desk::arrival> grammar_desk::ready() {
  std::vector<arrival> out;
  for (auto i = waiting_.begin(); i != waiting_.end();) {
    auto& x = i->second;
    if (!x.what->is_done()) {
      ++i;
      continue;
    }
    out.push_back({std::move(x.who), given(*x.what)});
    i = waiting_.erase(i);
  }
  return out;
}

std::optional<run_request> grammar_desk::cancel(const cancel_request& msg) {
  key of{msg.request, msg.term};
  kept_.erase(of);
  auto i = waiting_.find(of);
  if (i == waiting_.end())
    return std::nullopt;
  auto out = std::move(i->second.who);
  waiting_.erase(i);
  return out;
}

void grammar_desk::keep(const run_request& msg, grammar what) {
  if (what)
    kept_[{msg.request, msg.term}] = std::move(what);
}

grammar_desk::grammar grammar_desk::take(const run_request& msg) {
  auto i = kept_.find({msg.request, msg.term});
  if (i == kept_.end())
    return nullptr;
  auto out = std::move(i->second);
  kept_.erase(i);
  return out;
}

} // namespace troupe
