#pragma once

/// The processes of an exchange, as their parent has them.

#include "deploy/local_nodes.hpp"
#include "deploy/word_channel.hpp"
#include "runtime/bench/exchange.hpp"

#include <chrono>
#include <string>
#include <vector>

namespace troupe {

class exchange_group {
public:
  /// Starts `num_processes` and connects each with each, over Troupe's
  /// transport and over UCX alone; on shared memory or on TCP. Error: what a
  /// child says.
  static result<exchange_group> start(uint32_t num_processes,
                                      bool on_shared_memory,
                                      const std::string& secret);

  enum class way : uint8_t { troupe, raw };

  /// Seconds until the last of them is through. num_peers is filled in.
  result<double> run(way how, bench::exchange_shape shape);

private:
  exchange_group() = default;

  result<void> connect(const std::string& secret);
  void say(size_t to, const std::string& word) const {
    channels_[to].say(word);
  }
  /// What the child answers to a question, without its first word, which is to
  /// be `expected`.
  result<std::string> hear(size_t from, const std::string& expected) const;

  std::vector<word_channel> channels_;
  std::unique_ptr<local_nodes> children_;
};

} // namespace troupe
