#include "runtime/text/chat_shape.hpp"

namespace troupe {

namespace {

constexpr auto deepseek_user = "<｜User｜>";
constexpr auto deepseek_opening = "<｜Assistant｜>";
constexpr auto deepseek_end = "<｜end▁of▁sentence｜>";

chat_shape deepseek_v2() {
  chat_shape x;
  x.name = "deepseek-v2";
  x.systems = system_place::in_place;
  x.system = {"", "\n\n"};
  x.user = {"User: ", "\n\n"};
  x.opening = "Assistant:";
  x.said = " ";
  return x;
}

chat_shape deepseek_v3() {
  chat_shape x;
  x.name = "deepseek-v3";
  x.user = {deepseek_user, ""};
  x.opening = deepseek_opening;
  x.end = deepseek_end;
  x.tools = tool_style::fenced;
  x.output_separator = "\n";
  return x;
}

chat_shape deepseek_v3_0324() {
  auto x = deepseek_v3();
  x.name = "deepseek-v3-0324";
  x.opens = opening_rule::with_user;
  return x;
}

chat_shape deepseek_r1() {
  auto x = deepseek_v3();
  x.name = "deepseek-r1";
  x.thinking = "<think>\n";
  x.dropped = thought_rule::to_last_end;
  x.output_separator = "";
  x.switches = {"thinking"};
  x.thinks = true;
  return x;
}

chat_shape deepseek_r1_0528() {
  auto x = deepseek_v3_0324();
  x.name = "deepseek-r1-0528";
  x.dropped = thought_rule::to_last_end;
  return x;
}

chat_shape deepseek_v3_1() {
  auto x = deepseek_v3();
  x.name = "deepseek-v3.1";
  x.opens = opening_rule::after_user;
  x.prompts_user_only = true;
  x.said = "</think>";
  x.speaking = "</think>";
  x.thinking = "<think>";
  x.dropped = thought_rule::to_first_end;
  x.tools = tool_style::plain;
  x.output_separator = "";
  x.switches = {"thinking"};
  return x;
}

chat_shape kimi_k2() {
  chat_shape x;
  x.name = "kimi-k2";
  x.with_bos = false;
  x.systems = system_place::in_place;
  x.system = {"<|im_system|>system<|im_middle|>", "<|im_end|>"};
  x.default_system = "You are a helpful assistant";
  x.user = {"<|im_user|>user<|im_middle|>", "<|im_end|>"};
  x.opening = "<|im_assistant|>assistant<|im_middle|>";
  x.end = "<|im_end|>";
  return x;
}

using maker = chat_shape (*)();

constexpr maker makers[] = {deepseek_v2, deepseek_v3,      deepseek_v3_0324,
                            deepseek_r1, deepseek_r1_0528, deepseek_v3_1,
                            kimi_k2};

} // namespace

std::string chat_families() {
  std::string out;
  for (auto make : makers)
    out += (out.empty() ? "" : ", ") + make().name;
  return out;
}

result<chat_shape> chat_shape_named(std::string_view family) {
  for (auto make : makers)
    if (auto x = make(); x.name == family)
      return x;
  return failure{errc::invalid_input, "there is no chat template "
                                        + std::string{family} + "; there are "
                                        + chat_families()};
}

} // namespace troupe
