#include "tests/cuda_on_host/fiber.hpp"

#include <cstdlib>
#include <cstring>
#include <ucontext.h>
#include <vector>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

#if defined(__x86_64__)
// Keeps what a function has to keep, and the stack, then goes on elsewhere.
// The C library's own way asks the system for signal masks each time.
__asm__(".text\n"
        ".type troupe_switch_stack, @function\n"
        "troupe_switch_stack:\n"
        "  pushq %rbp\n"
        "  pushq %rbx\n"
        "  pushq %r12\n"
        "  pushq %r13\n"
        "  pushq %r14\n"
        "  pushq %r15\n"
        "  movq %rsp, (%rdi)\n"
        "  movq %rsi, %rsp\n"
        "  popq %r15\n"
        "  popq %r14\n"
        "  popq %r13\n"
        "  popq %r12\n"
        "  popq %rbx\n"
        "  popq %rbp\n"
        "  ret\n"
        ".size troupe_switch_stack, .-troupe_switch_stack\n");
extern "C" void troupe_switch_stack(void** from, void* to);
#endif

namespace troupe::kernels::on_host {

namespace {

#if defined(__SANITIZE_ADDRESS__)
constexpr size_t stack_bytes = 256 << 10;
#else
constexpr size_t stack_bytes = 64 << 10;
#endif

thread_local fiber* running = nullptr;

} // namespace

struct fiber::frames {
  std::unique_ptr<std::byte[]> stack{new std::byte[stack_bytes]};
#if defined(__x86_64__)
  void* inside = nullptr;
  void* outside = nullptr;
#else
  ucontext_t inside, outside;
#endif
  // What AddressSanitizer wants to know of the stack that is left.
  void* fake_inside = nullptr;
  void* fake_outside = nullptr;
  const void* outer_stack = nullptr;
  size_t outer_bytes = 0;

  void leave_outside() {
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_start_switch_fiber(&fake_outside, stack.get(), stack_bytes);
#endif
#if defined(__x86_64__)
    troupe_switch_stack(&outside, inside);
#else
    swapcontext(&outside, &inside);
#endif
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_finish_switch_fiber(fake_outside, nullptr, nullptr);
#endif
  }

  void leave_inside([[maybe_unused]] bool for_good) {
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_start_switch_fiber(for_good ? nullptr : &fake_inside,
                                   outer_stack, outer_bytes);
#endif
#if defined(__x86_64__)
    troupe_switch_stack(&inside, outside);
#else
    swapcontext(&inside, &outside);
#endif
    arrive_inside();
  }

  void arrive_inside() {
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_finish_switch_fiber(fake_inside, &outer_stack, &outer_bytes);
#endif
  }
};

fiber::fiber() : frames_(new frames) {
}

fiber::~fiber() = default;

void fiber::start(body run, void* what) {
  run_ = run;
  what_ = what;
  has_ended_ = false;
  auto& f = *frames_;
  f.fake_inside = nullptr;
#if defined(__SANITIZE_ADDRESS__)
  __asan_unpoison_memory_region(f.stack.get(), stack_bytes);
#endif
#if defined(__x86_64__)
  // Six registers, where to go, and the alignment of a function's start.
  auto top = reinterpret_cast<uintptr_t>(f.stack.get() + stack_bytes);
  auto frame = reinterpret_cast<void**>(top & ~uintptr_t{63}) - 8;
  std::memset(frame, 0, 8 * sizeof(void*));
  frame[6] = reinterpret_cast<void*>(&fiber::enter);
  f.inside = frame;
#else
  getcontext(&f.inside);
  f.inside.uc_stack.ss_sp = f.stack.get();
  f.inside.uc_stack.ss_size = stack_bytes;
  f.inside.uc_link = nullptr;
  makecontext(&f.inside, reinterpret_cast<void (*)()>(&fiber::enter), 0);
#endif
}

void fiber::enter() {
  auto self = running;
  self->frames_->arrive_inside();
  self->run_(self->what_);
  self->has_ended_ = true;
  self->frames_->leave_inside(true);
  std::abort();
}

void fiber::resume() {
  auto outer = running;
  running = this;
  frames_->leave_outside();
  running = outer;
}

void fiber::pause() {
  frames_->leave_inside(false);
}

} // namespace troupe::kernels::on_host
