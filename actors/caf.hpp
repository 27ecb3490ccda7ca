#pragma once

/// The door to CAF: what is particular to version 0.17 stands here and, of its
/// scheduler, in pool_coordinator.hpp. All messages stay inside the process;
/// between nodes travel frames (peer.cpp), so nothing is inspected.

#include <caf/all.hpp>

#include <chrono>
#include <utility>

/// States that a type may be sent between actors of one process.
#define TROUPE_MESSAGE(type) CAF_ALLOW_UNSAFE_MESSAGE_TYPE(type)

namespace troupe {

/// One line of a typed interface: reacts to `Message`, answers nothing.
template <class... Message>
using reacts_to = caf::typed_actor<typename caf::reacts_to<Message>...>;

/// Sends from anywhere: an actor, a notice of a device, a transport's thread.
template <class Handle, class Message>
void tell(const Handle& target, Message message) {
  if (target)
    caf::anon_send(target, std::move(message));
}

/// A handle that keeps nobody alive: for those who may outlive the actor.
template <class Handle>
class weak_handle {
public:
  explicit weak_handle(const Handle& target)
    : target_(caf::actor_cast<caf::weak_actor_ptr>(target)) {
  }

  /// Sends from anywhere; nothing happens once the actor is gone.
  template <class Message>
  void tell(Message message) const {
    if (auto x = caf::actor_cast<caf::strong_actor_ptr>(target_))
      caf::anon_send(caf::actor_cast<Handle>(x), std::move(message));
  }

private:
  caf::weak_actor_ptr target_;
};

/// Sends after `delay`.
template <class Self, class Handle, class Message>
void tell_later(Self* self, const Handle& target,
                std::chrono::milliseconds delay, Message message) {
  self->delayed_send(target, delay, std::move(message));
}

} // namespace troupe
