#pragma once

/// The gateway of a company whose requests are all wanted at rank 2.

#include "tests/unit/actors/gateway_fixture.hpp"

namespace troupe {

struct to_the_last : balance::request_policy {
  std::vector<balance::request_move>
  plan(std::span<const balance::decode_rank>,
       std::span<const balance::decode_request> requests) override {
    std::vector<balance::request_move> out;
    for (auto& x : requests)
      if (x.rank != 2)
        out.push_back({x.id, x.rank, 2, x.kv_tokens, 0, 0});
    return out;
  }
};

class moving_gateway : public Gateway {
protected:
  moving_gateway() : Gateway(small_cluster(), settings()) {
    say(gateway_, cluster_started{});
  }

  /// It plans so many times.
  void look(int times = 1) {
    for (int i = 0; i < times; ++i) {
      scheduler_.advance_time(interval);
      scheduler_.run();
    }
  }

  void copied(bool ok = true, uint32_t term = 1) {
    say(gateway_, request_copied{1, term, 2, ok});
  }

private:
  static constexpr std::chrono::milliseconds interval{100};

  static std::shared_ptr<const request_settings> settings() {
    auto out = std::make_shared<request_settings>();
    out->interval = interval;
    out->least_left = 1;
    out->policy = std::make_shared<to_the_last>();
    return out;
  }
};

} // namespace troupe
