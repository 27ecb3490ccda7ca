#include "runtime/sim/virtual_device.hpp"

#include "kernels/host/host_stream.hpp"
#include "runtime/cost/operation_work.hpp"
#include "runtime/sim/fifo.hpp"
#include "runtime/sim/virtual_results.hpp"

#include <cmath>

namespace troupe {

using namespace kernels;

namespace {

/// Worlds are many and short, and touch little of what they claim.
constexpr uint64_t mapping_bytes = 16 << 10;

/// Of a packed weight that nobody computes with.
constexpr uint64_t imagined_weight_bytes = 64;

} // namespace

virtual_duration duration_of(const operation& op, const cost_model& costs) {
  return virtual_duration{std::llround(costs.seconds(work_of(op)) * 1e9)};
}

// -- what streams share -------------------------------------------------------

struct virtual_device::core {
  world& in;
  const life_id life;
  const std::shared_ptr<executor> compute;
  const cost_model costs;
  const node_id node;
  std::set<uint64_t> failing_operations = {}, failing_allocations = {};
  std::set<uint64_t> failed_operations = {}, failed_allocations = {};
  uint64_t num_operations = 0, num_allocations = 0;
  cache_observer on_cache = {};

  std::string run(const operation& op, uint64_t number) {
    if (compute)
      return compute->run(op);
    imagine(op, in.seed() ^ number << 16 ^ life);
    return {};
  }

  void note(trace_kind kind, uint64_t number, uint64_t what) {
    in.record({.kind = kind, .node = node, .a = number, .b = what});
  }
};

/// Done once, then for ever; carries how its stream had fared.
class virtual_device::virtual_event : public event::state {
public:
  void complete(const std::string& failure) {
    is_done_ = true;
    failure_ = failure;
    for (auto& resume : std::exchange(waiting_, {}))
      resume();
  }

  bool is_done() const {
    return is_done_;
  }

  const std::string& failure() const {
    return failure_;
  }

  void call(job resume) {
    waiting_.push_back(std::move(resume));
  }

private:
  bool is_done_ = false;
  std::string failure_;
  std::vector<job> waiting_;
};

// -- streams ------------------------------------------------------------------

//   idle --append--> busy --queue empty--> idle
//                    busy --operation begins--> busy, until it ends
//                    busy --event not done--> busy, until it is

class virtual_device::strand : public std::enable_shared_from_this<strand> {
public:
  using event_ptr = std::shared_ptr<virtual_event>;
  using notice_fn = std::function<void(const stream_status&)>;

  struct record_item {
    event_ptr point;
  };

  struct wait_item {
    event_ptr point;
  };

  using item = std::variant<operation, record_item, wait_item, notice_fn>;

  explicit strand(std::shared_ptr<core> device) : device_(std::move(device)) {
  }

  void append(item what) {
    CHECK(queue_.size() < host_stream::max_queued);
    queue_.push(std::move(what));
    if (!std::exchange(is_busy_, true))
      work_soon();
  }

  /// Nothing runs here after this.
  void end() {
    is_over_ = true;
    device_->in.cancel(next_);
    if (device_->in.is_alive(device_->life))
      finish();
    queue_.clear();
  }

private:
  void work_soon() {
    next_ = device_->in.after(device_->life, {},
                              [self = shared_from_this()] { self->work(); });
  }

  void work() {
    while (!is_over_ && !queue_.empty())
      if (!std::visit([this](auto& x) { return handle(x); }, queue_.front()))
        return;
    is_busy_ = false;
  }

  /// An operation lets go of memory before any later notice.
  item take() {
    return queue_.pop();
  }

  // The handlers return whether the stream may go on at once.

  bool handle(operation& op) {
    if (!status_) {
      take();
      return true;
    }
    begin(op);
    auto time = duration_of(op, device_->costs);
    auto slowness = device_->in.slowness(device_->node);
    auto taken = virtual_duration{int64_t(double(time.count()) * slowness)};
    next_ = device_->in.after(device_->life, taken,
                              [self = shared_from_this()] {
                                self->compute();
                                self->work();
                              });
    return false;
  }

  bool handle(record_item& x) {
    auto point = x.point;
    take();
    point->complete(status_.failure);
    return true;
  }

  bool handle(wait_item& x) {
    if (!x.point->is_done()) {
      x.point->call([self = shared_from_this()] {
        if (!self->is_over_)
          self->work_soon();
      });
      return false;
    }
    take_over(x.point->failure());
    take();
    return true;
  }

  bool handle(notice_fn&) {
    auto fn = std::get<notice_fn>(take());
    fn(status_); // May end this stream.
    return true;
  }

  void take_over(const std::string& failure) {
    if (status_)
      status_.failure = failure;
  }

  void begin(const operation& op) {
    number_ = ++device_->num_operations;
    has_begun_ = true;
    if (device_->compute)
      poison_outputs(op);
  }

  /// Of the operation that has begun, and is the first.
  void compute() {
    has_begun_ = false;
    auto& op = std::get<operation>(queue_.front());
    auto kind = op.index();
    if (auto* x = std::get_if<append_latent>(&op); x && device_->on_cache)
      device_->on_cache(*x);
    if (device_->failing_operations.contains(number_)) {
      device_->failed_operations.insert(number_);
      status_.failure = std::string{name_of(op)} + ": the device has failed";
    } else {
      status_.failure = device_->run(op, number_);
    }
    take();
    device_->note(status_ ? trace_kind::operation_ended
                          : trace_kind::operation_failed,
                  number_, kind);
  }

  /// What is left, now, without notices.
  void finish() {
    while (!queue_.empty()) {
      auto& next = queue_.front();
      if (auto op = std::get_if<operation>(&next); op && status_) {
        if (!has_begun_)
          begin(*op);
        compute();
        continue;
      }
      if (auto x = std::get_if<wait_item>(&next))
        take_over(x->point->is_done() ? x->point->failure()
                                      : "its stream has ended before");
      if (auto x = std::get_if<record_item>(&next))
        x->point->complete(status_.failure);
      take();
    }
  }

  const std::shared_ptr<core> device_;
  fifo<item> queue_;
  stream_status status_;
  uint64_t number_ = 0;    ///< Of the operation that began last.
  bool has_begun_ = false; ///< The first of the queue has.
  bool is_busy_ = false;
  bool is_over_ = false;
  event_id next_ = 0;
};

class virtual_device::virtual_stream final : public stream {
public:
  explicit virtual_stream(std::shared_ptr<core> device)
    : strand_(std::make_shared<strand>(std::move(device))) {
  }

  ~virtual_stream() override {
    strand_->end();
  }

  void enqueue(operation op) override {
    check_shapes(op);
    strand_->append(std::move(op));
  }

  event record() override {
    auto point = std::make_shared<virtual_event>();
    strand_->append(strand::record_item{point});
    return event{point};
  }

  void wait(const event& point) override {
    auto impl = std::dynamic_pointer_cast<virtual_event>(point.impl());
    CHECK(impl != nullptr);
    strand_->append(strand::wait_item{std::move(impl)});
  }

  void notify(std::function<void(const stream_status&)> fn) override {
    strand_->append(std::move(fn));
  }

private:
  const std::shared_ptr<strand> strand_;
};

// -- the device ---------------------------------------------------------------

virtual_device::virtual_device(world& w, life_id life, uint32_t id,
                               std::shared_ptr<executor> compute,
                               const cost_model& costs)
  : id_(id), core_(std::make_shared<core>(
               core{w, life, std::move(compute), costs, w.node_of(life)})),
    heap_(id, mapping_bytes) {
}

std::string_view virtual_device::target() const {
  return core_->compute ? core_->compute->target() : "virtual";
}

std::optional<buffer> virtual_device::allocate(uint64_t bytes) {
  return may_allocate(bytes) ? heap_.allocate(bytes) : std::nullopt;
}

void virtual_device::free(buffer mem) {
  heap_.free(mem);
}

host_ptr virtual_device::allocate_host(uint64_t bytes) {
  return may_allocate(bytes) ? host::allocate_host(bytes, mapping_bytes)
                             : nullptr;
}

bool virtual_device::may_allocate(uint64_t bytes) {
  auto number = ++core_->num_allocations;
  auto fails = core_->failing_allocations.contains(number);
  if (fails)
    core_->failed_allocations.insert(number);
  core_->note(fails ? trace_kind::allocation_failed : trace_kind::allocation,
              number, bytes);
  return !fails;
}

uint64_t virtual_device::weight_bytes(dtype type, uint32_t rows, uint32_t cols,
                                      uint32_t groups) const {
  return core_->compute ? core_->compute->weight_bytes(type, rows, cols, groups)
                        : imagined_weight_bytes;
}

std::unique_ptr<stream> virtual_device::make_stream() {
  return std::make_unique<virtual_stream>(core_);
}

void virtual_device::fail_operation(uint64_t n) {
  core_->failing_operations.insert(n);
}

void virtual_device::fail_allocation(uint64_t n) {
  core_->failing_allocations.insert(n);
}

void virtual_device::fail_nothing() {
  core_->failing_operations.clear();
  core_->failing_allocations.clear();
}

void virtual_device::observe_cache(cache_observer x) {
  core_->on_cache = std::move(x);
}

uint64_t virtual_device::num_operations() const {
  return core_->num_operations;
}

uint64_t virtual_device::num_allocations() const {
  return core_->num_allocations;
}

bool virtual_device::has_failed_operation(uint64_t n) const {
  return core_->failed_operations.contains(n);
}

bool virtual_device::has_failed_allocation(uint64_t n) const {
  return core_->failed_allocations.contains(n);
}

} // namespace troupe
