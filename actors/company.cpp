#include "actors/company.hpp"

#include "actors/networks.hpp"
#include "actors/node.hpp"
#include "runtime/checkpoint/config.hpp"
#include "runtime/entropy.hpp"

#include <algorithm>

namespace troupe {

namespace {

failure invalid(std::string message) {
  return {errc::invalid_input, std::move(message)};
}

/// The one random number of a process: who it is.
uint64_t draw_incarnation() {
  system_entropy source;
  return source.draw();
}

} // namespace

struct company::impl {
  impl(company_options opts, model_config config)
    : options(std::move(opts)), config(std::move(config)),
      log(options.cluster.nodes[0].name, options.level) {
  }

  uint64_t max_open() const {
    auto& limits = options.cluster.limits;
    return uint64_t{options.cluster.num_ranks()}
           * (limits.max_num_seqs + limits.max_num_waiting);
  }

  result<void> check(generation_request& request) const;

  /// Why nothing can be taken at present; or empty.
  std::string refusal() const {
    if (auto cause = first->over())
      return cause->message;
    std::lock_guard lock{status->mutex};
    return status->refusal;
  }

  company_options options;
  model_config config;
  logger log;
  std::shared_ptr<gateway_status> status = std::make_shared<gateway_status>();
  std::unique_ptr<node> first;
  std::atomic<request_id> next_id{1};
};

company::company(std::unique_ptr<impl> impl) : impl_(std::move(impl)) {
}

result<std::unique_ptr<company>> company::start(company_options options) {
  if (auto ok = validate(options.cluster); !ok)
    return ok.why();
  auto config = read_model_config(options.model_dir);
  if (!config)
    return config.why();
  if (auto fits = check_fits(options.cluster, *config); !fits)
    return fits.why();
  auto x = std::make_unique<impl>(std::move(options), std::move(*config));
  auto& opts = x->options;
  node_setup setup;
  setup.name = opts.cluster.nodes[0].name;
  setup.incarnation = draw_incarnation();
  setup.options = opts.node;
  setup.log = &x->log;
  setup.progress = opts.progress;
  setup.step_timeout = opts.step_timeout;
  setup.cluster = opts.cluster;
  setup.model_dir = opts.model_dir;
  setup.status = x->status;
  network_options net{opts.cluster.cluster,
                      setup.name,
                      setup.incarnation,
                      opts.cluster.controller,
                      opts.secret,
                      opts.insecure,
                      &x->log};
  for (auto& node : opts.cluster.nodes)
    net.names.push_back(node.name);
  setup.make_network = opts.cluster.nodes.size() == 1 ? one_node_network(net)
                                                      : ucx_network(net);
  auto first = node::start(std::move(setup));
  if (!first)
    return first.why();
  x->first = std::move(*first);
  return std::unique_ptr<company>{new company{std::move(x)}};
}

company::~company() {
  impl_->first->shut_down_cluster(std::chrono::seconds{2});
}

endpoint_address company::address() const {
  return impl_->first->address();
}

result<void> company::wait_until_ready(std::chrono::milliseconds deadline) {
  return impl_->first->wait_until_started(deadline);
}

std::optional<failure> company::over() const {
  return impl_->first->over();
}

service_info company::info() const {
  auto& cluster = impl_->options.cluster;
  return {cluster.max_model_len, cluster.num_ranks(), cluster.num_workers(),
          static_cast<uint32_t>(cluster.nodes.size())};
}

service_stats company::stats() const {
  auto& status = *impl_->status;
  service_stats out;
  out.requests_accepted = status.accepted;
  out.requests_finished = status.finished;
  out.requests_failed = status.failed;
  out.requests_cancelled = status.cancelled;
  out.prompt_tokens = status.prompt_tokens;
  std::lock_guard lock{status.mutex};
  for (auto& report : status.reports) {
    auto value = [&](counter x) { return report.values[size_t(x)]; };
    out.generated_tokens += value(counter::generated_tokens);
    out.steps += value(counter::steps);
    out.requests_running += value(counter::running);
    out.requests_waiting += value(counter::waiting);
    out.kv_blocks_total += value(counter::kv_blocks_total);
    out.kv_blocks_free += value(counter::kv_blocks_free);
    out.dispatch_bytes += value(counter::dispatch_bytes);
    out.combine_bytes += value(counter::combine_bytes);
    out.ranks_used += value(counter::ranks_used);
    out.workers_used += value(counter::workers_used);
    out.requests_without_choice += value(counter::requests_without_choice);
    out.network_bytes_sent += report.network.bytes_sent;
    for (auto n : report.network.frames_refused)
      out.frames_refused += n;
  }
  return out;
}

std::optional<std::string> company::trouble() const {
  if (auto cause = impl_->first->over())
    return cause->message;
  std::lock_guard lock{impl_->status->mutex};
  if (impl_->status->trouble.empty())
    return std::nullopt;
  return impl_->status->trouble;
}

// -- requests -----------------------------------------------------------------

result<void> company::impl::check(generation_request& request) const {
  auto max_len = options.cluster.max_model_len;
  if (request.prompt.empty())
    return invalid("the prompt is empty");
  auto is_foreign = [this](int32_t id) {
    return id < 0 || uint32_t(id) >= config.vocab_size;
  };
  if (auto i = std::ranges::find_if(request.prompt, is_foreign);
      i != request.prompt.end())
    return invalid("token " + std::to_string(*i)
                   + " is not in the vocabulary of "
                   + std::to_string(config.vocab_size));
  if (request.prompt.size() + std::max(request.max_tokens, 1u) > max_len)
    return failure{
      errc::context_too_long,
      "This model's maximum context length is " + std::to_string(max_len)
        + " tokens. However, you " + "requested "
        + std::to_string(request.prompt.size()) + " in the prompt and "
        + std::to_string(request.max_tokens) + " for the completion."};
  auto& s = request.sampling;
  if (!(s.temperature >= 0 && s.temperature <= 100) || !(s.top_p > 0)
      || s.top_p > 1)
    return invalid("temperature or top_p is out of range");
  if (request.rank && *request.rank >= options.cluster.num_ranks())
    return invalid("there is no rank " + std::to_string(*request.rank));
  if (request.max_tokens == 0)
    request.max_tokens = max_len - static_cast<uint32_t>(request.prompt.size());
  return {};
}

result<request_id> company::submit(generation_request request,
                                   event_handler on_event) {
  if (auto ok = impl_->check(request); !ok)
    return ok.why();
  if (auto why = impl_->refusal(); !why.empty())
    return failure{errc::peer_lost, why};
  auto& status = *impl_->status;
  if (++status.open > impl_->max_open()) {
    --status.open;
    return failure{errc::overloaded, "there are "
                                       + std::to_string(impl_->max_open())
                                       + " open requests already"};
  }
  auto id = impl_->next_id++;
  tell(impl_->first->here()->read()->gateway,
       accept_request{
         id, std::make_shared<const generation_request>(std::move(request)),
         std::make_shared<const event_handler>(std::move(on_event))});
  return id;
}

void company::cancel(request_id id) {
  tell(impl_->first->here()->read()->gateway, client_gone{id});
}

// -- other nodes --------------------------------------------------------------

struct member_node::impl {
  explicit impl(member_options opts)
    : options(std::move(opts)), log(options.name, options.level) {
  }

  member_options options;
  logger log;
  std::unique_ptr<node> self;
};

member_node::member_node(std::unique_ptr<impl> impl) : impl_(std::move(impl)) {
}

result<std::unique_ptr<member_node>>
member_node::start(member_options options) {
  auto x = std::make_unique<impl>(std::move(options));
  auto& opts = x->options;
  node_setup setup;
  setup.name = opts.name;
  setup.incarnation = draw_incarnation();
  setup.options = opts.node;
  setup.options.model_dir = opts.model_dir;
  setup.log = &x->log;
  setup.progress = opts.progress;
  setup.step_timeout = opts.step_timeout;
  setup.make_network
    = ucx_network({opts.cluster, opts.name, setup.incarnation, opts.listen,
                   opts.secret, opts.insecure, &x->log});
  auto self = node::start(std::move(setup));
  if (!self)
    return self.why();
  x->self = std::move(*self);
  x->self->join(opts.controller);
  return std::unique_ptr<member_node>{new member_node{std::move(x)}};
}

member_node::~member_node() = default;

std::optional<failure> member_node::wait_until_over() {
  return impl_->self->wait_until_over();
}

void member_node::request_end() {
  impl_->self->request_end();
}

} // namespace troupe
