#include "kernels/cuda/stream.hpp"

#include "kernels/check.hpp"
#include "kernels/cuda/queue.hpp"

#include <condition_variable>
#include <deque>

namespace troupe::kernels::cuda {

namespace {

/// What a copy holds until it has ended.
template <class Op>
std::shared_ptr<const void> keep_alive_of(const Op& op) {
  if constexpr (requires { op.keep_alive; })
    return op.keep_alive;
  else
    return {};
}

struct gpu_event : event::state {
  cudaEvent_t point = nullptr;
  std::string failure; ///< Of its stream, then.

  ~gpu_event() override {
    if (point)
      cudaEventDestroy(point);
  }
};

struct notice {
  std::vector<std::shared_ptr<const void>> held; ///< Let go of before fn.
  std::function<void(const stream_status&)> fn;  ///< Or none.
  stream_status status;
};

/// The notices of one stream that have not been given, oldest first. What CUDA
/// calls when the stream is there names a notice by its number: that one and
/// all before it are due.
class notice_line {
public:
  uint64_t add(notice what) {
    std::lock_guard guard{mutex_};
    waiting_.push_back(std::move(what));
    return first_ + waiting_.size() - 1;
  }

  /// Gives all notices up to `number`; on the GPU's thread alone.
  void give(uint64_t number, const std::string& failure) {
    while (auto next = take(number)) {
      next->held.clear();
      if (next->status && !failure.empty())
        next->status.failure = failure;
      if (next->fn)
        next->fn(next->status);
      next.reset();
      std::lock_guard guard{mutex_};
      ++given_;
      was_given_.notify_all();
    }
  }

  void wait_until_given() {
    std::unique_lock lock{mutex_};
    was_given_.wait(lock,
                    [this] { return waiting_.empty() && given_ == first_; });
  }

private:
  std::optional<notice> take(uint64_t number) {
    std::lock_guard guard{mutex_};
    if (waiting_.empty() || first_ > number)
      return std::nullopt;
    std::optional<notice> out{std::move(waiting_.front())};
    waiting_.pop_front();
    ++first_;
    return out;
  }

  std::mutex mutex_;
  std::condition_variable was_given_;
  std::deque<notice> waiting_;
  uint64_t first_ = 0; ///< Number of the oldest that waits.
  uint64_t given_ = 0;
};

class gpu_stream : public stream {
public:
  explicit gpu_stream(std::shared_ptr<gpu> on) : gpu_(std::move(on)) {
    note(gpu_->enter());
    note(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking));
  }

  gpu_stream(const gpu_stream&) = delete;

  ~gpu_stream() override {
    notify_then({});
    line_->wait_until_given();
    place_ = {};
    if (stream_)
      cudaStreamDestroy(stream_);
  }

  void enqueue(operation op) override {
    check_shapes(op);
    if (!status_)
      return;
    note(gpu_->enter());
    queue q{*gpu_, stream_, held_, place_};
    run(q, op);
    if (status_ && !q.failure().empty())
      status_.failure = std::string{name_of(op)} + ": " + q.failure();
    auto kept = std::visit([](auto& what) { return keep_alive_of(what); }, op);
    if (kept)
      held_.push_back(std::move(kept));
    if (held_.size() > max_held)
      notify_then({});
  }

  event record() override {
    auto out = std::make_shared<gpu_event>();
    note(gpu_->enter());
    if (status_)
      note(cudaEventCreateWithFlags(&out->point, cudaEventDisableTiming));
    if (status_)
      note(cudaEventRecord(out->point, stream_));
    out->failure = status_.failure;
    return event{out};
  }

  void wait(const event& point) override {
    auto other = std::dynamic_pointer_cast<gpu_event>(point.impl());
    CHECK(other != nullptr);
    if (!status_)
      return;
    status_.failure = other->failure;
    note(gpu_->enter());
    if (status_)
      note(cudaStreamWaitEvent(stream_, other->point, 0));
    held_.push_back(std::move(other));
  }

  void notify(std::function<void(const stream_status&)> fn) override {
    notify_then(std::move(fn));
  }

private:
  /// Things to let go of that may wait for the next notice.
  static constexpr size_t max_held = 256;

  /// What CUDA calls when the stream has come to a notice.
  struct call {
    std::shared_ptr<notice_line> line;
    std::shared_ptr<thread_pool> notices; ///< May outlive the GPU by a moment.
    uint64_t number;

    void give(const std::string& failure) const {
      notices->submit([line = line, number = number, failure] {
        line->give(number, failure);
      });
    }

    static void CUDART_CB run(cudaStream_t, cudaError_t error, void* self) {
      std::unique_ptr<call> own{static_cast<call*>(self)};
      own->give(error == cudaSuccess ? ""
                                     : std::string{"the GPU is lost: "}
                                         + cudaGetErrorString(error));
    }
  };

  static void run(queue& q, const operation& op) {
    run_rows(q, op);
    run_products(q, op);
    run_attention(q, op);
    run_sample(q, op);
  }

  void notify_then(std::function<void(const stream_status&)> fn) {
    note(gpu_->enter());
    auto number = line_->add({std::move(held_), std::move(fn), status_});
    held_.clear();
    auto what = std::make_unique<call>(call{line_, gpu_->notices(), number});
    auto error = stream_
                   ? cudaStreamAddCallback(stream_, &call::run, what.get(), 0)
                   : cudaErrorInvalidResourceHandle;
    if (error == cudaSuccess) {
      what.release(); // the callback's
      return;
    }
    note(error);
    // Without callbacks the GPU's thread waits: at once over if it is lost.
    gpu_->notices()->submit(
      [line = line_, s = stream_, number, why = status_.failure] {
        if (s)
          cudaStreamSynchronize(s);
        line->give(number, why);
      });
  }

  void note(cudaError_t error) {
    if (error != cudaSuccess && status_)
      status_.failure = sentence_of(error);
  }

  const std::shared_ptr<gpu> gpu_;
  const std::shared_ptr<notice_line> line_ = std::make_shared<notice_line>();
  cudaStream_t stream_ = nullptr;
  stream_status status_;
  std::vector<std::shared_ptr<const void>> held_;
  staging_place place_;
};

} // namespace

std::unique_ptr<stream> make_stream(std::shared_ptr<gpu> on) {
  return std::make_unique<gpu_stream>(std::move(on));
}

} // namespace troupe::kernels::cuda
