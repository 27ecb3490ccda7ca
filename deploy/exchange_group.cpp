#include "deploy/exchange_group.hpp"

#include <algorithm>
#include <cstdlib>

namespace troupe {

namespace {

/// Longer than a child waits for anything.
constexpr std::chrono::seconds patience_with_all{90};

constexpr const char* host = "127.0.0.1";

} // namespace

result<exchange_group> exchange_group::start(uint32_t num_processes,
                                             bool on_shared_memory,
                                             const std::string& secret) {
  exchange_group out;
  std::vector<word_channel> theirs;
  std::vector<std::vector<std::string>> commands;
  std::vector<int> inherited;
  for (uint32_t i = 0; i < num_processes; ++i) {
    auto made = word_channel::make();
    if (!made)
      return made.why();
    out.channels_.push_back(std::move(made->first));
    theirs.push_back(std::move(made->second));
    auto fd = theirs.back().fd();
    inherited.push_back(fd);
    commands.push_back({"bench", "transport", "--exchange-process",
                        std::to_string(i), "--channel", std::to_string(fd)});
    if (on_shared_memory)
      commands.back().push_back("--shared-memory");
  }
  auto children = local_nodes::start(commands, inherited);
  if (!children)
    return children.why();
  out.children_ = std::move(*children);
  if (auto ok = out.connect(secret); !ok)
    return ok.why();
  return out;
}

result<void> exchange_group::connect(const std::string& secret) {
  auto n = channels_.size();
  std::vector<std::string> at, raw_at;
  for (size_t i = 0; i < n; ++i)
    say(i, std::string{"troupe "} + host + " " + secret);
  for (auto [verb, to] : {std::pair{"", &at}, {"raw", &raw_at}})
    for (size_t i = 0; i < n; ++i) {
      if (*verb)
        say(i, verb);
      auto where = hear(i, "at");
      if (!where)
        return where.why();
      to->push_back(*where);
    }
  for (size_t i = 0; i < n; ++i) {
    for (size_t j = 0; j < n; ++j) {
      if (j > i)
        say(i, "dial " + std::to_string(j) + " " + at[j]);
      if (j != i)
        say(i, "raw-dial " + std::to_string(j) + " " + raw_at[j]);
    }
    say(i, "await " + std::to_string(n - 1));
  }
  for (size_t i = 0; i < n; ++i)
    if (auto ready = hear(i, "ready"); !ready)
      return ready.why();
  return {};
}

result<double> exchange_group::run(way how, bench::exchange_shape shape) {
  auto word = std::string{"run "} + (how == way::raw ? "raw" : "troupe") + " "
              + std::to_string(shape.dispatch_bytes) + " "
              + std::to_string(shape.combine_bytes) + " "
              + std::to_string(shape.window) + " "
              + std::to_string(shape.num_rounds);
  for (size_t i = 0; i < channels_.size(); ++i)
    say(i, word);
  double longest = 0;
  for (size_t i = 0; i < channels_.size(); ++i) {
    auto took = hear(i, "took");
    if (!took)
      return took.why();
    longest = std::max(longest, 1e-9 * std::atof(took->c_str()));
  }
  return longest;
}

result<std::string> exchange_group::hear(size_t from,
                                         const std::string& expected) const {
  auto word = channels_[from].await(patience_with_all);
  if (!word)
    return failure{errc::io, "process " + std::to_string(from)
                               + " of the exchange does not answer"};
  auto end = std::min(word->find(' '), word->size());
  auto rest = word->substr(std::min(end + 1, word->size()));
  if (word->substr(0, end) != expected)
    return failure{errc::io, "process " + std::to_string(from)
                               + " of the exchange: " + rest};
  return rest;
}

} // namespace troupe
