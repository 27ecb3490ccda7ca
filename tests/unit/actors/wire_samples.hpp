#pragma once

/// One message of every kind, with a value of its own in every field.

#include "actors/wire.hpp"

#include <bit>
#include <limits>

namespace troupe {

inline constexpr node_id sender = 3;

inline run_request full_request() {
  auto what = std::make_shared<generation_request>();
  what->prompt = {1, -7, INT32_MAX, INT32_MIN, 0};
  what->sampling = {0.7f,       0.9f, 40,
                    UINT64_MAX, 0.1f, 1.1f,
                    -0.25f,     1.5,  {{3, -1.5f}, {4, 100}}};
  what->max_tokens = 123;
  what->min_tokens = 12;
  what->stop_ids = {9, 10};
  what->num_scores = 21;
  what->num_prompt_scores = 3;
  what->ignore_eos = true;
  what->want_logits = true;
  what->grammar = {grammar_kind::regex, "a\"[b]", true};
  what->cache_salt = std::string{"a\0b", 3};
  what->priority = -7;
  what->segments = {{2, segment_author::given}, {3, segment_author::generated}};
  return {UINT64_MAX - 1, 9, 6, 4, what, {8, INT32_MAX}, 5};
}

inline tokens_ready full_answer() {
  auto event = std::make_shared<generation_event>();
  event->tokens = {5, 6};
  event->first_position = 17;
  event->logits = {0.5f, -0.0f, std::bit_cast<float>(0x7fc01234u),
                   std::numeric_limits<float>::infinity(),
                   std::numeric_limits<float>::denorm_min()};
  event->finish = finish_reason::failed;
  event->end_token = 9;
  event->scores = {{5, -0.5f}, {-1, 0}};
  event->prompt_scores = {{7, -1.5f}};
  event->first_scored = 70;
  event->num_cached = 64;
  event->cause = failure{errc::peer_lost, "node b was lost"};
  return {77, 2, event};
}

inline view_published full_view() {
  auto out = std::make_shared<view>();
  out->number = 3;
  out->epochs = {4, UINT32_MAX};
  out->members = {{"a", 1, {"127.0.0.1", 80}, member_state::serving},
                  {"b", UINT64_MAX, {"::1", 9}, member_state::absent}};
  return {out};
}

inline node_report full_report() {
  node_report out;
  out.node = sender;
  for (size_t i = 0; i < num_counters; ++i)
    out.values[i] = 100 + i;
  out.network.bytes_sent = UINT64_MAX;
  for (size_t i = 0; i < size_t(refusal::num_refusals); ++i)
    out.network.frames_refused[i] = 200 + i;
  out.loads = std::make_shared<const part_loads>(
    part_loads{{{3, 1, 2, 4, 5, 6, UINT64_MAX, 7, 8, 9, 10, 11},
                {4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}},
               {{9, 10, 11}},
               {12, 0, UINT64_MAX}});
  return out;
}

inline rows_refused full_refusal() {
  return {{{3, 4, UINT32_MAX}, 5, 6, 7}, 8, rows_fault::other_occupant};
}

inline placement_published full_placement() {
  return {std::make_shared<const placement_lists>(
    placement_lists{6, 7, {{1, 2, {{3, 4}, 5}}, {8, 9, {{10, 11}, 12}}}})};
}

inline std::vector<control_message> one_of_each() {
  return {
    welcome{2, "[cluster]\nname = \"x\"", "/models/r1", true,
            std::make_shared<const placements_of_units>(placements_of_units{
              placement_lists{0, 8, {{1, 3, {{2, 4}, 5}}}}})},
    node_loaded{sender, {"hidden_size 64\n", "cpu/avx2", {{1, {2, 3}}}, true}},
    full_view(),
    node_connected{sender, 77},
    cluster_started{},
    node_suspected{sender, 5, 55, "no heartbeat"},
    node_lost{6, 66, "b", "the connection broke"},
    shut_down{},
    full_request(),
    cancel_request{42, 6, 3, true},
    full_answer(),
    full_report(),
    full_refusal(),
    full_placement(),
    placement_taken{11, 12},
    change_slots{4, 5, slots_step::serve, 6, {{{1, 2, 3}, {7, UINT64_MAX}}}},
    slots_changed{13, 14, slots_step::retire, "no memory"},
    experts_given_up{"there is no room", 3},
    node_back{7, 88, "c"},
    offer_blocks{5, 3, full_request()},
    want_blocks{6, 7, 42, 9, UINT64_MAX - 2, 8, 10},
    block_taken{6, {UINT64_MAX - 3, 7}, 11, false},
    offer_ended{6, 43, 12},
    move_request{UINT64_MAX - 4, 5, 13, 6},
    request_copied{44, 14, 7, true}};
}

} // namespace troupe
