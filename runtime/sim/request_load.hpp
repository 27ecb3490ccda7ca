#pragma once

/// What clients ask in a virtual run: request by request from a file, or a load
/// in a few words.

#include "runtime/error.hpp"
#include "runtime/sim/expected_answer.hpp"
#include "runtime/sim/trace.hpp"

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace troupe {

/// One request of a client.
struct client_request {
  /// Empty prompt: of `text`, which a tokenizer has to make ids of.
  generation_request request;
  std::string text;
  virtual_duration arrival{0}; ///< Since the begin of the run, at the earliest.
  /// The client goes away after so many tokens, 0: as soon as it is accepted.
  std::optional<uint32_t> cancel_after_tokens;
  /// Or so long after it has asked.
  std::optional<virtual_duration> cancel_after;
  /// Nothing: its tokens are not judged.
  std::optional<expected_answer> expected = {};
};

struct client_load {
  std::vector<client_request> requests; ///< By arrival, if none waits.
  uint32_t streams = 0; ///< Open at a time, others wait; 0: no limit.
};

/// One JSON object a line, empty lines are passed over. The first may be
/// {"streams": 8}, how many are open at a time; the others are requests:
///   {"prompt": [1, 2, 3], "max_tokens": 8, "temperature": 0, "seed": 7,
///    "top_p": 1, "top_k": 0, "ignore_eos": true, "regex": "[a-z ]+",
///    "arrival": "10ms", "cancel_after": 3}
/// `prompt` is a text or ids, at least one; without max_tokens it is as many as
/// there is room for; without temperature the choice is greedy. cancel_after
/// is a number of tokens or a time. Error: invalid_input, with the line.
result<client_load> parse_requests(std::string_view text,
                                   std::string_view source_name);

/// Errors: not_found, io, invalid_input.
result<client_load> read_requests(const std::filesystem::path& path);

/// Writes lines that parse_requests reads back to the same.
std::string render(const client_load& load);

/// "streams=8,prompt=16-256,output=32,rate=20,requests=64".
struct load_spec {
  uint32_t streams = 8; ///< Open at a time.
  uint32_t least_prompt = 16;
  uint32_t most_prompt = 16;
  uint32_t least_output = 16;
  uint32_t most_output = 16;
  uint32_t rate = 0;     ///< Arrivals a second, at random; 0: all at once.
  uint32_t requests = 0; ///< 0: four for each stream.

  friend bool operator==(const load_spec&, const load_spec&) = default;
};

/// What is not named keeps its default. Error: invalid_input.
result<load_spec> parse_load(std::string_view text);

/// Greedy and sampled requests in turn, with random ids below `vocab_size` as
/// prompts, that go past end tokens. The same seed gives the same on every
/// machine. vocab_size >= 1.
client_load make_load(const load_spec& spec, uint64_t seed,
                      uint32_t vocab_size);

} // namespace troupe
