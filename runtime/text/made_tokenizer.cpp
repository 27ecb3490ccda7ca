#include "runtime/text/made_tokenizer.hpp"

#include "runtime/text/byte_level.hpp"

#include <nlohmann/json.hpp>

#include <array>

namespace troupe {

using nlohmann::ordered_json;

namespace {

// The bars are U+FF5C, the low lines U+2581. In the order of their ids; the
// first three are special.
constexpr std::array<const char*, 16> form_tokens = {
  "<｜begin▁of▁sentence｜>",
  "<｜end▁of▁sentence｜>",
  "<｜▁pad▁｜>",
  "<｜User｜>",
  "<｜Assistant｜>",
  "<think>",
  "</think>",
  "<｜tool▁calls▁begin｜>",
  "<｜tool▁calls▁end｜>",
  "<｜tool▁call▁begin｜>",
  "<｜tool▁call▁end｜>",
  "<｜tool▁outputs▁begin｜>",
  "<｜tool▁outputs▁end｜>",
  "<｜tool▁output▁begin｜>",
  "<｜tool▁output▁end｜>",
  "<｜tool▁sep｜>",
};

constexpr size_t num_special = 3;

// What DeepSeek-V3 splits text by: numbers, CJK and kana, then the rest.
constexpr std::array<const char*, 3> split_expressions = {
  R"(\p{N}{1,3})",
  "[一-龥぀-ゟ゠-ヿ]+",
  R"([!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+)"
  R"(|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*)"
  R"(|\s*[\r\n]+|\s+(?!\S)|\s+)",
};

constexpr auto chat_template
  = "{{- bos_token -}}"
    "{%- for message in messages if message.role == 'system' -%}"
    "{%- if not loop.first %}{{ '\\n\\n' }}{% endif -%}"
    "{{- message.content -}}"
    "{%- endfor -%}"
    "{%- for message in messages if message.role != 'system' -%}"
    "{%- if message.role == 'user' -%}"
    "{{- '<｜User｜>' + message.content -}}"
    "{%- else -%}"
    "{{- '<｜Assistant｜>' + message.content + '<｜end▁of▁sentence｜>' -}}"
    "{%- endif -%}"
    "{%- endfor -%}"
    "{%- if add_generation_prompt %}{{ '<｜Assistant｜>' }}{% endif -%}";

/// Tokens and merges, as the file writes them.
class vocabulary {
public:
  explicit vocabulary(uint32_t size) : size_(size) {
    tokens_.reserve(size);
    for (auto token : form_tokens)
      tokens_.emplace_back(token);
    for (int byte = 0; byte < 256; ++byte)
      tokens_.push_back(piece({static_cast<char>(byte)}));
    add_merges();
  }

  const std::vector<std::string>& tokens() const {
    return tokens_;
  }

  const std::vector<std::string>& merges() const {
    return merges_;
  }

private:
  static std::string piece(std::initializer_list<char> bytes) {
    return to_byte_alphabet({bytes.begin(), bytes.size()});
  }

  bool is_full() const {
    return tokens_.size() >= size_;
  }

  void merge(const std::string& left, const std::string& right) {
    if (is_full())
      return;
    tokens_.push_back(left + right);
    merges_.push_back(left + " " + right);
  }

  /// Lower-case letters, other visible ASCII, space, controls.
  static std::string by_use() {
    std::string out{letters};
    for (char c = '!'; c <= '~'; ++c)
      if (out.find(c) == out.npos)
        out += c;
    out += ' ';
    for (int c = 0; c < 128; ++c)
      if (out.find(static_cast<char>(c)) == out.npos)
        out += static_cast<char>(c);
    return out;
  }

  void add_merges() {
    auto ascii = by_use();
    for (auto a : ascii)
      for (auto b : ascii)
        merge(piece({a}), piece({b}));
    for (auto a : letters)
      for (auto b : letters)
        for (auto c : letters)
          merge(piece({a, b}), piece({c}));
    for (size_t i = 0; i < letters.size() && !is_full(); ++i)
      for (auto b : letters)
        for (auto c : letters)
          for (auto d : letters)
            merge(piece({letters[i], b}), piece({c, d}));
  }

  static constexpr std::string_view letters = "abcdefghijklmnopqrstuvwxyz";

  size_t size_;
  std::vector<std::string> tokens_;
  std::vector<std::string> merges_;
};

ordered_json make_added_token(size_t id) {
  ordered_json out;
  out["id"] = id;
  out["content"] = form_tokens[id];
  for (auto option : {"single_word", "lstrip", "rstrip", "normalized"})
    out[option] = false;
  out["special"] = id < num_special;
  return out;
}

ordered_json byte_level_step(bool in_decoder) {
  ordered_json out;
  out["type"] = "ByteLevel";
  out["add_prefix_space"] = in_decoder;
  out["trim_offsets"] = true;
  out["use_regex"] = in_decoder;
  return out;
}

ordered_json make_pre_tokenizer() {
  ordered_json steps = ordered_json::array();
  for (auto expression : split_expressions) {
    ordered_json step;
    step["type"] = "Split";
    step["pattern"]["Regex"] = expression;
    step["behavior"] = "Isolated";
    step["invert"] = false;
    steps.push_back(std::move(step));
  }
  steps.push_back(byte_level_step(false));
  ordered_json out;
  out["type"] = "Sequence";
  out["pretokenizers"] = std::move(steps);
  return out;
}

/// Written by hand: an ordered object looks for each key that it is given.
std::string vocab_text(const std::vector<std::string>& tokens) {
  std::string out = "{";
  for (size_t i = 0; i < tokens.size(); ++i)
    out += (i > 0 ? "," : "") + ordered_json(tokens[i]).dump() + ":"
           + std::to_string(i);
  return out + "}";
}

std::string model_text(const vocabulary& words) {
  ordered_json model;
  model["type"] = "BPE";
  for (auto option : {"dropout", "unk_token", "continuing_subword_prefix",
                      "end_of_word_suffix"})
    model[option] = nullptr;
  for (auto option : {"fuse_unk", "byte_fallback", "ignore_merges"})
    model[option] = false;
  auto text = model.dump();
  text.pop_back();
  return text + ",\"vocab\":" + vocab_text(words.tokens())
         + ",\"merges\":" + ordered_json(words.merges()).dump() + "}";
}

std::string tokenizer_text(const vocabulary& words) {
  ordered_json file;
  file["version"] = "1.0";
  file["truncation"] = file["padding"] = nullptr;
  for (size_t id = 0; id < form_tokens.size(); ++id)
    file["added_tokens"].push_back(make_added_token(id));
  file["normalizer"] = nullptr;
  file["pre_tokenizer"] = make_pre_tokenizer();
  file["post_processor"] = nullptr;
  file["decoder"] = byte_level_step(true);
  auto text = file.dump();
  text.pop_back();
  return text + ",\"model\":" + model_text(words) + "}\n";
}

std::string config_text(uint32_t max_length) {
  ordered_json config;
  config["add_bos_token"] = config["add_eos_token"] = false;
  config["bos_token"] = form_tokens[made_tokenizer::bos_id];
  config["eos_token"] = form_tokens[made_tokenizer::eos_id];
  config["pad_token"] = form_tokens[made_tokenizer::pad_id];
  config["clean_up_tokenization_spaces"] = false;
  config["model_max_length"] = max_length;
  config["tokenizer_class"] = "PreTrainedTokenizerFast";
  config["chat_template"] = chat_template;
  return config.dump(2) + "\n";
}

} // namespace

result<made_tokenizer> make_tokenizer(uint32_t vocab_size,
                                      uint32_t max_length) {
  constexpr auto least = form_tokens.size() + 256;
  if (vocab_size < least)
    return failure{errc::invalid_input,
                   "vocab_size is " + std::to_string(vocab_size)
                     + ", but the chat form and the 256 bytes take "
                     + std::to_string(least) + " tokens"};
  return made_tokenizer{tokenizer_text(vocabulary{vocab_size}),
                        config_text(max_length)};
}

} // namespace troupe
