#pragma once

/// TOML from outside, read strictly: every key is known, and the first thing
/// that is wrong is said in one sentence that names line, table and key.

#include "runtime/error.hpp"

#include <toml++/toml.h>

#include <chrono>
#include <cstdint>
#include <initializer_list>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace troupe {

/// Reads a document. `source_name` stands in front of every complaint, e.g.
/// the name of its file. Error: invalid_input.
result<toml::table> parse_toml(std::string_view text,
                               std::string_view source_name);

/// A text as TOML writes it, with its quotes.
std::string quoted(const std::string& text);

/// Reads one table and remembers the first thing that was wrong with it. A key
/// that is not there leaves its variable as it was.
class table_reader {
public:
  /// `name` is that of the table, e.g. "nodes[3]"; empty: of the document.
  /// `table` must outlive the reader.
  table_reader(const toml::table& table, std::string source,
               std::string name = {});

  /// Refuses all other keys: "<key> is not a key of <what>".
  void allow_only(std::span<const std::string_view> keys,
                  std::string_view what);
  void allow_only(std::initializer_list<std::string_view> keys,
                  std::string_view what) {
    allow_only(std::span{keys.begin(), keys.size()}, what);
  }

  bool has(std::string_view key) const;

  void read(std::string_view key, std::string& out);
  void read(std::string_view key, bool& out);
  void read(std::string_view key, uint32_t& out);
  /// TOML has no number above 2^63 - 1.
  void read(std::string_view key, uint64_t& out);
  /// A finite number, whole or not.
  void read(std::string_view key, double& out);
  /// A time as in "1.5s" (runtime/duration.hpp).
  void read(std::string_view key, std::chrono::nanoseconds& out);
  /// A number above 0, which `out` has to be also if the key is not there.
  template <class T>
  void read_positive(std::string_view key, T& out) {
    read(key, out);
    if (!(out > 0))
      complain(key, "must be above 0");
  }

  /// Has `read` read the table `key` within this one, if it is there:
  /// read(table_reader&, out).
  template <class Fn, class T>
  void read_table(std::string_view key, Fn read, T& out) {
    auto* table = child(key);
    if (!table)
      return;
    table_reader inner{*table, source_, name_of(key)};
    read(inner, out);
    absorb(inner);
  }

  /// Null if it is not there.
  const toml::node* find(std::string_view key) const;
  /// Null if it is not there or no table, which is complained of.
  const toml::table* child(std::string_view key);

  static std::optional<uint32_t> number(const toml::node& node);

  /// Says that a key, or the lack of it, is wrong: "<key> <what>".
  void complain(std::string_view key, std::string_view what);

  /// Takes over the complaint of a table within this one.
  void absorb(const table_reader& inner) {
    if (complaint_.empty())
      complaint_ = inner.complaint_;
  }

  const std::string& source() const {
    return source_;
  }

  const std::string& name() const {
    return name_;
  }

  /// Empty: nothing so far.
  const std::string& complaint() const {
    return complaint_;
  }

private:
  /// Of a table within this one.
  std::string name_of(std::string_view key) const {
    return (name_.empty() ? "" : name_ + ".") + std::string{key};
  }

  template <class T>
  void read_as(std::string_view key, T& out, std::string_view form);

  const toml::table& table_;
  std::string source_;
  std::string name_;
  std::string complaint_;
};

} // namespace troupe
