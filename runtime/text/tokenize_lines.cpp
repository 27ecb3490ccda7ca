#include "runtime/text/tokenize_lines.hpp"

#include <nlohmann/json.hpp>

#include <istream>
#include <ostream>

namespace troupe {

namespace {

using nlohmann::json;

constexpr size_t max_line = 256 << 20;

enum class line_kind : uint8_t { none, whole, too_long };

/// Reads a line without its end; skips the rest of one that is too long.
line_kind read_line(std::istream& in, std::string& line) {
  line.clear();
  auto& buffer = *in.rdbuf();
  using traits = std::istream::traits_type;
  for (bool too_long = false, any = false;; any = true) {
    auto c = buffer.sbumpc();
    bool end = traits::eq_int_type(c, traits::eof());
    if (end && !any)
      return line_kind::none;
    if (end || c == '\n')
      return too_long ? line_kind::too_long : line_kind::whole;
    too_long = too_long || line.size() == max_line;
    if (!too_long)
      line += traits::to_char_type(c);
  }
}

result<json> encoded(const tokenizer& tokens, const json& line, bool plain) {
  auto text = line.find("text");
  if (line.size() != 1 || text == line.end() || !text->is_string())
    return failure{errc::invalid_input,
                   "expected {\"text\": \"...\"} and nothing else"};
  auto ids = tokens.encode(text->get_ref<const std::string&>(),
                           plain ? specials::plain : specials::recognised);
  return json{{"ids", std::move(ids)}};
}

result<json> decoded(const tokenizer& tokens, const json& line) {
  auto list = line.find("ids");
  if (line.size() != 1 || list == line.end() || !list->is_array())
    return failure{errc::invalid_input,
                   "expected {\"ids\": [...]} and nothing else"};
  std::vector<int32_t> ids;
  for (auto& id : *list) {
    if (!id.is_number_unsigned() || id.get<uint64_t>() >= tokens.vocab_size())
      return failure{errc::invalid_input,
                     "an id is not a number below "
                       + std::to_string(tokens.vocab_size())};
    ids.push_back(id.get<int32_t>());
  }
  return json{{"text", tokens.decode(ids)}};
}

result<json> answer(const tokenizer& tokens, const tokenize_options& options,
                    const std::string& text) {
  auto line = json::parse(text, nullptr, false);
  if (!line.is_object())
    return failure{errc::invalid_input, "it is not a JSON object"};
  return options.decode ? decoded(tokens, line)
                        : encoded(tokens, line, options.plain);
}

} // namespace

int tokenize_lines(const tokenizer& tokens, const tokenize_options& options,
                   std::istream& in, std::ostream& out, std::ostream& errors) {
  int status = 0;
  std::string line;
  for (uint64_t number = 1; out; ++number) {
    auto kind = read_line(in, line);
    if (kind == line_kind::none)
      break;
    result<json> x = failure{errc::invalid_input, "it is above 256 MiB"};
    if (kind == line_kind::whole)
      x = answer(tokens, options, line);
    if (x) {
      out << x->dump() << '\n';
    } else {
      errors << "line " << number << ": " << x.why().message << '\n';
      status = 1;
    }
  }
  out.flush();
  return out ? status : 1;
}

} // namespace troupe
