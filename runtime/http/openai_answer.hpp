#pragma once

/// What OpenAI's clients get back, as JSON and as server-sent events.

#include "runtime/http/answer_form.hpp"

#include <memory>

namespace troupe::http {

/// What every chunk of one answer repeats.
struct completion_head {
  completion_kind kind = completion_kind::chat;
  std::string id; ///< "chatcmpl-<hex>" or "cmpl-<hex>".
  std::string model;
  std::string fingerprint;
  int64_t created = 0; ///< Unix time, s.
};

/// The form of chats and of text completions.
std::unique_ptr<answer_form> make_completion_form(completion_head head);

std::string render_models(const std::string& model, int64_t created,
                          uint32_t max_model_len);

std::string render_model(const std::string& model, int64_t created,
                         uint32_t max_model_len);

std::string render_version(const std::string& version);

/// What a balancer of requests wants to know.
std::string render_load(const service_stats& stats);

enum class health_status : uint8_t {
  ok,          ///< All is there.
  degraded,    ///< Somebody is missing, and requests are taken.
  unavailable, ///< None is.
};

/// `trouble`: why it is not ok. `faults`: what is broken on purpose.
std::string render_health(health_status is, const std::string& trouble,
                          const std::vector<std::string>& faults);

} // namespace troupe::http
