#include "runtime/text/chat_template.hpp"

#include "runtime/text/chat_families.hpp"
#include "runtime/text/chat_turns.hpp"
#include "runtime/text/template_proof.hpp"
#include "runtime/text/template_reading.hpp"

#include <algorithm>

namespace troupe {

namespace {

/// Compared with or handed over, without changing what is written.
const std::set<std::string_view> known_words
  = {"",         "system",    "user",    "assistant", "tool",
     "</think>", "role",      "content", "function",  "tool_calls",
     "name",     "arguments", "type",    "id",        "tool_call_id",
     "prefix",   "text",      "image",   "image_url"};

failure refusal(std::string why) {
  return {errc::invalid_input, std::move(why)};
}

std::string quoted(const chat_atoms& atoms) {
  std::string out = "\"";
  for (auto& x : atoms)
    for (auto c : x)
      if (c == '\n')
        out += "\\n";
      else if (c < '\t' && c > '\0')
        out += "...";
      else
        out += c;
  size_t most = 120;
  while (most < out.size() && (out[most] & 0xc0) == 0x80)
    --most; // no character is cut
  out.resize(std::min(out.size(), most));
  return out + "\"";
}

bool is_blank(const chat_atom& x) {
  return x.find_first_not_of(" \t\r\n") == x.npos;
}

/// Line feeds between the items of a list.
bool is_separator(const template_phrase& x, std::string_view text) {
  return x.separates && x.atoms.size() == 1 && x.atoms.front() == text;
}

class recogniser {
public:
  explicit recogniser(const template_reading& x) : x_(x) {
  }

  result<chat_shape> run() {
    for (auto& family : families())
      if (fits(family)) {
        if (auto ok = check(family); !ok)
          return ok.why();
        return shape_of(family);
      }
    return refusal("it writes the marks of none of them");
  }

private:
  /// Whether `part` stands in anything that is written.
  bool writes(std::string_view part) const {
    auto atoms = pattern_of(part);
    return std::any_of(x_.phrases.begin(), x_.phrases.end(), [&](auto& x) {
      return x.target.empty() && is_part(atoms, x.atoms);
    });
  }

  bool writes_text(std::string_view part) const {
    return std::any_of(x_.phrases.begin(), x_.phrases.end(), [&](auto& x) {
      return std::any_of(x.atoms.begin(), x.atoms.end(), [&](auto& atom) {
        return atom.find(part) != atom.npos;
      });
    });
  }

  bool ends_answers() const {
    return writes("{eos}") || writes("<｜end▁of▁sentence｜>");
  }

  bool fits(const chat_family& family) const {
    if (family.cuts_thoughts && x_.cut == thought_cut::none)
      return false;
    if (family.name == "deepseek-v2") // marks that are text begin a phrase
      return writes_text("User: ") && writes_text("Assistant:");
    return std::all_of(family.marks.begin(), family.marks.end(),
                       [&](auto mark) { return writes(mark); });
  }

  result<void> check(const chat_family& family) const {
    std::vector<chat_atoms> patterns;
    for (auto x : family.phrases)
      patterns.push_back(pattern_of(x));
    for (auto& x : x_.phrases)
      if (!may_be(x, patterns))
        return refusal("it looks like " + std::string{family.name}
                       + " but writes " + quoted(x.atoms));
    for (auto& word : x_.words)
      if (!known_words.contains(word))
        return refusal("it looks like " + std::string{family.name}
                       + " but asks for " + quoted({word}));
    for (auto& joint : x_.joints)
      if (joint != "\n\n")
        return refusal("it joins texts with " + quoted({joint}));
    if (x_.uses.contains("messages[0]") && !family.looks_at_first)
      return refusal("it treats the first message in a way of its own");
    return {};
  }

  static bool may_be(const template_phrase& x,
                     const std::vector<chat_atoms>& patterns) {
    if (!x.target.empty())
      return may_be_assigned(plain(x.atoms));
    if (x.atoms.size() == 1 && is_blank(x.atoms.front()))
      return (x.in_calls && is_separator(x, "\n"))
             || (x.in_systems && is_separator(x, "\n\n"));
    auto atoms = plain(x.atoms);
    return std::any_of(patterns.begin(), patterns.end(),
                       [&](auto& pattern) { return is_part(atoms, pattern); });
  }

  /// Begin and end tokens by their names and by their contents are the same.
  static chat_atoms plain(chat_atoms atoms) {
    for (auto& x : atoms)
      if (x == "<｜begin▁of▁sentence｜>")
        x = bos_atom;
      else if (x == "<｜end▁of▁sentence｜>")
        x = eos_atom;
    return atoms;
  }

  result<chat_shape> shape_of(const chat_family& family) const {
    auto shape = *chat_shape_named(family.name);
    shape.with_bos = writes("{bos}") || writes("<｜begin▁of▁sentence｜>");
    if (family.looks_at_first)
      return kimi(std::move(shape));
    shape.has_answers = ends_answers();
    shape.end = writes("{eos}") ? "" : "<｜end▁of▁sentence｜>";
    if (shape.opens == opening_rule::after_user
        && !x_.uses.contains("is_last_user")) {
      shape.opens = opening_rule::always;
      shape.prompts_user_only = false;
    }
    if (!writes("<｜tool▁call▁begin｜>") || !writes("<｜tool▁output▁begin｜>"))
      shape.tools = tool_style::none;
    shape.output_separator = writes("\n<｜tool▁output▁begin｜>") ? "\n" : "";
    if (auto ok = place_systems(shape); !ok)
      return ok.why();
    if (auto ok = read_thought(shape); !ok)
      return ok.why();
    return shape;
  }

  /// Its first system message may be the template's own.
  chat_shape kimi(chat_shape shape) const {
    shape.default_system.clear();
    auto own = pattern_of("<|im_system|>system<|im_middle|>{text}<|im_end|>");
    auto values = pattern_of("<|im_system|>system<|im_middle|>{}<|im_end|>");
    for (auto& x : x_.phrases)
      if (is_part(x.atoms, own) && x.atoms != values)
        shape.default_system = x.atoms[3];
    return shape;
  }

  result<void> place_systems(chat_shape& shape) const {
    if (!x_.words.contains("system")) {
      shape.systems = system_place::none;
      return {};
    }
    if (shape.systems == system_place::in_place)
      return {};
    auto any = [&](auto test) {
      return std::any_of(x_.phrases.begin(), x_.phrases.end(), test);
    };
    auto value = pattern_of("{}");
    bool joins = x_.joints.contains("\n\n") || any([](auto& x) {
                   return x.atoms == pattern_of("{}\n\n{}")
                          || (x.in_systems && is_separator(x, "\n\n"));
                 });
    bool appends = any([](auto& x) { return x.atoms == pattern_of("{}{}"); });
    if (joins)
      shape.systems = system_place::joined;
    else if (!appends && any([&](auto& x) {
               return x.target.find("system") != x.target.npos
                      && x.atoms == value;
             }))
      shape.systems = system_place::last;
    else if (!appends && any([&](auto& x) {
               return x.target.empty() && x.in_systems && x.atoms == value;
             }))
      shape.systems = system_place::in_place;
    else
      return refusal("it places system messages in a way that is not known");
    return {};
  }

  result<void> read_thought(chat_shape& shape) const {
    bool thinks = writes("<think>");
    shape.dropped = x_.cut == thought_cut::none ? thought_rule::kept
                    : x_.cut == thought_cut::first_end
                      ? thought_rule::to_first_end
                      : thought_rule::to_last_end;
    shape.switches.clear();
    for (auto name : {"thinking", "enable_thinking"})
      if (thinks && x_.uses.contains(name))
        shape.switches.emplace_back(name);
    shape.thinking = !thinks               ? ""
                     : writes("<think>\n") ? "<think>\n"
                                           : "<think>";
    if (x_.thinking_defaults.size() > 1)
      return refusal("it both thinks and does not unless it is told");
    if (!shape.switches.empty())
      shape.thinks = x_.thinking_defaults.contains(true);
    else if (thinks && !shape.speaking.empty())
      return refusal("it thinks at times, but has no switch for it");
    else
      shape.thinks = thinks;
    return {};
  }

  const template_reading& x_;
};

/// Whether the form writes what the template does, for conversations of ours.
result<chat_shape> proven(const template_reading& x, chat_shape shape) {
  const std::string bos = "<｜begin▁of▁sentence｜>";
  const std::string eos = "<｜end▁of▁sentence｜>";
  for (auto& one : template_cases(shape.switches)) {
    if (!unknown_messages(shape, one.messages).empty())
      continue;
    bool thinks = one.switches.empty() ? shape.thinks
                                       : one.switches.begin()->second;
    chat_parts parts{nullptr};
    write_chat(one.messages,
               {shape, bos, eos, one.add_generation_prompt, thinks}, parts);
    auto expected = follow_template(x.tags, one, bos, eos);
    if (!expected)
      return refusal("it looks like " + shape.name + " but cannot be followed");
    if (*expected != parts.whole_text())
      return refusal("it looks like " + shape.name + " but makes "
                     + quoted({*expected}) + " of a conversation, not "
                     + quoted({parts.whole_text()}));
  }
  return shape;
}

/// Later revisions let the model answer whatever came last.
result<chat_shape> proven_either(const template_reading& x, chat_shape shape) {
  auto proof = proven(x, shape);
  if (proof || !shape.prompts_user_only)
    return proof;
  shape.prompts_user_only = false;
  auto other = proven(x, shape);
  return other ? other : proof;
}

} // namespace

result<chat_shape> recognise_chat_template(const chat_template_text& x) {
  if (x.text.empty())
    return refusal(x.note.empty() ? "the model has no chat template" : x.note);
  auto reading = read_template(x.text);
  auto shape = reading ? recogniser{*reading}.run()
                       : result<chat_shape>{reading.why()};
  if (shape)
    shape = proven_either(*reading, *shape);
  if (!shape)
    return refusal("the chat template in " + x.source
                   + " is none of the forms that are known (" + chat_families()
                   + "): " + shape.why().message);
  return shape;
}

std::string describe(const chat_shape& shape) {
  auto out = shape.name;
  if (!shape.switches.empty())
    out += shape.thinks ? ", thinks unless told not to" : ", thinks when told";
  else if (shape.thinks)
    out += ", always thinks";
  return out;
}

} // namespace troupe
