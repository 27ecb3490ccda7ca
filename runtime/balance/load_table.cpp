#include "runtime/balance/load_table.hpp"

#include "kernels/check.hpp"
#include "runtime/balance/expert_layout.hpp"
#include "runtime/checkpoint/regular_file.hpp"
#include "runtime/formatted.hpp"
#include "runtime/split_list.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <map>

namespace troupe::balance {

namespace {

constexpr uint64_t max_file_bytes = 256 << 20;
constexpr double max_load = 1e15;

std::optional<double> number(std::string_view text) {
  double out = 0;
  auto end = text.data() + text.size();
  auto [at, error] = std::from_chars(text.data(), end, out);
  if (error != std::errc{} || at != end || !(out >= 0 && out <= max_load))
    return std::nullopt;
  return out;
}

/// Reads one line after the other, and says in which one something is wrong.
class load_reader {
public:
  load_reader(std::string_view name, const std::optional<std::string>& source)
    : name_(name), source_(source) {
  }

  result<load_table> read(std::string_view text) {
    for (auto line : split_list(text, "\n")) {
      ++line_;
      if (line.ends_with('\r'))
        line.remove_suffix(1);
      if (line.empty() || line.front() == '#')
        continue;
      auto ok = has_header_ ? read_row(split_list(line))
                            : read_header(split_list(line));
      if (!ok)
        return ok.why();
    }
    return finish();
  }

private:
  failure invalid(std::string why) const {
    return {errc::invalid_input,
            formatted("%s: line %zu %s", name_.c_str(), line_, why.c_str())};
  }

  result<void> read_header(const std::vector<std::string_view>& fields) {
    if (fields.size() < 3 || fields[0] != "source" || fields[1] != "layer")
      return invalid("is not the header \"source,layer,e0,e1,...\"");
    if (fields.size() - 2 > max_experts)
      return invalid(formatted("has more than %u experts", max_experts));
    for (size_t i = 2; i < fields.size(); ++i)
      if (fields[i] != "e" + std::to_string(i - 2))
        return invalid(formatted("has no column e%zu where it belongs", i - 2));
    num_experts_ = uint32_t(fields.size()) - 2;
    has_header_ = true;
    return {};
  }

  result<void> read_row(const std::vector<std::string_view>& fields) {
    if (fields.size() != num_experts_ + 2)
      return invalid(formatted("has %zu fields instead of %u", fields.size(),
                               num_experts_ + 2));
    auto layer = number(fields[1]);
    if (!layer || *layer != std::floor(*layer) || *layer > UINT32_MAX)
      return invalid("has no layer in its second field");
    std::vector<double> row;
    for (size_t i = 2; i < fields.size(); ++i) {
      auto x = number(fields[i]);
      if (!x)
        return invalid(formatted("has no load from 0 to 1e15 in e%zu", i - 2));
      row.push_back(*x);
    }
    auto& layers = rows_[std::string{fields[0]}];
    if (!layers.emplace(uint32_t(*layer), std::move(row)).second)
      return invalid(formatted("is layer %.0f again", *layer));
    return {};
  }

  result<load_table> finish() const {
    auto wrong = [&](std::string why) {
      return failure{errc::invalid_input, name_ + ": " + why};
    };
    if (rows_.empty())
      return wrong("there is no row of loads");
    if (source_ && !rows_.contains(*source_)) {
      std::string names;
      for (auto& [source, _] : rows_)
        names += (names.empty() ? "" : ", ") + source;
      return wrong(formatted("there is no source \"%s\", only %s",
                             source_->c_str(), names.c_str()));
    }
    load_table out{num_experts_, {}, {}};
    for (auto& [source, layers] : rows_) {
      if (source_ && source != *source_)
        continue;
      auto ok = add(layers, out);
      if (!ok)
        return wrong("source \"" + source
                     + "\" has other layers than the rest;"
                       " name one");
    }
    return out;
  }

  using layer_rows = std::map<uint32_t, std::vector<double>>;

  static bool add(const layer_rows& layers, load_table& to) {
    if (to.layers.empty())
      for (auto& [layer, row] : layers) {
        to.layers.push_back(layer);
        to.loads.emplace_back(row.size());
      }
    if (layers.size() != to.layers.size())
      return false;
    size_t i = 0;
    for (auto& [layer, row] : layers) {
      if (to.layers[i] != layer)
        return false;
      for (size_t e = 0; e < row.size(); ++e)
        to.loads[i][e] += row[e];
      ++i;
    }
    return true;
  }

  std::string name_;
  const std::optional<std::string>& source_;
  size_t line_ = 0;
  bool has_header_ = false;
  uint32_t num_experts_ = 0;
  std::map<std::string, layer_rows> rows_; ///< By source.
};

} // namespace

result<load_table> parse_loads(std::string_view text, std::string_view name,
                               const std::optional<std::string>& source) {
  return load_reader{name, source}.read(text);
}

result<load_table> read_loads(const std::filesystem::path& path,
                              const std::optional<std::string>& source) {
  auto text = read_regular_file(path, max_file_bytes);
  if (!text)
    return text.why();
  return parse_loads(*text, path.string(), source);
}

std::string to_csv(const load_table& x, std::string_view source) {
  CHECK(source.find_first_of(",\r\n") == source.npos);
  std::string out = "source,layer";
  for (uint32_t e = 0; e < x.num_experts; ++e)
    out += ",e" + std::to_string(e);
  out += '\n';
  for (size_t i = 0; i < x.layers.size(); ++i) {
    out += std::string{source} + ',' + std::to_string(x.layers[i]);
    for (auto load : x.loads[i])
      out += formatted(",%.0f", load);
    out += '\n';
  }
  return out;
}

aged_loads::aged_loads(std::vector<uint32_t> layers, uint32_t num_experts,
                       double half_life)
  : table_{num_experts, std::move(layers), {}}, half_life_(half_life) {
  CHECK(half_life > 0);
  table_.loads.assign(table_.layers.size(), std::vector<double>(num_experts));
}

void aged_loads::see(size_t layer, std::span<const uint32_t> counts) {
  CHECK(counts.size() == table_.num_experts);
  auto& to = table_.loads.at(layer);
  for (size_t e = 0; e < counts.size(); ++e)
    to[e] += counts[e];
}

void aged_loads::age(double seconds) {
  CHECK(seconds >= 0);
  auto kept = std::exp2(-seconds / half_life_);
  for (auto& row : table_.loads)
    for (auto& x : row)
      x *= kept;
}

} // namespace troupe::balance
