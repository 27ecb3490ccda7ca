#pragma once

/// The two longest messages of schemas/wire.capnp, requests and what is said of
/// them, field by field. Seen by wire.cpp alone.

#include "actors/protocol.hpp"

#include "schemas/wire.capnp.h"

namespace troupe {

/// What a message that makes no sense is refused with.
inline failure damaged(const char* what) {
  return {errc::invalid_input, std::string{"a control message has "} + what};
}

/// Numbers into a list that has their size.
template <class List, class T>
void fill(List to, const std::vector<T>& from) {
  for (unsigned i = 0; i < from.size(); ++i)
    to.set(i, from[i]);
}

template <class T>
unsigned size_of(const std::vector<T>& x) {
  return static_cast<unsigned>(x.size());
}

void write(schema::RunRequest::Builder x, const run_request& msg);

void write(schema::TokensReady::Builder x, const tokens_ready& msg);

result<run_request> read_request(schema::RunRequest::Reader in);

result<tokens_ready> read_tokens(schema::TokensReady::Reader in);

} // namespace troupe
