#include "runtime/convert/gguf_vocabulary.hpp"

#include "runtime/checkpoint/regular_file.hpp"
#include "runtime/text/chat_config.hpp"
#include "runtime/text/chat_template_file.hpp"
#include "runtime/text/tokenizer_file.hpp"

#include <optional>

namespace troupe {

namespace {

/// Of a tokenizer's files.
constexpr uint64_t max_text_bytes = 256 << 20;

/// Types of tokens, with llama.cpp's numbers.
enum token_type : int32_t {
  normal = 1,
  control = 3,
  user_defined = 4,
  unused = 5,
};

/// Tokens of the chat form count as control even if they are not special: so
/// does llama.cpp's own converter.
bool is_control(const added_token& x) {
  return x.special
         || (x.content.starts_with("<｜") && x.content.ends_with("｜>"));
}

struct token_list {
  std::vector<std::string> tokens;
  std::vector<int32_t> types;

  explicit token_list(uint32_t size) : tokens(size), types(size, unused) {
    for (uint32_t id = 0; id < size; ++id)
      tokens[id] = "[PAD" + std::to_string(id) + "]";
  }

  bool set(int32_t id, const std::string& token, int32_t type) {
    if (static_cast<size_t>(id) >= tokens.size())
      return false;
    tokens[static_cast<size_t>(id)] = token;
    types[static_cast<size_t>(id)] = type;
    return true;
  }

  std::optional<uint32_t> find(const std::string& token) const {
    for (size_t id = 0; id < tokens.size(); ++id)
      if (tokens[id] == token)
        return static_cast<uint32_t>(id);
    return std::nullopt;
  }
};

result<token_list> tokens_of(const tokenizer_file& file, uint32_t vocab_size) {
  token_list out{vocab_size};
  auto fits = true;
  for (auto& [token, id] : file.vocab)
    fits = out.set(id, token, normal) && fits;
  for (auto& x : file.added_tokens)
    fits = out.set(x.id, x.content, is_control(x) ? control : user_defined)
           && fits;
  if (!fits)
    return failure{errc::invalid_input,
                   "tokenizer.json has ids past config.json's vocab_size of "
                     + std::to_string(vocab_size)};
  return out;
}

void add_special_ids(const model_config& config, gguf_keys& out) {
  if (config.bos_token_id >= 0)
    out.number("tokenizer.ggml.bos_token_id",
               static_cast<uint32_t>(config.bos_token_id));
  if (!config.eos_token_ids.empty())
    out.number("tokenizer.ggml.eos_token_id",
               static_cast<uint32_t>(config.eos_token_ids.front()));
}

/// What stands in tokenizer_config.json, if there is one, and the template.
result<void> add_chat_config(const std::filesystem::path& model_dir,
                             const token_list& list, gguf_keys& out) {
  auto text = read_regular_file(model_dir / "tokenizer_config.json",
                                max_text_bytes);
  if (!text)
    return text.why().code == errc::not_found ? result<void>{} : text.why();
  auto config = parse_chat_config(*text);
  if (!config)
    return config.why();
  if (auto id = list.find(config->pad_token))
    out.number("tokenizer.ggml.padding_token_id", *id);
  auto found = find_chat_template(model_dir, *text);
  if (!found)
    return found.why();
  if (!found->text.empty())
    out.text("tokenizer.chat_template", found->text);
  return {};
}

} // namespace

result<void> add_vocabulary(const std::filesystem::path& model_dir,
                            const model_config& config, gguf_keys& out) {
  auto text = read_regular_file(model_dir / "tokenizer.json", max_text_bytes);
  if (!text && text.why().code == errc::not_found) {
    out.text("tokenizer.ggml.model", "none");
    return {};
  }
  if (!text)
    return text.why();
  auto file = parse_tokenizer_file(*text);
  if (!file)
    return file.why();
  auto list = tokens_of(*file, config.vocab_size);
  if (!list)
    return list.why();
  std::vector<std::string> merges;
  for (auto& [left, right] : file->merges)
    merges.push_back(left + " " + right);
  out.text("tokenizer.ggml.model", "gpt2");
  out.text("tokenizer.ggml.pre", "deepseek-v3");
  out.texts("tokenizer.ggml.tokens", list->tokens);
  out.numbers("tokenizer.ggml.token_type", list->types);
  out.texts("tokenizer.ggml.merges", merges);
  add_special_ids(config, out);
  out.flag("tokenizer.ggml.add_bos_token", true);
  out.flag("tokenizer.ggml.add_eos_token", false);
  return add_chat_config(model_dir, *list, out);
}

} // namespace troupe
