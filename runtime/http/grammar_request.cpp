#include "runtime/http/grammar_request.hpp"

#include "runtime/json/strict_json.hpp"

#include <nlohmann/json.hpp>

namespace troupe::http {

namespace {

using nlohmann::json;
using nlohmann::ordered_json;

class grammar_fields {
public:
  grammar_fields(field_reader& in, std::string_view body,
                 const request_limits& limits)
    : in_(in), body_(body), known_(*limits.grammars),
      max_bytes_(limits.max_grammar_bytes) {
  }

  void read(completion_kind kind, grammar_source& to) {
    if (kind == completion_kind::response)
      format(in_, {"text", "format"});
    else if (kind == completion_kind::messages)
      format(in_, {"output_config", "format"});
    else
      response_format();
    if (kind == completion_kind::messages)
      format(in_, {"output_format"});
    schema(in_, "guided_json", {"guided_json"});
    text(in_, "guided_regex", grammar_kind::regex);
    choices(in_, "guided_choice");
    text(in_, "guided_grammar", grammar_kind::gbnf);
    structured_outputs();
    if (found_.empty() || in_.first_trouble())
      return;
    if (found_.size() > 1)
      return in_.refuse(found_[1].field, "'" + found_[0].field
                                           + "' says already what the text "
                                             "has to be");
    to = std::move(found_[0].source);
    if (to.text.size() > max_bytes_)
      return in_.refuse(found_[0].field, "it has more than "
                                           + std::to_string(max_bytes_)
                                           + " bytes");
    if (auto trouble = known_.trouble(to))
      in_.refuse(found_[0].field, *trouble);
  }

private:
  struct found {
    std::string field;
    grammar_source source;
  };

  void add(std::string field, grammar_kind kind, std::string text) {
    found_.push_back({std::move(field), {kind, std::move(text)}});
  }

  void response_format() {
    auto format = in_.object("response_format");
    if (!format)
      return;
    auto type = format->text("type");
    if (type == "json_object") {
      add("response_format", grammar_kind::json_object, "");
    } else if (type == "json_schema") {
      auto named = format->object("json_schema");
      if (!named)
        format->refuse("json_schema", "is needed", field_fault::missing);
      else if (!named->has("schema"))
        named->refuse("schema", "is needed", field_fault::missing);
      else
        schema(*named, "schema", {"response_format", "json_schema", "schema"});
      if (named)
        format->absorb(*named);
    } else if (type != "text") {
      format->refuse("type", "must be text, json_object or json_schema",
                     field_fault::unsupported);
    }
    in_.absorb(*format);
  }

  /// A form whose schema stands beside its type; `path` leads to it, of which
  /// `in` is at `depth`.
  void format(field_reader& in, std::vector<std::string> path,
              size_t depth = 0) {
    auto inner = in.object(path[depth]);
    if (!inner)
      return;
    if (depth + 1 < path.size()) {
      format(*inner, std::move(path), depth + 1);
      return in.absorb(*inner);
    }
    auto type = inner->text("type");
    path.emplace_back("schema");
    if (type == "json_object")
      add(path[0], grammar_kind::json_object, "");
    else if (type == "json_schema" && inner->has("schema"))
      schema(*inner, "schema", path);
    else if (type == "json_schema")
      inner->refuse("schema", "is needed", field_fault::missing);
    else if (type != "text")
      inner->refuse("type", "must be text, json_object or json_schema",
                    field_fault::unsupported);
    in.absorb(*inner);
  }

  void structured_outputs() {
    auto all = in_.object("structured_outputs");
    if (!all)
      return;
    auto before = found_.size();
    schema(*all, "json", {"structured_outputs", "json"});
    text(*all, "regex", grammar_kind::regex, "structured_outputs.");
    choices(*all, "choice", "structured_outputs.");
    text(*all, "grammar", grammar_kind::gbnf, "structured_outputs.");
    if (all->boolean_or("json_object", false))
      add("structured_outputs.json_object", grammar_kind::json_object, "");
    all->refuse_unknown({});
    in_.absorb(*all);
    if (found_.size() == before && !in_.first_trouble())
      in_.refuse("structured_outputs", "asks for nothing that is supported");
  }

  /// An object, or one that a string holds. `path` leads to it.
  void schema(field_reader& in, const char* name,
              const std::vector<std::string>& path) {
    const auto* x = in.find(name);
    if (!x)
      return;
    std::string field;
    auto as_sent = parse_in_order(body_);
    for (auto& part : path) {
      auto inner = std::move(as_sent[part]);
      as_sent = std::move(inner);
      field += (field.empty() ? "" : ".") + part;
    }
    if (x->is_string())
      add(field, grammar_kind::json_schema, x->get<std::string>());
    else if (x->is_object() || x->is_boolean())
      add(field, grammar_kind::json_schema, as_sent.dump());
    else
      in.refuse(name, "must be a schema", field_fault::type);
  }

  void text(field_reader& in, const char* name, grammar_kind kind,
            const std::string& before = {}) {
    if (in.has(name))
      add(before + name, kind, in.text(name));
  }

  void choices(field_reader& in, const char* name,
               const std::string& before = {}) {
    const auto* x = in.find(name);
    if (!x)
      return;
    if (!x->is_array())
      in.refuse(name, "must be a list of strings", field_fault::type);
    else
      add(before + name, grammar_kind::choice, x->dump());
  }

  field_reader& in_;
  std::string_view body_;
  known_grammars& known_;
  const size_t max_bytes_;
  std::vector<found> found_;
};

} // namespace

void read_grammar(field_reader& in, std::string_view body, completion_kind kind,
                  const request_limits& limits, completion_options& to) {
  grammar_fields{in, body, limits}.read(kind, to.grammar);
}

} // namespace troupe::http
