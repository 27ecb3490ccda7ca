/// The bytes of one frame of every kind, so that nobody changes the wire
/// without seeing it. If a change is meant, an old process must refuse a new
/// one: raise frame_header::version_value (header, rows) or the handshake's
/// protocol (Control, Hello) and take the bytes that the test prints.

#include "actors/wire.hpp"
#include "runtime/dispatch/answer_slab.hpp"
#include "runtime/dispatch/slab.hpp"
#include "runtime/meeting/handshake.hpp"
#include "tests/places.hpp"
#include "tests/unit/actors/wire_samples.hpp"

#include <gtest/gtest.h>

#include <fstream>
#include <map>

using namespace troupe;

namespace {

std::string hex(std::span<const std::byte> bytes) {
  std::string out;
  for (auto x : bytes) {
    constexpr auto digits = "0123456789abcdef";
    out += digits[size_t(x) / 16];
    out += digits[size_t(x) % 16];
  }
  return out;
}

std::string frame_of(frame_class kind, std::span<const std::byte> body) {
  auto is_rows = lane_of(kind) == lane::rows;
  frame_header x;
  x.sequence = 0x1718;
  x.kind = kind;
  x.cluster = 0x01020304;
  x.view = 5;
  x.source = 0x1112131415161718;
  x.destination = 0x2122232425262728;
  x.length = uint32_t(body.size());
  if (is_rows) {
    x.layer = 6;
    x.epoch = 7;
    x.step = 8;
    x.id = rows_id{9, 10, 11}.pack();
    x.first = kind == frame_class::dispatch ? 12 : 0;
  }
  if (kind == frame_class::bulk) {
    x.step = 13;
    x.id = 14;
    x.first = 15;
  }
  return hex(encode_header(x, body, {.tag = 16})) + " " + hex(body);
}

body dispatch_body() {
  slab_plan plan;
  plan.tokens = {4, 7};
  plan.sections.push_back({2, {{0, 0, 2}, {3, 2, 1}}, {0, 1, 1}, {9, 4}});
  plan.sections.push_back({5, {{1, 0, 1}}, {1}, {65534}});
  slab_pool pool{1 << 16};
  auto draft = draft_slab(pool, plan, 16);
  EXPECT_TRUE(draft);
  for (size_t i = 0; i < 32; ++i)
    draft->rows[i] = std::byte(i + 1);
  return draft->payload;
}

std::vector<std::byte> combine_body() {
  const answer_section sections[] = {{2, 12, 1}, {5, 13, 1}};
  std::vector<std::byte> out(answer_head(2));
  write_answer_head(out.data(), sections);
  for (int i = 0; i < 16; ++i)
    out.push_back(std::byte(i + 1));
  return out;
}

/// What a process says first when it meets another.
std::vector<std::byte> greeting() {
  hello_nonce nonce;
  nonce.fill(std::byte{0x55});
  handshake_options options{"cluster", "secret", {"a", 1, 2, {"127.0.0.1", 3}}};
  return handshake{handshake::role::initiator, options, nonce}.greeting();
}

/// Names and bytes as they are now.
std::vector<std::pair<std::string, std::string>> all_frames() {
  auto some = std::as_bytes(std::span{"some bytes"});
  std::vector<std::pair<std::string, std::string>> out{
    {"meeting.greeting", hex(greeting())},
    {"hello", frame_of(frame_class::hello, {})},
    {"heartbeat", frame_of(frame_class::heartbeat, {})},
    {"dispatch", frame_of(frame_class::dispatch, dispatch_body().bytes())},
    {"combine", frame_of(frame_class::combine, combine_body())},
    {"bulk", frame_of(frame_class::bulk, some)}};
  for (auto& x : one_of_each())
    if (!std::holds_alternative<node_report>(x)) // names its values: may grow
      out.push_back({"control." + std::to_string(x.index()),
                     frame_of(frame_class::control, encode(x).bytes())});
  return out;
}

} // namespace

TEST(WireBytes, OfEveryFrameAreThoseThatWereAgreedUpon) {
  std::ifstream file{source_dir() / "tests/unit/actors/wire_bytes.txt"};
  std::map<std::string, std::string> agreed;
  for (std::string line; std::getline(file, line);)
    if (auto space = line.find(' '); space != std::string::npos)
      agreed[line.substr(0, space)] = line.substr(space + 1);
  auto now = all_frames();
  EXPECT_EQ(agreed.size(), now.size());
  for (auto& [name, bytes] : now)
    EXPECT_EQ(agreed[name], bytes) << "the line is now\n"
                                   << name << " " << bytes;
}
