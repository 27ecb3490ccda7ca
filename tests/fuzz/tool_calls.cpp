#include "tests/fuzz/target.hpp"

#include "runtime/text/tool_call_splitter.hpp"
#include "tests/fuzz/checks.hpp"

namespace troupe::fuzz {

namespace {

struct heard {
  std::string text;
  std::vector<std::pair<std::string, std::string>> calls;

  bool operator==(const heard&) const = default;
};

heard split(tool_style style, input x, size_t size) {
  tool_call_splitter splitter{style};
  heard out;
  auto hear = [&](const spoken_piece& piece) {
    out.text += piece.text;
    for (auto& call : piece.calls) {
      if (call.is_first)
        out.calls.emplace_back(call.name, "");
      CHECK(call.index + 1 == out.calls.size());
      out.calls.back().second += call.arguments;
    }
  };
  for (; !x.empty(); x.remove_prefix(std::min(size, x.size())))
    hear(splitter.push(x.substr(0, size)));
  hear(splitter.finish());
  CHECK(splitter.num_calls() == out.calls.size());
  CHECK(splitter.num_whole() <= splitter.num_calls());
  return out;
}

} // namespace

/// However an answer is cut, the same is heard.
void tool_calls(input x) {
  for (auto style : {tool_style::none, tool_style::fenced, tool_style::plain}) {
    auto whole = split(style, x, x.size() + 1);
    CHECK(split(style, x, 1) == whole);
    CHECK(split(style, x, 5) == whole);
  }
}

} // namespace troupe::fuzz
