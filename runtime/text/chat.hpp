#pragma once

/// Messages to a prompt, in the chat form of DeepSeek-V3 and R1. Only the form
/// itself consists of special tokens: what people, tools and the model wrote
/// stays text, whatever it looks like, so nobody can speak in another's name.
/// Deliberately no template engine; a checkpoint's template is only asked
/// whether answers begin in thought.

#include "runtime/error.hpp"
#include "runtime/text/tokenizer.hpp"

#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace troupe {

enum class chat_role : uint8_t { system, user, assistant, tool };

/// A call that the model made.
struct chat_tool_call {
  std::string type = "function";
  std::string name;
  std::string arguments; ///< JSON, as the model wrote it.
};

struct chat_message {
  chat_role role = chat_role::user;
  std::string content;
  std::vector<chat_tool_call> tool_calls; ///< Of the assistant.
};

struct chat_options {
  bool add_generation_prompt = true; ///< It is the assistant's turn.
  bool thinking = false;             ///< Which begins with <think>.
};

struct chat_prompt {
  std::string text; ///< For people; `ids` may differ from its encoding.
  std::vector<int32_t> ids;
  bool in_thought = false; ///< The answer begins inside <think>.
};

/// Immutable; any number of threads may use one.
class chat_form {
public:
  /// Reads tokenizer_config.json of a checkpoint, and chat_template.jinja if
  /// the template lies beside it.
  static result<chat_form> load(const std::filesystem::path& model_dir,
                                const tokenizer& tokens);

  /// `config` is the content of tokenizer_config.json, which is not trusted.
  /// `chat_template`: a template that takes the place of the one in it.
  static result<chat_form> parse(std::string_view config,
                                 const tokenizer& tokens,
                                 std::optional<std::string> chat_template = {});

  /// Whether the checkpoint's template lets answers begin with <think>.
  bool thinks_by_default() const {
    return thinks_;
  }

  int32_t bos_id() const {
    return bos_id_;
  }

  int32_t eos_id() const {
    return eos_id_;
  }

  /// System messages come first, joined by a blank line. Of what the assistant
  /// said, everything up to the last </think> is left out. Tool outputs are
  /// closed before whatever follows, and the assistant goes on in the same
  /// turn after them. `tokens` is the tokenizer that the form was read with.
  result<chat_prompt> render(std::span<const chat_message> messages,
                             const chat_options& options,
                             const tokenizer& tokens) const;

private:
  chat_form() = default;

  std::string bos_;
  std::string eos_;
  int32_t bos_id_ = 0;
  int32_t eos_id_ = 0;
  bool thinks_ = false;
};

} // namespace troupe
