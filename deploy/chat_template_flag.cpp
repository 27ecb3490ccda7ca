#include "deploy/chat_template_flag.hpp"

#include "runtime/text/chat.hpp"

namespace troupe {

void add_chat_template(CLI::App& command, std::string& value) {
  auto is_known = [](const std::string& name) -> std::string {
    if (name == auto_chat_template)
      return {};
    auto shape = chat_shape_named(name);
    return shape ? "" : shape.why().message + ", auto";
  };
  command
    .add_option("--chat-template", value,
                "How chats are written: auto (as the model's own template "
                "does), "
                  + chat_families())
    ->type_name("NAME")
    ->check(CLI::Validator(is_known, ""));
}

} // namespace troupe
