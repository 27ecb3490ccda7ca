#include "tests/fuzz/target.hpp"

#include "runtime/transport/frame_gate.hpp"
#include "tests/fuzz/checks.hpp"

namespace troupe::fuzz {

namespace {

/// What follows a header is its body, as a network would say.
void read_one(frame_gate& gate, std::span<const std::byte> head,
              std::span<const std::byte> body) {
  constexpr frame_seal seals[] = {{}, {7, true}};
  for (auto& seal : seals) {
    auto header = decode_header(head, body, seal);
    check_refusal(header);
    if (!header) {
      gate.judge_damaged(head);
      continue;
    }
    auto again = encode_header(*header, body, seal);
    CHECK(std::equal(again.begin(), again.end(), head.begin()));
  }
}

/// The same fields as if their checksum fitted.
frame_header fields_of(std::span<const std::byte> head) {
  auto byte = [&](size_t i) { return std::to_integer<uint8_t>(head[i]); };
  frame_header x;
  x.sequence = uint16_t(byte(0) | byte(1) << 8);
  x.kind = frame_class(1 + byte(2) % 6);
  x.cluster = byte(3) % 8;
  x.source = byte(4) % 4;
  x.destination = 100 + byte(5) % 2;
  for (size_t i = 0; i < 8; ++i)
    x.first |= uint64_t{byte(8 + i)} << 8 * i;
  return x;
}

} // namespace

void frames(input x) {
  constexpr auto size = frame_header::size;
  frame_gate gate{7, 100, [](uint64_t who) { return who == 3; }};
  CHECK(gate.add_peer(1, 1));
  CHECK(gate.add_peer(2, 2));
  for (auto rest = bytes_of(x); rest.size() >= size;) {
    auto head = rest.first(size);
    auto body = rest.subspan(size, std::min(size, rest.size() - size));
    read_one(gate, head, body);
    auto header = fields_of(head);
    auto verdict = gate.judge(header, lane_counts{});
    if (auto* who = std::get_if<node_id>(&verdict)) {
      CHECK(gate.incarnation_of(*who) == header.source);
      CHECK(header.cluster == 7 && header.destination == 100);
      if (header.kind != frame_class::hello)
        CHECK(std::holds_alternative<refusal>(gate.judge(header)));
    }
    rest = rest.subspan(size);
  }
}

} // namespace troupe::fuzz
