#pragma once

/// What OpenAI's clients get back, as JSON and as server-sent events.

#include "runtime/http/completion_options.hpp"
#include "runtime/http/openai_error.hpp"
#include "runtime/http/scored_tokens.hpp"
#include "runtime/service.hpp"
#include "runtime/text/reasoning_splitter.hpp"

namespace troupe::http {

/// What every chunk of one answer repeats.
struct completion_head {
  completion_kind kind = completion_kind::chat;
  std::string id; ///< "chatcmpl-<hex>" or "cmpl-<hex>".
  std::string model;
  std::string fingerprint;
  int64_t created = 0; ///< Unix time, s.
};

struct usage {
  uint64_t prompt_tokens = 0;
  uint64_t completion_tokens = 0;
  uint64_t reasoning_tokens = 0; ///< Of the completion's.
};

/// How an answer ended.
struct answer_end {
  finish_reason why = finish_reason::none;
  std::optional<int32_t> stop_id = {}; ///< One that the request has named.
  std::string stop = {};               ///< A stop string, or empty.
  bool has_called = false;             ///< There were calls of tools.
};

/// One of the answers to a request.
struct whole_answer {
  answer_piece piece;
  answer_end end;
  std::vector<scored_token> scores;
};

/// A part of one of them.
struct answer_chunk {
  uint32_t index = 0; ///< Of the answer.
  answer_piece piece = {};
  bool is_first = false;   ///< Of a chat it says whose turn it is.
  bool with_usage = false; ///< As null: it comes in a chunk of its own.
  std::vector<scored_token> scores = {}; ///< Those that are new.
};

std::string render_whole(const completion_head& head,
                         const std::vector<whole_answer>& all,
                         const usage& used);

/// One "data: ...\n\n".
std::string render_piece(const completion_head& head, const answer_chunk& x);

/// The same with the end of the answer.
std::string render_finish(const completion_head& head, const answer_chunk& x,
                          const answer_end& end);

std::string render_usage(const completion_head& head, const usage& used);

std::string render_error_event(const api_error& error);

/// The last event of every stream that did not fail.
inline constexpr const char* done_event = "data: [DONE]\n\n";

std::string render_models(const std::string& model, int64_t created,
                          uint32_t max_model_len);

std::string render_model(const std::string& model, int64_t created,
                         uint32_t max_model_len);

std::string render_version(const std::string& version);

/// What a balancer of requests wants to know.
std::string render_load(const service_stats& stats);

/// `trouble` empty: all is well. `faults`: what is broken on purpose.
std::string render_health(const std::string& trouble,
                          const std::vector<std::string>& faults);

} // namespace troupe::http
