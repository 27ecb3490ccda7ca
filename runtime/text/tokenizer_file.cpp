#include "runtime/text/tokenizer_file.hpp"

#include "runtime/text/utf8.hpp"

#include <nlohmann/json.hpp>

#include <unordered_set>

namespace troupe {

namespace {

using json = nlohmann::json;

constexpr size_t max_added_tokens = 1 << 16;
constexpr size_t max_added_length = 1024;
constexpr size_t max_splits = 16;

/// The first thing found wrong; the rest is not looked at.
struct malformed {
  std::string why;
};

[[noreturn]] void refuse(std::string why) {
  throw malformed{std::move(why)};
}

std::string in_quotes(std::string_view text) {
  return '"' + std::string{text.substr(0, 200)} + '"';
}

/// Returns the field, or null if it is missing.
const json& field(const json& object, const char* name) {
  static const json null;
  auto it = object.find(name);
  return it == object.end() ? null : *it;
}

const json& required(const json& object, const char* name, json::value_t type) {
  auto& x = field(object, name);
  if (x.type() != type)
    refuse(in_quotes(name) + " is missing or of the wrong type");
  return x;
}

const std::string& string_at(const json& object, const char* name) {
  return required(object, name, json::value_t::string)
    .get_ref<const std::string&>();
}

bool flag(const json& object, const char* name, bool otherwise) {
  auto& x = field(object, name);
  if (x.is_null())
    return otherwise;
  if (!x.is_boolean())
    refuse(in_quotes(name) + " is neither true nor false");
  return x.get<bool>();
}

int32_t id_from(const json& x, std::string_view token) {
  if (!x.is_number_unsigned() || x.get<uint64_t>() >= max_token_ids)
    refuse("the id of the token " + in_quotes(token)
           + " is not a number below 4194304");
  return x.get<int32_t>();
}

// -- pre-tokenizer ------------------------------------------------------------

std::string escaped(std::string_view text) {
  std::string out;
  for (char c : text) {
    auto plain = std::isalnum(static_cast<unsigned char>(c)) || c < 0;
    out += plain ? "" : "\\";
    out += c;
  }
  return out;
}

split_step read_split(const json& x) {
  split_step step;
  auto& pattern = required(x, "pattern", json::value_t::object);
  if (pattern.contains("Regex"))
    step.expression = string_at(pattern, "Regex");
  else
    step.expression = escaped(string_at(pattern, "String"));
  auto& behavior = string_at(x, "behavior");
  if (behavior == "Removed")
    step.behavior = split_behavior::removed;
  else if (behavior != "Isolated")
    refuse("the split behavior " + in_quotes(behavior) + " is not supported");
  step.invert = flag(x, "invert", false);
  return step;
}

void read_byte_level(const json& x, pre_tokenizer_spec& spec) {
  spec.add_prefix_space = flag(x, "add_prefix_space", true);
  spec.use_gpt2_expression = flag(x, "use_regex", true);
}

pre_tokenizer_spec read_pre_tokenizer(const json& root) {
  pre_tokenizer_spec spec;
  auto& x = required(root, "pre_tokenizer", json::value_t::object);
  auto steps = json::array({x});
  if (string_at(x, "type") == "Sequence")
    steps = required(x, "pretokenizers", json::value_t::array);
  if (steps.size() > max_splits)
    refuse("the pre-tokenizer has more than 16 steps");
  for (size_t i = 0; i < steps.size(); ++i) {
    if (!steps[i].is_object())
      refuse("a step of the pre-tokenizer is not an object");
    auto& type = string_at(steps[i], "type");
    bool last = i + 1 == steps.size();
    if (last && type == "ByteLevel")
      read_byte_level(steps[i], spec);
    else if (last)
      refuse("the pre-tokenizer does not end in ByteLevel");
    else if (type == "Split")
      spec.splits.push_back(read_split(steps[i]));
    else
      refuse("the pre-tokenizer " + in_quotes(type) + " is not supported here");
  }
  if (steps.empty())
    refuse("the pre-tokenizer does not end in ByteLevel");
  return spec;
}

// -- added tokens -------------------------------------------------------------

added_token read_added_token(const json& x) {
  if (!x.is_object())
    refuse("an added token is not an object");
  added_token token;
  token.content = string_at(x, "content");
  if (token.content.empty() || token.content.size() > max_added_length)
    refuse("an added token is empty or longer than 1024 bytes");
  token.id = id_from(field(x, "id"), token.content);
  token.special = flag(x, "special", false);
  token.normalized = flag(x, "normalized", !token.special);
  for (auto option : {"lstrip", "rstrip", "single_word"})
    if (flag(x, option, false))
      refuse("the added token " + in_quotes(token.content) + " asks for "
             + option + ", which is not supported");
  return token;
}

std::vector<added_token> read_added_tokens(const json& root) {
  std::vector<added_token> tokens;
  auto& list = field(root, "added_tokens");
  if (list.is_null())
    return tokens;
  if (!list.is_array() || list.size() > max_added_tokens)
    refuse("\"added_tokens\" is not a list of at most 65536 tokens");
  std::unordered_set<std::string> contents;
  std::unordered_set<int32_t> ids;
  for (auto& x : list) {
    tokens.push_back(read_added_token(x));
    auto& token = tokens.back();
    if (!contents.insert(token.content).second || !ids.insert(token.id).second)
      refuse("the added token " + in_quotes(token.content)
             + " or its id stands there twice");
  }
  return tokens;
}

// -- model --------------------------------------------------------------------

void check_model_options(const json& model) {
  auto& type = field(model, "type");
  if (!type.is_null() && type != "BPE")
    refuse("the model is not of the type BPE");
  for (auto name : {"continuing_subword_prefix", "end_of_word_suffix"}) {
    auto& x = field(model, name);
    if (!x.is_null() && x != "")
      refuse(in_quotes(name) + " is not supported");
  }
  auto& dropout = field(model, "dropout");
  if (!dropout.is_null() && dropout != 0)
    refuse("\"dropout\" is not supported");
}

std::pair<std::string, std::string> read_merge(const json& x) {
  if (x.is_array() && x.size() == 2 && x[0].is_string() && x[1].is_string())
    return {x[0].get<std::string>(), x[1].get<std::string>()};
  if (!x.is_string())
    refuse("a merge is not a pair of tokens");
  auto& text = x.get_ref<const std::string&>();
  auto space = text.find(' ');
  if (space == text.npos || text.find(' ', space + 1) != text.npos)
    refuse("the merge " + in_quotes(text) + " is not a pair of tokens");
  return {text.substr(0, space), text.substr(space + 1)};
}

void read_model(const json& model, tokenizer_file& file) {
  check_model_options(model);
  file.ignore_merges = flag(model, "ignore_merges", false);
  auto& vocab = required(model, "vocab", json::value_t::object);
  std::unordered_set<int32_t> ids;
  for (auto& [token, id] : vocab.items()) {
    file.vocab.emplace_back(token, id_from(id, token));
    if (!ids.insert(file.vocab.back().second).second)
      refuse("the id of the token " + in_quotes(token) + " stands there twice");
  }
  for (auto& x : required(model, "merges", json::value_t::array))
    file.merges.push_back(read_merge(x));
}

void check_normalizer(const json& root) {
  auto& x = field(root, "normalizer");
  if (x.is_null())
    return;
  if (x.is_object() && field(x, "type") == "Sequence"
      && field(x, "normalizers") == json::array())
    return;
  refuse("a normalizer is not supported");
}

void check_decoder(const json& root) {
  auto& x = field(root, "decoder");
  if (!x.is_object() || field(x, "type") != "ByteLevel")
    refuse("the decoder is not ByteLevel");
}

tokenizer_file read_file(const json& root) {
  if (!root.is_object())
    refuse("it is not a JSON object");
  tokenizer_file file;
  check_normalizer(root);
  check_decoder(root);
  file.pre_tokenizer = read_pre_tokenizer(root);
  file.added_tokens = read_added_tokens(root);
  read_model(required(root, "model", json::value_t::object), file);
  return file;
}

} // namespace

result<tokenizer_file> parse_tokenizer_file(std::string_view text) {
  try {
    auto root = json::parse(text, nullptr, false);
    if (root.is_discarded())
      refuse("it is not JSON");
    return read_file(root);
  } catch (const malformed& x) {
    return failure{errc::invalid_input, "tokenizer.json: " + x.why};
  }
}

} // namespace troupe
