#include "runtime/http/metrics.hpp"

#include <gtest/gtest.h>

using namespace troupe;

TEST(HttpMetrics, SayWhatBecameOfPlacements) {
  service_stats x;
  x.placement_epoch = 7;
  x.changes_begun = 6;
  x.changes_done = 5;
  x.changes_aborted = 1;
  x.last_change_seconds = 0.25;
  x.experts_waiting = 3;
  x.slots_free = 11;
  x.slots_loading = 12;
  x.slots_serving = 13;
  x.slots_retiring = 14;
  auto text = http::api_metrics{}.render(x, {}, {}, {});
  for (auto line :
       {"troupe_placement_epoch 7", "troupe_placement_changes_begun_total 6",
        "troupe_placement_changes_done_total 5",
        "troupe_placement_changes_aborted_total 1",
        "troupe_placement_change_seconds 0.25", "troupe_experts_waiting 3",
        "troupe_expert_slots{state=\"free\"} 11",
        "troupe_expert_slots{state=\"loading\"} 12",
        "troupe_expert_slots{state=\"serving\"} 13",
        "troupe_expert_slots{state=\"retiring\"} 14",
        "# HELP troupe_expert_slots "})
    EXPECT_NE(text.find(std::string{"\n"} + line), text.npos) << line;
}

TEST(HttpMetrics, SayWhatGrammarsTake) {
  service_stats x;
  x.grammars_compiled = 3;
  x.grammar_bytes = 1234;
  auto text = http::api_metrics{}.render(x, {}, {}, {7, 2, 500});
  for (auto line :
       {"troupe_grammars_compiled_total 3\n", "troupe_grammar_bytes 1234\n",
        "troupe_grammar_checks_total 7\n",
        "troupe_grammar_checks_compiled_total 2\n",
        "troupe_grammar_sources_bytes 500\n"})
    EXPECT_NE(text.find(line), text.npos) << line;
}

TEST(HttpMetrics, SayWhatBecameOfBalance) {
  service_stats x;
  x.balance_plans = 5;
  x.balance_changes = 4;
  x.balance_refusals = 1;
  x.experts_moved = 17;
  x.expert_balance = 0.5;
  x.planned_balance = 0.75;
  x.planned_gain = 0.25;
  x.requests_balanced = 21;
  x.request_moves_refused = 22;
  auto text = http::api_metrics{}.render(x, {}, {}, {});
  for (auto line :
       {"troupe_expert_balance_plans_total 5",
        "troupe_expert_balance_changes_total 4",
        "troupe_expert_balance_refusals_total 1",
        "troupe_requests_balanced_total 21",
        "troupe_request_moves_refused_total 22",
        "troupe_experts_moved_total 17", "troupe_expert_balance 0.5",
        "troupe_expert_balance_planned 0.75",
        "troupe_expert_balance_gain 0.25"})
    EXPECT_NE(text.find(std::string{"\n"} + line), text.npos) << line;
}
