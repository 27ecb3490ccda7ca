#include "runtime/sim/oracle.hpp"

#include "runtime/model/plain_forward.hpp"
#include "runtime/request_rules.hpp"

namespace troupe {

namespace {

/// Of [count, vocab] logits, row by row.
std::vector<uint64_t> hashes_of(std::span<const float> logits, size_t count) {
  std::vector<uint64_t> out;
  auto vocab = count == 0 ? 0 : logits.size() / count;
  for (size_t i = 0; vocab > 0 && i < count; ++i)
    out.push_back(logits_hash(logits.subspan(i * vocab, vocab)));
  return out;
}

} // namespace

result<void>
ask_plain_path(const checkpoint& source, std::shared_ptr<kernels::executor> how,
               const oracle_options& options, client_load& load,
               const std::function<void(uint64_t, uint64_t)>& progress) {
  auto device = kernels::make_inline_device(0, std::move(how));
  plain_options plain;
  plain.activations = options.activations;
  plain.max_model_len = options.max_model_len;
  plain.num_choices = options.num_choices;
  plain.grammars = options.grammars;
  auto path = plain_forward::make(*device, source, plain);
  if (!path)
    return path.why();
  request_rules rules{options.max_model_len, (*path)->config().vocab_size,
                      options.num_ranks};
  uint64_t done = 0;
  for (auto& x : load.requests) {
    if (progress)
      progress(done, load.requests.size());
    ++done;
    // By the request alone: others may be left out when it is asked again.
    x.request.want_logits = options.with_logits
                            && x.request.sampling.seed % 2 == 0;
    auto request = x.request;
    if (settle(request, rules)) {
      x.expected = expected_answer{{}, finish_reason::none, {}, true};
      continue;
    }
    auto answer = (*path)->generate(request);
    if (!answer)
      return answer.why();
    x.expected = expected_answer{std::move(answer->tokens), answer->finish};
    x.expected->logits = hashes_of(answer->logits, x.expected->tokens.size());
  }
  return {};
}

} // namespace troupe
