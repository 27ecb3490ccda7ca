#include "runtime/text/tokenizer_config.hpp"

#include "runtime/checkpoint/regular_file.hpp"
#include "runtime/json/field_reader.hpp"

namespace troupe {

namespace {

constexpr auto file_name = "tokenizer_config.json";
constexpr uint64_t max_bytes = 16 << 20;
constexpr size_t max_tokens = 1 << 16;

constexpr std::string_view origin = "says where the file comes from";
constexpr std::string_view batches = "how Python calls make batches";
constexpr std::string_view pieces = "for tokenizers without tokenizer.json";

constexpr harmless_key harmless[] = {
  {"chat_template", "the chat form reads it"},
  {"default_chat_template", "the chat form reads it"},
  {"use_default_system_prompt", "the chat form has none of its own"},
  {"response_schema", "how a Python call reads answers"},
  {"tokenizer_class", "tokenizer.json decides"},
  {"auto_map", "names the Python code of the class"},
  {"backend", "names the Python code of the class"},
  {"legacy", pieces},
  {"sp_model_kwargs", pieces},
  {"vocab_file", pieces},
  {"merges_file", pieces},
  {"from_slow", pieces},
  {"use_fast", pieces},
  {"spaces_between_special_tokens", pieces},
  {"tokenizer_file", origin},
  {"special_tokens_map_file", origin},
  {"name_or_path", origin},
  {"_commit_hash", origin},
  {"transformers_version", origin},
  {"trust_remote_code", origin},
  {"is_local", origin},
  {"local_files_only", origin},
  {"processor_class", "for models that see or hear"},
  {"model_max_length", "max_position_embeddings decides"},
  {"model_input_names", batches},
  {"return_token_type_ids", batches},
  {"padding", batches},
  {"padding_side", batches},
  {"pad_to_multiple_of", batches},
  {"pad_token_type_id", batches},
  {"max_length", batches},
  {"stride", batches},
  {"truncation", batches},
  {"truncation_side", batches},
  {"truncation_strategy", batches},
};

constexpr harmless_key harmless_token[] = {
  {"__type", "there is but one"},
  {"normalized", "there is no normalizer"},
};

/// A token, as a string or as an object that says how it is found in text.
/// `in` holds it under `name`.
std::string read_token(field_reader& in, std::string_view name) {
  if (!in.has_object(name))
    return in.text_or(name, "");
  auto x = in.object(name);
  auto content = x->text("content");
  for (auto option : {"lstrip", "rstrip", "single_word"})
    x->must_be(option, "false");
  x->must_be("special", "true");
  x->refuse_unknown(harmless_token);
  in.absorb(*x);
  return content;
}

void check_special(field_reader& in, std::string_view name,
                   const std::string& content, const tokenizer& tokens) {
  auto id = tokens.id_of(content);
  if (!id || !tokens.is_special(*id))
    in.refuse(name, "names " + content.substr(0, 200)
                      + ", which is no special token of tokenizer.json");
}

/// Tokens with a use, such as the beginning of a text.
void read_named(field_reader& in, const tokenizer& tokens) {
  for (auto name : {"bos_token", "eos_token", "pad_token", "unk_token",
                    "sep_token", "cls_token", "mask_token"})
    if (in.has(name))
      check_special(in, name, read_token(in, name), tokens);
}

/// Further special tokens: a list, or an object of names and tokens.
void read_further(field_reader& in, const tokenizer& tokens) {
  for (auto name : {"additional_special_tokens", "extra_special_tokens",
                    "model_specific_special_tokens"}) {
    if (!in.has_object(name)) {
      for (auto& content : in.texts(name, max_tokens))
        check_special(in, name, content, tokens);
      continue;
    }
    auto all = in.object(name);
    for (auto& use : all->names())
      if (all->has(use))
        check_special(*all, use, read_token(*all, use), tokens);
    in.absorb(*all);
  }
}

/// All tokens that are found in text, by their ids.
void read_added(field_reader& in, const tokenizer& tokens) {
  auto all = in.object("added_tokens_decoder");
  if (!all)
    return;
  for (auto& name : all->names()) {
    auto x = all->object(name);
    if (!x)
      continue;
    auto id = tokens.id_of(x->text("content"));
    if (!id || std::to_string(*id) != name || !tokens.is_added(*id)
        || x->boolean_or("special", false) != tokens.is_special(*id))
      all->refuse(name, "is not the added token that tokenizer.json has");
    for (auto option : {"lstrip", "rstrip", "single_word"})
      x->must_be(option, "false");
    x->refuse_unknown(harmless_token);
    all->absorb(*x);
  }
  all->refuse_unknown({});
  in.absorb(*all);
}

/// tokenizer.json may put a token before plain text, too.
std::optional<int32_t> read_first(field_reader& in, const tokenizer& tokens) {
  auto first = tokens.first_id();
  auto bos = tokens.id_of(read_token(in, "bos_token"));
  if (in.boolean_or("add_bos_token", first.has_value()) != first.has_value()) {
    if (first)
      in.refuse("add_bos_token", "must be what tokenizer.json's post_processor "
                                 "says");
    else if (!bos)
      in.refuse("add_bos_token", "needs a bos_token");
    return bos;
  }
  if (first && in.has("bos_token") && first != bos)
    in.refuse("bos_token", "must be the token that tokenizer.json's "
                           "post_processor adds");
  return first;
}

tokenizer_config read(field_reader& in, const tokenizer& tokens) {
  tokenizer_config out;
  read_named(in, tokens);
  read_further(in, tokens);
  read_added(in, tokens);
  out.first_id = read_first(in, tokens);
  in.must_be("add_eos_token", "false");
  in.must_be("add_prefix_space", "false");
  in.must_be("clean_up_tokenization_spaces", "false");
  in.must_be("split_special_tokens", "false");
  in.must_be("do_lower_case", "false");
  in.must_be("errors", "\"replace\"");
  in.refuse_unknown(harmless);
  return out;
}

result<void> trouble_of(const field_reader& in) {
  if (in.trouble().empty())
    return {};
  return failure{errc::invalid_input, in.trouble()};
}

/// Reads an object of a model directory; nothing if there is no such file.
result<std::optional<field_reader>>
read_object(const std::filesystem::path& path) {
  auto text = read_regular_file(path, max_bytes);
  if (!text && text.why().code == errc::not_found)
    return std::optional<field_reader>{};
  if (!text)
    return text.why();
  auto in = field_reader::parse(path.filename().string(), *text);
  if (!in)
    return in.why();
  return std::optional{std::move(*in)};
}

/// Older files that may name tokens, too: what they say must be known already.
result<void> check_older(const std::filesystem::path& model_dir,
                         const tokenizer& tokens) {
  auto named = read_object(model_dir / "special_tokens_map.json");
  if (!named)
    return named.why();
  if (auto& in = *named) {
    read_named(*in, tokens);
    read_further(*in, tokens);
    in->refuse_unknown({});
    if (auto ok = trouble_of(*in); !ok)
      return ok;
  }
  auto added = read_object(model_dir / "added_tokens.json");
  if (!added)
    return added.why();
  if (!*added)
    return {};
  auto& in = **added;
  for (auto& content : in.names()) {
    auto id = static_cast<int32_t>(in.integer(content, 0, max_token_ids));
    if (tokens.id_of(content) != id || !tokens.is_added(id))
      in.refuse(content, "is not the added token that tokenizer.json has");
  }
  return trouble_of(in);
}

} // namespace

result<tokenizer_config> parse_tokenizer_config(std::string_view text,
                                                const tokenizer& tokens) {
  auto in = field_reader::parse(file_name, text);
  if (!in)
    return in.why();
  auto out = read(*in, tokens);
  if (auto ok = trouble_of(*in); !ok)
    return ok.why();
  return out;
}

result<tokenizer_config>
read_tokenizer_config(const std::filesystem::path& model_dir,
                      const tokenizer& tokens) {
  if (auto ok = check_older(model_dir, tokens); !ok)
    return ok.why();
  auto text = read_regular_file(model_dir / file_name, max_bytes);
  if (text)
    return parse_tokenizer_config(*text, tokens);
  if (text.why().code == errc::not_found)
    return tokenizer_config{tokens.first_id()};
  return text.why();
}

} // namespace troupe
