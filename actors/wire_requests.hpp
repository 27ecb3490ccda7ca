#pragma once

/// Messages of schemas/wire.capnp field by field: the two longest, requests and
/// what is said of them, and those by which requests are handed over. Seen by
/// wire.cpp alone.

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

void write(schema::OfferBlocks::Builder x, const offer_blocks& msg);
void write(schema::WantBlocks::Builder x, const want_blocks& msg);
void write(schema::BlockTaken::Builder x, const block_taken& msg);
void write(schema::OfferEnded::Builder x, const offer_ended& msg);

void write(schema::CancelRequest::Builder x, const cancel_request& msg);
void write(schema::MoveRequest::Builder x, const move_request& msg);
void write(schema::RequestCopied::Builder x, const request_copied& msg);

cancel_request read_cancel(schema::CancelRequest::Reader in);
move_request read_move(schema::MoveRequest::Reader in);
request_copied read_copied(schema::RequestCopied::Reader in);

result<offer_blocks> read_offer(schema::OfferBlocks::Reader in);
want_blocks read_wanted(schema::WantBlocks::Reader in);
block_taken read_taken_block(schema::BlockTaken::Reader in);
offer_ended read_offer_end(schema::OfferEnded::Reader in);

result<run_request> read_request(schema::RunRequest::Reader in);

result<tokens_ready> read_tokens(schema::TokensReady::Reader in);

} // namespace troupe
