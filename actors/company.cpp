#include "actors/company.hpp"

#include "actors/front_end.hpp"
#include "actors/networks.hpp"
#include "actors/node.hpp"
#include "runtime/checkpoint/config.hpp"
#include "runtime/cluster/balance_settings.hpp"
#include "runtime/cluster/kept_placement.hpp"
#include "runtime/entropy.hpp"

#include <future>

namespace troupe {

namespace {

/// The one random number of a process: who it is.
uint64_t draw_incarnation() {
  system_entropy source;
  return source.draw();
}

/// Error, beside those of the store: invalid_input for another cluster's.
result<std::shared_ptr<state_store>> open_state(const std::string& dir,
                                                const std::string& cluster) {
  auto out = open_state_dir(dir);
  if (!out)
    return out.why();
  if (auto& last = (*out)->last(); last && last->cluster != cluster)
    return failure{errc::invalid_input, dir + " holds the state of cluster "
                                          + last->cluster + ", not of "
                                          + cluster};
  return std::shared_ptr<state_store>{std::move(*out)};
}

/// How many sequences a rank's cache holds, against what may run at once.
std::string cache_line(const topology& x) {
  auto tokens = uint64_t{x.num_kv_blocks()}
                * kernels::latent_cache::block_tokens;
  auto seqs = x.limits.max_num_running();
  return "the cache of a rank holds " + std::to_string(tokens)
         + " tokens: " + std::to_string(seqs) + " sequences (max_num_seqs) of "
         + std::to_string(tokens / seqs) + ", or "
         + std::to_string(tokens / x.max_model_len) + " of "
         + std::to_string(x.max_model_len) + " (max_model_len)";
}

/// Where a node's lines go.
std::shared_ptr<const log_book> book_of(const auto& options) {
  return options.logs ? options.logs
                      : std::make_shared<const log_book>(options.level);
}

/// Null: experts are placed as by the topology.
auto kept_placements(const company_options& options, const state_store& kept,
                     const logger& log) {
  std::string trouble;
  auto out = go_on_with(place_experts(options.cluster, *options.node.config),
                        kept.last(), trouble, options.cluster.later_nodes());
  if (!trouble.empty())
    log.warning("the placement in " + options.state_dir
                + " is not taken, experts are placed as by the topology: "
                + trouble);
  return out;
}

} // namespace

struct company::impl {
  impl(company_options opts, model_config config)
    : options(std::move(opts)), front(options.cluster, std::move(config)),
      log(options.cluster.nodes[0].name, book_of(options)) {
  }

  company_options options;
  front_end front;
  logger log;
  std::unique_ptr<node> first;
};

company::company(std::unique_ptr<impl> impl) : impl_(std::move(impl)) {
}

result<std::unique_ptr<company>> company::start(company_options options) {
  if (auto ok = validate(options.cluster); !ok)
    return ok.why();
  if (!options.node.config) {
    auto read = read_model_config(options.model_dir);
    if (!read)
      return read.why();
    options.node.config = std::make_shared<model_config>(std::move(*read));
  }
  auto config = *options.node.config;
  if (auto fits = check_fits(options.cluster, config); !fits)
    return fits.why();
  if (auto& balance = options.node.balance)
    if (auto ok = check_balance(*balance, options.cluster, config); !ok)
      return ok.why();
  if (auto& moving = options.node.moving)
    if (auto ok = check_moving(*moving, options.cluster); !ok)
      return ok.why();
  node_setup setup;
  std::set<node_id> remembered;
  if (!options.state_dir.empty()) {
    auto state = open_state(options.state_dir, options.cluster.cluster);
    if (!state)
      return state.why();
    setup.state = std::move(*state);
    remembered = take_names(options.cluster, setup.state->last());
  }
  auto x = std::make_unique<impl>(std::move(options), std::move(config));
  auto& opts = x->options;
  setup.name = opts.cluster.nodes[0].name;
  setup.incarnation = draw_incarnation();
  setup.options = opts.node;
  setup.log = &x->log;
  setup.progress = opts.progress;
  setup.model_dir = opts.model_dir;
  setup.status = x->front.status();
  setup.status->outage_timeout = opts.outage_timeout;
  setup.status->moving = opts.node.moving;
  if (setup.state)
    setup.begins_with = kept_placements(opts, *setup.state, x->log);
  setup.cluster = opts.cluster;
  setup.places = std::make_shared<open_places>(opts.cluster, remembered);
  network_options net{opts.cluster.cluster,
                      setup.name,
                      setup.incarnation,
                      opts.cluster.controller,
                      opts.secret,
                      opts.insecure,
                      &x->log,
                      setup.places,
                      opts.tls,
                      opts.faults,
                      opts.links};
  setup.make_network = opts.cluster.nodes.size() == 1 ? one_node_network(net)
                                                      : ucx_network(net);
  auto first = node::start(std::move(setup));
  if (!first)
    return first.why();
  x->first = std::move(*first);
  x->front.connect(x->first->here());
  x->log.info(cache_line(opts.cluster));
  return std::unique_ptr<company>{new company{std::move(x)}};
}

company::~company() {
  close({errc::cancelled, "the service has ended"});
  impl_->first->shut_down_cluster(std::chrono::seconds{2});
}

endpoint_address company::address() const {
  return impl_->first->address();
}

result<void> company::wait_until_ready(std::chrono::milliseconds deadline) {
  return impl_->first->wait_until_started(deadline);
}

void company::close(const failure& why) {
  impl_->front.close(why);
}

std::optional<failure> company::over() const {
  return impl_->first->over();
}

std::optional<placement> company::placed(unit_id unit) const {
  return impl_->front.placed(unit);
}

result<uint32_t> company::change_placement(placement_lists next,
                                           std::chrono::milliseconds deadline) {
  auto answer = std::make_shared<std::promise<result<uint32_t>>>();
  auto heard = answer->get_future();
  impl_->front.change_placement(std::move(next),
                                [answer](auto& x) { answer->set_value(x); });
  if (heard.wait_for(deadline) != std::future_status::ready)
    return failure{errc::deadline_passed,
                   "the placement was not changed in time"};
  return heard.get();
}

service_info company::info() const {
  return impl_->front.info();
}

service_stats company::stats() const {
  return impl_->front.stats();
}

cluster_status company::cluster() const {
  return impl_->front.cluster();
}

std::optional<std::string> company::trouble() const {
  return impl_->front.trouble();
}

result<request_id> company::submit(generation_request request,
                                   event_handler on_event) {
  return impl_->front.submit(std::move(request), std::move(on_event));
}

void company::cancel(request_id id) {
  impl_->front.cancel(id);
}

void company::enough(request_id id) {
  impl_->front.enough(id);
}

void company::drain(const std::string& node, std::chrono::milliseconds limit,
                    std::function<void(const result<void>&)> begun) {
  impl_->front.drain(node, limit, std::move(begun));
}

void company::undrain(const std::string& node,
                      std::function<void(const result<void>&)> done) {
  impl_->front.undrain(node, std::move(done));
}

// -- other nodes --------------------------------------------------------------

struct member_node::impl {
  explicit impl(member_options opts)
    : options(std::move(opts)), log(options.name, book_of(options)) {
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
  setup.make_network = ucx_network({opts.cluster,
                                    opts.name,
                                    setup.incarnation,
                                    opts.listen,
                                    opts.secret,
                                    opts.insecure,
                                    &x->log,
                                    {},
                                    opts.tls,
                                    opts.faults,
                                    opts.links,
                                    opts.brings});
  auto self = node::start(std::move(setup));
  if (!self)
    return self.why();
  x->self = std::move(*self);
  x->self->join(opts.controller, opts.join_timeout);
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
