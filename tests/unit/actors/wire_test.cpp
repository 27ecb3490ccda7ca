#include "actors/wire.hpp"
#include "tests/unit/actors/wire_samples.hpp"

#include <gtest/gtest.h>

#include <bit>
#include <cstring>
#include <random>

using namespace troupe;

namespace {

/// Sends a message to ourselves.
template <class T>
T there_and_back(const T& message) {
  auto payload = encode(message);
  auto out = decode(sender, payload.bytes());
  EXPECT_TRUE(out) << out.why().message;
  return std::get<T>(*out);
}

std::vector<uint32_t> bits(const std::vector<float>& values) {
  std::vector<uint32_t> out;
  for (auto x : values)
    out.push_back(std::bit_cast<uint32_t>(x));
  return out;
}

/// Bytes at an address as the transport gives them.
std::span<std::byte> copy_to(std::vector<uint64_t>& words,
                             std::span<const std::byte> bytes) {
  words.assign(bytes.size() / 8 + 1, 0);
  std::memcpy(words.data(), bytes.data(), bytes.size());
  return std::as_writable_bytes(std::span{words}).first(bytes.size());
}

/// What the actors rely on, whoever has sent it.
void expect_sane(const control_message& message) {
  if (auto* y = std::get_if<tokens_ready>(&message)) {
    EXPECT_LE(y->event->finish, finish_reason::failed);
    EXPECT_EQ(y->event->finish == finish_reason::failed,
              y->event->cause.has_value());
    if (y->event->cause) {
      EXPECT_NE(to_string(y->event->cause->code), nullptr);
    }
  } else if (auto* z = std::get_if<view_published>(&message)) {
    EXPECT_NE(z->members, nullptr);
  } else if (auto* r = std::get_if<rows_refused>(&message)) {
    EXPECT_NE(to_string(r->why), nullptr);
  }
}

} // namespace

TEST(Wire, KeepsTheKindOfEveryMessage) {
  auto all = one_of_each();
  ASSERT_EQ(all.size(), std::variant_size_v<control_message>);
  for (size_t i = 0; i < all.size(); ++i) {
    EXPECT_EQ(all[i].index(), i) << "one of each, in order";
    auto payload = encode(all[i]);
    auto back = decode(sender, payload.bytes());
    ASSERT_TRUE(back) << back.why().message;
    EXPECT_EQ(back->index(), i);
  }
}

TEST(Wire, KeepsWhatIsSaidOfNodes) {
  auto hello = there_and_back(welcome{2, "name = \"x\"", "/models/r1", true});
  EXPECT_TRUE(hello.is_running);
  EXPECT_EQ(hello.node, 2);
  EXPECT_EQ(hello.topology, "name = \"x\"");
  EXPECT_EQ(hello.model_dir, "/models/r1");
  EXPECT_FALSE(hello.placed);
  placements_of_units begins{{0, 8, {{1, 3, {{2, 4}, 5}}}}, {1, 3, {}}};
  hello.placed = std::make_shared<const placements_of_units>(begins);
  auto again = there_and_back(hello);
  ASSERT_TRUE(again.placed);
  EXPECT_EQ(*again.placed, begins);
  auto suspect
    = there_and_back(node_suspected{9, 5, UINT64_MAX, "no heartbeat"});
  EXPECT_EQ(suspect.by, sender) << "from the connection alone";
  EXPECT_EQ(suspect.node, 5);
  EXPECT_EQ(suspect.incarnation, UINT64_MAX);
  EXPECT_EQ(suspect.why, "no heartbeat");
  auto lost = there_and_back(node_lost{6, UINT64_MAX - 1, "b", "it broke"});
  EXPECT_EQ(lost.node, 6);
  EXPECT_EQ(lost.incarnation, UINT64_MAX - 1);
  EXPECT_EQ(lost.name, "b");
  EXPECT_EQ(lost.why, "it broke");
  auto back = there_and_back(node_back{6, UINT64_MAX, "b"});
  EXPECT_EQ(back.node, 6);
  EXPECT_EQ(back.incarnation, UINT64_MAX);
  EXPECT_EQ(back.name, "b");
  EXPECT_EQ(there_and_back(node_connected{9, UINT32_MAX}).view, UINT32_MAX);
  auto view = there_and_back(full_view()).members;
  EXPECT_EQ(view->number, 3u);
  EXPECT_EQ(view->epochs, (std::vector<uint32_t>{4, UINT32_MAX}));
  ASSERT_EQ(view->members.size(), 2u);
  EXPECT_EQ(view->members[1].name, "b");
  EXPECT_EQ(view->members[1].incarnation, UINT64_MAX);
  EXPECT_EQ(view->members[1].address.host, "::1");
  EXPECT_EQ(view->members[1].address.port, 9);
  EXPECT_EQ(view->members[0].is, member_state::serving);
  EXPECT_EQ(view->members[1].is, member_state::absent);
}

TEST(Wire, KeepsWhatIsSaidOfPlacements) {
  auto placed = full_placement();
  EXPECT_EQ(*there_and_back(placed).map, *placed.map);
  auto taken = there_and_back(placement_taken{11, UINT32_MAX});
  EXPECT_EQ(taken.rank, 11);
  EXPECT_EQ(taken.epoch, UINT32_MAX);
  change_slots asked{4, 5, slots_step::serve, 6, {{{1, 2, 3}, {7, 8}}}};
  auto change = there_and_back(asked);
  EXPECT_EQ(change.change, 4u);
  EXPECT_EQ(change.worker, 5);
  EXPECT_EQ(change.step, slots_step::serve);
  EXPECT_EQ(change.epoch, 6u);
  EXPECT_EQ(change.slots, asked.slots);
  auto changed
    = there_and_back(slots_changed{13, 14, slots_step::retire, "no memory"});
  EXPECT_EQ(changed.change, 13u);
  EXPECT_EQ(changed.worker, 14);
  EXPECT_EQ(changed.step, slots_step::retire);
  EXPECT_EQ(changed.failure, "no memory");
  auto given_up = there_and_back(experts_given_up{"no room", 15});
  EXPECT_EQ(given_up.why, "no room");
  EXPECT_EQ(given_up.unit, 15);
  for (auto bad : {slots_step::num_steps, slots_step(200)}) {
    EXPECT_FALSE(
      decode(sender, encode(change_slots{1, 2, bad, 3, {}}).bytes()));
    EXPECT_FALSE(decode(sender, encode(slots_changed{1, 2, bad, ""}).bytes()));
  }
}

TEST(Wire, RefusesVerdictsAndSuspicionsThatNameNoProcess) {
  EXPECT_FALSE(decode(sender, encode(node_lost{6, 0, "b", "late"}).bytes()));
  EXPECT_FALSE(decode(sender, encode(node_suspected{1, 6, 0, "late"}).bytes()));
  EXPECT_FALSE(decode(sender, encode(node_back{6, 0, "b"}).bytes()));
}

TEST(Wire, RefusesAMemberInAStateThatItDoesNotKnow) {
  view odd{1, {1}, {{"a", 1, {"127.0.0.1", 80}, member_state::num_states}}};
  auto payload
    = encode(view_published{std::make_shared<const view>(std::move(odd))});
  EXPECT_FALSE(decode(sender, payload.bytes()));
}

TEST(Wire, KnowsTheSenderFromTheConnectionAlone) {
  EXPECT_EQ(there_and_back(node_loaded{9, {}}).node, sender);
  EXPECT_EQ(there_and_back(node_connected{9}).node, sender);
  node_report report;
  report.node = 9;
  EXPECT_EQ(there_and_back(report).node, sender);
}

TEST(Wire, KeepsWhatANodeComputesWith) {
  numerics first{"operations 2\nhidden_size 64\n", "cpu/avx2", {}, false};
  EXPECT_EQ(there_and_back(node_loaded{sender, first}).what, first);
  numerics last;
  last.tensors = {{1, {2, UINT64_MAX}}, {UINT64_MAX, {0, 5}}};
  last.is_complete = true;
  EXPECT_EQ(there_and_back(node_loaded{sender, last}).what, last);
}

TEST(Wire, KeepsAsManyTensorsAsAPartMayHoldAndNoMore) {
  node_loaded most;
  for (uint64_t i = 0; i < max_tensors_in_part; ++i)
    most.what.tensors.push_back({i, {~i, i << 32}});
  EXPECT_EQ(there_and_back(most).what, most.what);
  most.what.tensors.emplace_back();
  auto payload = encode(most);
  EXPECT_FALSE(decode(sender, payload.bytes()));
}

TEST(Wire, KeepsARequest) {
  auto sent = full_request();
  auto back = there_and_back(sent);
  EXPECT_EQ(back.request, sent.request);
  EXPECT_EQ(back.term, sent.term);
  EXPECT_EQ(back.rank, sent.rank);
  EXPECT_EQ(back.what->prompt, sent.what->prompt);
  EXPECT_EQ(back.what->sampling.top_k, 40u);
  EXPECT_EQ(back.what->sampling.seed, UINT64_MAX);
  EXPECT_EQ(back.what->sampling.min_p, 0.1f);
  EXPECT_EQ(back.what->sampling.repetition_penalty, 1.1f);
  EXPECT_EQ(back.what->sampling.presence_penalty, -0.25f);
  EXPECT_EQ(back.what->sampling.frequency_penalty, 1.5f);
  EXPECT_EQ(back.what->sampling.biases, sent.what->sampling.biases);
  EXPECT_EQ(back.what->min_tokens, 12u);
  EXPECT_EQ(back.what->stop_ids, sent.what->stop_ids);
  EXPECT_EQ(back.what->num_scores, 21u);
  EXPECT_EQ(back.what->num_prompt_scores, 3u);
  EXPECT_EQ(back.what->max_tokens, 123u);
  EXPECT_TRUE(back.what->ignore_eos);
  EXPECT_TRUE(back.what->want_logits);
  EXPECT_EQ(back.unit, 6u);
  EXPECT_EQ(back.what->segments, sent.what->segments);
  EXPECT_EQ(back.answered, sent.answered);
}

TEST(Wire, KeepsACancellation) {
  auto back = there_and_back(cancel_request{42, 6, 3, true});
  EXPECT_EQ(back.request, 42u);
  EXPECT_EQ(back.rank, 6u);
  EXPECT_EQ(back.term, 3u);
  EXPECT_TRUE(back.is_passed_on);
}

TEST(Wire, KeepsEveryRefusalOfRows) {
  for (auto why = 1; why < int(rows_fault::num_faults); ++why) {
    auto sent = full_refusal();
    sent.why = rows_fault(why);
    auto back = there_and_back(sent);
    EXPECT_EQ(back.of, sent.of);
    EXPECT_EQ(back.worker, 8u);
    EXPECT_EQ(back.why, sent.why);
  }
  for (auto why : {0, int(rows_fault::num_faults), 255}) {
    auto sent = full_refusal();
    sent.why = rows_fault(why);
    EXPECT_FALSE(decode(sender, encode(sent).bytes())) << why;
  }
}

TEST(Wire, KeepsEveryBitOfTemperatureAndTopP) {
  for (uint32_t x : {0u, 0x80000000u, 1u, 0x007fffffu, 0x3f7fffffu, 0x7f7fffffu,
                     0x7f800000u, 0xff800000u, 0x7fc01234u, 0x7f800001u}) {
    auto what = std::make_shared<generation_request>();
    what->prompt = {1};
    what->max_tokens = 1;
    // Not through a float: a signalling NaN would not survive that here.
    std::memcpy(&what->sampling.temperature, &x, 4);
    std::memcpy(&what->sampling.top_p, &x, 4);
    auto back = there_and_back(run_request{1, 1, 0, 0, what, {}});
    EXPECT_EQ(std::memcmp(&back.what->sampling.temperature, &x, 4), 0) << x;
    EXPECT_EQ(std::memcmp(&back.what->sampling.top_p, &x, 4), 0) << x;
  }
}

TEST(Wire, KeepsAnAnswerAndEveryBitOfItsLogits) {
  auto sent = full_answer();
  auto back = there_and_back(sent);
  EXPECT_EQ(back.request, 77u);
  EXPECT_EQ(back.term, 2u);
  EXPECT_EQ(back.event->tokens, sent.event->tokens);
  EXPECT_EQ(back.event->first_position, 17u);
  EXPECT_EQ(bits(back.event->logits), bits(sent.event->logits));
  EXPECT_EQ(back.event->end_token, 9);
  EXPECT_EQ(back.event->scores, sent.event->scores);
  EXPECT_EQ(back.event->prompt_scores, sent.event->prompt_scores);
  EXPECT_EQ(back.event->first_scored, 70u);
  EXPECT_EQ(back.event->finish, finish_reason::failed);
  ASSERT_TRUE(back.event->cause.has_value());
  EXPECT_EQ(back.event->cause->code, errc::peer_lost);
  EXPECT_EQ(back.event->cause->message, "node b was lost");
  auto plain = std::make_shared<generation_event>();
  plain->finish = finish_reason::stop;
  back = there_and_back(tokens_ready{1, 1, plain});
  EXPECT_EQ(back.event->finish, finish_reason::stop);
  EXPECT_FALSE(back.event->cause.has_value());
  EXPECT_TRUE(back.event->tokens.empty());
}

TEST(Wire, KeepsAReport) {
  auto sent = full_report();
  ASSERT_TRUE(there_and_back(sent).loads);
  EXPECT_EQ(*there_and_back(sent).loads, *sent.loads);
  EXPECT_FALSE(there_and_back(node_report{}).loads);
  auto back = there_and_back(sent);
  EXPECT_EQ(back.values, sent.values);
  EXPECT_EQ(back.network.bytes_sent, UINT64_MAX);
  for (size_t i = 0; i < size_t(refusal::num_refusals); ++i)
    EXPECT_EQ(back.network.frames_refused[i], 200 + i);
}

TEST(Wire, CarriesTheLongestPromptsAndLogits) {
  auto what = std::make_shared<generation_request>();
  what->prompt.assign(160000, 7);
  what->max_tokens = 1;
  EXPECT_EQ(
    there_and_back(run_request{1, 1, 0, 0, what, {}}).what->prompt.size(),
    160000u);
  auto event = std::make_shared<generation_event>();
  event->tokens.assign(8, 1);
  event->logits.assign(8 * 129280, 0.25f);
  EXPECT_EQ(there_and_back(tokens_ready{1, 1, event}).event->logits.size(),
            8u * 129280);
}

TEST(Wire, RefusesNoBytesAndOddOnes) {
  EXPECT_FALSE(decode(sender, {}));
  std::vector<uint64_t> words;
  auto bytes = copy_to(words, encode(full_request()).bytes());
  EXPECT_FALSE(decode(sender, bytes.first(bytes.size() - 1)));
  EXPECT_FALSE(decode(sender, bytes.subspan(4)));
}

TEST(Wire, AnyByteChangedIsRefusedOrSane) {
  std::vector<uint64_t> words;
  for (auto& message : one_of_each()) {
    auto payload = encode(message);
    auto bytes = copy_to(words, payload.bytes());
    for (size_t i = 0; i < bytes.size(); ++i)
      for (int flip : {1, 2, 4, 8, 16, 32, 64, 128, 255}) {
        SCOPED_TRACE("kind " + std::to_string(message.index()) + ", byte "
                     + std::to_string(i) + " ^ " + std::to_string(flip));
        bytes[i] ^= std::byte(flip);
        if (auto back = decode(sender, bytes))
          expect_sane(*back);
        bytes[i] ^= std::byte(flip);
      }
  }
}

TEST(Wire, ManyBytesChangedOrCutAreRefusedOrSane) {
  auto all = one_of_each();
  std::vector<uint64_t> words;
  for (uint32_t seed = 1; seed <= 20000; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    std::mt19937 random{seed};
    auto payload = encode(all[random() % all.size()]);
    auto bytes = copy_to(words, payload.bytes());
    for (auto n = random() % 6 + 1; n > 0; --n)
      bytes[random() % bytes.size()] = std::byte(random());
    auto length = random() % 3 ? bytes.size() : random() % bytes.size() / 8 * 8;
    if (auto back = decode(sender, bytes.first(length)))
      expect_sane(*back);
  }
}
