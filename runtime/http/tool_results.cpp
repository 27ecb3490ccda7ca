#include "runtime/http/tool_results.hpp"

#include <algorithm>

namespace troupe::http {

std::optional<std::string> sort_tool_results(std::vector<chat_message>& all) {
  const std::vector<chat_tool_call> none;
  const auto* calls = &none;
  auto place = [&](const chat_message& x) {
    return std::ranges::find(*calls, x.call_id, &chat_tool_call::id)
           - calls->begin();
  };
  for (auto i = all.begin(); i != all.end();) {
    if (i->role != chat_role::tool) {
      calls = i->role == chat_role::assistant ? &i->tool_calls : &none;
      ++i;
      continue;
    }
    auto end = std::find_if(i, all.end(),
                            [](auto& x) { return x.role != chat_role::tool; });
    for (auto x = i; x != end; ++x)
      if (place(*x) == std::ssize(*calls))
        return x->call_id;
    std::ranges::stable_sort(i, end, {}, place);
    i = end;
  }
  return std::nullopt;
}

} // namespace troupe::http
