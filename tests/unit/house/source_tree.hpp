#pragma once

/// The project's own files, as the tests of the house see them: with their
/// folders, their lines, and their code without comments and literals.

#include "tests/places.hpp"

#include <algorithm>
#include <cctype>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

namespace troupe::house {

using troupe::source_dir;

struct source_file {
  std::string path; ///< From the root, with '/'.
  std::string text;
  std::vector<std::string> lines;
};

inline std::vector<std::string> split_lines(const std::string& text) {
  std::vector<std::string> out;
  std::istringstream in{text};
  for (std::string line; std::getline(in, line);)
    out.push_back(line);
  return out;
}

inline const std::vector<std::string> folders
  = {"schemas", "kernels", "runtime", "actors", "deploy", "tests", "examples"};

/// Returns every file of the project's folders; not what was built.
inline std::vector<source_file> read_tree() {
  namespace fs = std::filesystem;
  auto root = source_dir();
  std::vector<source_file> out;
  for (auto& folder : folders)
    for (auto& entry : fs::recursive_directory_iterator{root / folder}) {
      auto path = fs::relative(entry.path(), root).generic_string();
      if (!entry.is_regular_file() || path.find("__pycache__") != path.npos)
        continue;
      auto in_data = path.starts_with("tests/data/");
      auto is_input = path.starts_with("tests/fuzz/corpus/");
      if (in_data || is_input || path.starts_with("examples/nano/"))
        continue; // other people's bytes
      std::ifstream in{entry.path(), std::ios::binary};
      std::ostringstream text;
      text << in.rdbuf();
      out.push_back({path, text.str(), split_lines(text.str())});
    }
  return out;
}

inline bool has_suffix(const std::string& path,
                       std::initializer_list<std::string_view> suffixes) {
  for (auto suffix : suffixes)
    if (path.ends_with(suffix))
      return true;
  return false;
}

inline bool is_cpp(const source_file& file) {
  return has_suffix(file.path, {".cpp", ".hpp", ".cu"});
}

/// Returns where the literal or comment that starts at `i` ends, or `i` if
/// none starts there.
inline size_t skip_literal(const std::string& s, size_t i) {
  auto find = [&](std::string_view what, size_t from) {
    auto end = s.find(what, from);
    return end == s.npos ? s.size() : end + what.size();
  };
  if (s.compare(i, 2, "//") == 0)
    return find("\n", i) - 1;
  if (s.compare(i, 2, "/*") == 0)
    return find("*/", i + 2);
  if (s.compare(i, 2, "R\"") == 0) {
    auto open = s.find('(', i);
    return find(")" + s.substr(i + 2, open - i - 2) + "\"", open);
  }
  auto is_digit_separator
    = s[i] == '\'' && i > 0
      && std::isxdigit(static_cast<unsigned char>(s[i - 1]));
  if ((s[i] != '"' && s[i] != '\'') || is_digit_separator)
    return i;
  size_t j = i + 1;
  while (j < s.size() && s[j] != s[i])
    j += s[j] == '\\' ? 2 : 1;
  return j + 1;
}

/// Returns `text` with comments, literals and preprocessor lines blanked;
/// newlines stay where they are.
inline std::string code_only(const std::string& text) {
  std::string out = text;
  bool at_line_start = true;
  for (size_t i = 0; i < out.size();) {
    auto end = skip_literal(out, i);
    if (end == i && at_line_start && out[i] == '#') {
      end = out.find('\n', i);
      while (end != out.npos && end > 0 && out[end - 1] == '\\')
        end = out.find('\n', end + 1);
    }
    end = std::min(end, out.size());
    if (end == i) {
      at_line_start = out[i] == '\n' || (at_line_start && out[i] == ' ');
      ++i;
      continue;
    }
    for (; i < end; ++i)
      if (out[i] != '\n')
        out[i] = ' ';
    at_line_start = false;
  }
  return out;
}

struct function_extent {
  size_t first_line = 0;
  size_t num_lines = 0;
};

/// Returns the outermost functions of a file: braces that follow a ')' or an
/// initialiser list, outside of any other such brace.
inline std::vector<function_extent> functions_of(const std::string& text) {
  auto code = code_only(text);
  std::vector<function_extent> out;
  std::vector<bool> is_function; // of every open brace
  std::string head;              // since the last ';', '{' or '}'
  size_t line = 1, first = 0, open_functions = 0;
  for (char c : code) {
    line += c == '\n';
    if (c == '{') {
      auto is_one = head.find('(') != head.npos;
      is_function.push_back(is_one);
      if (is_one && open_functions++ == 0)
        first = line;
    } else if (c == '}' && !is_function.empty()) {
      if (is_function.back() && --open_functions == 0)
        out.push_back({first, line - first + 1});
      is_function.pop_back();
    }
    if (c == ';' || c == '{' || c == '}')
      head.clear();
    else
      head += c;
  }
  return out;
}

} // namespace troupe::house
