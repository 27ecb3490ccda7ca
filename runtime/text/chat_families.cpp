#include "runtime/text/chat_families.hpp"

#include <algorithm>

namespace troupe {

namespace {

using phrases = std::vector<std::string_view>;

phrases joined(phrases a, const phrases& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

const phrases v2 = {"{bos}", "{}\n\n", "User: {}\n\n", "Assistant: {}{eos}",
                    "Assistant:"};

const phrases v3 = {
  "{bos}{}",
  "<｜User｜>{}",
  "<｜Assistant｜>{}{eos}",
  "<｜Assistant｜>{}<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>{}<｜tool▁sep｜>"
  "{}\n"
  "```json\n{}\n```<｜tool▁call▁end｜><｜tool▁calls▁end｜>{eos}",
  "<｜Assistant｜><｜tool▁calls▁begin｜><｜tool▁call▁begin｜>{}<｜tool▁sep｜>{}"
  "\n"
  "```json\n{}\n```<｜tool▁call▁end｜><｜tool▁calls▁end｜>{eos}",
  "\n<｜tool▁call▁begin｜>{}<｜tool▁sep｜>{}\n```json\n{}\n```"
  "<｜tool▁call▁end｜><｜tool▁calls▁end｜>{eos}",
  "<｜tool▁outputs▁begin｜><｜tool▁output▁begin｜>{}<｜tool▁output▁end｜>",
  "\n<｜tool▁output▁begin｜>{}<｜tool▁output▁end｜>",
  "<｜tool▁outputs▁end｜>{}{eos}",
};

const phrases opened = {"<｜User｜>{}<｜Assistant｜>"};

const phrases thought = {"<｜Assistant｜><think>\n", "<｜Assistant｜><think>"};

const phrases v3_1 = {
  "{bos}{}",
  "<｜User｜>{}",
  "<｜Assistant｜></think>{}{eos}",
  "<｜Assistant｜><think>",
  "<｜Assistant｜></think>{}<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>{}"
  "<｜tool▁sep｜>{}<｜tool▁call▁end｜><｜tool▁calls▁end｜>{eos}",
  "<｜Assistant｜></think><｜tool▁calls▁begin｜><｜tool▁call▁begin｜>{}"
  "<｜tool▁sep｜>{}<｜tool▁call▁end｜><｜tool▁calls▁end｜>{eos}",
  "<｜tool▁output▁begin｜>{}<｜tool▁output▁end｜>",
};

const phrases k2 = {
  "{bos}",
  "<|im_system|>system<|im_middle|>{}<|im_end|>",
  "<|im_system|>system<|im_middle|>{text}<|im_end|>",
  "<|im_user|>user<|im_middle|>{}<|im_end|>",
  "<|im_assistant|>assistant<|im_middle|>{}<|im_end|>",
  "<|im_system|>tool<|im_middle|>{}<|im_end|>",
  // the role as a value, for those who have another name
  "<|im_system|>{}<|im_middle|>",
  "<|im_user|>{}<|im_middle|>",
  "<|im_assistant|>{}<|im_middle|>",
  "<|media_start|>image<|media_content|><|media_pad|><|media_end|>",
  "{}<|tool_calls_section_begin|>",
  "<|tool_call_begin|>{}<|tool_call_argument_begin|>{}<|tool_call_end|>",
  "<|tool_calls_section_end|>",
  "## Return of {}\n{}",
  "## Return of {}{}",
};

const chat_family all[] = {
  {"kimi-k2", {"<|im_middle|>"}, false, k2, true},
  {"deepseek-v3.1", {"<｜User｜>", "<｜Assistant｜>", "</think>"}, false, v3_1},
  {"deepseek-r1-0528",
   {"<｜User｜>{}<｜Assistant｜>"},
   true,
   joined(v3, opened)},
  {"deepseek-v3-0324",
   {"<｜User｜>{}<｜Assistant｜>"},
   false,
   joined(v3, opened)},
  {"deepseek-r1", {"<｜User｜>", "<｜Assistant｜>"}, true, joined(v3, thought)},
  {"deepseek-r1",
   {"<｜User｜>", "<｜Assistant｜>", "<think>"},
   false,
   joined(v3, thought)},
  {"deepseek-v3", {"<｜User｜>", "<｜Assistant｜>"}, false, v3},
  {"deepseek-v2", {"User: ", "Assistant:"}, false, v2},
};

} // namespace

std::span<const chat_family> families() {
  return all;
}

bool may_be_assigned(const chat_atoms& atoms) {
  static const chat_atoms known[] = {pattern_of("{}"), pattern_of("{}{}"),
                                     pattern_of("{}\n\n{}")};
  return std::find(std::begin(known), std::end(known), atoms)
         != std::end(known);
}

bool is_part(const chat_atoms& part, const chat_atoms& pattern) {
  auto fits = [](const chat_atom& x, const chat_atom& p) {
    return x == p || (p == any_text_atom && !is_form_token(x));
  };
  // Any text will do only in its place.
  bool whole = std::find(pattern.begin(), pattern.end(), any_text_atom)
               != pattern.end();
  if (whole)
    return std::equal(part.begin(), part.end(), pattern.begin(), pattern.end(),
                      fits);
  return std::search(pattern.begin(), pattern.end(), part.begin(), part.end())
         != pattern.end();
}

} // namespace troupe
