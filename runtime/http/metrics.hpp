#pragma once

/// What the gateway counts, and the page that Prometheus reads.

#include "runtime/grammar/known_grammars.hpp"
#include "runtime/http/server_counts.hpp"
#include "runtime/service.hpp"

#include <array>
#include <map>
#include <mutex>
#include <string>

namespace troupe::http {

/// Counts of seconds in buckets that fit latencies from 1 ms to 60 s.
class latency_histogram {
public:
  static constexpr std::array<double, 16> bounds
    = {0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25,
       0.5,   1,      2.5,   5,    10,    20,   40,  60}; // s

  void add(double seconds);

  /// Appends the lines of Prometheus.
  void render(const std::string& name, const std::string& help,
              std::string& to) const;

private:
  std::array<uint64_t, bounds.size() + 1> counts_{}; ///< The last: above all.
  double sum_ = 0;                                   ///< s
};

/// Safe to use from several threads.
class api_metrics {
public:
  void count_request(const std::string& route, unsigned status);
  void add_first_token(double seconds);
  void add_token_gap(double seconds);
  void count_client_gone();

  /// All of it in Prometheus' text form, names troupe_*.
  std::string render(const service_stats& stats, const service_info& info,
                     const server_stats& connections,
                     const known_grammars::counts& grammars) const;

private:
  mutable std::mutex mutex_;
  std::map<std::pair<std::string, unsigned>, uint64_t> requests_;
  uint64_t clients_gone_ = 0;
  latency_histogram first_token_;
  latency_histogram token_gap_;
};

} // namespace troupe::http
