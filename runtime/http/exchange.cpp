#include "runtime/http/exchange.hpp"

namespace troupe::http {

exchange::exchange(size_t max_buffered, std::function<void()> wake)
  : max_buffered_(max_buffered), wake_(std::move(wake)) {
}

void exchange::answer(reply what) {
  std::lock_guard guard{mutex_};
  if (gone_ || stage_ != stage::waiting)
    return;
  stage_ = stage::ended;
  next_.head = std::move(what);
  next_.whole = next_.ended = true;
  wake_();
}

void exchange::begin(reply head) {
  std::lock_guard guard{mutex_};
  if (gone_ || stage_ != stage::waiting)
    return;
  stage_ = stage::streaming;
  next_.head = std::move(head);
  wake_();
}

bool exchange::write(std::string_view piece) {
  std::lock_guard guard{mutex_};
  if (gone_ || stage_ != stage::streaming)
    return false;
  // What waits is the reader's fault, how long a piece is is not.
  if (next_.bytes.size() > max_buffered_) {
    stage_ = stage::ended;
    next_.overrun = true;
    wake_();
    return false;
  }
  next_.bytes += piece;
  wake_();
  return true;
}

void exchange::end() {
  std::lock_guard guard{mutex_};
  if (gone_ || stage_ != stage::streaming)
    return;
  stage_ = stage::ended;
  next_.ended = true;
  wake_();
}

void exchange::on_closed(std::function<void()> fn) {
  {
    std::lock_guard guard{mutex_};
    if (finished_)
      return;
    if (!gone_) {
      on_closed_.swap(fn);
      return;
    }
  }
  fn();
}

void exchange::on_late(std::function<void()> fn) {
  {
    std::lock_guard guard{mutex_};
    if (!late_ && !gone_)
      on_late_.swap(fn);
    if (!late_)
      return;
  }
  fn();
}

void exchange::expire(reply sorry) {
  std::function<void()> fn;
  {
    std::lock_guard guard{mutex_};
    late_ = true;
    fn.swap(on_late_);
  }
  if (fn)
    fn();
  else
    answer(std::move(sorry));
}

bool exchange::is_gone() const {
  std::lock_guard guard{mutex_};
  return gone_ && !finished_;
}

void exchange::count_tokens(uint64_t prompt, uint64_t answer) {
  std::lock_guard guard{mutex_};
  tokens_ = {prompt, answer};
}

std::optional<token_count> exchange::tokens() {
  std::lock_guard guard{mutex_};
  return tokens_;
}

void exchange::abandon(reply sorry) {
  answer(std::move(sorry));
  end();
}

progress exchange::take() {
  std::lock_guard guard{mutex_};
  progress rest;
  rest.overrun = next_.overrun;
  return std::exchange(next_, std::move(rest));
}

void exchange::finish() {
  std::function<void()> unused, no_more; // destroyed outside of the lock
  std::lock_guard guard{mutex_};
  finished_ = gone_ = true;
  wake_ = nullptr;
  unused.swap(on_closed_);
  no_more.swap(on_late_);
}

void exchange::close() {
  std::function<void()> fn, unused;
  {
    std::lock_guard guard{mutex_};
    if (gone_)
      return;
    gone_ = true;
    wake_ = nullptr;
    fn.swap(on_closed_);
    unused.swap(on_late_);
  }
  if (fn)
    fn();
}

namespace {

class handle : public responder {
public:
  handle(std::shared_ptr<exchange> way, reply sorry)
    : way_(std::move(way)), sorry_(std::move(sorry)) {
  }

  ~handle() override {
    way_->abandon(std::move(sorry_));
  }

  void answer(reply what) override {
    way_->answer(std::move(what));
  }

  void begin(reply head) override {
    way_->begin(std::move(head));
  }

  bool write(std::string_view piece) override {
    return way_->write(piece);
  }

  void end() override {
    way_->end();
  }

  bool is_gone() const override {
    return way_->is_gone();
  }

  void count_tokens(uint64_t prompt, uint64_t answer) override {
    way_->count_tokens(prompt, answer);
  }

  void on_closed(std::function<void()> fn) override {
    way_->on_closed(std::move(fn));
  }

  void on_late(std::function<void()> fn) override {
    way_->on_late(std::move(fn));
  }

private:
  std::shared_ptr<exchange> way_;
  reply sorry_;
};

} // namespace

std::shared_ptr<responder> make_responder(std::shared_ptr<exchange> way,
                                          reply sorry) {
  return std::make_shared<handle>(std::move(way), std::move(sorry));
}

} // namespace troupe::http
