#pragma once

/// Messages to a prompt, in the form that the checkpoint's chat template
/// writes. Only the form itself consists of special tokens: what people, tools
/// and the model wrote stays text, whatever it looks like, so nobody can speak
/// in another's name. No request is written by a template: its text tells
/// which of the forms known here it writes (chat_template.hpp), and one that is
/// none of them gives no prompts.

#include "runtime/error.hpp"
#include "runtime/text/chat_config.hpp"
#include "runtime/text/chat_message.hpp"
#include "runtime/text/chat_parts.hpp"
#include "runtime/text/chat_shape.hpp"
#include "runtime/text/chat_template_file.hpp"
#include "runtime/text/tokenizer.hpp"

#include <limits>
#include <optional>
#include <span>

namespace troupe {

/// The choice that leaves it to the checkpoint's template.
inline constexpr std::string_view auto_chat_template = "auto";

struct chat_options {
  bool add_generation_prompt = true; ///< It is the assistant's turn.
  std::optional<bool> thinking;      ///< None: as the template has it.
  bool go_on = false; ///< The last message is the beginning of the answer.
  std::span<const chat_tool> tools = {};
  std::string forced_call = {}; ///< The answer calls this one; it thinks not.
  /// A text with more becomes no ids.
  size_t max_bytes = std::numeric_limits<size_t>::max();
};

struct chat_prompt {
  std::string text;         ///< For people; `ids` may differ from its encoding.
  std::vector<int32_t> ids; ///< None if the text is too long.
  std::vector<prompt_segment> segments; ///< Of all ids, in order.
  bool in_thought = false;              ///< The answer begins inside <think>.
  std::string begun_call = {}; ///< The end of it, if the answer has to call.
};

/// Immutable; any number of threads may use one.
class chat_form {
public:
  /// Reads the template and tokenizer_config.json of a checkpoint. `choice`:
  /// auto, or the name of a family whose form takes the place of the
  /// template's. A template that is not recognised is no error here.
  static result<chat_form> load(const std::filesystem::path& model_dir,
                                const tokenizer& tokens,
                                std::string_view choice = auto_chat_template);

  /// `config` is the content of tokenizer_config.json, which is not trusted.
  static result<chat_form> parse(std::string_view config,
                                 const tokenizer& tokens,
                                 std::string_view choice = auto_chat_template);

  /// Why there is no form to render in; empty if there is one.
  const std::string& trouble() const {
    return trouble_;
  }

  /// The form in a line for people, e.g. "deepseek-v3 (chat_template.jinja)".
  std::string describe() const;

  /// How calls of tools are written.
  tool_style tools() const {
    return shape_.tools;
  }

  /// Whether answers begin with <think> when nobody says.
  bool thinks_by_default() const {
    return shape_.thinks;
  }

  /// Whether a request may set the template's variable `name` to `value`:
  /// there is one, or the form does so anyway.
  bool takes_switch(std::string_view name, bool value) const;

  int32_t bos_id() const {
    return bos_id_;
  }

  int32_t eos_id() const {
    return eos_id_;
  }

  /// Returns the prompt. `tokens` is the tokenizer that the form was read with.
  /// Errors: invalid_input, for messages that the form does not have, for what
  /// cannot go on, and for all of them where trouble() says why.
  result<chat_prompt> render(std::span<const chat_message> messages,
                             const chat_options& options,
                             const tokenizer& tokens) const;

private:
  chat_form() = default;

  static result<chat_form>
  make(const chat_config& config, const result<chat_template_text>& text,
       const tokenizer& tokens, std::string_view choice);

  void set_shape(chat_shape shape, const tokenizer& tokens);

  std::string bos_;
  std::string eos_;
  int32_t bos_id_ = 0;
  int32_t eos_id_ = 0;
  chat_shape shape_;
  std::string source_; // of the shape
  std::string trouble_;
};

} // namespace troupe
