#include "deploy/unknown_command.hpp"

#include "kernels/check.hpp"

#include <algorithm>
#include <numeric>
#include <utility>

namespace troupe {

namespace {

constexpr size_t max_shown = 64; ///< Bytes of what was asked for.

/// Letters to put in, leave out or change, to make `b` of `a`.
size_t distance(const std::string& a, const std::string& b) {
  std::vector<size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), size_t{0});
  for (size_t i = 0; i < a.size(); ++i) {
    auto corner = std::exchange(row[0], i + 1);
    for (size_t j = 0; j < b.size(); ++j) {
      auto changed = corner + (a[i] != b[j]);
      corner = row[j + 1];
      row[j + 1] = std::min({changed, corner + 1, row[j] + 1});
    }
  }
  return row.back();
}

std::vector<std::string> commands_of(const CLI::App& app) {
  std::vector<std::string> out;
  for (const auto* x :
       app.get_subcommands([](const CLI::App*) { return true; }))
    if (!x->get_name().empty()) // else a group of flags
      out.push_back(x->get_name());
  return out;
}

/// Whether a word may be something else than a command.
bool takes_words(const CLI::App& app) {
  return std::ranges::any_of(
    app.get_options([](const CLI::Option*) { return true; }),
    &CLI::Option::get_positional);
}

} // namespace

std::string nearest_word(const std::string& text,
                         const std::vector<std::string>& words) {
  CHECK(!words.empty());
  return *std::ranges::min_element(words, {},
                                   [&](auto& x) { return distance(text, x); });
}

std::optional<std::string>
unknown_command(const CLI::App& app, const std::vector<std::string>& args) {
  const auto* in = &app;
  auto path = app.get_name();
  for (size_t i = 1; i < args.size(); ++i) {
    auto word = args[i].substr(0, max_shown);
    auto known = commands_of(*in);
    if (known.empty() || takes_words(*in) || word.starts_with('-'))
      return std::nullopt;
    if (std::ranges::find(known, word) == known.end())
      return path + ": there is no command '" + word + "'; the nearest is '"
             + nearest_word(word, known) + "', and '" + path
             + " --help' shows all.";
    in = in->get_subcommand(word);
    path += " " + word;
  }
  return std::nullopt;
}

} // namespace troupe
