#pragma once

/// What OpenAI's clients get back, as JSON and as server-sent events.

#include "runtime/http/openai_error.hpp"
#include "runtime/service.hpp"
#include "runtime/text/reasoning_splitter.hpp"

namespace troupe::http {

enum class completion_kind : uint8_t { chat, text };

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

std::string render_whole(const completion_head& head, const answer_piece& all,
                         finish_reason finish, const usage& used);

/// One "data: ...\n\n". The first of a chat says whose turn it is. With
/// `with_usage`, each chunk but the last of all carries a null for it.
std::string render_piece(const completion_head& head, const answer_piece& piece,
                         bool first, bool with_usage);

std::string render_finish(const completion_head& head, finish_reason finish,
                          bool first, bool with_usage);

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
