#pragma once

/// What a header declares and which words a file says, found without a
/// compiler: names, braces and access labels.

#include "tests/unit/house/source_tree.hpp"

#include <map>
#include <regex>
#include <set>

namespace troupe::house {

struct declared_function {
  std::string name;
  size_t line = 0;         ///< From 1.
  bool is_private = false; ///< In a class, for itself.
  bool has_body = false;   ///< Here.
};

using word_counts = std::map<std::string, size_t>;

/// Returns how often each word stands in code, comments and literals aside;
/// macros count.
inline word_counts words_of(std::string text) {
  // A macro's body is code here, an include is not.
  text = std::regex_replace(text, std::regex{"#\\s*include[^\n]*"}, "");
  std::replace(text.begin(), text.end(), '#', ' ');
  word_counts out;
  const std::regex word{"[A-Za-z_]\\w*"};
  auto code = code_only(text);
  for (std::sregex_iterator i{code.begin(), code.end(), word}, end; i != end;
       ++i)
    ++out[i->str()];
  return out;
}

/// Reads a header from its beginning to its end.
class declaration_reader {
public:
  explicit declaration_reader(const std::string& text)
    : code_(code_only(text)) {
  }

  std::vector<declared_function> read() {
    for (char c : code_) {
      line_ += c == '\n';
      if (c == '{')
        open();
      else if (c == '}')
        close();
      else if (c == ';')
        end_statement(false);
      else if (c == ':' && is_label())
        head_.clear();
      else if (in_body_ == 0)
        say(c);
    }
    return std::move(out_);
  }

private:
  struct scope {
    bool is_body = false;    ///< Of a function, or an initialiser.
    bool is_private = false; ///< What is said now.
    bool is_hidden = false;  ///< All of it: in a private part.
  };

  void say(char c) {
    if (head_.empty() && std::isspace(static_cast<unsigned char>(c)))
      return;
    if (head_.empty())
      first_line_ = line_;
    head_ += c;
  }

  void open() {
    static const std::regex named{
      "(^|[\\s>])(class|struct|union|enum|namespace|extern)\\b[^()=]*"};
    auto is_scope = in_body_ == 0 && std::regex_match(head_, named);
    auto is_class = is_scope
                    && std::regex_search(head_, std::regex{"\\bclass\\b"});
    if (!is_scope && in_body_ == 0)
      end_statement(true);
    in_body_ += !is_scope;
    auto is_hidden = in_private_part();
    scopes_.push_back({!is_scope, is_class || is_hidden, is_hidden});
    head_.clear();
  }

  bool in_private_part() const {
    return !scopes_.empty() && scopes_.back().is_private;
  }

  void close() {
    if (!scopes_.empty()) {
      in_body_ -= scopes_.back().is_body;
      scopes_.pop_back();
    }
    head_.clear();
  }

  /// Whether the head is an access label; notes it.
  bool is_label() {
    if (in_body_ > 0 || scopes_.empty())
      return false;
    auto is_public = head_ == "public";
    if (!is_public && head_ != "private" && head_ != "protected")
      return false;
    scopes_.back().is_private = !is_public || scopes_.back().is_hidden;
    return true;
  }

  /// What was said up to here may declare a function: a type, a name and a
  /// parenthesis. A name that ends in '_' is a member that is initialised.
  void end_statement(bool has_body) {
    static const std::regex function{
      "^(?:[^()=]*[\\w>&*\\]]\\s+|[^()=]*[&*]\\s*)([a-z]\\w*[a-z0-9])\\s*\\("};
    // Constructors have no other name than their class; what overrides is
    // called by its base.
    static const std::regex other{"^(using|typedef|return|friend|explicit|"
                                  "static_assert|template\\s*class)\\b"};
    std::smatch found;
    if (in_body_ == 0 && !std::regex_search(head_, other)
        && std::regex_search(head_, found, function)
        && !std::regex_search(head_, std::regex{"\\b(operator|override)\\b"}))
      out_.push_back({found[1], line_of(static_cast<size_t>(found.position(1))),
                      in_private_part(), has_body});
    if (in_body_ == 0)
      head_.clear();
  }

  size_t line_of(size_t offset) const {
    auto from = head_.begin();
    return first_line_
           + static_cast<size_t>(
             std::count(from, from + static_cast<ptrdiff_t>(offset), '\n'));
  }

  const std::string code_;
  std::string head_; ///< Since the last statement.
  size_t line_ = 1, first_line_ = 1;
  size_t in_body_ = 0; ///< Open braces of bodies.
  std::vector<scope> scopes_;
  std::vector<declared_function> out_;
};

inline std::vector<declared_function> declarations_of(const std::string& text) {
  return declaration_reader{text}.read();
}

/// Returns what looks like a file's name in a line, with or without folders.
inline std::vector<std::string> file_names_in(const std::string& line) {
  static const std::regex name{
    "[\\w./*{}<>-]*[\\w*-]\\.(hpp|cpp|inl|capnp|cmake|py|toml|md)\\b"};
  std::vector<std::string> out;
  for (std::sregex_iterator i{line.begin(), line.end(), name}, end; i != end;
       ++i)
    if (i->str().find_first_of("*{}<>") == std::string::npos)
      out.push_back(i->str());
  return out;
}

/// Returns the lines of a file as far as they are said to a reader: all of a
/// page, else what follows the mark of a comment.
inline std::vector<std::string> said_in(const source_file& file) {
  auto out = file.lines;
  if (file.path.ends_with(".md"))
    return out;
  auto mark = is_cpp(file) || file.path.ends_with(".inl") ? "//" : "#";
  for (auto& line : out) {
    auto from = line.find(mark);
    line = from == line.npos ? "" : line.substr(from);
  }
  return out;
}

} // namespace troupe::house
