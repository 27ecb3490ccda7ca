#pragma once

/// What a front end (HTTP, command line, an embedding program) may ask of a
/// company of actors, and what it hears back. No CAF, no UCX, no HTTP: the
/// actors implement it, `runtime/http` and `deploy` use it.

#include "runtime/error.hpp"
#include "runtime/grammar/grammar_source.hpp"

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace troupe {

/// Added to the logit of a token before anything else.
struct logit_bias {
  int32_t id = 0;
  float add = 0;

  friend bool operator==(const logit_bias&, const logit_bias&) = default;
};

/// How tokens are chosen, as vLLM does: biases, then the three penalties, then
/// temperature, min_p, top_k, top_p.
struct sampling_params {
  float temperature = 1; ///< 0: greedy.
  float top_p = 1;       ///< (0, 1]
  uint32_t top_k = 0;    ///< 0: all.
  uint64_t seed = 0;
  float min_p = 0; ///< [0, 1], of the largest probability.
  /// [0.01, 100]. Logits above 0 of tokens that prompt or answer have are
  /// divided by it, the others of them multiplied.
  float repetition_penalty = 1;
  float presence_penalty = 0;  ///< [-2, 2], for being in the answer.
  float frequency_penalty = 0; ///< [-2, 2], for each time in the answer.
  std::vector<logit_bias> biases = {}; ///< Ascending by id, in [-100, 100].
};

/// How likely a token is, as the natural logarithm of its probability among all
/// that may be sampled, at temperature 1 and before biases and penalties.
struct token_score {
  int32_t id = 0;
  float logprob = 0;

  friend bool operator==(const token_score&, const token_score&) = default;
};

/// Most scores of a token: its own, and those of the 20 likeliest ones.
inline constexpr uint32_t max_scores = 21;

/// Who wrote a part of a prompt.
enum class segment_author : uint8_t {
  given,     ///< People, tools, the form.
  generated, ///< The model, as far as anybody can tell.
};

/// A part of a prompt that one author wrote.
struct prompt_segment {
  uint32_t length = 0; ///< Tokens, at least 1.
  segment_author author = segment_author::given;

  friend bool operator==(const prompt_segment&, const prompt_segment&)
    = default;
};

/// One prompt to continue. What it may ask for: runtime/request_rules.hpp.
struct generation_request {
  std::vector<int32_t> prompt; ///< At least one token.
  /// Of the whole prompt, in order; none: it is one that was given.
  std::vector<prompt_segment> segments;
  sampling_params sampling;
  uint32_t max_tokens = 0; ///< 0: as many as the context has room for.
  /// Before so many tokens none is chosen that would end the answer.
  uint32_t min_tokens = 0;
  /// They end the answer like the model's end token; at most 64.
  std::vector<int32_t> stop_ids = {};
  bool ignore_eos = false;        ///< Go on past the model's end token.
  uint32_t num_scores = 0;        ///< With every token; its own comes first.
  uint32_t num_prompt_scores = 0; ///< Likewise of the prompt but its first.
  bool want_logits = false;       ///< Tests: logits with every token.
  std::optional<uint32_t> rank;   ///< Tests and tools: run it there.
  /// What its text has to be. An answer that is whole ends, also without an end
  /// token; the model's end tokens come nowhere else.
  grammar_source grammar = {};
  /// What a request finds in the cache of prefixes those with the same salt
  /// have left there; at most max_cache_salt bytes.
  std::string cache_salt = {};
  /// Its place among those that wait or run at its rank: see turn_of. At most
  /// max_priority, at least as much below zero.
  int32_t priority = 0;
  /// What its client knows it by, for traces; it stays in this process.
  std::string name = {};
};

inline constexpr size_t max_cache_salt = 128;
inline constexpr int32_t max_priority = 100;

enum class finish_reason : uint8_t {
  none, ///< Not yet.
  /// An end token, which is not part of the tokens: `end_token`; or the text is
  /// all that its grammar has.
  stop,
  length, ///< max_tokens, the context is full, or the grammar goes no deeper.
  failed, ///< See generation_event::cause.
};

/// Something that happened to a request. Tokens come once, in order.
struct generation_event {
  std::vector<int32_t> tokens;
  uint32_t first_position = 0; ///< Of tokens[0]; 0: first after the prompt.
  std::vector<float> logits;   ///< [tokens, vocab] if asked for.
  finish_reason finish = finish_reason::none; ///< Once, in the last event.
  std::optional<int32_t> end_token;           ///< With finish_reason::stop.
  /// [tokens, then end_token, num_scores]; id -1 where there are no more.
  std::vector<token_score> scores;
  /// [some of the prompt's tokens, num_prompt_scores], likewise. They come
  /// once, in order, before the first token or with it.
  std::vector<token_score> prompt_scores;
  uint32_t first_scored = 0; ///< Place in the prompt of the first of these.
  /// Tokens of the prompt that were found in the cache of prefixes. With the
  /// first token.
  uint32_t num_cached = 0;
  std::optional<failure> cause; ///< What was lost and who was the cause.
};

using request_id = uint64_t;

/// Called on a thread of the service or of the one who ends it, one call at a
/// time for a request: short, without blocking, without throwing.
using event_handler = std::function<void(const generation_event&)>;

struct service_info {
  uint32_t max_model_len = 0; ///< Prompt and answer together.
  uint32_t num_ranks = 0;
  uint32_t num_workers = 0;
  uint32_t num_nodes = 0;
  uint64_t num_places = 0; ///< Requests that can run at once, with blocks.
};

/// Counters since the start; bytes are payload, both directions of this process
/// and every node that reports to it.
struct service_stats {
  uint64_t requests_accepted = 0;
  uint64_t requests_finished = 0;
  uint64_t requests_failed = 0;
  uint64_t requests_cancelled = 0;
  uint64_t requests_moved = 0; ///< To another rank, since theirs was lost.
  uint64_t requests_handed_over = 0; ///< By who prefills to who decodes.
  uint64_t prompt_tokens = 0;
  uint64_t generated_tokens = 0;
  uint64_t steps = 0;
  uint64_t requests_running = 0;
  uint64_t requests_waiting = 0;
  uint64_t kv_blocks_total = 0;
  uint64_t kv_blocks_free = 0;
  uint64_t kv_blocks_cached = 0; ///< Free ones that may still be found.
  uint64_t tokens_looked_up = 0; ///< In the cache of prefixes.
  uint64_t tokens_found = 0;     ///< Of these.
  uint64_t preemptions = 0;      ///< Blocks lost to an older request.
  uint64_t steps_again = 0; ///< Abandoned, since who had their rows was lost.
  uint64_t dispatch_bytes = 0;     ///< Rows to workers.
  uint64_t combine_bytes = 0;      ///< Rows back.
  uint64_t network_bytes_sent = 0; ///< Of them and all else, what crossed UCX.
  uint64_t frames_refused = 0;     ///< Stale, foreign, damaged, out of order.
  uint64_t strangers_dropped = 0; ///< Connections to nodes that proved nothing.
  uint64_t ranks_used = 0;        ///< That have run a step.
  uint64_t workers_used = 0;      ///< That have run a row.
  /// Of those that failed: their logits were no finite numbers.
  uint64_t requests_without_choice = 0;
  uint64_t nodes_lost = 0;      ///< Of those that the topology names.
  uint64_t nodes_came_back = 0; ///< As another process, again and again.
  uint64_t nodes_left = 0;      ///< In peace, and nobody is there instead.
  uint64_t nodes_later = 0;     ///< That may come later, and have not so far.
  uint64_t placement_epoch = 0;
  uint64_t changes_begun = 0; ///< Of the placement of experts.
  uint64_t changes_done = 0;
  uint64_t changes_aborted = 0;
  double last_change_seconds = 0; ///< That was done.
  uint64_t experts_waiting = 0;   ///< Of a layer, which no worker has.
  uint64_t slots_free = 0;        ///< Of workers, in all layers.
  uint64_t slots_loading = 0;
  uint64_t slots_serving = 0;
  uint64_t slots_retiring = 0;
  uint64_t balance_plans = 0;         ///< For experts, made since the start.
  uint64_t balance_changes = 0;       ///< Of the placement, done for them.
  uint64_t balance_refusals = 0;      ///< Such changes refused or given up.
  uint64_t experts_moved = 0;         ///< Copies made by those that were done.
  double expert_balance = 1;          ///< Mean over largest load of workers.
  double planned_balance = 1;         ///< As the last plan promised.
  double planned_gain = 0;            ///< Share of the largest loads that goes.
  uint64_t requests_balanced = 0;     ///< Moved to a rank with less to do.
  uint64_t request_moves_refused = 0; ///< Given up before they were.
  uint64_t store_blocks = 0;          ///< Kept on disks, as what follows.
  uint64_t store_off = 0;             ///< Nodes whose disk was given up.
  uint64_t store_hits = 0;            ///< Blocks that were asked for and came.
  uint64_t store_misses = 0;          ///< That were not there.
  uint64_t store_declined = 0;        ///< That were, but were computed sooner.
  uint64_t store_damaged = 0;
  uint64_t store_dropped = 0; ///< Not written, since the disk lagged behind.
  uint64_t store_errors = 0;  ///< Reads and writes that failed.
  uint64_t store_bytes_written = 0;
  uint64_t store_bytes_read = 0;
  uint64_t host_blocks = 0;   ///< Kept in host memory.
  uint64_t host_hits = 0;     ///< Blocks that were asked for and stood there.
  uint64_t handed_blocks = 0; ///< To ranks that go on with a request.
  uint64_t handed_bytes = 0;
  uint64_t handed_late
    = 0; ///< Of those blocks, who had been waited for enough.
  uint64_t handed_early_bytes = 0; ///< Of the bytes, before their requests.
  uint64_t handed_wait_us = 0;     ///< Requests waited for those blocks.
  uint64_t grammars_compiled = 0;  ///< By processes that have ranks.
  uint64_t grammar_bytes = 0; ///< Of what they keep of grammars: masks, states.
};

struct cluster_status; // runtime/cluster/cluster_status.hpp

class service {
public:
  virtual ~service() = default;

  virtual service_info info() const = 0;

  /// Not blocking: the last known figures.
  virtual service_stats stats() const = 0;

  /// Not blocking: who is there, and what each part was last known to do.
  virtual cluster_status cluster() const = 0;

  /// Empty: every part of the cluster is there. Otherwise what is missing.
  virtual std::optional<std::string> trouble() const = 0;

  /// Accepts `request` or says why not (invalid_input, context_too_long,
  /// overloaded, peer_lost, or why the service has ended). After acceptance
  /// `on_event` hears of it until an event with a finish reason, which always
  /// comes: at the latest before the service is gone.
  virtual result<request_id>
  submit(generation_request request, event_handler on_event) = 0;

  /// Frees what the request holds within one step. Its last event, with
  /// errc::cancelled, may come before or after this returns. Unknown ids are
  /// ignored.
  virtual void cancel(request_id id) = 0;

  /// Lets a node leave in peace within `limit`: what it has is given to others,
  /// then it is told to end. `begun` hears once, on a thread of the service or
  /// of who asks, that this has begun, or why not: not_found, overloaded while
  /// another one is leaving, refused for a node that others cannot do without.
  /// How far it is and what came of it: cluster().drain.
  virtual void drain(const std::string& node, std::chrono::milliseconds limit,
                     std::function<void(const result<void>&)> begun)
    = 0;

  /// The node that is leaving (an empty name: whichever it is) stays after all;
  /// what others have got of it stays with them. `done` hears once, on a thread
  /// of the service or of who asks, that it stays, or why not: refused, if it
  /// is not leaving or was told to end already.
  virtual void undrain(const std::string& node,
                       std::function<void(const result<void>&)> done)
    = 0;
};

} // namespace troupe
