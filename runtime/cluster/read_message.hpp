#pragma once

/// Reading what a process has written down in Cap'n Proto, from bytes that
/// nobody has checked.

#include <capnp/message.h>
#include <capnp/serialize.h>
#include <kj/exception.h>

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <optional>
#include <span>
#include <type_traits>
#include <vector>

namespace troupe {

/// What `read` makes of a message whose root is a Root; nothing if `bytes` are
/// none. Each word may be read once, and a little more: parts of a message
/// could overlap, and hold far more than it does.
template <class Root, class Read>
std::optional<std::invoke_result_t<Read, typename Root::Reader>>
read_message(std::span<const std::byte> bytes, Read read) {
  constexpr uint64_t most = 8u << 20; // 64 MiB
  if (bytes.empty() || bytes.size() % sizeof(capnp::word) != 0)
    return std::nullopt;
  std::vector<capnp::word> words(bytes.size() / sizeof(capnp::word));
  std::memcpy(words.data(), bytes.data(), bytes.size());
  try {
    capnp::FlatArrayMessageReader reader{
      kj::arrayPtr(words.data(), words.size()),
      {.traversalLimitInWords = std::min(most, 64 + 2 * uint64_t{words.size()}),
       .nestingLimit = 16}};
    return read(reader.getRoot<Root>());
  } catch (const kj::Exception&) {
    return std::nullopt;
  }
}

} // namespace troupe
