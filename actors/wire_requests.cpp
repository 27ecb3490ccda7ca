#include "actors/wire_requests.hpp"

#include <bit>
#include <cstring>
#include <type_traits>

namespace troupe {

namespace {

/// On the wire, where there is none.
constexpr rank_id no_rank = 0xffff;

/// Values without padding, as they lie in memory.
template <class T>
kj::ArrayPtr<const kj::byte> bytes_of(const std::vector<T>& x) {
  return kj::arrayPtr(reinterpret_cast<const kj::byte*>(x.data()),
                      x.size() * sizeof(T));
}

/// The other way round; false if there is a part of a value.
template <class T>
bool read_bytes(capnp::Data::Reader from, std::vector<T>& to) {
  static_assert(std::is_trivially_copyable_v<T>);
  if (from.size() % sizeof(T) != 0)
    return false;
  to.resize(from.size() / sizeof(T));
  if (from.size() > 0)
    std::memcpy(to.data(), from.begin(), from.size());
  return true;
}

uint32_t bits_of(float x) {
  return std::bit_cast<uint32_t>(x);
}

float float_of(uint32_t bits) {
  return std::bit_cast<float>(bits);
}

void write(schema::RunRequest::Builder x, const sampling_params& sampling) {
  auto& [temperature, top_p, top_k, seed, min_p, repetition, presence,
         frequency, biases]
    = sampling;
  x.setTemperatureBits(bits_of(temperature));
  x.setTopPBits(bits_of(top_p));
  x.setTopK(top_k);
  x.setSeed(seed);
  x.setMinPBits(bits_of(min_p));
  x.setRepetitionPenaltyBits(bits_of(repetition));
  x.setPresencePenaltyBits(bits_of(presence));
  x.setFrequencyPenaltyBits(bits_of(frequency));
  auto list = x.initBiases(size_of(biases));
  for (unsigned i = 0; i < biases.size(); ++i) {
    auto& [id, add] = biases[i];
    list[i].setId(id);
    list[i].setAddBits(bits_of(add));
  }
}

void write(schema::RunRequest::Builder x,
           const std::vector<prompt_segment>& segments) {
  auto list = x.initSegments(size_of(segments));
  for (unsigned i = 0; i < segments.size(); ++i) {
    auto& [length, author] = segments[i];
    list[i].setLength(length);
    list[i].setAuthor(static_cast<uint8_t>(author));
  }
}

sampling_params read_sampling(schema::RunRequest::Reader in) {
  sampling_params out;
  auto& [temperature, top_p, top_k, seed, min_p, repetition, presence,
         frequency, biases]
    = out;
  temperature = float_of(in.getTemperatureBits());
  top_p = float_of(in.getTopPBits());
  top_k = in.getTopK();
  seed = in.getSeed();
  min_p = float_of(in.getMinPBits());
  repetition = float_of(in.getRepetitionPenaltyBits());
  presence = float_of(in.getPresencePenaltyBits());
  frequency = float_of(in.getFrequencyPenaltyBits());
  for (auto x : in.getBiases())
    biases.push_back({x.getId(), float_of(x.getAddBits())});
  return out;
}

result<std::vector<prompt_segment>>
read_segments(schema::RunRequest::Reader in) {
  std::vector<prompt_segment> out;
  for (auto x : in.getSegments()) {
    if (x.getAuthor() > static_cast<uint8_t>(segment_author::generated))
      return damaged("a segment of an unknown author");
    out.push_back({x.getLength(), static_cast<segment_author>(x.getAuthor())});
  }
  return out;
}

} // namespace

// -- to bytes -----------------------------------------------------------------

void write(schema::RunRequest::Builder x, const run_request& msg) {
  auto& [request, term, unit, rank, what, answered, next] = msg;
  x.setRequest(request);
  x.setTerm(term);
  x.setUnit(unit);
  x.setRank(rank);
  x.setNext(next.value_or(no_rank));
  fill(x.initAnswered(size_of(answered)), answered);
  // The gateway alone reads the wish, by which it has chosen `rank`, and the
  // name.
  auto& [prompt, segments, sampling, max_tokens, min_tokens, stop_ids,
         ignore_eos, num_scores, num_prompt_scores, want_logits, rank_wish,
         grammar, cache_salt, priority, name]
    = *what;
  write(x, segments);
  auto& [kind, source, after_thought] = grammar;
  x.setGrammarKind(static_cast<uint8_t>(kind));
  x.setGrammar(source);
  x.setGrammarAfterThought(after_thought);
  x.setCacheSalt(kj::arrayPtr(
    reinterpret_cast<const kj::byte*>(cache_salt.data()), cache_salt.size()));
  x.setPriority(priority);
  fill(x.initPrompt(size_of(prompt)), prompt);
  write(x, sampling);
  x.setMaxTokens(max_tokens);
  x.setMinTokens(min_tokens);
  fill(x.initStopIds(size_of(stop_ids)), stop_ids);
  x.setIgnoreEos(ignore_eos);
  x.setNumScores(static_cast<uint8_t>(num_scores));
  x.setNumPromptScores(static_cast<uint8_t>(num_prompt_scores));
  x.setWantLogits(want_logits);
}

void write(schema::TokensReady::Builder x, const tokens_ready& msg) {
  auto& [request, term, event] = msg;
  auto& [tokens, first_position, logits, finish, end_token, scores,
         prompt_scores, first_scored, num_cached, cause]
    = *event;
  x.setRequest(request);
  x.setTerm(term);
  x.setFirstPosition(first_position);
  fill(x.initTokens(size_of(tokens)), tokens);
  x.setLogits(bytes_of(logits));
  x.setScores(bytes_of(scores));
  x.setPromptScores(bytes_of(prompt_scores));
  x.setFirstScored(first_scored);
  x.setNumCached(num_cached);
  x.setFinish(static_cast<uint8_t>(finish));
  x.setEndToken(end_token.value_or(-1));
  if (cause) {
    auto& [code, message] = *cause;
    x.setCauseCode(static_cast<uint8_t>(code));
    x.setCauseText(message);
  }
}

void write(schema::OfferBlocks::Builder x, const offer_blocks& msg) {
  auto& [rank, from, of] = msg;
  x.setRank(rank);
  x.setFrom(from);
  write(x.initOf(), of);
}

void write(schema::WantBlocks::Builder x, const want_blocks& msg) {
  auto& [rank, by, request, term, transfer, first, count] = msg;
  x.setRank(rank);
  x.setBy(by);
  x.setRequest(request);
  x.setTerm(term);
  x.setTransfer(transfer);
  x.setFirst(first);
  x.setCount(count);
}

void write(schema::BlockTaken::Builder x, const block_taken& msg) {
  auto& [rank, key, chunk, goes_on] = msg;
  auto& [transfer, generation] = key;
  x.setRank(rank);
  x.setTransfer(transfer);
  x.setGeneration(generation);
  x.setChunk(chunk);
  x.setGoesOn(goes_on);
}

void write(schema::OfferEnded::Builder x, const offer_ended& msg) {
  auto& [rank, request, term] = msg;
  x.setRank(rank);
  x.setRequest(request);
  x.setTerm(term);
}

void write(schema::CancelRequest::Builder x, const cancel_request& msg) {
  auto& [request, rank, term, is_passed_on] = msg;
  x.setRequest(request);
  x.setRank(rank);
  x.setTerm(term);
  x.setIsPassedOn(is_passed_on);
}

void write(schema::MoveRequest::Builder x, const move_request& msg) {
  auto& [request, rank, term, to] = msg;
  x.setRequest(request);
  x.setRank(rank);
  x.setTerm(term);
  x.setTo(to);
}

void write(schema::RequestCopied::Builder x, const request_copied& msg) {
  auto& [request, term, to, ok] = msg;
  x.setRequest(request);
  x.setTerm(term);
  x.setTo(to);
  x.setOk(ok);
}

// -- from bytes ---------------------------------------------------------------

result<run_request> read_request(schema::RunRequest::Reader in) {
  auto what = std::make_shared<generation_request>();
  auto& [prompt, segments, sampling, max_tokens, min_tokens, stop_ids,
         ignore_eos, num_scores, num_prompt_scores, want_logits, rank_wish,
         grammar, cache_salt, priority, name]
    = *what;
  auto its_segments = read_segments(in);
  if (!its_segments)
    return its_segments.why();
  segments = std::move(*its_segments);
  prompt.reserve(in.getPrompt().size());
  for (auto token : in.getPrompt())
    prompt.push_back(token);
  sampling = read_sampling(in);
  max_tokens = in.getMaxTokens();
  min_tokens = in.getMinTokens();
  for (auto token : in.getStopIds())
    stop_ids.push_back(token);
  ignore_eos = in.getIgnoreEos();
  num_scores = in.getNumScores();
  num_prompt_scores = in.getNumPromptScores();
  want_logits = in.getWantLogits();
  grammar = {static_cast<grammar_kind>(in.getGrammarKind()), in.getGrammar(),
             in.getGrammarAfterThought()};
  auto salt = in.getCacheSalt();
  cache_salt.assign(reinterpret_cast<const char*>(salt.begin()), salt.size());
  priority = in.getPriority();
  run_request out;
  auto& [request, term, unit, rank, its_what, answered, next] = out;
  request = in.getRequest();
  term = in.getTerm();
  unit = in.getUnit();
  rank = in.getRank();
  if (in.getNext() != no_rank)
    next = in.getNext();
  for (auto token : in.getAnswered())
    answered.push_back(token);
  its_what = std::move(what);
  return out;
}

result<tokens_ready> read_tokens(schema::TokensReady::Reader in) {
  auto event = std::make_shared<generation_event>();
  auto& [tokens, first_position, logits, finish, end_token, scores,
         prompt_scores, first_scored, num_cached, cause]
    = *event;
  for (auto token : in.getTokens())
    tokens.push_back(token);
  first_position = in.getFirstPosition();
  if (!read_bytes(in.getLogits(), logits) || !read_bytes(in.getScores(), scores)
      || !read_bytes(in.getPromptScores(), prompt_scores)
      || in.getFinish() > uint8_t(finish_reason::failed))
    return damaged("logits, scores or a finish reason that make no sense");
  first_scored = in.getFirstScored();
  num_cached = in.getNumCached();
  finish = static_cast<finish_reason>(in.getFinish());
  if (in.getEndToken() >= 0)
    end_token = in.getEndToken();
  if (finish == finish_reason::failed)
    cause = failure{static_cast<errc>(in.getCauseCode()), in.getCauseText()};
  tokens_ready out;
  auto& [request, term, its_event] = out;
  request = in.getRequest();
  term = in.getTerm();
  its_event = std::move(event);
  return out;
}

result<offer_blocks> read_offer(schema::OfferBlocks::Reader in) {
  auto what = read_request(in.getOf());
  if (!what)
    return what.why();
  offer_blocks out;
  auto& [rank, from, of] = out;
  rank = in.getRank();
  from = in.getFrom();
  of = std::move(*what);
  return out;
}

want_blocks read_wanted(schema::WantBlocks::Reader in) {
  want_blocks out;
  auto& [rank, by, request, term, transfer, first, count] = out;
  rank = in.getRank();
  by = in.getBy();
  request = in.getRequest();
  term = in.getTerm();
  transfer = in.getTransfer();
  first = in.getFirst();
  count = in.getCount();
  return out;
}

block_taken read_taken_block(schema::BlockTaken::Reader in) {
  block_taken out;
  auto& [rank, key, chunk, goes_on] = out;
  auto& [transfer, generation] = key;
  rank = in.getRank();
  transfer = in.getTransfer();
  generation = in.getGeneration();
  chunk = in.getChunk();
  goes_on = in.getGoesOn();
  return out;
}

offer_ended read_offer_end(schema::OfferEnded::Reader in) {
  offer_ended out;
  auto& [rank, request, term] = out;
  rank = in.getRank();
  request = in.getRequest();
  term = in.getTerm();
  return out;
}

cancel_request read_cancel(schema::CancelRequest::Reader in) {
  cancel_request out;
  auto& [request, rank, term, is_passed_on] = out;
  request = in.getRequest();
  rank = in.getRank();
  term = in.getTerm();
  is_passed_on = in.getIsPassedOn();
  return out;
}

move_request read_move(schema::MoveRequest::Reader in) {
  move_request out;
  auto& [request, rank, term, to] = out;
  request = in.getRequest();
  rank = in.getRank();
  term = in.getTerm();
  to = in.getTo();
  return out;
}

request_copied read_copied(schema::RequestCopied::Reader in) {
  request_copied out;
  auto& [request, term, to, ok] = out;
  request = in.getRequest();
  term = in.getTerm();
  to = in.getTo();
  ok = in.getOk();
  return out;
}

} // namespace troupe
