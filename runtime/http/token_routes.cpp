#include "runtime/http/token_routes.hpp"

#include "runtime/json/dump_text.hpp"
#include "runtime/json/field_reader.hpp"

#include <nlohmann/json.hpp>

namespace troupe::http {

namespace {

using nlohmann::json;

/// A whole context of ids, and more than anybody has.
constexpr size_t max_values = 1 << 20;

result<field_reader> read_object(std::string_view body) {
  json_limits limits;
  limits.max_values = max_values;
  return field_reader::parse("the body", body, limits);
}

api_error to_api_error(const field_trouble& x) {
  return bad_parameter(x.path,
                       "Invalid value for '" + x.path + "': " + x.why + ".");
}

} // namespace

parsed<tokenize_request> parse_tokenize_request(std::string_view body) {
  auto in = read_object(body);
  if (!in)
    return bad_parameter("", in.why().message, "invalid_json");
  tokenize_request to;
  to.model = in->text_or("model", "");
  to.is_chat = in->has("messages");
  if (!to.is_chat)
    to.text = in->text("prompt");
  to.add_begin = in->boolean_or("add_special_tokens", true);
  to.with_texts = in->boolean_or("return_token_strs", false);
  if (in->first_trouble())
    return to_api_error(*in->first_trouble());
  return to;
}

std::string render_tokens(const tokenizer& tokens,
                          const std::vector<int32_t>& ids,
                          uint32_t max_model_len, bool with_texts) {
  json texts;
  for (size_t i = 0; with_texts && i < ids.size(); ++i)
    texts.push_back(std::string{tokens.bytes_of(ids[i])});
  return dump_text(json{{"count", ids.size()},
                        {"max_model_len", max_model_len},
                        {"tokens", ids},
                        {"token_strs", std::move(texts)}});
}

parsed<std::string> detokenize(const tokenizer& tokens, std::string_view body) {
  auto in = read_object(body);
  if (!in)
    return bad_parameter("", in.why().message, "invalid_json");
  const auto* list = in->find("tokens");
  if (!list || !list->is_array())
    return bad_parameter("tokens", "'tokens' must be a list of token ids.");
  std::vector<int32_t> ids;
  for (const auto& x : *list) {
    if (!x.is_number_unsigned() || x.get<uint64_t>() >= tokens.vocab_size())
      return bad_parameter("tokens", "There is no token "
                                       + dump_text(x).substr(0, 64) + ".");
    ids.push_back(x.get<int32_t>());
  }
  return dump_text(json{{"prompt", tokens.decode(ids)}});
}

} // namespace troupe::http
