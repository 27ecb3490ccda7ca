#include "kernels/host/host_stream.hpp"

#include "kernels/check.hpp"

#include <future>

namespace troupe::kernels {

namespace {

/// Done once, then for ever; carries how its stream had fared.
class host_event : public event::state {
public:
  using resume_fn = std::function<void(const std::string& failure)>;

  void complete(const std::string& failure) {
    std::vector<resume_fn> waiting;
    {
      std::lock_guard guard(mutex_);
      done_ = true;
      failure_ = failure;
      waiting.swap(waiting_);
    }
    for (auto& resume : waiting)
      resume(failure);
  }

  /// Returns true and sets `failure` if the event is done; otherwise keeps
  /// `resume` and calls it then.
  bool done_or_call(std::string& failure, resume_fn resume) {
    std::lock_guard guard(mutex_);
    if (done_)
      failure = failure_;
    else
      waiting_.push_back(std::move(resume));
    return done_;
  }

private:
  std::mutex mutex_;
  bool done_ = false;
  std::string failure_;
  std::vector<resume_fn> waiting_;
};

struct record_item {
  std::shared_ptr<host_event> point;
};

struct wait_item {
  std::shared_ptr<host_event> point;
};

struct notice_item {
  std::function<void(const stream_status&)> fn;
};

using item = std::variant<operation, record_item, wait_item, notice_item>;

} // namespace

//   idle --append--> busy --queue empty--> idle
//                    busy --event not done--> suspended --event--> busy

class host_stream::strand : public std::enable_shared_from_this<strand> {
public:
  strand(thread_pool& pool, run_fn run) : pool_(pool), run_(std::move(run)) {
  }

  void append(item what) {
    {
      std::lock_guard guard(mutex_);
      CHECK(queue_.size() < max_queued);
      queue_.push_back(std::move(what));
      if (busy_)
        return;
      busy_ = true;
    }
    schedule();
  }

  void wait_until_idle() {
    std::unique_lock lock(mutex_);
    became_idle_.wait(lock, [this] { return !busy_; });
  }

private:
  void schedule() {
    pool_.submit([self = shared_from_this()] { self->work(); });
  }

  /// Runs on a thread of the pool while the strand is busy.
  void work() {
    while (auto next = take()) {
      if (!std::visit([this](auto& what) { return handle(what); }, *next))
        return;
      next.reset(); // An operation lets go of memory before any later notice.
      if (pool_.has_waiting_tasks())
        return schedule();
    }
  }

  std::optional<item> take() {
    std::lock_guard guard(mutex_);
    if (queue_.empty()) {
      busy_ = false;
      became_idle_.notify_all();
      return std::nullopt;
    }
    std::optional<item> next(std::move(queue_.front()));
    queue_.pop_front();
    return next;
  }

  // The handlers return whether the strand may go on at once.

  bool handle(operation& op) {
    if (status_)
      status_.failure = run_(op);
    return true;
  }

  bool handle(record_item& what) {
    what.point->complete(status_.failure);
    return true;
  }

  bool handle(wait_item& what) {
    std::string failure;
    auto resume = [self = shared_from_this()](const std::string& failure) {
      self->take_over(failure);
      self->schedule();
    };
    if (!what.point->done_or_call(failure, std::move(resume)))
      return false;
    take_over(failure);
    return true;
  }

  bool handle(notice_item& what) {
    what.fn(status_);
    return true;
  }

  void take_over(const std::string& failure) {
    if (status_)
      status_.failure = failure;
  }

  // Not shared: the last thread that lets go of a strand may be of the pool,
  // which cannot join itself. The stream keeps the pool while we are busy.
  thread_pool& pool_;
  run_fn run_;
  stream_status status_; ///< Belongs to the thread that works.
  std::mutex mutex_;
  std::condition_variable became_idle_;
  std::deque<item> queue_;
  bool busy_ = false;
};

host_stream::host_stream(std::shared_ptr<thread_pool> pool, run_fn run)
  : pool_(std::move(pool)),
    strand_(std::make_shared<strand>(*pool_, std::move(run))) {
}

host_stream::~host_stream() {
  strand_->wait_until_idle();
}

void host_stream::enqueue(operation op) {
  strand_->append(std::move(op));
}

event host_stream::record() {
  auto point = std::make_shared<host_event>();
  strand_->append(record_item{point});
  return event(point);
}

void host_stream::wait(const event& point) {
  auto impl = std::dynamic_pointer_cast<host_event>(point.impl());
  CHECK(impl != nullptr);
  strand_->append(wait_item{std::move(impl)});
}

void host_stream::notify(std::function<void(const stream_status&)> fn) {
  strand_->append(notice_item{std::move(fn)});
}

stream_status synchronize(stream& s) {
  // Shared: the notice may still be inside set_value when get() returns.
  auto done = std::make_shared<std::promise<stream_status>>();
  auto status = done->get_future();
  s.notify([done](const stream_status& how) { done->set_value(how); });
  return status.get();
}

} // namespace troupe::kernels
