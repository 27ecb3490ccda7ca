#pragma once

/// What the API is told when it is made.

#include "runtime/http/api_keys.hpp"
#include "runtime/http/completion_options.hpp"
#include "runtime/http/response_store.hpp"
#include "runtime/http/server_counts.hpp"
#include "runtime/log.hpp"

#include <chrono>
#include <functional>

namespace troupe::http {

using steady_clock = std::function<std::chrono::steady_clock::time_point()>;

struct openai_options {
  std::string model; ///< The name that requests must give.
  std::string fingerprint = "troupe";
  std::string version;                      ///< Of the program.
  std::string tokenizer_info = "{}";        ///< JSON: see tokenizer_info.hpp.
  std::vector<api_key> keys;                ///< None: everybody may.
  quota_limits everybody;                   ///< Of all, if there are no keys.
  bool open_metrics = false;                ///< For those without a key, too.
  std::vector<std::string> allowed_origins; ///< See cross_origin.
  sampling_defaults defaults;
  bool add_bos = true; ///< In front of the prompts of text completions.
  request_limits limits;
  store_limits stored;                      ///< Responses that are kept.
  std::chrono::seconds max_queue_wait{600}; ///< Predicted; beyond it 429.
  size_t short_body = 64 << 10;             ///< Up to so many bytes.
  /// Of long bodies not yet read, and an eighth of it of short ones; then 429.
  size_t max_waiting_bytes = 64 << 20;
};

/// Where an API gets time and chance from. Called on its own threads and on
/// those that call it.
struct openai_sources {
  steady_clock now;
  std::function<int64_t()> unix_time; ///< s
  std::function<uint64_t()> random_bits;
  /// Hears of a request before it is cancelled because its answer is whole:
  /// that is no client that left. Empty: nobody makes a difference.
  std::function<void(request_id)> enough = {};
  /// What people have broken on purpose at present; empty: nobody does that.
  std::function<std::vector<std::string>()> active_faults = {};
  /// Whose level may be changed; null: none.
  std::shared_ptr<log_book> logs = {};
  /// Of the server in front, or null.
  std::shared_ptr<const server_counts> connections = {};
};

} // namespace troupe::http
