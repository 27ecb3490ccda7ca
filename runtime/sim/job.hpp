#pragma once

/// Something to do once, later. Small ones need no memory of their own: a
/// virtual world does millions.

#include <cstddef>
#include <new>
#include <type_traits>
#include <utility>

namespace troupe {

class job {
public:
  job() = default;

  /// `f` is called without arguments, at most once. It need not be copyable.
  template <class F>
  requires(!std::is_same_v<std::decay_t<F>, job>) job(F f) {
    if constexpr (is_small<F>) {
      new (room_) F(std::move(f));
      ways_ = &ways_of<F>;
    } else {
      new (room_) boxed<F>{new F(std::move(f))};
      ways_ = &ways_of<boxed<F>>;
    }
  }

  job(job&& other) noexcept {
    take(other);
  }

  job& operator=(job&& other) noexcept {
    if (this != &other) {
      reset();
      take(other);
    }
    return *this;
  }

  ~job() {
    reset();
  }

  explicit operator bool() const {
    return ways_ != nullptr;
  }

  void operator()() {
    ways_->run(room_);
  }

private:
  static constexpr size_t room = 56;

  template <class F>
  static constexpr bool is_small = sizeof(F) <= room
                                   && alignof(F) <= alignof(std::max_align_t)
                                   && std::is_nothrow_move_constructible_v<F>;

  template <class F>
  struct boxed {
    explicit boxed(F* x) : what(x) {
    }

    boxed(boxed&& other) noexcept : what(std::exchange(other.what, nullptr)) {
    }

    ~boxed() {
      delete what;
    }

    void operator()() {
      (*what)();
    }

    F* what;
  };

  struct ways {
    void (*run)(void*);
    void (*move)(void* from, void* to); ///< `from` is over then.
    void (*end)(void*);
  };

  template <class F>
  static constexpr ways ways_of = {
    [](void* x) { (*static_cast<F*>(x))(); },
    [](void* from, void* to) {
      new (to) F(std::move(*static_cast<F*>(from)));
      static_cast<F*>(from)->~F();
    },
    [](void* x) { static_cast<F*>(x)->~F(); },
  };

  void take(job& other) {
    ways_ = std::exchange(other.ways_, nullptr);
    if (ways_)
      ways_->move(other.room_, room_);
  }

  void reset() {
    if (auto old = std::exchange(ways_, nullptr))
      old->end(room_);
  }

  const ways* ways_ = nullptr;
  alignas(std::max_align_t) std::byte room_[room];
};

} // namespace troupe
