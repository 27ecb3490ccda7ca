#include "runtime/model/attention_forms.hpp"

#include "kernels/check.hpp"

namespace troupe {

namespace {

attention_form form_of(const prompt_segment& x) {
  auto is_long = x.length >= min_multi_head_segment;
  return x.author == segment_author::given && is_long
           ? attention_form::multi_head
           : attention_form::absorbed;
}

} // namespace

std::vector<form_run>
forms_of_prompt(size_t num_tokens, std::span<const prompt_segment> segments) {
  prompt_segment whole{static_cast<uint32_t>(num_tokens),
                       segment_author::given};
  if (segments.empty())
    segments = {&whole, 1};
  std::vector<form_run> out;
  uint32_t end = 0;
  for (auto& x : segments) {
    end += x.length;
    if (out.empty() || out.back().form != form_of(x))
      out.push_back({form_of(x), end});
    out.back().end = end;
  }
  CHECK(end == num_tokens);
  return out;
}

} // namespace troupe
