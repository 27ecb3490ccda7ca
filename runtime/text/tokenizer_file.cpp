#include "runtime/text/tokenizer_file.hpp"

#include "runtime/json/field_reader.hpp"
#include "runtime/text/in_quotes.hpp"

#include <cctype>
#include <unordered_set>

namespace troupe {

namespace {

constexpr size_t max_added_tokens = 1 << 16;
constexpr size_t max_added_length = 1024;
constexpr size_t max_splits = 16;

constexpr std::string_view offsets = "only offsets into the text depend on it";

constexpr harmless_key harmless_byte_level[] = {{"trim_offsets", offsets}};

/// Neither the decoder nor the post-processor adds or leaves out anything.
constexpr harmless_key harmless_outside[] = {
  {"add_prefix_space", offsets},
  {"trim_offsets", offsets},
  {"use_regex", offsets},
};

constexpr harmless_key harmless_model[] = {
  {"unk_token", "every byte is a token"},
  {"fuse_unk", "every byte is a token"},
  {"byte_fallback", "every byte is a token"},
};

constexpr harmless_key harmless_piece[]
  = {{"type_id", "the model has no segments"}};

constexpr harmless_key harmless_special[] = {{"id", "its name again"},
                                             {"tokens", "its name again"}};

constexpr harmless_key harmless_template[]
  = {{"pair", "one text is encoded at a time"}};

/// The first thing found wrong, as a sentence; the rest is not looked at.
struct malformed {
  std::string why;
};

[[noreturn]] void refuse(const std::string& why) {
  throw malformed{"tokenizer.json: " + why};
}

/// To be called when all is read that an object may hold.
void finish(field_reader& in, std::span<const harmless_key> harmless = {}) {
  in.refuse_unknown(harmless);
  if (!in.trouble().empty())
    throw malformed{in.trouble()};
}

field_reader required(field_reader& in, std::string_view name) {
  auto x = in.object(name);
  if (x)
    return std::move(*x);
  in.refuse(name, "is missing or no object");
  throw malformed{in.trouble()};
}

int32_t id_from(std::optional<uint32_t> x, std::string_view token) {
  if (!x || *x >= max_token_ids)
    refuse("the id of the token " + in_quotes(token)
           + " is not a number below 4194304");
  return static_cast<int32_t>(*x);
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

split_step read_split(field_reader& x) {
  split_step step;
  auto pattern = required(x, "pattern");
  if (pattern.has("Regex"))
    step.expression = pattern.text("Regex");
  else
    step.expression = escaped(pattern.text("String"));
  finish(pattern);
  auto behavior = x.text("behavior");
  if (behavior == "Removed")
    step.behavior = split_behavior::removed;
  else if (behavior != "Isolated")
    refuse("the split behavior " + in_quotes(behavior) + " is not supported");
  step.invert = x.boolean_or("invert", false);
  finish(x);
  return step;
}

void read_byte_level(field_reader& x, pre_tokenizer_spec& spec) {
  spec.add_prefix_space = x.boolean_or("add_prefix_space", true);
  spec.use_gpt2_expression = x.boolean_or("use_regex", true);
  finish(x, harmless_byte_level);
}

pre_tokenizer_spec read_pre_tokenizer(field_reader& root) {
  pre_tokenizer_spec spec;
  auto x = required(root, "pre_tokenizer");
  std::vector<field_reader> steps;
  if (x.text("type") == "Sequence") {
    steps = x.objects("pretokenizers", max_splits);
    finish(x);
  } else {
    steps.push_back(std::move(x));
  }
  for (size_t i = 0; i < steps.size(); ++i) {
    auto type = steps[i].text("type");
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

added_token read_added_token(field_reader& x) {
  added_token token;
  token.content = x.text("content");
  if (token.content.empty() || token.content.size() > max_added_length)
    refuse("an added token is empty or longer than 1024 bytes");
  token.id = id_from(x.integer("id", 0, UINT32_MAX), token.content);
  token.special = x.boolean_or("special", false);
  token.normalized = x.boolean_or("normalized", !token.special);
  for (auto option : {"lstrip", "rstrip", "single_word"})
    if (x.boolean_or(option, false))
      refuse("the added token " + in_quotes(token.content) + " asks for "
             + option + ", which is not supported");
  finish(x);
  return token;
}

std::vector<added_token> read_added_tokens(field_reader& root) {
  std::vector<added_token> tokens;
  std::unordered_set<std::string> contents;
  std::unordered_set<int32_t> ids;
  for (auto& x : root.objects("added_tokens", max_added_tokens)) {
    tokens.push_back(read_added_token(x));
    auto& token = tokens.back();
    if (!contents.insert(token.content).second || !ids.insert(token.id).second)
      refuse("the added token " + in_quotes(token.content)
             + " or its id stands there twice");
  }
  return tokens;
}

// -- model --------------------------------------------------------------------

void check_model_options(field_reader& model) {
  if (model.text_or("type", "BPE") != "BPE")
    refuse("the model is not of the type BPE");
  model.must_be("continuing_subword_prefix", "\"\"");
  model.must_be("end_of_word_suffix", "\"\"");
  model.must_be("dropout", "0");
}

std::pair<std::string, std::string> read_merge(std::vector<std::string> x) {
  if (x.size() == 2)
    return {std::move(x[0]), std::move(x[1])};
  if (x.size() != 1)
    refuse("a merge is not a pair of tokens");
  auto& text = x.front();
  auto space = text.find(' ');
  if (space == text.npos || text.find(' ', space + 1) != text.npos)
    refuse("the merge " + in_quotes(text) + " is not a pair of tokens");
  return {text.substr(0, space), text.substr(space + 1)};
}

void read_model(field_reader& root, tokenizer_file& file) {
  auto model = required(root, "model");
  check_model_options(model);
  file.ignore_merges = model.boolean_or("ignore_merges", false);
  std::unordered_set<int32_t> ids;
  for (auto& [token, id] : model.numbers("vocab")) {
    file.vocab.emplace_back(token, id_from(id, token));
    if (!ids.insert(file.vocab.back().second).second)
      refuse("the id of the token " + in_quotes(token) + " stands there twice");
  }
  for (auto& x : model.word_lists("merges"))
    file.merges.push_back(read_merge(std::move(x)));
  finish(model, harmless_model);
}

// -- before and after ---------------------------------------------------------

void check_normalizer(field_reader& root) {
  if (!root.has("normalizer"))
    return;
  auto x = root.object("normalizer");
  if (!x || x->text("type") != "Sequence"
      || !x->objects("normalizers", 0).empty() || !x->trouble().empty())
    refuse("a normalizer is not supported");
  finish(*x);
}

void check_decoder(field_reader& root) {
  auto x = root.object("decoder");
  if (!x || x->text("type") != "ByteLevel")
    refuse("the decoder is not ByteLevel");
  finish(*x, harmless_outside);
}

/// The ids of a special token that a template names.
std::vector<int32_t> template_ids(field_reader& tokens,
                                  const std::string& name) {
  auto x = required(tokens, name);
  auto ids = x.integers("ids", 0, max_token_ids - 1, 16);
  finish(x, harmless_special);
  return ids;
}

/// What a template adds to one text: a token in front, or nothing.
void read_template(field_reader& x, tokenizer_file& file) {
  auto tokens = required(x, "special_tokens");
  bool has_text = false;
  for (auto& piece : x.objects("single", 64)) {
    auto is_text = piece.has("Sequence");
    auto inner = required(piece, is_text ? "Sequence" : "SpecialToken");
    auto name = inner.text("id");
    finish(inner, harmless_piece);
    finish(piece);
    if (is_text ? name != "A" || has_text : has_text || file.first_id)
      refuse("the post-processor adds " + in_quotes(name)
             + ": only one token in front of the text is supported");
    if (is_text) {
      has_text = true;
      continue;
    }
    auto ids = template_ids(tokens, name);
    if (ids.size() != 1)
      refuse("the post-processor's token " + in_quotes(name)
             + " does not have one id");
    file.first_id = ids.front();
  }
  if (!has_text)
    refuse("the post-processor leaves out the text");
  finish(x, harmless_template);
}

void read_post_processor(field_reader& x, tokenizer_file& file) {
  auto type = x.text("type");
  if (type == "ByteLevel")
    return finish(x, harmless_outside);
  if (type == "TemplateProcessing")
    return read_template(x, file);
  if (type != "Sequence")
    refuse("the post-processor " + in_quotes(type) + " is not supported");
  for (auto& inner : x.objects("processors", 16)) {
    if (inner.text("type") == "Sequence")
      refuse("a sequence of post-processors stands in another one");
    read_post_processor(inner, file);
  }
  finish(x);
}

tokenizer_file read_file(field_reader& root) {
  tokenizer_file file;
  root.must_be("version", "\"1.0\"");
  root.must_be("truncation", "null");
  root.must_be("padding", "null");
  check_normalizer(root);
  check_decoder(root);
  file.pre_tokenizer = read_pre_tokenizer(root);
  if (auto x = root.object("post_processor"))
    read_post_processor(*x, file);
  file.added_tokens = read_added_tokens(root);
  read_model(root, file);
  finish(root);
  return file;
}

} // namespace

result<tokenizer_file> parse_tokenizer_file(std::string_view text) {
  auto root = field_reader::parse("tokenizer.json", text);
  if (!root)
    return root.why();
  try {
    return read_file(*root);
  } catch (const malformed& x) {
    return failure{errc::invalid_input, x.why};
  }
}

} // namespace troupe
